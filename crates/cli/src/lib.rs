#![doc = include_str!("../README.md")]

pub mod account;
pub mod failure;
pub mod options;
mod plan;
pub mod progress;
pub mod recording;
mod run;
pub mod snapshot;

pub use run::{Caller, Printed, run};

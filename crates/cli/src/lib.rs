#![doc = include_str!("../README.md")]

pub mod account;
mod cheaper_shapes;
mod drains;
pub mod failure;
pub mod options;
mod plan;
pub mod progress;
pub mod recording;
mod replay;
mod run;
pub mod snapshot;
mod why;
mod words;

pub use run::{Caller, Printed, run};

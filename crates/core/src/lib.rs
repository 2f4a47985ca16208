#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod event;
pub mod fallback;
pub mod ids;
pub mod lifecycle;
pub mod republish;
pub mod scale_in;
pub mod settings;
pub mod spot;
pub mod stuck;

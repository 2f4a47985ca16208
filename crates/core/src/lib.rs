#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod event;
pub mod fallback;
pub mod ids;
pub mod settings;
pub mod spot;

#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod ecs;
pub mod event;
pub mod fallback;
pub mod ids;
pub mod lifecycle;
pub mod reaper;
pub mod republish;
pub mod settings;
pub mod spot;
pub mod stuck;

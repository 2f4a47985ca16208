#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod auto_scaling;
pub mod ecs;
pub mod event;
pub mod fallback_groups;
pub mod fallback_mark;
pub mod ids;
pub mod lifecycle;
pub mod mark;
pub mod notification;
mod outcome;
pub mod prices;
pub mod reaper;
#[cfg(test)]
mod robustness;
pub mod settings;
pub mod spot;
mod unique_object;
mod vocabulary;
pub mod words;
#[cfg(test)]
mod wrappings;

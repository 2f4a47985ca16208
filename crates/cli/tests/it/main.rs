//! The commands on a simulated Region, as a person would use them.

#![expect(clippy::unwrap_used, reason = "a test that fails shows it")]

mod cheaper_shapes;
mod drains;
mod plan;
mod program;
mod read_only;
mod recordings;
mod replace;
mod replay;
mod shapes;
mod support;
mod verify;
mod why;

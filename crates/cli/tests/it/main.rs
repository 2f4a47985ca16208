//! The commands on a simulated Region, as a person would use them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shows it")]

mod plan;
mod read_only;
mod recordings;
mod support;

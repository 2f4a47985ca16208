//! The Spot drainer on the simulated Region: the real function, the real SDK, virtual time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod capacity_blocks;
mod documents;
mod events;
mod fallback;
mod fallback_groups;
mod faults;
mod infra;
mod links;
mod many_clusters;
mod mass;
mod matrix;
mod recommendations;
mod registrations;
mod returns;
mod runbook;
mod simulation;
mod start;
mod stories;
mod support;
mod trials;

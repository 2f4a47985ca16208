//! The scale-in reaper on the simulated Region: the real functions, the real SDK, virtual time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod assist;
mod capacity_providers;
mod days;
mod empties;
mod events;
mod fallback;
mod faults;
mod follow_ups;
mod hooks;
mod interruptions;
mod metrics;
mod owners;
mod prices;
mod rebalancing;
mod rooms;
mod simulation;
mod start;
mod stories;
mod support;

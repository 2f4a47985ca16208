//! The scale-in reaper on the simulated Region: the real functions, the real SDK, virtual time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod assist;
mod budgets;
mod capacity_providers;
mod days;
mod empties;
mod events;
mod fallback;
mod faults;
mod follow_ups;
mod holds;
mod hooks;
mod interruptions;
mod matrix;
mod metrics;
mod owners;
mod patience;
mod people;
mod prices;
mod rebalancing;
mod replacing;
mod rooms;
mod simulation;
mod start;
mod stories;
mod summary;
mod support;
mod task_rooms;
mod time_left;
mod zonal_shifts;

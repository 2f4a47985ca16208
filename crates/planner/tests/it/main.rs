//! Tests of the scale-in planner against worlds that it did not make: every order of placement on
//! tiny clusters, random inventories, inventories that contradict themselves, and sweeps until
//! nothing more goes.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails here says enough, and its numbers are small"
)]

mod bad_input;
mod closed_loop;
mod ecs;
mod empties;
mod exhaustive;
mod filters;
mod generate;
mod managed_scaling;
mod properties;
mod rules;
mod task_rooms;
mod witness;

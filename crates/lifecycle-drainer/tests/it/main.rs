//! The lifecycle drainer on the simulated Region: the real function, the real SDK, virtual time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod batches;
mod broken_answers;
mod chains;
mod cut_off;
mod draining;
mod ec2_ends;
mod events;
mod executions;
mod forged;
mod heartbeats;
mod hops;
mod lagging_reads;
mod log_lines;
mod many_clusters;
mod matrix;
mod messages;
mod registrations;
mod search;
mod simulation;
mod support;
mod trials;
mod waiting_states;

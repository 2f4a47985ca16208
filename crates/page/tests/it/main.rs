//! The pages as whoever opens them finds them: what is on them, and that no name can break them.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod browser;
mod plan;
mod run;
mod samples;

//! What the `scale-in-reaper` decides beside its plans, and what it reports.
//!
//! Plans are made in `ebb-planner`; observing the cluster and acting are left to the function.

mod answer;
pub mod follow_up;
pub mod never_joined;
mod notice;
pub mod owners;
mod potential;
pub mod reading;
mod report;
pub mod request;
pub mod revalidate;
pub mod services;
pub mod settings;
pub mod subnets;
pub mod termination;
#[cfg(test)]
mod testing;
mod text;

pub use self::answer::Answer;
pub use self::notice::{Notice, notice};
pub use self::potential::Potential;
pub use self::report::{ClusterReport, OutcomeKind, RemovalOutcome};
pub use self::text::{stranded_text, text};

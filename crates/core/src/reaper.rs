//! What the `scale-in-reaper` decides beside its plans, and what it reports.
//!
//! Plans are made in `ebb-planner`; observing the cluster and acting are left to the function.

mod answer;
pub mod budgets;
pub mod capacity_providers;
pub mod fallback;
pub mod follow_up;
pub mod managed_scaling;
pub mod network_interfaces;
pub mod never_joined;
mod notice;
pub mod owners;
pub mod planned;
mod potential;
mod prospect;
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
mod way_out;
pub mod zone_rebalancing;

pub use self::answer::Answer;
pub use self::notice::{Notice, notice};
pub use self::potential::Potential;
pub use self::prospect::Prospect;
pub use self::report::{ClusterReport, OutcomeKind, RemovalOutcome};
pub use self::text::{stranded_text, text};
pub use self::way_out::{Change, WayOut, way_out};

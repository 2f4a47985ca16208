//! What the `scale-in-reaper` decides beside its plans, and what it reports.
//!
//! Plans are made in `ebb-planner`; observing the cluster and acting are left to the function.

mod answer;
pub mod budgets;
pub mod capacity_providers;
mod cheaper_shape;
pub mod fallback;
pub mod follow_up;
pub mod halt;
pub mod hold_back;
pub mod instance_types;
mod lacking_room;
pub mod managed_scaling;
pub mod network_interfaces;
pub mod never_joined;
pub mod notification;
pub mod owners;
pub mod planned;
mod potential;
mod prospect;
pub mod reading;
pub mod replace;
mod report;
pub mod request;
pub mod revalidate;
pub mod services;
pub mod settings;
pub mod spares;
pub mod subnets;
pub mod summary;
pub mod sustained;
pub mod tags;
pub mod termination;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod waiting_tasks;
mod way_out;
pub mod zonal_shift;
pub mod zone_rebalancing;

pub use self::answer::Answer;
pub use self::cheaper_shape::{CheaperShape, Shape, cheaper_shape};
pub use self::potential::{Cap, Potential};
pub use self::prospect::Prospect;
pub use self::report::{ClusterReport, OutcomeKind, RemovalOutcome, Replacement};
pub use self::text::{hold_text, stranded_text, text};
pub use self::way_out::{Change, WayOut, way_out};

#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod autoscaling;
pub mod clients;
mod clock;
mod ecs;
mod error;
pub mod metrics;
pub mod pace;
mod problem;
mod sns;

pub use autoscaling::{
    ActionResult, ActionStatus, AutoScaling, GroupDescription, Member, Termination,
};
pub use clients::Clients;
pub use clock::{Clock, deadline};
pub use ecs::{DrainResult, Ecs, PlacedTask, StatusFilter};
pub use error::{AwsError, AwsErrorKind};
pub use problem::{ErrorType, HandlerError, Problem};
pub use sns::Topics;

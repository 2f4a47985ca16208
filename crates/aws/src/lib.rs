#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod autoscaling;
pub mod clients;
mod clock;
mod ecs;
mod error;
pub mod metrics;
mod problem;
mod sns;

pub use autoscaling::{ActionFound, ActionResult, AutoScaling};
pub use clients::Clients;
pub use clock::{Clock, deadline};
pub use ecs::{DrainResult, Ecs, Look};
pub use error::{AwsError, AwsErrorKind};
pub use problem::{ErrorType, HandlerError, Problem};
pub use sns::Topics;

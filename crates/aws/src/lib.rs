#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod autoscaling;
pub mod clients;
mod ecs;
mod error;
pub mod metrics;
mod sns;

pub use autoscaling::AutoScaling;
pub use clients::Clients;
pub use ecs::{DrainResult, Ecs, Look};
pub use error::{AwsError, AwsErrorKind};
pub use sns::Topics;

#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod answers;
mod auto_scaling;
pub mod clients;
mod cloudwatch;
mod ec2;
mod ecs;
mod environment;
mod error;
mod functions;
pub mod invocation;
mod last_failure;
mod load_balancing;
mod observation;
mod pace;
mod prices;
mod pricing;
mod reads;
mod sns;
mod unmodeled;
mod zonal_shift;

pub use answers::READ_OPERATIONS;
pub use auto_scaling::{
    ActionResult, ActionStatus, AutoScaling, Completion, GroupDescription, LaunchResult, Member,
    Termination,
};
pub use clients::Clients;
pub use cloudwatch::{CloudWatch, MetricName};
pub use ec2::Ec2;
pub use ecs::{ClusterDescription, DrainResult, Ecs, PlacedTask};
pub use error::{AwsError, AwsErrorKind};
pub use functions::{DeployedPackage, Functions};
pub use invocation::{
    Claimed, Clock, ErrorType, HandlerError, Problem, claim, claim_for_cluster, deadline,
    init_logging, init_warnings, log_answer, metrics, note_told, notify, start,
};
pub use load_balancing::LoadBalancing;
pub use observation::{Groups, Observer, ServiceFacts, group_of, members_of, task_id};
pub use prices::PriceReader;
pub use pricing::Pricing;
pub use sns::Topics;
pub use zonal_shift::ZonalShifts;

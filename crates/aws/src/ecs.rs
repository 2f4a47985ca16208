//! Amazon ECS, one file for each thing that is read or written.
//!
//! ECS reports partial failures inside an HTTP 200 (`failures[]`): no method here lets one pass as
//! a success. Nor is a list taken for complete that is not.

mod attributes;
mod capacity_providers;
mod clusters;
mod container_instances;
mod draining;
mod ecs_client;
mod failures;
mod inventory;
mod services;
mod tags;
mod task_definitions;
mod task_protection;
mod tasks;

pub use self::clusters::ClusterDescription;
pub use self::draining::DrainResult;
pub use self::ecs_client::Ecs;
pub use self::tasks::PlacedTask;

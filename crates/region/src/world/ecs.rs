//! ECS: clusters with their container instances, services and tasks; what the API does to them, and
//! what ECS does by itself.

mod capacity_provider;
mod capacity_provider_strategy;
mod cluster;
mod cluster_changes;
mod cluster_deletion;
mod cluster_lookup;
pub mod cluster_query;
mod cluster_query_parser;
mod container_instance;
mod held_resources;
mod machine;
mod placement;
mod placement_rules;
mod placement_search;
mod provisioning;
pub mod request_rates;
mod resource_arn;
mod service;
mod service_changes;
mod service_scheduler;
pub mod task;
mod task_life;
pub mod task_spec;
mod zone_rebalancing;

pub use self::capacity_provider::{CapacityProvider, ManagedScaling};
pub use self::capacity_provider_strategy::{Capacity, StrategyItem};
pub use self::cluster::Cluster;
pub use self::container_instance::{AGENT_VERSION, ContainerInstance, NewInstance, Status};
pub use self::held_resources::{HeldResources, RESERVED_PORTS, Shortage};
pub use self::machine::Machine;
pub(crate) use self::machine::architecture;
pub use self::placement_rules::{Constraint, Placement, Strategy};
pub use self::resource_arn::arn;
pub use self::service::{Deployments, Service, ServiceKind};
pub use self::task::Task;
pub use self::task_spec::{Network, Platform, Port, Protocol, Size, TaskSpec};

//! ECS's own nouns as the drainers need them: container instances, tasks, and room for tasks.

pub use ebb_planner::ecs::{ContainerInstanceStatus, DIMENSIONS, HostPort, Protocol, Resources};

use crate::ids::{Cluster, ContainerInstanceArn, InstanceId, TaskArn};

/// A container instance as ECS showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInstance {
    /// Its ARN.
    pub arn: ContainerInstanceArn,
    /// The cluster that it is registered in.
    pub cluster: Cluster,
    /// The EC2 instance below it.
    pub instance_id: InstanceId,
    /// Where it stands in its life.
    pub status: ContainerInstanceStatus,
}

/// A task on a container instance, as it was described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: TaskArn,
    /// The service that it belongs to, by name; `None` for a standalone task.
    pub service: Option<String>,
    /// Whether it has been told to stop: `desiredStatus` STOPPED.
    pub told_to_stop: bool,
    /// Whether it has stopped: `lastStatus` STOPPED. Until then its containers may run, whatever it
    /// has been told (ECS Developer Guide, container-instance-draining).
    pub stopped: bool,
    /// What it needs of an instance, as far as its definition says so for the whole task.
    pub needs: Option<Room>,
}

/// What is free on a container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    /// CPU units.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
}

//! ECS's own nouns as the drainers need them: container instances, tasks, room for tasks, and what
//! it means that a cluster is missing.
//!
//! Reading them is left to `ebb-aws`; deciding about them to `spot`, `lifecycle` and `reaper`.

use jiff::Timestamp;

pub use ebb_planner::ecs::{ContainerInstanceStatus, DIMENSIONS, HostPort, Protocol, Resources};

use crate::ids::{Cluster, ContainerInstanceArn, InstanceId, TaskArn};
use crate::mark::Mark;

/// A container instance as ECS describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInstance {
    /// Its ARN.
    pub arn: ContainerInstanceArn,
    /// The cluster that it is registered in.
    pub cluster: Cluster,
    /// The EC2 instance below it.
    pub instance_id: InstanceId,
    /// Its status.
    pub status: ContainerInstanceStatus,
}

/// A container instance with what changes while it drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainerInstance {
    /// The container instance.
    pub container_instance: ContainerInstance,
    /// Whether its agent is connected.
    pub agent_connected: bool,
    /// How many of its tasks have not been told to stop: `runningTasksCount` and
    /// `pendingTasksCount`, which count by the desired status.
    pub tasks_wanted: i32,
    /// The value of the attribute that was asked for, if it has that.
    pub attribute: Option<String>,
}

impl ObservedContainerInstance {
    /// The mark that one of Ebb's functions left on it, if [`DRAINED_BY`] was asked for.
    ///
    /// [`DRAINED_BY`]: crate::mark::DRAINED_BY
    pub fn mark(&self) -> Option<Mark> {
        self.attribute.as_deref().and_then(Mark::parse)
    }
}

/// A task on a container instance, as ECS describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: TaskArn,
    /// The service that it belongs to, by name; `None` for a standalone task.
    pub service: Option<String>,
    /// Whether it has been told to stop: `desiredStatus` STOPPED.
    pub told_to_stop: bool,
    /// When it was told to stop: `stoppingAt`. `None` if ECS does not say so.
    pub stopping_at: Option<Timestamp>,
    /// Whether it leaves its load balancers before it stops: `lastStatus` DEACTIVATING. That takes
    /// as long as the deregistration delay of its target groups.
    pub deactivating: bool,
    /// Whether it has stopped: `lastStatus` STOPPED. Until then its containers may run, whatever it
    /// has been told (ECS Developer Guide, container-instance-draining).
    pub stopped: bool,
    /// When it stopped: `stoppedAt`. `None` if it has not, or ECS does not say so.
    pub stopped_at: Option<Timestamp>,
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

impl Room {
    /// Whether what is `needed` fits into it.
    pub(crate) fn fits(self, needed: Self) -> bool {
        needed.cpu <= self.cpu && needed.memory_mib <= self.memory_mib
    }
}

/// What it means that ECS does not know a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingCluster {
    /// It was listed a moment ago and has been deleted since: it has no container instances.
    Deleted,
    /// The settings name it, and it does not exist.
    Misconfigured,
}

/// Decides what it means that ECS answers "not found" for a cluster, from the clusters that the
/// settings name; `None` if they name none, so that every cluster was listed.
///
/// A deleted cluster is normal, and nothing is on it. One that the settings name may be misspelt,
/// while the instance in question is in the cluster that was meant: taken for empty, an
/// interruption notice would be dropped, and an instance handed to termination with its tasks
/// running. So that is an error, which is retried and reaches an alarm.
pub fn missing_cluster(configured: Option<&[Cluster]>) -> MissingCluster {
    match configured {
        None => MissingCluster::Deleted,
        Some(_) => MissingCluster::Misconfigured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_cluster_may_be_deleted_and_a_configured_one_must_exist() {
        assert_eq!(missing_cluster(None), MissingCluster::Deleted);
        let shop = [Cluster::new("shop")];
        assert_eq!(missing_cluster(Some(&shop)), MissingCluster::Misconfigured);
        assert_eq!(missing_cluster(Some(&[])), MissingCluster::Misconfigured);
    }
}

//! What a sweep would do to one cluster, and why: the value that [`crate::plan()`] returns.

use crate::ecs::Resources;
use crate::headroom::Headroom;
use crate::hold::Hold;
use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use crate::reason::{KeepReason, RemoveReason};

/// A plan for one cluster. Every instance of the inventory is in it once.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The cluster.
    pub cluster: Cluster,
    /// The instances that go, in the order in which they are to be drained.
    pub remove: Vec<Removal>,
    /// The instances that stay, in the order of their ids.
    pub keep: Vec<Kept>,
    /// What is spare on usable instances before.
    pub headroom_before: Headroom,
    /// What is spare on usable instances after, wherever ECS places what moves.
    pub headroom_after: Headroom,
    /// Who holds what, as far as people are to be told of it.
    pub holds: Vec<Hold>,
    /// The services that the headroom leaves room for, beside that which is free: most tasks first.
    pub reserved: Vec<Reserved>,
    /// What the plan saves, and what no plan could exceed.
    pub saving: Saving,
    /// How many counted steps the search took, of [`crate::Policy::steps_max`].
    pub steps: u64,
}

impl Plan {
    /// The tasks that it sets in motion.
    pub fn motion(&self) -> Motion {
        Motion {
            displaced: self.remove.iter().map(|removal| removal.motion.displaced).sum(),
            rebalanced: self.remove.iter().map(|removal| removal.motion.rebalanced).sum(),
        }
    }
}

/// The tasks that a plan, or a part of it, sets in motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Motion {
    /// Those on what goes, which ECS starts elsewhere.
    pub displaced: usize,
    /// How many tasks at most Availability Zone rebalancing moves after them: as many as are
    /// displaced of services for which it is on.
    pub rebalanced: usize,
}

/// Tasks of a service that are to be placed and hold no place yet. Room is kept for them wherever
/// they could run; what fits on no instance, not even on an empty one, is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The service.
    pub service: String,
    /// How many of its tasks.
    pub tasks: u64,
    /// What one of them holds.
    pub demand: Resources,
}

/// An instance that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The EC2 instance.
    pub instance_id: InstanceId,
    /// Its container instance.
    pub arn: ContainerInstanceArn,
    /// Its group.
    pub group: GroupName,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
    /// What it costs per hour, in millionths of a dollar, where a price is known.
    pub price_microusd: Option<u64>,
    /// The tasks that this sets in motion.
    pub motion: Motion,
    /// Why it can go.
    pub reason: RemoveReason,
}

/// An instance that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The EC2 instance.
    pub instance_id: InstanceId,
    /// Why it stays.
    pub reason: KeepReason,
}

/// Shares of what the cluster costs: by price if every instance has one, else by the number of
/// instances.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Saving {
    /// What the plan saves, of 1.
    pub planned: f64,
    /// What no plan within the policy could exceed, of 1.
    pub bound: f64,
    /// What the plan saves per hour, in millionths of a dollar, if every instance has a price.
    pub planned_microusd: Option<u64>,
}

//! What a sweep would do to one cluster, and why: the value that [`super::plan`] returns.

use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};

use super::inventory::Resources;
use super::reason::{KeepReason, RemoveReason};

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
    /// What the plan saves, and what no plan could exceed.
    pub saving: Saving,
    /// One way to place every task that moves: the witness that they fit.
    pub moves: Vec<Move>,
    /// How many steps of the budget the search took.
    pub steps: u64,
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
    /// What it costs an hour, in millionths of a dollar, where a price is known.
    pub price_microusd: Option<u64>,
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

/// A task and the instance that it finds a place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The task.
    pub task: String,
    /// The instance that it goes to.
    pub to: InstanceId,
}

/// What usable instances have, and what of it is free once all that is on its way has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headroom {
    /// How many usable instances there are.
    pub instances: usize,
    /// What they have in all.
    pub registered: Resources,
    /// What of it is free. Negative if what is on its way needs more than there is.
    pub free: Resources,
}

impl Headroom {
    /// The share of CPU that is free, in percent; 0 where there is none.
    pub fn cpu_percent(&self) -> f64 {
        percent(self.free.cpu, self.registered.cpu)
    }

    /// The share of memory that is free, in percent; 0 where there is none.
    pub fn memory_percent(&self) -> f64 {
        percent(self.free.memory_mib, self.registered.memory_mib)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people; no decision is made by it")]
fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Shares of what the cluster costs: by price if every instance has one, else by the number of instances.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Saving {
    /// What the plan saves, of 1.
    pub planned: f64,
    /// What no plan within the policy could exceed, of 1.
    pub bound: f64,
    /// What the plan saves an hour, in millionths of a dollar, if every instance has a price.
    pub planned_microusd: Option<u64>,
}

//! What a sweep would do to one cluster, and why: the value that [`crate::plan()`] returns.

use crate::ecs::Resources;
use crate::eligibility::Eligibility;
use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use crate::inventory::Inventory;
use crate::limits::headroom;
use crate::model::Model;
use crate::reason::{KeepReason, RemoveReason};
use crate::safe::Safe;

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

/// What a plan is put together from.
pub(crate) struct Findings<'a, const D: usize> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) eligibility: &'a Eligibility,
    pub(crate) model: &'a Model<D>,
    /// By instance: a kind of task on it that has no place on any other instance.
    pub(crate) nowhere: Vec<Option<u16>>,
    pub(crate) bound: f64,
    pub(crate) steps: u64,
}

impl<const D: usize> Findings<'_, D> {
    /// What is safe goes.
    pub(crate) fn of_safe(&self, safe: &Safe) -> Plan {
        // What was certified for itself is not any more once others go as well.
        let certified = safe.core == safe.taken.len();
        let because = |tasks| {
            if certified {
                RemoveReason::Certified { tasks }
            } else {
                RemoveReason::Replayed { tasks }
            }
        };
        let mut gone = vec![false; self.model.len()];
        safe.taken.iter().for_each(|&number| gone[number as usize] = true);
        let saved: u64 = safe.taken.iter().map(|&number| self.model.value[number as usize]).sum();
        let share = |value: f64| {
            if self.model.value_total == 0 { 0.0 } else { value / self.model.value_total as f64 }
        };
        Plan {
            cluster: self.inventory.cluster.clone(),
            remove: safe
                .taken
                .iter()
                .filter_map(|&number| self.removal(number as usize, &because))
                .collect(),
            keep: self.kept(&gone, safe),
            headroom_before: headroom(self.model, |_| false),
            headroom_after: headroom(self.model, |number| gone[number]),
            saving: Saving {
                planned: share(saved as f64),
                bound: share(self.bound.max(saved as f64)),
                planned_microusd: self.model.priced.then_some(saved),
            },
            steps: self.steps,
        }
    }

    fn removal(&self, number: usize, because: &impl Fn(usize) -> RemoveReason) -> Option<Removal> {
        let instance = &self.inventory.instances[self.model.origin[number]];
        let tasks = self.model.held.of(number).iter().map(|(_, count)| usize::from(*count)).sum();
        Some(Removal {
            instance_id: instance.instance_id.clone(),
            arn: instance.arn.clone(),
            group: instance.group.clone()?,
            zone: instance.zone.clone(),
            instance_type: instance.instance_type.clone(),
            price_microusd: instance.price_microusd,
            reason: if tasks == 0 { RemoveReason::Empty } else { because(tasks) },
        })
    }

    fn kept(&self, gone: &[bool], safe: &Safe) -> Vec<Kept> {
        let mut numbers = vec![None; self.inventory.instances.len()];
        for (number, &index) in self.model.origin.iter().enumerate() {
            numbers[index] = Some(number);
        }
        let reason = |index: usize| match (&self.eligibility.kept[index], numbers[index]) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Some(number)) if gone[number] => None,
            (None, Some(number)) => {
                let blocking = self.nowhere[number].or(safe.blocked_by[number]);
                Some(match safe.limits.refuse(number) {
                    Some(limit) if self.nowhere[number].is_none() => limit,
                    _ => KeepReason::NoRoom(self.no_room(number, blocking)),
                })
            }
            // A candidate is usable: see `eligibility`.
            (None, None) => Some(KeepReason::NoRoom("it is no usable instance".to_owned())),
        };
        let mut kept: Vec<Kept> = (0..numbers.len())
            .filter_map(|index| {
                let instance_id = self.inventory.instances[index].instance_id.clone();
                Some(Kept { instance_id, reason: reason(index)? })
            })
            .collect();
        kept.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
        kept
    }

    /// What stands in the way of an instance's tasks: the kind that is known to, or the largest on it.
    fn no_room(&self, number: usize, blocking: Option<u16>) -> String {
        let size = |kind: u16| {
            self.model.kinds[usize::from(kind)]
                .demand
                .iter()
                .map(|&one| i64::from(one))
                .sum::<i64>()
        };
        let largest = || {
            self.model
                .held
                .of(number)
                .iter()
                .map(|(kind, _)| *kind)
                .max_by_key(|&kind| (size(kind), kind))
        };
        let Some(kind) = blocking.or_else(largest) else {
            return "what is on its way would not surely find a place".to_owned();
        };
        let service = &self.inventory.services[self.model.kinds[usize::from(kind)].service];
        let name = &service.name;
        let needs = if let Some(port) = service.host_ports.first() {
            format!("host port {port}")
        } else if service.distinct_instance {
            "an instance of its own".to_owned()
        } else if let Some(constraint) = service.constraints.first() {
            format!("room where `{constraint}`")
        } else {
            format!("{} CPU units and {} MiB", service.demand.cpu, service.demand.memory_mib)
        };
        if self.nowhere[number].is_some() {
            format!("a task of service {name} needs {needs}: no other instance has that")
        } else {
            format!(
                "a task of service {name} needs {needs}: without this instance it might find no place"
            )
        }
    }
}

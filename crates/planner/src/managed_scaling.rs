//! What a capacity provider's managed scaling leaves of a group, and what it would undo.
//!
//! ECS compares the instances that are needed with those that run, a minute at a time, and holds
//! their share at `targetCapacity`: below it, it takes empty instances away; above it, it launches
//! others (ECS Developer Guide, managed-scaling-behavior). An instance is needed if it holds a
//! non-daemon task, or a task that waits for a place needs one. That one which drains counts as
//! running until it is terminated is inferred.
//!
//! Whether the operator lets such groups be shrunk is for `group_rules` to say, and whether one is
//! scaled out just now for whoever reads the groups.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{GroupName, InstanceId};
use crate::inventory::{Group, Instance, Inventory, ManagedScaling};
use crate::plan::Plan;

/// How many of the empty instances of a group may go before fewer are left than `targetCapacity`
/// asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare {
    target_capacity: i64,
    /// In hundredths of an instance: what is left beyond what `targetCapacity` asks for.
    beyond: i64,
}

impl Spare {
    /// `None` if no managed scaling decides the size of the group.
    pub(crate) fn new(inventory: &Inventory, name: &GroupName, group: &Group) -> Option<Self> {
        let target_capacity = target_capacity(group.managed_scaling?);
        let active = || in_service(inventory, name).filter(|instance| !instance.is_draining());
        let empty = active().filter(|instance| instance.is_empty()).count();
        // Each task that is on its way may take an empty instance of its own.
        let needed = active().count() - empty + empty.min(tasks_in_flight(inventory));
        let beyond = target_capacity * count(active().count()) - 100 * count(needed);
        Some(Self { target_capacity, beyond })
    }

    /// Whether an instance may go. One that is not needed any more leaves the share better than it
    /// was; whether that is enough is for [`undone_groups`] to say.
    pub(crate) fn allows(self, is_empty: bool) -> bool {
        !is_empty || self.beyond >= self.target_capacity
    }

    /// Takes an instance from what is left (`sign` 1), or gives it back (-1).
    pub(crate) fn change(&mut self, is_empty: bool, sign: i64) {
        let needed = if is_empty { 0 } else { 100 };
        self.beyond -= sign * (self.target_capacity - needed);
    }

    /// The share of the group that is to hold tasks, in percent.
    pub(crate) fn target_capacity(self) -> u32 {
        u32::try_from(self.target_capacity).unwrap_or(100)
    }
}

/// The groups that lose instances by a plan and for which that is no use, with their
/// `targetCapacity`: wherever ECS puts the tasks that move, managed scaling must take at least one
/// instance away, and launch none.
pub(crate) fn undone_groups(inventory: &Inventory, plan: &Plan) -> BTreeMap<GroupName, u32> {
    let going: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.instance_id).collect();
    let moving: usize = plan.remove.iter().map(|removal| removal.reason.tasks()).sum();
    let shrunk: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.group).collect();
    let mut undone = BTreeMap::new();
    for name in shrunk {
        let group = inventory.groups.get(name);
        let Some(scaling) = group.and_then(|group| group.managed_scaling) else { continue };
        let members: Vec<_> = in_service(inventory, name).collect();
        let left: Vec<_> = members
            .iter()
            .filter(|member| !member.is_draining() && !going.contains(&member.instance_id))
            .collect();
        let busy = left.iter().filter(|instance| !instance.is_empty()).count();
        let needed = left.len().min(busy + moving + tasks_in_flight(inventory));
        // What ECS takes away runs until then, so that one less is enough. What the sweep has
        // terminated does not.
        let running = if scaling.termination_protection { members.len() - 1 } else { left.len() };
        if 100 * count(needed) > target_capacity(scaling) * count(running) {
            undone.insert(name.clone(), scaling.target_capacity);
        }
    }
    undone
}

/// The empty instances that a group's `targetCapacity` asks for: that they are empty must be known
/// for as long as a plan is to hold.
pub fn spare_instances(inventory: &Inventory) -> BTreeSet<InstanceId> {
    let is_asked_for = |instance: &&Instance| {
        let group = instance.group.as_ref().and_then(|name| inventory.groups.get(name));
        let scaling = group.and_then(|group| group.managed_scaling);
        scaling.is_some_and(|scaling| target_capacity(scaling) < 100) && instance.is_empty()
    };
    let asked_for = inventory.instances.iter().filter(is_asked_for);
    asked_for.map(|instance| instance.instance_id.clone()).collect()
}

fn in_service<'i>(
    inventory: &'i Inventory,
    name: &'i GroupName,
) -> impl Iterator<Item = &'i Instance> {
    let is_member = move |instance: &&Instance| {
        instance.group.as_ref() == Some(name) && instance.is_in_service()
    };
    inventory.instances.iter().filter(is_member)
}

/// From 1 to 100. Source: ECS API, `ManagedScaling.targetCapacity`.
fn target_capacity(scaling: ManagedScaling) -> i64 {
    scaling.target_capacity.clamp(1, 100).into()
}

/// How many tasks are to be placed. What one says that cannot be true is more than there are
/// instances.
fn tasks_in_flight(inventory: &Inventory) -> usize {
    let in_flight = inventory.services.iter().map(|service| service.in_flight);
    let in_flight = in_flight.fold(0, u64::saturating_add);
    usize::try_from(in_flight).unwrap_or(usize::MAX).min(inventory.instances.len())
}

fn count(instances: usize) -> i64 {
    i64::try_from(instances).unwrap_or(i64::MAX)
}

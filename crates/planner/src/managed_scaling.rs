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

/// How many of the empty instances of a group may go before fewer are left than are asked for: by
/// tasks that wait for a place, and by `targetCapacity` where nothing else of the group goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare {
    /// The share of what is left that may hold tasks, in percent.
    share: i64,
    /// In hundredths of an instance: what is left beyond what is asked for.
    beyond: i64,
    target_capacity: u32,
}

impl Spare {
    /// `None` if no managed scaling decides the size of the group. `waiting` are the tasks that wait
    /// for a place and could run in it.
    pub(crate) fn new(
        inventory: &Inventory,
        name: &GroupName,
        group: &Group,
        waiting: usize,
        is_held: bool,
    ) -> Option<Self> {
        let scaling = group.managed_scaling?;
        // Where others go as well, the empty ones go first: moved tasks would land on them, and so
        // more instances would be needed than before. What drains counts as spare meanwhile.
        let share = if is_held { target_capacity(scaling) } else { 100 };
        let active = || in_service(inventory, name).filter(|instance| !instance.is_draining());
        let empty = active().filter(|instance| instance.is_empty()).count();
        // Each task that is on its way may take an empty instance of its own.
        let needed = active().count() - empty + empty.min(waiting);
        let beyond = share * count(active().count()) - 100 * count(needed);
        Some(Self { share, beyond, target_capacity: scaling.target_capacity })
    }

    /// Whether an instance may go. One that is not needed any more leaves the share better than it
    /// was; whether that is enough is for [`undone_groups`] to say.
    pub(crate) fn allows(self, is_empty: bool) -> bool {
        !is_empty || self.beyond >= self.share
    }

    /// Takes an instance from what is left (`sign` 1), or gives it back (-1).
    pub(crate) fn change(&mut self, is_empty: bool, sign: i64) {
        let needed = if is_empty { 0 } else { 100 };
        self.beyond -= sign * (self.share - needed);
    }

    /// The share of the group that is to hold tasks, in percent.
    pub(crate) fn target_capacity(self) -> u32 {
        self.target_capacity
    }
}

/// The groups that lose instances by a plan and for which that is no use, each with its
/// `targetCapacity`. Wherever ECS puts the tasks that move, managed scaling must launch none, not even
/// while old and new tasks run side by side, and take at least one away in the end.
pub(crate) fn undone_groups(inventory: &Inventory, plan: &Plan) -> BTreeMap<GroupName, u32> {
    let going: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.instance_id).collect();
    let moving: usize = plan.remove.iter().map(|removal| removal.reason.tasks()).sum();
    // What fits nowhere is not among those that room is reserved for: it would hold groups for ever.
    let waiting = plan.reserved.iter().map(|reserved| reserved.tasks);
    let waiting = usize::try_from(waiting.fold(0, u64::saturating_add)).unwrap_or(usize::MAX);
    let arriving = waiting.saturating_add(moving);
    let shrunk: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.group).collect();
    let mut undone = BTreeMap::new();
    for name in shrunk {
        let group = inventory.groups.get(name);
        let Some(scaling) = group.and_then(|group| group.managed_scaling) else { continue };
        let members: Vec<_> = in_service(inventory, name).collect();
        let is_left =
            |member: &&&Instance| !member.is_draining() && !going.contains(&member.instance_id);
        let left: Vec<_> = members.iter().filter(is_left).collect();
        let busy = left.iter().filter(|member| !member.is_empty()).count();
        let busy_before = members.iter().filter(|member| !member.is_empty()).count();
        // Each task that arrives may take an empty instance of its own.
        let newly_busy = arriving.min(left.len() - busy);
        let meanwhile = busy_before + newly_busy;
        let in_the_end = busy + newly_busy;
        let moves_tasks =
            plan.remove.iter().any(|removal| removal.group == *name && removal.reason.tasks() > 0);
        // What ECS takes away runs until then, so that one less is enough, with the spare instances
        // among those that drain. Where nothing moves these need not be. What Ebb terminates itself
        // does not run in the end.
        let running = if scaling.termination_protection && moves_tasks {
            members.len() - 1
        } else {
            left.len()
        };
        let is_above =
            |needed, running| 100 * count(needed) > target_capacity(scaling) * count(running);
        if is_above(meanwhile, members.len()) || is_above(in_the_end, running) {
            undone.insert(name.clone(), scaling.target_capacity);
        }
    }
    undone
}

/// Whether managed scaling would keep a drained instance of a group that is empty, as those that run
/// are no more than `targetCapacity` asks for: it is a spare one.
pub fn is_kept_as_spare(inventory: &Inventory, name: &GroupName) -> bool {
    let group = inventory.groups.get(name);
    let Some(scaling) = group.and_then(|group| group.managed_scaling) else { return false };
    let busy = in_service(inventory, name).filter(|member| !member.is_empty()).count();
    let running = in_service(inventory, name).count();
    100 * count(busy) > target_capacity(scaling) * (count(running) - 1)
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

fn count(instances: usize) -> i64 {
    i64::try_from(instances).unwrap_or(i64::MAX)
}

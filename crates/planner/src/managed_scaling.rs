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
use crate::inventory::{
    CAPACITY_PROVIDER, Group, Instance, Inventory, ManagedScaling, Service, Task, TaskKind,
};
use crate::plan::Plan;
use crate::reason::KeepReason;

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

/// The groups of which less is to go by a plan, each with whose managed scaling would undo it.
/// Wherever ECS puts the tasks that move, managed scaling must launch no instance, not even while old
/// and new tasks run side by side; and of a group that tasks move off, it must take at least one away
/// in the end.
pub(crate) fn undone_groups(inventory: &Inventory, plan: &Plan) -> BTreeMap<GroupName, KeepReason> {
    let going: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.instance_id).collect();
    let mut undone = BTreeMap::new();
    for (name, group) in &inventory.groups {
        let Some(scaling) = group.managed_scaling else { continue };
        let is_shrunk = plan.remove.iter().any(|removal| removal.group == *name);
        let arrivals = arrivals(inventory, &going, name);
        let left = Left::of(inventory, &going, name, scaling, group.min_size);
        let held: Vec<_> = if is_shrunk {
            left.is_undone_by(plan, name, arrivals.values().sum())
                .then_some(name)
                .into_iter()
                .collect()
        } else if left.launches_for(arrivals.values().sum()) {
            arrivals.into_keys().collect()
        } else {
            continue;
        };
        let target_capacity = scaling.target_capacity;
        let reason = KeepReason::TargetCapacity { group: name.clone(), target_capacity };
        undone.extend(held.into_iter().map(|held| (held.clone(), reason.clone())));
    }
    undone
}

/// What a plan leaves of a group.
struct Left {
    scaling: ManagedScaling,
    min_size: usize,
    /// All that run, with those that go or drain.
    members: usize,
    /// How many of these hold tasks.
    busy_before: usize,
    /// What neither goes nor drains.
    busy: usize,
    empty: usize,
}

impl Left {
    fn of(
        inventory: &Inventory,
        going: &BTreeSet<&InstanceId>,
        name: &GroupName,
        scaling: ManagedScaling,
        min_size: i64,
    ) -> Self {
        let min_size = usize::try_from(min_size).unwrap_or_default();
        let members: Vec<_> = in_service(inventory, name).collect();
        let is_left = |it: &&&Instance| !it.is_draining() && !going.contains(&it.instance_id);
        let left: Vec<_> = members.iter().filter(is_left).collect();
        let empty = left.iter().filter(|member| member.is_empty()).count();
        let busy_before = members.iter().filter(|member| !member.is_empty()).count();
        let busy = left.len() - empty;
        Self { scaling, min_size, members: members.len(), busy_before, busy, empty }
    }

    fn is_above(&self, needed: usize, running: usize) -> bool {
        100 * count(needed) > target_capacity(self.scaling) * count(running)
    }

    /// Whether ECS may launch an instance as so many tasks arrive. Each may take an empty one of its
    /// own.
    fn launches_for(&self, arriving: usize) -> bool {
        let newly_busy = arriving.min(self.empty);
        // However many run: until the tasks arrive ECS may take away what neither the target nor the
        // group's minimum asks for, drained ones among it. What the target asks for allows less than
        // one more to hold tasks. At a hundred percent all that run may hold some.
        newly_busy > 0
            && target_capacity(self.scaling) < 100
            && self.is_above(self.busy_before + newly_busy, self.min_size.min(self.members))
    }

    /// The same of a group that loses instances, or whether it would have them back in the end.
    fn is_undone_by(&self, plan: &Plan, name: &GroupName, moving: usize) -> bool {
        // What fits nowhere is not among those that room is reserved for: it would hold groups for
        // ever.
        let waiting = plan.reserved.iter().map(|reserved| reserved.tasks);
        let waiting = usize::try_from(waiting.fold(0, u64::saturating_add)).unwrap_or(usize::MAX);
        let newly_busy = waiting.saturating_add(moving).min(self.empty);
        let mut of_group = plan.remove.iter().filter(|removal| removal.group == *name);
        // What ECS takes away runs until then: where tasks move off, one less is enough, with the
        // spare instances among those that drain. Where they only come, what drains is out of their
        // way, and comes back. What Ebb terminates itself does not run in the end.
        let running = if !self.scaling.termination_protection {
            self.busy + self.empty
        } else if of_group.any(|removal| removal.reason.tasks() > 0) {
            self.members - 1
        } else if moving > 0 {
            self.members
        } else {
            self.busy + self.empty
        };
        self.launches_for(moving)
            || self.is_above(self.busy_before + newly_busy, self.members)
            || self.is_above(self.busy + newly_busy, running)
    }
}

/// How many tasks ECS may place in a group, by the groups that they come from.
fn arrivals<'i>(
    inventory: &'i Inventory,
    going: &BTreeSet<&InstanceId>,
    name: &GroupName,
) -> BTreeMap<&'i GroupName, usize> {
    let providers: BTreeSet<_> = in_service(inventory, name)
        .filter_map(|member| member.attributes.get(CAPACITY_PROVIDER))
        .collect();
    let may_come = |task: &&Task| {
        let TaskKind::Service(service) = task.kind else { return false };
        inventory.services.get(service).is_some_and(|Service { capacity_providers, .. }| {
            capacity_providers.is_empty()
                || capacity_providers.iter().any(|it| providers.contains(it))
        })
    };
    let mut arrivals = BTreeMap::new();
    for instance in inventory.instances.iter().filter(|it| going.contains(&it.instance_id)) {
        let tasks = instance.tasks.iter().flatten().filter(may_come).count();
        if let Some(group) = instance.group.as_ref().filter(|_| tasks > 0) {
            *arrivals.entry(group).or_default() += tasks;
        }
    }
    arrivals
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

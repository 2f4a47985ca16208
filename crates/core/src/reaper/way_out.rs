//! What would have to change for an instance to go that a plan keeps: found by planning again with
//! one thing changed, and again with the next, until it goes.
//!
//! It is for people who ask about one instance. Whether a change is wise is theirs to say.

use std::collections::BTreeSet;
use std::fmt;

use ebb_planner::{
    HOLD_ATTRIBUTE, HOLD_TAG, HeadroomResource, Hold, HoldEnd, HoldScope, Instance, Inventory,
    KEEP_ATTRIBUTE, KEEP_TAG, KEEP_TASKS_TAG, KeepReason, Policy, TaskKind, plan,
};
use jiff::Timestamp;

use crate::auto_scaling::LifecycleState;
use crate::ids::InstanceId;
use crate::reaper::managed_scaling::ManagedScalingMode;
use crate::reaper::settings::{
    ALLOW_STANDALONE_TASKS, AUTO_SCALING_GROUPS, HEADROOM_CPU_PERCENT, HEADROOM_LARGEST_TASKS,
    HEADROOM_MEMORY_PERCENT, HEADROOM_TASKS, MANAGED_SCALING, MIN_INSTANCE_AGE_SECONDS,
    MIN_INSTANCES,
};
use crate::words::{count, percent};

/// After so many steps nothing is looked for any more: no person would change more for one instance.
/// A headroom takes some of them, as it is lowered little by little.
const STEPS_MAX: usize = 40;
/// By how much a headroom is lowered at a time, in percent.
const HEADROOM_STEP: usize = 5;

/// What would have to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOut {
    /// The changes, in the order of the obstacles: it takes them all. None if a later sweep takes the
    /// instance as it is.
    pub changes: Vec<Change>,
    /// Whether it goes then; `false` if nothing is known that would let it go.
    pub goes: bool,
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What: a setting, or what is to be done.
    pub what: String,
    /// The value of a setting.
    pub value: Option<String>,
}

impl Change {
    fn setting(name: &str, value: impl ToString) -> Self {
        Self { what: name.to_owned(), value: Some(value.to_string()) }
    }

    fn done(what: impl Into<String>) -> Self {
        Self { what: what.into(), value: None }
    }
}

/// "`MIN_INSTANCES` at 2", "its ECS agent connected".
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} at {value}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Looks for a way out, for an instance of a cluster of which all tasks are known. How much one
/// sweep may take is no obstacle: there is a next one.
pub fn way_out(
    inventory: &Inventory,
    policy: &Policy,
    instance_id: &InstanceId,
    now: Timestamp,
) -> WayOut {
    let policy = policy.without_cap();
    let mut world = World { inventory: inventory.clone(), policy };
    let mut changes = Vec::<Change>::new();
    for _ in 0..STEPS_MAX {
        let Some(obstacle) = world.obstacle(instance_id, now) else {
            return WayOut { changes, goes: true };
        };
        let attempts = world.attempts(&obstacle, instance_id);
        let helps = |(_, world): &(Change, World)| {
            let next = world.obstacle(instance_id, now);
            next.is_none_or(|next| !is_same(&next, &obstacle))
        };
        let Some((change, changed)) = attempts.into_iter().find(helps) else { break };
        // A setting that is changed once more has one value in the end.
        changes.retain(|earlier| earlier.what != change.what);
        changes.push(change);
        world = changed;
    }
    WayOut { changes, goes: false }
}

/// Whether two reasons are the same obstacle, whatever its size.
fn is_same(a: &KeepReason, b: &KeepReason) -> bool {
    match (a, b) {
        (KeepReason::Headroom { resource: a, .. }, KeepReason::Headroom { resource: b, .. }) => {
            a == b
        }
        (KeepReason::Held(a), KeepReason::Held(b)) => a.scope == b.scope,
        (KeepReason::Pinned(a), KeepReason::Pinned(b))
        | (KeepReason::NoRoom(a), KeepReason::NoRoom(b)) => a == b,
        _ => a.code() == b.code(),
    }
}

/// What is planned from.
#[derive(Debug, Clone)]
struct World {
    inventory: Inventory,
    policy: Policy,
}

impl World {
    /// What keeps the instance, if anything does.
    fn obstacle(&self, instance_id: &InstanceId, now: Timestamp) -> Option<KeepReason> {
        let plan = plan(&self.inventory, &self.policy, now);
        let kept = plan.keep.into_iter().find(|kept| kept.instance_id == *instance_id);
        kept.map(|kept| kept.reason)
    }

    /// What could be changed about an obstacle: in words, and as what is planned from then. The
    /// smallest change first.
    fn attempts(&self, obstacle: &KeepReason, instance_id: &InstanceId) -> Vec<(Change, Self)> {
        match obstacle {
            KeepReason::Headroom { resource: HeadroomResource::Cpu, percent: most, .. } => self
                .lower(*most, HEADROOM_CPU_PERCENT, |policy, percent| {
                    policy.headroom_cpu_percent = percent;
                }),
            KeepReason::Headroom { resource: HeadroomResource::Memory, percent: most, .. } => self
                .lower(*most, HEADROOM_MEMORY_PERCENT, |policy, percent| {
                    policy.headroom_memory_percent = percent;
                }),
            KeepReason::MinInstances { min_instances, .. } => (0..*min_instances)
                .rev()
                .map(|least| {
                    let change = Change::setting(MIN_INSTANCES, least);
                    self.with_policy(change, |policy| policy.min_instances = least)
                })
                .collect(),
            KeepReason::GroupNotAllowed(group) => {
                let change = Change::done(format!("{AUTO_SCALING_GROUPS} with {group}"));
                vec![self.with_policy(change, |policy| {
                    policy.groups.get_or_insert_default().insert(group.clone());
                })]
            }
            KeepReason::ManagedScaling(_) => {
                let change = Change::setting(MANAGED_SCALING, ManagedScalingMode::Assist.as_str());
                vec![self.with_policy(change, |policy| policy.allow_managed_scaling = true)]
            }
            KeepReason::ZoneBalance => {
                let change =
                    Change::done("more instances of its group in its zone than in the others");
                vec![self.with_policy(change, |policy| policy.keep_zone_balance = false)]
            }
            KeepReason::GroupUnavailable(group, why) => {
                let change = Change::done(format!("group {group} free to shrink again ({why})"));
                vec![self.with(change, |inventory| {
                    if let Some(group) = inventory.groups.get_mut(group) {
                        group.unavailable = None;
                    }
                })]
            }
            KeepReason::GroupAtMinimum { group, min_size } => {
                let weight = self.instance(instance_id).map_or(1, |instance| instance.weight);
                let min_size = min_size - weight;
                let change =
                    Change::setting(&format!("the minimum size of group {group}"), min_size);
                vec![self.with(change, |inventory| {
                    if let Some(group) = inventory.groups.get_mut(group) {
                        group.min_size = min_size;
                    }
                })]
            }
            KeepReason::TooYoung { min_instance_age } => {
                let instance = self.instance(instance_id);
                let old_at = instance
                    .and_then(|it| it.registered_at?.checked_add(*min_instance_age).ok())
                    .map_or_else(
                        || "once ECS says when it registered".to_owned(),
                        |at| format!("after {at}"),
                    );
                let change =
                    Change::done(format!("a sweep {old_at}, or less {MIN_INSTANCE_AGE_SECONDS}"));
                vec![self.with_instance(instance_id, change, |instance| {
                    instance.registered_at = Some(Timestamp::MIN);
                })]
            }
            KeepReason::AgentDisconnected => {
                let change = Change::done("its ECS agent connected");
                vec![self.with_instance(instance_id, change, |it| it.agent_connected = true)]
            }
            KeepReason::NotInService(_) => {
                let change = Change::done("its group has it InService");
                vec![self.with_instance(instance_id, change, |instance| {
                    instance.lifecycle_state = LifecycleState::InService;
                })]
            }
            KeepReason::Unhealthy => {
                let change = Change::done("its group holds it for healthy");
                vec![self.with_instance(instance_id, change, |it| it.unhealthy = false)]
            }
            KeepReason::ProtectedFromScaleIn => {
                let change = Change::done("its protection from scale-in taken off");
                vec![self.with_instance(instance_id, change, |instance| {
                    instance.protected_from_scale_in = false;
                })]
            }
            KeepReason::Held(hold) => vec![self.without_hold(hold)],
            KeepReason::Keep => vec![self.without_keep(instance_id)],
            KeepReason::TaskHeadroom { service, tasks, largest } => {
                self.with_less_task_headroom(service, *tasks, *largest)
            }
            KeepReason::Pinned(_) => self.unpinned(instance_id),
            KeepReason::NoRoom(_) => self.emptied(instance_id),
            // Nothing that somebody could change leads on from these.
            KeepReason::Contradiction(_)
            | KeepReason::NotTaken { .. }
            | KeepReason::TargetCapacity { .. }
            | KeepReason::Draining
            | KeepReason::NotActive(_)
            | KeepReason::EcsManaged
            | KeepReason::NoGroup
            | KeepReason::GroupOwned(..)
            | KeepReason::NotRead
            | KeepReason::NotLowForLong { .. }
            | KeepReason::TakenBack { .. }
            | KeepReason::Halted(_)
            | KeepReason::MaxRemovals { .. } => Vec::new(),
        }
    }

    fn lower(
        &self,
        most: u32,
        setting: &str,
        set: impl Fn(&mut Policy, u32),
    ) -> Vec<(Change, Self)> {
        let mut less: Vec<_> = (0..most).step_by(HEADROOM_STEP).collect();
        less.reverse();
        less.into_iter()
            .map(|least| {
                let change = Change::setting(setting, percent(least));
                self.with_policy(change, |policy| set(policy, least))
            })
            .collect()
    }

    /// One task less at a time, and none in the end.
    fn with_less_task_headroom(
        &self,
        service: &str,
        tasks: u32,
        largest: bool,
    ) -> Vec<(Change, Self)> {
        let less = [tasks.saturating_sub(1), tasks / 2, 0].into_iter();
        less.map(|less| {
            if largest {
                let change = Change::setting(HEADROOM_LARGEST_TASKS, less);
                self.with_policy(change, |policy| policy.task_headroom.largest = less)
            } else {
                let change = Change::setting(&format!("{HEADROOM_TASKS} for {service}"), less);
                self.with_policy(change, |policy| {
                    policy.task_headroom.by_service.insert(service.to_owned(), less);
                })
            }
        })
        .collect()
    }

    /// A hold with an end is waited for; whoever wrote it may take it off.
    fn without_hold(&self, hold: &Hold) -> (Change, Self) {
        let (of, mark) = match &hold.scope {
            HoldScope::Cluster(name) => (format!("cluster {name}"), HOLD_TAG),
            HoldScope::Group(name) => (format!("group {name}"), HOLD_TAG),
            HoldScope::Instance(_) => ("it".to_owned(), HOLD_ATTRIBUTE),
        };
        let or_later = match hold.until {
            HoldEnd::At(end) => format!(", or a sweep after {end}"),
            HoldEnd::Never | HoldEnd::Unclear(_) => String::new(),
        };
        let change = Change::done(format!("{mark} taken off {of}{or_later}"));
        match &hold.scope {
            HoldScope::Cluster(_) => self.with(change, |inventory| inventory.hold_until = None),
            HoldScope::Group(name) => self.with(change, |inventory| {
                if let Some(group) = inventory.groups.get_mut(name) {
                    group.hold_until = None;
                }
            }),
            HoldScope::Instance(id) => self.with_instance(id, change, |instance| {
                instance.attributes.remove(HOLD_ATTRIBUTE);
            }),
        }
    }

    /// The attribute and the tag are one reason, so that both are taken off.
    fn without_keep(&self, instance_id: &InstanceId) -> (Change, Self) {
        let group = self.instance(instance_id).and_then(|instance| instance.group.clone());
        let change = format!(
            "the attribute {KEEP_ATTRIBUTE}, or the tag {KEEP_TAG} of its group, taken off"
        );
        let (change, mut world) =
            self.with_instance(instance_id, Change::done(change), |instance| {
                instance.attributes.remove(KEEP_ATTRIBUTE);
            });
        if let Some(group) = group.and_then(|name| world.inventory.groups.get_mut(&name)) {
            group.tagged_keep = false;
        }
        (change, world)
    }

    /// What might let its tasks move.
    fn unpinned(&self, instance_id: &InstanceId) -> Vec<(Change, Self)> {
        let Some(instance) = self.instance(instance_id) else { return Vec::new() };
        let tasks = instance.tasks.as_deref().unwrap_or_default();
        let standalone = tasks.iter().filter(|task| task.kind == TaskKind::Standalone).count();
        let protected = tasks.iter().filter(|task| task.protected).count();
        let mut attempts = Vec::new();
        if standalone > 0 {
            let change = format!(
                "its {} ended, or {ALLOW_STANDALONE_TASKS} at true",
                count(standalone, "standalone task")
            );
            attempts.push(
                self.with_policy(Change::done(change), |it| it.allow_standalone_tasks = true),
            );
        }
        if protected > 0 {
            let change = format!("its {} without protection", count(protected, "protected task"));
            attempts.push(self.with_instance(instance_id, Change::done(change), |instance| {
                instance.tasks.iter_mut().flatten().for_each(|task| task.protected = false);
            }));
        }
        for index in services_on(instance) {
            let Some(service) = self.inventory.services.get(index) else { continue };
            if service.keep_tasks {
                let change = format!("the tag {KEEP_TASKS_TAG} taken off service {}", service.name);
                attempts.push(self.with(Change::done(change), |inventory| {
                    inventory.services[index].keep_tasks = false;
                }));
            }
            if service.minimum_healthy_percent >= 100 && service.maximum_percent <= 100 {
                let change = format!("service {} with a higher maximumPercent", service.name);
                attempts.push(self.with(Change::done(change), |inventory| {
                    inventory.services[index].maximum_percent = 200;
                }));
            }
        }
        attempts.extend(self.emptied(instance_id));
        attempts
    }

    /// Its tasks of one service elsewhere, for each service; and all of them.
    fn emptied(&self, instance_id: &InstanceId) -> Vec<(Change, Self)> {
        let Some(instance) = self.instance(instance_id) else { return Vec::new() };
        let mut attempts = Vec::new();
        for index in services_on(instance) {
            let Some(service) = self.inventory.services.get(index) else { continue };
            let tasks = instance.tasks.iter().flatten();
            let tasks = tasks.filter(|task| task.kind == TaskKind::Service(index)).count();
            let change = format!("its {} of service {} gone", count(tasks, "task"), service.name);
            let is_its = |kind| kind == TaskKind::Service(index);
            attempts.push(self.without_tasks(instance_id, Change::done(change), is_its));
        }
        let change = Change::done("all its tasks but daemon tasks gone");
        attempts.push(self.without_tasks(instance_id, change, |kind| kind != TaskKind::Daemon));
        attempts
    }

    fn without_tasks(
        &self,
        instance_id: &InstanceId,
        change: Change,
        goes: impl Fn(TaskKind) -> bool,
    ) -> (Change, Self) {
        let services = &self.inventory.services;
        self.with_instance(instance_id, change, |instance| {
            for task in instance.tasks.iter().flatten().filter(|task| goes(task.kind)) {
                let TaskKind::Service(index) = task.kind else { continue };
                let Some(service) = services.get(index) else { continue };
                if let Some(remaining) = &mut instance.remaining {
                    remaining.cpu += service.demand.cpu;
                    remaining.memory_mib += service.demand.memory_mib;
                    remaining.gpus += service.demand.gpus;
                    remaining.network_interfaces += service.demand.network_interfaces;
                }
                instance.host_ports.retain(|port| !service.host_ports.contains(port));
                instance.distinct_services.remove(&index);
            }
            instance.tasks.iter_mut().for_each(|tasks| tasks.retain(|task| !goes(task.kind)));
        })
    }

    fn instance(&self, instance_id: &InstanceId) -> Option<&Instance> {
        self.inventory.instances.iter().find(|instance| instance.instance_id == *instance_id)
    }

    fn with_policy(&self, change: Change, apply: impl FnOnce(&mut Policy)) -> (Change, Self) {
        let mut world = self.clone();
        apply(&mut world.policy);
        (change, world)
    }

    fn with(&self, change: Change, apply: impl FnOnce(&mut Inventory)) -> (Change, Self) {
        let mut world = self.clone();
        apply(&mut world.inventory);
        (change, world)
    }

    fn with_instance(
        &self,
        instance_id: &InstanceId,
        change: Change,
        apply: impl FnOnce(&mut Instance),
    ) -> (Change, Self) {
        self.with(change, |inventory| {
            let mut instances = inventory.instances.iter_mut();
            if let Some(it) = instances.find(|instance| instance.instance_id == *instance_id) {
                apply(it);
            }
        })
    }
}

/// The replica services with tasks on an instance.
fn services_on(instance: &Instance) -> BTreeSet<usize> {
    let kinds = instance.tasks.iter().flatten().map(|task| task.kind);
    kinds
        .filter_map(|kind| match kind {
            TaskKind::Service(index) => Some(index),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ebb_planner::{Group, ManagedScaling, Task, TaskHeadroom};
    use jiff::SignedDuration;

    use super::*;
    use crate::reaper::testing::{
        NOW, group_name, id, instance, inventory, resources, service, task,
    };

    fn two() -> Inventory {
        let mut inventory = inventory(vec![instance(1), instance(2)]);
        let group = Group { desired_capacity: 2, ..Group::default() };
        inventory.groups.insert(group_name(), group);
        inventory
    }

    fn changes(inventory: &Inventory, policy: &Policy) -> (Vec<String>, bool) {
        let WayOut { changes, goes } = way_out(inventory, policy, &id(1), NOW);
        (changes.iter().map(Change::to_string).collect(), goes)
    }

    #[test]
    fn what_a_later_sweep_takes_needs_no_change() {
        let policy = Policy { max_removals_percent: 0, ..Policy::default() };
        assert_eq!(changes(&two(), &policy), (Vec::new(), true));
    }

    #[test]
    fn each_obstacle_names_what_it_takes_one_after_the_other() {
        let mut cluster = two();
        let first = &mut cluster.instances[0];
        first.agent_connected = false;
        first.lifecycle_state = LifecycleState::Standby;
        first.unhealthy = true;
        first.protected_from_scale_in = true;
        first.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
        first.attributes.insert(HOLD_ATTRIBUTE.to_owned(), "friday".to_owned());
        cluster.hold_until = Some("forever".to_owned());
        let group = cluster.groups.values_mut().next().unwrap();
        group.min_size = 2;
        group.hold_until = Some("2025-03-04T06:00:00Z".to_owned());
        group.managed_scaling = Some(ManagedScaling {
            target_capacity: 100,
            termination_protection: false,
            scaling_out: false,
        });
        let second = &mut cluster.instances[1];
        second.protected_from_scale_in = true;
        second.remaining = Some(resources(0, 7_680));
        let policy = Policy {
            min_instances: 2,
            headroom_cpu_percent: 90,
            groups: Some(BTreeSet::new()),
            ..Policy::default()
        };
        let (changes, goes) = changes(&cluster, &policy);
        assert_eq!(
            changes,
            [
                "its ECS agent connected",
                "its group has it InService",
                "its group holds it for healthy",
                "its protection from scale-in taken off",
                "ebb:hold-until taken off cluster shop",
                "ebb:hold-until taken off group shop-spot, or a sweep after 2025-03-04T06:00:00Z",
                "ebb.hold-until taken off it",
                "the attribute ebb.keep, or the tag ebb:keep of its group, taken off",
                "AUTO_SCALING_GROUPS with shop-spot",
                "MANAGED_SCALING at assist",
                "the minimum size of group shop-spot at 1",
                "MIN_INSTANCES at 1",
                "HEADROOM_CPU_PERCENT at 0 %",
            ]
        );
        assert!(goes);
    }

    #[test]
    fn tasks_and_settings_are_named() {
        let mut cluster = two();
        let task = |kind| Task { id: "4f".to_owned(), kind, protected: false };
        cluster.instances[0].tasks = Some(vec![task(TaskKind::Standalone)]);
        let young = NOW - SignedDuration::from_secs(60);
        cluster.instances[0].registered_at = Some(young);
        let policy = Policy { min_instances: 2, ..Policy::default() };
        assert_eq!(
            changes(&cluster, &policy),
            (
                vec![
                    "a sweep after 1970-01-01T00:14:00Z, or less MIN_INSTANCE_AGE_SECONDS"
                        .to_owned(),
                    "its 1 standalone task ended, or ALLOW_STANDALONE_TASKS at true".to_owned(),
                    "MIN_INSTANCES at 1".to_owned(),
                ],
                true
            )
        );
    }

    #[test]
    fn room_for_whole_tasks_and_tasks_that_are_kept_are_named() {
        let mut cluster = two();
        cluster.services = vec![service([1_500, 1_000])];
        let task_headroom = TaskHeadroom { largest: 2, ..TaskHeadroom::default() };
        let policy = Policy { task_headroom, ..Policy::default() };
        let fewer = vec!["HEADROOM_LARGEST_TASKS at 1".to_owned()];
        assert_eq!(changes(&cluster, &policy), (fewer, true));

        cluster.services[0].keep_tasks = true;
        // Or else that one goes, as nothing is on it.
        cluster.instances[1].protected_from_scale_in = true;
        cluster.instances[0].tasks = Some(vec![task(TaskKind::Service(0))]);
        cluster.instances[0].remaining = Some(resources(548, 6_680));
        let moved = vec!["the tag ebb:keep-tasks taken off service web".to_owned()];
        assert_eq!(changes(&cluster, &Policy::default()), (moved, true));
    }

    #[test]
    fn where_nothing_helps_it_says_so() {
        let mut cluster = two();
        cluster.instances[0].group = None;
        assert_eq!(changes(&cluster, &Policy::default()), (Vec::new(), false));
    }
}

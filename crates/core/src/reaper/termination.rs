//! When an instance that a sweep drains may be terminated: at once, after another look at its tasks,
//! or by a later sweep; and what a call comes to that nobody knows to have taken effect.
//!
//! A termination cannot be taken back, a drain can. So nothing is terminated with tasks on it unless
//! a hook holds it until they have stopped. Reading the hooks and the tasks, and terminating, is left
//! to the `scale-in-reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Group, Instance, Inventory, Plan, Removal, RemoveReason, Task, TaskKind};

use crate::auto_scaling::LifecycleState;
use crate::ids::{GroupName, HookName, InstanceId, TopicArn};
use crate::reaper::follow_up::FollowUp;

/// The hook that ECS puts on the groups of capacity providers with managed draining: ECS then holds
/// an instance until it is empty. Source: ECS Developer Guide, managed-instance-draining.
const MANAGED_DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";

/// `LifecycleTransition` of a hook that runs when an instance is terminated.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// A lifecycle hook of an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleHook {
    /// Its name.
    pub name: HookName,
    /// `LifecycleTransition`: what it runs on.
    pub transition: String,
    /// `NotificationTargetARN`: whom it notifies, if not EventBridge alone.
    pub target: Option<String>,
}

impl LifecycleHook {
    /// Whether it holds an instance that its group terminates until no task is left on it: the hook
    /// of the lifecycle drainer, which notifies `topic`, and that of ECS's managed draining, which
    /// notifies EventBridge alone. Anybody may have termination hooks on a group (for DNS records,
    /// logs, chat), and what listens to those waits for no task.
    pub fn holds_until_empty(&self, topic: Option<&TopicArn>) -> bool {
        if self.transition != TERMINATING {
            return false;
        }
        match &self.target {
            Some(target) => topic.is_some_and(|topic| topic.as_str() == target),
            None => self.name.as_str() == MANAGED_DRAINING_HOOK,
        }
    }
}

/// What becomes of an instance that a sweep has drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDrain {
    /// Its group terminates it at once.
    Terminate,
    /// Its tasks are looked at again: its group terminates it if [`is_still_empty`].
    LookAgain,
    /// A later sweep sees to it, once its tasks have stopped.
    LeaveToLaterSweep,
    /// ECS takes it away, once its tasks have stopped.
    LeaveToEcs,
}

/// Decides what becomes of an instance that goes for this `reason`, once it is DRAINING. `held`
/// says whether a hook of its group holds it until it is empty.
fn after_drain(reason: &RemoveReason, held: bool) -> AfterDrain {
    match (reason, held) {
        // Its tasks are sure to find a place, so that the drain need not be taken back.
        (RemoveReason::Empty | RemoveReason::Certified { .. }, true) => AfterDrain::Terminate,
        // Nothing comes onto what drains: what is empty then stays so.
        (RemoveReason::Empty, false) => AfterDrain::LookAgain,
        (RemoveReason::Certified { .. }, false) | (RemoveReason::Replayed { .. }, _) => {
            AfterDrain::LeaveToLaterSweep
        }
    }
}

/// How many instances of each group are in service in each zone that it is enabled in: what Auto
/// Scaling balances a group by, whether its instances drain or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupZones(BTreeMap<GroupName, BTreeMap<String, usize>>);

impl GroupZones {
    /// Adds so many instances to a zone of a group.
    pub fn add(&mut self, group: &GroupName, zone: &str, instances: usize) {
        let zones = self.0.entry(group.clone()).or_default();
        *zones.entry(zone.to_owned()).or_default() += instances;
    }

    /// Takes an instance away, unless its group would be out of balance without it.
    fn take(&mut self, group: &GroupName, zone: &str) -> bool {
        let Some(zones) = self.0.get_mut(group) else { return false };
        let Some(remaining) = zones.get_mut(zone).filter(|remaining| **remaining > 0) else {
            return false;
        };
        *remaining -= 1;
        let most = zones.values().max().copied().unwrap_or_default();
        let least = zones.values().min().copied().unwrap_or_default();
        if most - least <= 1 {
            return true;
        }
        self.add(group, zone, 1);
        false
    }
}

/// The groups whose hooks make a difference. Where tasks are not sure to find a place none does, nor
/// where managed scaling decides the size: nothing with tasks is terminated there.
pub fn groups_to_ask(plan: &Plan, groups: &BTreeMap<GroupName, Group>) -> BTreeSet<GroupName> {
    let is_unmanaged = |removal: &&Removal| {
        groups.get(&removal.group).is_some_and(|group| group.managed_scaling.is_none())
    };
    let certain = plan.remove.iter().filter(|removal| removal.reason.is_certain());
    certain.filter(is_unmanaged).map(|removal| removal.group.clone()).collect()
}

/// Decides what becomes of each instance of a plan once it is DRAINING. `groups` are those of its
/// cluster, `holding` those whose hooks hold their instances until they are empty, and `draining`
/// those with an instance that drains already.
///
/// A group that is out of balance terminates an instance of its fullest zone (EC2 Auto Scaling User
/// Guide, auto-scaling-benefits), perhaps one that still drains, with its tasks. So what is empty
/// goes at once only if its group stays balanced, or has nothing that drains.
pub fn steps_after_drain(
    plan: &Plan,
    groups: &BTreeMap<GroupName, Group>,
    holding: &BTreeSet<GroupName>,
    draining: &BTreeSet<GroupName>,
    mut zones: GroupZones,
) -> BTreeMap<InstanceId, AfterDrain> {
    let of = |removal: &Removal| {
        if groups.get(&removal.group).is_some_and(Group::is_left_to_ecs) {
            AfterDrain::LeaveToEcs
        } else {
            after_drain(&removal.reason, holding.contains(&removal.group))
        }
    };
    let mut at_risk = draining.clone();
    let waiting = plan.remove.iter().filter(|go| of(go) == AfterDrain::LeaveToLaterSweep);
    at_risk.extend(waiting.map(|removal| removal.group.clone()));
    let mut steps = BTreeMap::new();
    // Again and again, as one that goes may let another go. Each pass settles an instance, or is the
    // last.
    let mut open: Vec<_> = plan.remove.iter().collect();
    loop {
        let before = open.len();
        open.retain(|removal| {
            let Removal { instance_id, group, zone, .. } = removal;
            let step = of(removal);
            let is_settled = step != AfterDrain::LookAgain
                || !at_risk.contains(group)
                || zones.take(group, zone);
            if is_settled {
                steps.insert(instance_id.clone(), step);
            }
            !is_settled
        });
        if open.len() == before {
            break;
        }
    }
    let later = open.into_iter().map(|removal| &removal.instance_id);
    steps.extend(later.map(|id| (id.clone(), AfterDrain::LeaveToLaterSweep)));
    steps
}

/// Lets instances wait that are empty by now, where their group would be out of balance without them
/// and others of it drain with tasks: it could terminate one of those, as [`steps_after_drain`] says.
/// They wait no longer than the others drain. `decisions` are those about the inventory.
pub fn keep_groups_balanced(
    inventory: &Inventory,
    decisions: &mut [(usize, FollowUp)],
    mut zones: GroupZones,
) {
    let with_tasks = inventory.instances.iter().filter(|instance| {
        instance.is_draining() && instance.is_in_service() && !instance.is_empty()
    });
    let at_risk: BTreeSet<_> = with_tasks.filter_map(|busy| busy.group.as_ref()).collect();
    let mut open: Vec<(&Instance, &mut FollowUp)> = decisions
        .iter_mut()
        .map(|(index, decision)| (&inventory.instances[*index], decision))
        .filter(|(_, decision)| matches!(decision, FollowUp::Terminate(_)))
        .filter(|(instance, _)| instance.group.as_ref().is_some_and(|name| at_risk.contains(name)))
        .collect();
    // In passes, as above.
    loop {
        let before = open.len();
        open.retain(|(instance, _)| {
            instance.group.as_ref().is_some_and(|name| !zones.take(name, &instance.zone))
        });
        if open.len() == before {
            break;
        }
    }
    for (_, decision) in open {
        *decision = FollowUp::Wait(
            "its tasks have stopped; others of its group drain, which would be out of balance \
             without it"
                .to_owned(),
        );
    }
}

/// Whether an instance that had the tasks `before` when it was to be drained has nothing but daemon
/// tasks of those now that it drains. A task that was told to stop needs no other place, but its
/// target may deregister for a long time yet. `seen` are the ids of its tasks that have not stopped. A read may
/// be some seconds old, and the answer of the call that drained it is not: `counted` are the tasks
/// that it had by that.
pub fn is_still_empty<'a>(
    before: &[Task],
    mut seen: impl Iterator<Item = &'a str>,
    counted: usize,
) -> bool {
    let daemons = before.iter().filter(|task| task.kind == TaskKind::Daemon);
    let daemons: BTreeSet<_> = daemons.map(|task| task.id.as_str()).collect();
    counted <= daemons.len() && seen.all(|id| daemons.contains(id))
}

/// How often a sweep has a group terminate an instance: once more after a throttle or a broken
/// connection, and once more than that.
const ATTEMPTS_MAX: u32 = 3;

/// What becomes of a termination that failed, or whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It took effect all the same.
    Terminating,
    /// It did not, and may be tried again.
    TryAgain,
    /// It did not, and the drain is to be taken back.
    GiveUp,
}

/// Decides about a termination that failed `attempts` times, by where the instance stands in its
/// group afterwards; `None` if it is in no group. The call is not known to be idempotent, so that
/// nothing is tried again unless its group still has the instance in service.
pub fn after_failure(state: Option<&LifecycleState>, attempts: u32) -> AfterFailure {
    match state {
        Some(state) if state.is_terminating() => AfterFailure::Terminating,
        Some(LifecycleState::InService) if attempts < ATTEMPTS_MAX => AfterFailure::TryAgain,
        Some(_) | None => AfterFailure::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::{Instance, Inventory, Policy};

    use super::*;
    use crate::ecs::ContainerInstanceStatus;
    use crate::reaper::testing::{NOW, group_name, instance, inventory, managed_scaling, task};

    const OURS: &str = "arn:aws:sns:eu-west-1:111122223333:ebb-lifecycle";

    fn hook(name: &str, transition: &str, target: Option<&str>) -> LifecycleHook {
        let (transition, target) = (transition.to_owned(), target.map(str::to_owned));
        LifecycleHook { name: HookName::new(name), transition, target }
    }

    #[test]
    fn only_our_hook_and_that_of_managed_draining_hold_an_instance() {
        let launching = "autoscaling:EC2_INSTANCE_LAUNCHING";
        let queue = "arn:aws:sqs:eu-west-1:111122223333:ebb-lifecycle";
        let longer = "arn:aws:sns:eu-west-1:111122223333:ebb-lifecycle-2";
        let elsewhere = "arn:aws:sns:eu-west-1:444455556666:ebb-lifecycle";
        for (hook, holds, holds_without_topic) in [
            (hook("ebb-drain", TERMINATING, Some(OURS)), true, false),
            (hook("any name", TERMINATING, Some(OURS)), true, false),
            (hook(MANAGED_DRAINING_HOOK, TERMINATING, None), true, true),
            (hook("ebb-drain", launching, Some(OURS)), false, false),
            (hook(MANAGED_DRAINING_HOOK, launching, None), false, false),
            (hook(MANAGED_DRAINING_HOOK, TERMINATING, Some(elsewhere)), false, false),
            (hook("ebb-drain", TERMINATING, None), false, false),
            (hook("ebb-drain", TERMINATING, Some(queue)), false, false),
            (hook("ebb-drain", TERMINATING, Some(longer)), false, false),
            (hook("ebb-drain", TERMINATING, Some(elsewhere)), false, false),
        ] {
            assert_eq!(hook.holds_until_empty(Some(&TopicArn::new(OURS))), holds, "{hook:?}");
            assert_eq!(hook.holds_until_empty(None), holds_without_topic, "{hook:?}");
        }
    }

    #[test]
    fn nothing_is_terminated_at_once_but_what_is_held_and_whose_tasks_are_sure_of_a_place() {
        let mut lines = Vec::new();
        for reason in [
            RemoveReason::Empty,
            RemoveReason::Certified { tasks: 2 },
            RemoveReason::Replayed { tasks: 2 },
        ] {
            let [held, free] = [true, false].map(|held| after_drain(&reason, held));
            lines.push(format!("{}: held {held:?}, not held {free:?}", reason.code()));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        empty: held Terminate, not held LookAgain
        certified: held Terminate, not held LeaveToLaterSweep
        replayed: held LeaveToLaterSweep, not held LeaveToLaterSweep
        ");
    }

    fn plan_of_everything(inventory: &Inventory) -> Plan {
        let everything = Policy {
            max_removals_percent: 100,
            headroom_cpu_percent: 0,
            headroom_memory_percent: 0,
            min_instances: 0,
            keep_zone_balance: false,
            allow_managed_scaling: true,
            ..Policy::default()
        };
        ebb_planner::plan(inventory, &everything, NOW)
    }

    /// What becomes of an instance of a group under managed scaling, and which groups are asked for
    /// hooks.
    fn managed_steps(termination_protection: bool) -> (Vec<AfterDrain>, BTreeSet<GroupName>) {
        let mut inventory = inventory(vec![instance(1), instance(2)]);
        let group = inventory.groups.get_mut(&group_name()).unwrap();
        group.managed_scaling = Some(managed_scaling(termination_protection));
        let plan = plan_of_everything(&inventory);
        let groups = &inventory.groups;
        let asked = groups_to_ask(&plan, groups);
        let nothing = BTreeSet::new();
        let steps = steps_after_drain(&plan, groups, &nothing, &nothing, GroupZones::default());
        (steps.into_values().collect(), asked)
    }

    #[test]
    fn ecs_takes_what_it_protects_and_no_hook_is_asked_about_under_managed_scaling() {
        assert_eq!(managed_steps(true), ([AfterDrain::LeaveToEcs; 2].into(), BTreeSet::new()));
        assert_eq!(managed_steps(false), ([AfterDrain::LookAgain; 2].into(), BTreeSet::new()));
    }

    /// What becomes of the empty instances 1, 2, … in these zones, with one that stays in each of
    /// `others`; T, L or N for each: terminate, look again, not now.
    fn steps(zones: &[&str], others: &[&str], is_held: bool, drains: bool) -> String {
        let everywhere = zones.iter().chain(others);
        let instances = (1..)
            .zip(everywhere)
            .map(|(number, zone)| Instance { zone: (*zone).to_owned(), ..instance(number) });
        let inventory = inventory(instances.collect());
        let mut plan = plan_of_everything(&inventory);
        let going: BTreeSet<_> =
            inventory.instances[..zones.len()].iter().map(|going| &going.instance_id).collect();
        plan.remove.retain(|removal| going.contains(&removal.instance_id));
        let holding = is_held.then(group_name).into_iter().collect();
        let draining = drains.then(group_name).into_iter().collect();
        let mut group_zones = GroupZones::default();
        for zone in zones.iter().chain(others) {
            group_zones.add(&group_name(), zone, 1);
        }
        let groups = &inventory.groups;
        let steps = steps_after_drain(&plan, groups, &holding, &draining, group_zones);
        let letter = |step: &AfterDrain| match step {
            AfterDrain::Terminate => 'T',
            AfterDrain::LookAgain => 'L',
            AfterDrain::LeaveToLaterSweep => 'N',
            AfterDrain::LeaveToEcs => 'E',
        };
        steps.values().map(letter).collect()
    }

    #[test]
    fn what_is_empty_goes_at_once_as_long_as_its_group_stays_balanced() {
        let beside_drains = |zones: &[&str], others: &[&str]| steps(zones, others, false, true);
        assert_eq!(beside_drains(&["a", "b", "c"], &["a", "b", "c"]), "LLL");
        assert_eq!(beside_drains(&["a"], &["a", "b", "b"]), "L");
        assert_eq!(beside_drains(&["a"], &["a", "b", "b", "b"]), "N", "b has three");
        assert_eq!(beside_drains(&["a", "a", "a"], &["b", "b"]), "LLN", "one less than b at most");
        assert_eq!(beside_drains(&["a", "a", "b", "b"], &[]), "LLLL", "in whatever order");
        assert_eq!(beside_drains(&["a", "a"], &["a"]), "LL", "one zone");
        assert_eq!(steps(&["a", "a", "a"], &["b", "b"], false, false), "LLL", "nothing drains");
        assert_eq!(steps(&["a", "a"], &["b", "b"], true, true), "TT", "what a hook holds is safe");
    }

    /// What becomes of the emptied instances 1, 2, … in these zones, with one in each of `others`
    /// that drains with a task on it, if `drain`, or is ACTIVE; T or W for each: terminate, wait.
    fn followed_up(zones: &[&str], others: &[&str], drain: bool) -> String {
        let emptied = zones.iter().map(|zone| (zone, Vec::new()));
        let busy = others.iter().map(|zone| (zone, vec![task(TaskKind::Standalone)]));
        let instances = (1..).zip(emptied.chain(busy)).map(|(number, (zone, tasks))| Instance {
            status: if drain || tasks.is_empty() {
                ContainerInstanceStatus::Draining
            } else {
                ContainerInstanceStatus::Active
            },
            zone: (*zone).to_owned(),
            tasks: Some(tasks),
            ..instance(number)
        });
        let inventory = inventory(instances.collect());
        let mut group_zones = GroupZones::default();
        for zone in zones.iter().chain(others) {
            group_zones.add(&group_name(), zone, 1);
        }
        let mut decisions: Vec<_> =
            (0..zones.len()).map(|index| (index, FollowUp::Terminate(String::new()))).collect();
        keep_groups_balanced(&inventory, &mut decisions, group_zones);
        let letter = |(_, decision): &(usize, FollowUp)| match decision {
            FollowUp::Terminate(_) => 'T',
            FollowUp::Wait(_) => 'W',
            decision => panic!("{decision:?}"),
        };
        decisions.iter().map(letter).collect()
    }

    #[test]
    fn what_an_earlier_sweep_drained_goes_as_long_as_its_group_stays_balanced() {
        assert_eq!(followed_up(&["a", "a"], &["b", "b"], true), "TW", "b has two with tasks");
        assert_eq!(followed_up(&["a", "b"], &["a", "b"], true), "TT");
        assert_eq!(followed_up(&["a", "a", "b", "b"], &["a"], true), "TTTT", "in whatever order");
        assert_eq!(followed_up(&["a", "a"], &["b", "b"], false), "TT", "nothing drains");
    }

    #[test]
    fn what_came_before_the_drain_is_found_by_the_look_or_by_the_count() {
        let daemons = ["a", "b"].map(|id| Task {
            id: id.to_owned(),
            kind: TaskKind::Daemon,
            protected: false,
        });
        let is_empty = |seen: &[&'static str], counted| {
            is_still_empty(&daemons, seen.iter().copied(), counted)
        };
        assert!(is_empty(&["a", "b"], 2));
        assert!(is_empty(&[], 0), "the daemon tasks have stopped");
        assert!(is_empty(&["a"], 2), "one of them has stopped since the drain");
        assert!(!is_empty(&["a", "b", "web"], 2), "told to stop, so that it is not counted");
        assert!(!is_empty(&["web"], 1));
        assert!(!is_empty(&["a", "b"], 3), "a read that is behind does not show it yet");
        let stopping = [Task { id: "web".to_owned(), kind: TaskKind::Stopping, protected: false }];
        assert!(!is_still_empty(&stopping, ["web"].into_iter(), 0), "it still stops");
        assert!(is_still_empty(&stopping, std::iter::empty(), 0), "it has stopped since");
        assert!(is_still_empty(&[], std::iter::empty(), 0));
        assert!(!is_still_empty(&[], std::iter::empty(), 1));
    }

    #[test]
    fn a_termination_is_tried_again_only_while_the_instance_is_in_service_and_not_for_ever() {
        let after = |state: &str, attempts| after_failure(Some(&state.into()), attempts);
        for attempts in 1..=4 {
            for state in ["Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated"] {
                assert_eq!(after(state, attempts), AfterFailure::Terminating, "{state}");
            }
            for state in ["Standby", "Detaching", "Warmed:Running", "Quarantined", ""] {
                assert_eq!(after(state, attempts), AfterFailure::GiveUp, "{state}");
            }
            assert_eq!(after_failure(None, attempts), AfterFailure::GiveUp);
        }
        assert_eq!(
            [1, 2, 3, 4].map(|attempts| after("InService", attempts)),
            [
                AfterFailure::TryAgain,
                AfterFailure::TryAgain,
                AfterFailure::GiveUp,
                AfterFailure::GiveUp
            ]
        );
    }

    #[test]
    fn hooks_are_asked_for_where_something_certain_goes_and_nobody_else_sizes_the_group() {
        for (is_managed, asks) in [(false, true), (true, false)] {
            let mut inventory = inventory(vec![instance(1), instance(2)]);
            let plan = ebb_planner::plan(&inventory, &Policy::default(), NOW);
            assert!(!plan.remove.is_empty());
            if is_managed {
                let group = inventory.groups.get_mut(&group_name()).unwrap();
                group.managed_scaling = Some(managed_scaling(false));
            }
            let asked = groups_to_ask(&plan, &inventory.groups);
            assert_eq!(asked.contains(&group_name()), asks);
        }
    }

    #[test]
    fn nothing_is_taken_of_a_zone_that_has_none() {
        let mut zones = GroupZones::default();
        zones.add(&group_name(), "a", 1);
        zones.add(&group_name(), "b", 0);
        let taken = ["b", "c", "a", "a"].map(|zone| zones.take(&group_name(), zone));
        assert_eq!(taken, [false, false, true, false]);
    }
}

//! Which of the instances that EC2 recommends to rebalance are drained before any interruption: those
//! whose tasks are certain to find a place on the rest of their cluster.
//!
//! A recommendation may come to nothing, and nobody waits for it: a task that it leaves without a place
//! would be lost for nothing. The planner is asked as it is for replacements
//! ([`crate::reaper::replace::room`]): without headroom, and about these instances alone. What keeps an
//! instance from a sweep (its group's size, protections, holds) keeps it from no drain. Reading the
//! cluster and draining is left to the `spot-drainer`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Amount, Group, HOLD_ATTRIBUTE, Instance, Inventory, KEEP_ATTRIBUTE, Policy};
use jiff::Timestamp;

use crate::auto_scaling::LifecycleState;
use crate::ecs::ContainerInstanceStatus;
use crate::ids::{GroupName, InstanceId};
use crate::reaper::budgets::{Budget, DisruptionReason};
use crate::reaper::replace::room::{Drainable, Room};
use crate::spot::answer::OutcomeKind;
use crate::spot::decide::Decision;
use crate::spot::notice::NoticeKind;

/// More than a cluster has instances (ECS service quotas: 5,000), so that what drains already takes
/// nothing from it.
const ANY_NUMBER: usize = 1_000_000;

/// Decides about each of the `recommended` instances, which were ACTIVE in the cluster a moment ago.
/// Their tasks and those of what drains must have been read. None takes the room of another: together
/// they go only as far as there is room for all of their tasks, on instances that are not among them.
pub fn decide_early(
    mut inventory: Inventory,
    recommended: &BTreeSet<InstanceId>,
    dry_run: bool,
    now: Timestamp,
) -> BTreeMap<InstanceId, Decision> {
    let kind = NoticeKind::RebalanceRecommendation;
    let mut indices = BTreeMap::new();
    for (index, instance) in inventory.instances.iter_mut().enumerate() {
        let is_active = instance.status == ContainerInstanceStatus::Active;
        if is_active && recommended.contains(&instance.instance_id) {
            release(instance);
            indices.insert(instance.instance_id.clone(), index);
        }
    }
    inventory.hold_until = None;
    inventory.groups.insert(drained_group(), Group::default());
    let (policy, outdated) = (policy(), indices.values().copied().collect());
    let room = Room { inventory: &inventory, outdated: &outdated, policy: &policy, now };
    let wanted = (Vec::from_iter(outdated.iter().copied()), outdated.len());
    let Drainable { indices: going, refused, .. } = room.drainable(&[wanted], false);
    let decision = |id: &InstanceId| {
        let Some(index) = indices.get(id) else {
            let why = "it was ACTIVE, and is not any more".to_owned();
            return Decision::LookAgain { why };
        };
        let (outcome, reason) = match going.contains(index) {
            true if dry_run => (OutcomeKind::WouldDrain, format!("{kind}; DRY_RUN is set")),
            true => return Decision::Drain,
            false => {
                let why = refused.get(index).map_or("there is no room for it", String::as_str);
                (OutcomeKind::NoRoom, format!("{kind}; {why}"))
            }
        };
        Decision::Done { outcome, reason }
    };
    recommended.iter().map(|id| (id.clone(), decision(id))).collect()
}

/// A group that any instance may leave, and that is no group of AWS.
fn drained_group() -> GroupName {
    GroupName::new("recommended to rebalance")
}

/// Takes from an instance what would keep it from a sweep, whatever room there is.
fn release(instance: &mut Instance) {
    instance.group = Some(drained_group());
    instance.lifecycle_state = LifecycleState::InService;
    instance.protected_from_scale_in = false;
    instance.unhealthy = false;
    instance.weight = 1;
    instance.attributes.remove(KEEP_ATTRIBUTE);
    instance.attributes.remove(HOLD_ATTRIBUTE);
}

/// Nothing but room counts. [`Room`] asks for no headroom.
fn policy() -> Policy {
    let budget = Budget {
        amount: Amount::Instances(ANY_NUMBER),
        reasons: DisruptionReason::ALL.into(),
        window: None,
    };
    Policy {
        budgets: vec![budget].into(),
        // DRAINING leaves them where they are: an interruption ends them either way.
        allow_standalone_tasks: true,
        ..Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::TaskKind;

    use super::*;
    use crate::reaper::testing::{NOW, id, instance, inventory, resources, service, task};

    /// Two instances: the first has a task of a service that takes half of it, and so much is free
    /// on the second.
    fn cluster(free: i64) -> Inventory {
        let mut busy = instance(1);
        busy.tasks = Some(vec![task(TaskKind::Service(0))]);
        busy.remaining = Some(resources(1_024, 7_680));
        let mut rest = instance(2);
        rest.remaining = Some(resources(free, 7_680));
        Inventory { services: vec![service([1_024, 0])], ..inventory(vec![busy, rest]) }
    }

    fn decided(inventory: Inventory, dry_run: bool) -> Decision {
        let mut decided = decide_early(inventory, &[id(1)].into(), dry_run, NOW);
        assert_eq!(decided.len(), 1, "one asked about, one decided");
        decided.remove(&id(1)).unwrap()
    }

    fn outcome(decision: Decision) -> Option<OutcomeKind> {
        match decision {
            Decision::Done { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    #[test]
    fn room_to_the_last_unit_is_room_and_less_is_none() {
        assert_eq!(decided(cluster(1_024), false), Decision::Drain);
        assert_eq!(outcome(decided(cluster(1_023), false)), Some(OutcomeKind::NoRoom));
        assert_eq!(outcome(decided(cluster(1_024), true)), Some(OutcomeKind::WouldDrain));
        assert_eq!(outcome(decided(cluster(1_023), true)), Some(OutcomeKind::NoRoom));
    }

    #[test]
    fn in_no_group_protected_unhealthy_or_held_it_goes_all_the_same() {
        let mut cluster = cluster(1_024);
        let instance = &mut cluster.instances[0];
        (instance.group, instance.lifecycle_state) = (None, LifecycleState::Other(String::new()));
        (instance.protected_from_scale_in, instance.unhealthy, instance.weight) = (true, true, 0);
        for attribute in [KEEP_ATTRIBUTE, HOLD_ATTRIBUTE] {
            instance.attributes.insert(attribute.to_owned(), "forever".to_owned());
        }
        cluster.hold_until = Some("forever".to_owned());
        assert_eq!(decided(cluster, false), Decision::Drain);
    }

    #[test]
    fn what_is_not_active_any_more_is_looked_at_again() {
        let mut drained = cluster(1_024);
        drained.instances[0].status = ContainerInstanceStatus::Draining;
        assert!(matches!(decided(drained, false), Decision::LookAgain { .. }));
        let mut gone = cluster(1_024);
        gone.instances.remove(0);
        assert!(matches!(decided(gone, false), Decision::LookAgain { .. }));
    }
}

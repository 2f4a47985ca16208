//! What a sweep comes to that changes nothing: what would go, and what would become of earlier
//! drains.
//!
//! Carrying either out is left to the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_planner::{Group, Instance, Plan, Removal, RemoveReason};

use crate::ids::GroupName;
use crate::reaper::follow_up::FollowUp;
use crate::reaper::report::{OutcomeKind, RemovalOutcome};

/// What is said of an instance of a group that ECS shrinks by itself.
pub const LEFT_TO_ECS: &str = "left for ECS to take, once it is empty";

/// The outcomes of a plan that is not carried out, in the plan's order. `groups` are those of its
/// cluster, and `low_for_sweeps` is in how many sweeps in a row an instance with tasks must have been
/// able to go: nothing is noted where nothing is to change.
pub fn would_remove(
    plan: &Plan,
    groups: &BTreeMap<GroupName, Group>,
    low_for_sweeps: u32,
) -> Vec<RemovalOutcome> {
    let is_left = |removal: &Removal| groups.get(&removal.group).is_some_and(Group::is_left_to_ecs);
    let waits = |removal: &Removal| low_for_sweeps > 1 && removal.reason != RemoveReason::Empty;
    let outcome = |removal: &Removal| RemovalOutcome {
        instance_id: removal.instance_id.clone(),
        outcome: OutcomeKind::WouldRemove,
        detail: join([
            is_left(removal).then(|| LEFT_TO_ECS.to_owned()),
            waits(removal).then(|| format!("once it could go in {low_for_sweeps} sweeps in a row")),
        ]),
        reactivated: false,
    };
    plan.remove.iter().map(outcome).collect()
}

fn join(details: [Option<String>; 2]) -> Option<String> {
    let details: Vec<_> = details.into_iter().flatten().collect();
    (!details.is_empty()).then(|| details.join("; "))
}

/// What would be done about an earlier drain.
pub fn would_follow_up(instance: &Instance, decision: &FollowUp) -> RemovalOutcome {
    let outcome = match decision {
        FollowUp::LeaveAlone(_) | FollowUp::Wait(_) | FollowUp::NoteEmptied(_) => {
            OutcomeKind::Waiting
        }
        FollowUp::Terminate(_) => OutcomeKind::WouldRemove,
        FollowUp::Reactivate { .. } | FollowUp::ReturnSpare(_) | FollowUp::Unmark(_) => {
            OutcomeKind::WouldReactivate
        }
    };
    RemovalOutcome {
        instance_id: instance.instance_id.clone(),
        outcome,
        detail: Some(decision.why().to_owned()),
        reactivated: false,
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::Policy;

    use super::*;
    use crate::reaper::testing::{NOW, group_name, instance, inventory, managed_scaling, service};

    /// What would come of an empty instance, or of one with a task.
    fn detail(has_task: bool, is_left: bool, low_for_sweeps: u32) -> Option<String> {
        let mut inventory = inventory(vec![instance(1), instance(2)]);
        inventory.instances[1].protected_from_scale_in = true;
        if has_task {
            let task = ebb_planner::TaskKind::Service(0);
            inventory.instances[0].tasks = Some(vec![crate::reaper::testing::task(task)]);
            inventory.services = vec![service([256, 256])];
        }
        let plan = ebb_planner::plan(&inventory, &Policy::default(), NOW);
        if is_left {
            let group = inventory.groups.get_mut(&group_name()).unwrap();
            group.managed_scaling = Some(managed_scaling(true));
        }
        let outcomes = would_remove(&plan, &inventory.groups, low_for_sweeps);
        assert_eq!(outcomes.len(), 1, "{plan:?}");
        assert_eq!(outcomes[0].outcome, OutcomeKind::WouldRemove);
        outcomes[0].detail.clone()
    }

    #[test]
    fn a_plan_says_what_each_removal_would_wait_for() {
        let (left, sweeps) = (LEFT_TO_ECS.to_owned(), "once it could go in 2 sweeps in a row");
        assert_eq!(detail(false, false, 2), None, "what is empty waits for nothing");
        assert_eq!(detail(true, false, 1), None);
        assert_eq!(detail(true, false, 2).as_deref(), Some(sweeps));
        assert_eq!(detail(false, true, 2), Some(left.clone()));
        assert_eq!(detail(true, true, 2), Some(format!("{left}; {sweeps}")));
    }
}

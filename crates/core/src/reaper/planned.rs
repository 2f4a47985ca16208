//! What a sweep comes to that changes nothing: what would go, and what would become of earlier
//! drains.
//!
//! Carrying either out is left to the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_planner::{Group, Instance, Plan, Removal};

use crate::ids::GroupName;
use crate::reaper::follow_up::FollowUp;
use crate::reaper::report::{OutcomeKind, RemovalOutcome};

/// What is said of an instance of a group that ECS shrinks by itself.
pub const LEFT_TO_ECS: &str = "left for ECS to take, once it is empty";

/// The outcomes of a plan that is not carried out, in the plan's order. `groups` are those of its
/// cluster.
pub fn would_remove(plan: &Plan, groups: &BTreeMap<GroupName, Group>) -> Vec<RemovalOutcome> {
    let is_left = |removal: &Removal| groups.get(&removal.group).is_some_and(Group::is_left_to_ecs);
    let outcome = |removal: &Removal| RemovalOutcome {
        instance_id: removal.instance_id.clone(),
        outcome: OutcomeKind::WouldRemove,
        detail: is_left(removal).then(|| LEFT_TO_ECS.to_owned()),
        reactivated: false,
    };
    plan.remove.iter().map(outcome).collect()
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

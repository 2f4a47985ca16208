//! What a sweep comes to that changes nothing: what would go, and what would become of earlier
//! drains.
//!
//! Carrying either out is left to the `scale-in-reaper`.

use ebb_planner::{Instance, Plan};

use crate::reaper::follow_up::FollowUp;
use crate::reaper::report::{OutcomeKind, RemovalOutcome};

/// The outcomes of a plan that is not carried out, in the plan's order.
pub fn would_remove(plan: &Plan) -> Vec<RemovalOutcome> {
    let ids = plan.remove.iter().map(|removal| &removal.instance_id);
    ids.map(|id| RemovalOutcome {
        instance_id: id.clone(),
        outcome: OutcomeKind::WouldRemove,
        detail: None,
        reactivated: false,
    })
    .collect()
}

/// What would be done about an earlier drain.
pub fn would_follow_up(instance: &Instance, decision: &FollowUp) -> RemovalOutcome {
    let outcome = match decision {
        FollowUp::LeaveAlone(_) | FollowUp::Wait(_) => OutcomeKind::Waiting,
        FollowUp::Terminate(_) => OutcomeKind::WouldRemove,
        FollowUp::Reactivate { .. } | FollowUp::Unmark(_) => OutcomeKind::WouldReactivate,
    };
    RemovalOutcome {
        instance_id: instance.instance_id.clone(),
        outcome,
        detail: Some(decision.why().to_owned()),
        reactivated: false,
    }
}

//! What a sweep that replaces comes to, whether it is carried out or not: what would become of each
//! instance, and how that is reported. Carrying it out is left to the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_planner::Inventory;

use crate::ids::{GroupName, InstanceId};
use crate::reaper::replace::decide::{Scene, Step, decide};
use crate::reaper::replace::members::GroupMembers;
use crate::reaper::replace::outdated::{Evidence, Why};
use crate::reaper::replace::retained::RetainedMember;
use crate::reaper::report::{OutcomeKind, RemovalOutcome, Replacement};

/// What a sweep that replaces looks at beside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplaceFacts {
    /// The groups of the cluster.
    pub groups: BTreeMap<GroupName, GroupMembers>,
    /// What tells which instances are outdated.
    pub evidence: Evidence,
    /// Why groups, also those at their minimum, may not be changed just now.
    pub unavailable: BTreeMap<GroupName, String>,
}

/// What became of an instance, and more about it.
pub type Done = (OutcomeKind, String);

/// What a step comes to that is not carried out.
pub fn would(step: &Step) -> Done {
    match step {
        Step::Stay(why) => (OutcomeKind::NotReplaced, why.clone()),
        Step::Wait(why) => (OutcomeKind::Replacing, why.clone()),
        Step::Raise { desired_capacity: Some(capacity), .. } => (
            OutcomeKind::WouldReplace,
            format!("its group would be raised to {capacity}, and it would go once that is there"),
        ),
        Step::Raise { desired_capacity: None, .. } => {
            (OutcomeKind::Replacing, "its group was raised for it".to_owned())
        }
        Step::Drain { .. } => (OutcomeKind::WouldReplace, "its replacement is there".to_owned()),
        Step::GiveBack { why, .. } | Step::Fail(why) => (OutcomeKind::Replacing, why.clone()),
        Step::Forget => (OutcomeKind::NotReplaced, "it is not being replaced any more".to_owned()),
        Step::TerminateRetained => {
            (OutcomeKind::WouldReplace, "nothing is left on it: it would be terminated".to_owned())
        }
    }
}

/// What is decided about a cluster, not carried out.
pub fn would_replace(scene: &Scene<'_>) -> Vec<Replacement> {
    let decision = decide(scene);
    let done = decision.steps.iter().map(|(index, step)| (*index, would(step))).collect();
    replacements(scene.inventory, scene.outdated, &decision.displaced(), done)
}

/// What became of instances, by their positions in the inventory, as it is reported.
pub fn replacements(
    inventory: &Inventory,
    outdated: &BTreeMap<usize, Why>,
    displaced: &BTreeMap<InstanceId, usize>,
    done: BTreeMap<usize, Done>,
) -> Vec<Replacement> {
    let replacement = |(index, done): (usize, Done)| {
        let instance = &inventory.instances[index];
        Replacement {
            why: outdated.get(&index).cloned(),
            group: instance.group.clone(),
            zone: instance.zone.clone(),
            displaced: displaced.get(&instance.instance_id).copied().unwrap_or_default(),
            outcome: outcome(&instance.instance_id, done),
        }
    };
    done.into_iter().map(replacement).collect()
}

/// What became of a retained instance that is not in the cluster, as it is reported.
pub fn ended(member: RetainedMember, done: Done) -> Replacement {
    let RetainedMember { instance_id, group, zone } = member;
    let outcome = outcome(&instance_id, done);
    Replacement { why: None, group: Some(group), zone, displaced: 0, outcome }
}

fn outcome(instance_id: &InstanceId, (outcome, detail): Done) -> RemovalOutcome {
    RemovalOutcome {
        instance_id: instance_id.clone(),
        outcome,
        detail: Some(detail),
        reactivated: outcome == OutcomeKind::Reactivated,
    }
}

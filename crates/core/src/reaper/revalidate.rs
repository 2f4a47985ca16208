//! Whether a plan still holds right before a sweep acts: planned again over a fresh inventory.
//!
//! Reading that inventory and acting on what is left of the plan is left to the `scale-in-reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Inventory, KEEP_ATTRIBUTE, KeepReason, Kept, Plan, Policy, Saving};
use jiff::Timestamp;

use crate::ecs::ContainerInstanceStatus;
use crate::ids::InstanceId;

/// The plan as far as it still holds: planned again, with nothing but the instances that were to go
/// as candidates. It only ever shrinks. What stays for another reason than before is kept for that
/// reason.
pub fn revalidate(planned: &Plan, mut fresh: Inventory, policy: &Policy, now: Timestamp) -> Plan {
    let candidates: BTreeSet<_> =
        planned.remove.iter().map(|removal| &removal.instance_id).collect();
    for instance in &mut fresh.instances {
        // Those that drain were read for what is on its way, not to be removed.
        if !instance.is_draining() && !candidates.contains(&instance.instance_id) {
            // What bears this attribute is no candidate, and as much room as before.
            instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
        }
    }
    let mut replanned = ebb_planner::plan(&fresh, policy, now);
    // A guard, as what drains still has its tasks, and is kept by its status alone.
    replanned.remove.retain(|removal| candidates.contains(&removal.instance_id));

    let mut keep = planned.keep.clone();
    keep.extend(dropped(&candidates, &replanned));
    // A plan lists what stays by id, and `dropped` was added at the end.
    keep.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    Plan {
        keep,
        // The bound is about the whole cluster, and the tasks of the candidates alone were read
        // again.
        saving: Saving { bound: planned.saving.bound, ..replanned.saving },
        ..replanned
    }
}

/// The candidates that stay after all, with the reason.
fn dropped(candidates: &BTreeSet<&InstanceId>, replanned: &Plan) -> Vec<Kept> {
    let removed: BTreeSet<_> =
        replanned.remove.iter().map(|removal| &removal.instance_id).collect();
    let reasons: BTreeMap<_, _> =
        replanned.keep.iter().map(|kept| (&kept.instance_id, &kept.reason)).collect();
    candidates
        .iter()
        .filter(|id| !removed.contains(*id))
        .map(|&id| Kept {
            instance_id: id.clone(),
            reason: match reasons.get(id) {
                Some(&reason) => reason.clone(),
                // One that is not in the fresh inventory has left the cluster, or is leaving it.
                None => KeepReason::NotActive(ContainerInstanceStatus::Inactive),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ebb_planner::TaskKind;

    use super::*;
    use crate::reaper::testing::{NOW, id, instance, inventory, task};

    /// All but the last instance may go.
    fn policy() -> Policy {
        Policy {
            max_removals_percent: 100,
            headroom_cpu_percent: 0,
            headroom_memory_percent: 0,
            ..Policy::default()
        }
    }

    /// Four empty instances.
    fn four() -> Inventory {
        inventory((1..=4).map(instance).collect())
    }

    fn removed(plan: &Plan) -> Vec<InstanceId> {
        plan.remove.iter().map(|removal| removal.instance_id.clone()).collect()
    }

    fn reason<'a>(plan: &'a Plan, id: &InstanceId) -> &'a KeepReason {
        &plan.keep.iter().find(|kept| kept.instance_id == *id).unwrap().reason
    }

    #[test]
    fn a_plan_over_an_unchanged_cluster_holds() {
        let planned = ebb_planner::plan(&four(), &policy(), NOW);
        assert_eq!(planned.remove.len(), 3, "one is always left");
        assert_eq!(removed(&revalidate(&planned, four(), &policy(), NOW)), removed(&planned));
    }

    #[test]
    fn the_plan_only_ever_shrinks() {
        let planned = ebb_planner::plan(&four(), &policy(), NOW);
        let going = removed(&planned);
        for lost in &going {
            let mut fresh = four();
            fresh.instances.retain(|instance| instance.instance_id != *lost);
            let replanned = revalidate(&planned, fresh, &policy(), NOW);

            let still_going = removed(&replanned);
            assert!(still_going.iter().all(|id| going.contains(id)), "{still_going:?}");
            assert!(!still_going.contains(lost), "{still_going:?}");
            assert_eq!(reason(&replanned, lost).code(), "not_active");
            let total = replanned.keep.len() + replanned.remove.len();
            assert_eq!(total, 4, "every instance is in it once");
        }
    }

    #[test]
    fn an_instance_with_a_new_standalone_task_is_kept_for_that() {
        let planned = ebb_planner::plan(&four(), &policy(), NOW);
        let busy = removed(&planned)[0].clone();
        let mut fresh = four();
        for instance in &mut fresh.instances {
            if instance.instance_id == busy {
                instance.tasks = Some(vec![task(TaskKind::Standalone)]);
            }
        }
        let replanned = revalidate(&planned, fresh, &policy(), NOW);

        assert!(!removed(&replanned).contains(&busy));
        assert_eq!(reason(&replanned, &busy).code(), "pinned");
    }

    /// As few go as before, and the same: another one that could go as well does not take its place.
    #[test]
    fn nothing_goes_in_place_of_what_was_to_go() {
        let policy = Policy { min_instances: 3, ..policy() };
        let planned = ebb_planner::plan(&four(), &policy, NOW);
        assert_eq!(planned.remove.len(), 1);
        for number in 1..=4 {
            let mut planned = planned.clone();
            planned.remove[0].instance_id = id(number);
            let replanned = revalidate(&planned, four(), &policy, NOW);
            assert_eq!(removed(&replanned), [id(number)]);
        }
    }

    #[test]
    fn what_could_be_saved_is_about_the_whole_cluster() {
        let mut planned = ebb_planner::plan(&four(), &policy(), NOW);
        planned.remove.truncate(1);
        let replanned = revalidate(&planned, four(), &policy(), NOW);
        assert!(planned.saving.bound > replanned.saving.planned);
        assert_eq!(replanned.saving.bound.to_bits(), planned.saving.bound.to_bits());
    }
}

//! The second look right before a sweep acts: what of its plan still holds.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Inventory, KeepReason, Kept, Plan, Policy};
use jiff::Timestamp;

use crate::ecs::ContainerInstanceStatus;

/// The plan as far as it still holds after a second look: planned again, with nothing but the
/// instances that were to go as candidates. It only ever shrinks. What stays for another reason
/// than before is kept for that reason.
pub fn revalidate(planned: &Plan, mut fresh: Inventory, policy: &Policy, now: Timestamp) -> Plan {
    let candidates: BTreeSet<_> =
        planned.remove.iter().map(|removal| &removal.instance_id).collect();
    for instance in &mut fresh.instances {
        // Those that drain were read for what is on its way, not to be removed.
        if instance.status != ContainerInstanceStatus::Draining
            && !candidates.contains(&instance.instance_id)
        {
            instance.tasks = None;
        }
    }
    let mut again = ebb_planner::plan(&fresh, policy, now);
    again.remove.retain(|removal| candidates.contains(&removal.instance_id));
    let removed: BTreeSet<_> = again.remove.iter().map(|removal| &removal.instance_id).collect();
    let reasons: BTreeMap<_, _> =
        again.keep.iter().map(|kept| (&kept.instance_id, &kept.reason)).collect();
    let dropped = candidates.iter().filter(|id| !removed.contains(*id)).map(|&id| {
        // One that is not in the fresh inventory has left the cluster, or is leaving it.
        let gone = KeepReason::NotActive(ContainerInstanceStatus::Inactive);
        Kept {
            instance_id: id.clone(),
            reason: reasons.get(id).map_or(gone, |&reason| reason.clone()),
        }
    });
    let mut keep: Vec<_> = planned.keep.iter().cloned().chain(dropped).collect();
    keep.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    Plan {
        keep,
        saving: ebb_planner::Saving { bound: planned.saving.bound, ..again.saving },
        ..again
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::TaskKind;

    use super::*;
    use crate::reaper::follow_up::tests::{NOW, instance, inventory, task};

    #[test]
    fn the_second_look_only_ever_shrinks_the_plan() {
        let policy = Policy {
            max_removals_percent: 100,
            headroom_cpu_percent: 0,
            headroom_memory_percent: 0,
            ..Policy::default()
        };
        let all = inventory((1..=4).map(instance).collect());
        let planned = ebb_planner::plan(&all, &policy, NOW);
        let ids =
            |plan: &Plan| plan.remove.iter().map(|one| one.instance_id.clone()).collect::<Vec<_>>();
        let going = ids(&planned);
        assert_eq!(going.len(), 3, "one is always left");
        assert_eq!(ids(&revalidate(&planned, all.clone(), &policy, NOW)), going);

        let staying = planned.keep[0].instance_id.clone();
        for lost in &going {
            let mut fresh = all.clone();
            fresh.instances.retain(|one| one.instance_id != *lost);
            let again = revalidate(&planned, fresh, &policy, NOW);
            assert!(ids(&again).iter().all(|id| going.contains(id) && id != lost), "{again:?}");
            assert!(!ids(&again).contains(&staying));
            let kept = again.keep.iter().find(|kept| kept.instance_id == *lost).unwrap();
            assert_eq!(kept.reason.code(), "not_active");
            assert_eq!(again.keep.len() + again.remove.len(), 4, "every instance is in it once");
        }
        let mut fresh = all;
        let busy = fresh.instances.iter_mut().find(|one| one.instance_id == going[0]).unwrap();
        busy.tasks = Some(vec![task(TaskKind::Standalone)]);
        let again = revalidate(&planned, fresh, &policy, NOW);
        assert!(!ids(&again).contains(&going[0]));
        assert_eq!(
            again.keep.iter().find(|kept| kept.instance_id == going[0]).unwrap().reason.code(),
            "pinned"
        );
    }
}

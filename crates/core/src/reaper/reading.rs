//! How many instances a sweep reads the tasks of, and which members of the cluster's groups are not
//! in the cluster. The reading itself is left to the `scale-in-reaper`.

use std::collections::BTreeSet;

use ebb_planner::{Inventory, Policy, candidates_to_inspect};
use jiff::Timestamp;

use crate::ecs::ContainerInstanceStatus;
use crate::ids::{GroupName, InstanceId};
use crate::reaper::budgets::DisruptionReason;
use crate::reaper::replace::outdated::Evidence;

/// How many instances are read at least, if there are as many candidates: in a small cluster the
/// share that may be removed is one or two, and the first candidates may all hold a task that may
/// not move.
const READ_MIN: usize = 20;
/// How many are read for each that may be removed: some have tasks that may not move, some have
/// tasks that fit nowhere. More would cost calls for each, and few more could go.
const READ_PER_REMOVAL: usize = 3;

/// How many of the candidates are read: enough to choose from, whatever the size of the cluster.
fn reads_max(inventory: &Inventory, policy: &Policy, now: Timestamp) -> usize {
    let usable = inventory
        .instances
        .iter()
        .filter(|instance| instance.status == ContainerInstanceStatus::Active)
        .count();
    let may_go = |reason| policy.allowance(reason, usable, now).instances;
    match (may_go(DisruptionReason::Consolidate), may_go(DisruptionReason::Empty)) {
        // Nothing may go, so that no request need be spent on reading tasks.
        (0, 0) if policy.budgets.is_empty() => 0,
        // The emptiest are read first. Where a budget lets nothing go now, people are told what it
        // holds back.
        (0, empty) => READ_MIN.max(empty),
        (removals, _) => READ_MIN.max(READ_PER_REMOVAL * removals),
    }
}

/// The instances whose tasks a sweep reads beside those of what drains, by their position in the
/// inventory: the best of the candidates. To be asked about an inventory without tasks.
pub fn candidates_to_read(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Vec<usize> {
    let mut candidates = candidates_to_inspect(inventory, policy, now);
    candidates.truncate(reads_max(inventory, policy, now));
    candidates
}

/// The inventory as a sweep would have read it, from one with the tasks of every instance.
pub fn as_a_sweep_reads(whole: &Inventory, policy: &Policy, now: Timestamp) -> Inventory {
    with_tasks_of(whole, |inventory| candidates_to_read(inventory, policy, now))
}

/// The same for a sweep that replaces.
pub fn as_a_replacing_sweep_reads(
    whole: &Inventory,
    evidence: &Evidence,
    now: Timestamp,
) -> Inventory {
    with_tasks_of(whole, |inventory| evidence.to_read(inventory, now))
}

/// The inventory with the tasks of what drains, and of those at these positions.
fn with_tasks_of<P: IntoIterator<Item = usize>>(
    whole: &Inventory,
    to_read: impl FnOnce(&Inventory) -> P,
) -> Inventory {
    let mut inventory = whole.clone();
    for instance in inventory.instances.iter_mut().filter(|instance| !instance.is_draining()) {
        instance.tasks = None;
    }
    for position in to_read(&inventory) {
        inventory.instances[position].tasks.clone_from(&whole.instances[position].tasks);
    }
    inventory
}

/// Instances of a group of the cluster that are not in the cluster: they boot, are in another one, never
/// joined any, or are retained and have left it. `members` are the instances that the groups say are in
/// service, or retain.
pub fn unregistered_members(
    inventory: &Inventory,
    members: &[(InstanceId, GroupName)],
) -> Vec<(InstanceId, GroupName)> {
    let registered: BTreeSet<_> =
        inventory.instances.iter().map(|instance| &instance.instance_id).collect();
    let mut unregistered: Vec<_> = members
        .iter()
        .filter(|(id, group)| !registered.contains(id) && inventory.groups.contains_key(group))
        .cloned()
        .collect();
    // Sorted, so that the report does not depend on the order of `members`.
    unregistered.sort();
    unregistered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{NOW, group_name, id, instance, inventory};

    fn reads_max_of(instances: u64, max_removals_percent: u32) -> usize {
        let policy = Policy { max_removals_percent, ..Policy::default() };
        reads_max(&inventory((0..instances).map(instance).collect()), &policy, NOW)
    }

    #[test]
    fn reads_are_bounded_by_what_may_be_removed() {
        assert_eq!(reads_max_of(5, 10), 20);
        assert_eq!(reads_max_of(300, 10), 90);
        assert_eq!(reads_max_of(300, 0), 0, "nothing may go: nothing is read");
    }

    #[test]
    fn where_nothing_but_empty_ones_may_go_so_many_are_read() {
        let budgets = crate::reaper::budgets::setting::read(
            r#"[{"count": 0, "reasons": ["consolidate"]}, {"count": 30, "reasons": ["empty"]}]"#,
        );
        let policy = Policy { budgets: budgets.unwrap(), ..Policy::default() };
        let cluster = inventory((0..300).map(instance).collect());
        assert_eq!(reads_max(&cluster, &policy, NOW), 30);
        let closed = crate::reaper::budgets::setting::read(r#"[{"count": 0}]"#).unwrap();
        let policy = Policy { budgets: closed, ..Policy::default() };
        assert_eq!(reads_max(&cluster, &policy, NOW), READ_MIN, "so that the budget is named");
    }

    #[test]
    fn members_of_another_clusters_group_are_not_missed() {
        let inventory = inventory(vec![instance(1)]);
        let members = [
            (id(1), group_name()),
            (id(2), group_name()),
            (id(3), GroupName::new("group of another cluster")),
        ];
        assert_eq!(unregistered_members(&inventory, &members), [(id(2), group_name())]);
    }
}

//! What a sweep reads of a cluster, and which members of its groups it misses there.

use std::collections::BTreeSet;

use ebb_planner::{Inventory, Policy};

use crate::ecs::ContainerInstanceStatus;
use crate::ids::{GroupName, InstanceId};

/// How many instances are read at least, if there are as many worth reading.
const READ_MIN: usize = 20;
/// How many are read for each that may be removed: some have tasks that may not move, some have
/// tasks that fit nowhere.
const READ_FOR_EACH: usize = 3;

/// How many of the instances that are worth reading are read: enough to choose from, whatever the
/// size of the cluster.
pub fn reads_max(inventory: &Inventory, policy: &Policy) -> usize {
    let usable = inventory
        .instances
        .iter()
        .filter(|one| one.status == ContainerInstanceStatus::Active)
        .count();
    let share = usize::try_from(policy.max_removals_percent).unwrap_or(100);
    let removals = (usable * share).div_ceil(100);
    if removals == 0 { 0 } else { READ_MIN.max(READ_FOR_EACH * removals) }
}

/// Instances that joined a group of the cluster, but not the cluster: unless they boot just now,
/// they are paid for nothing. `members` are the instances that the groups say are in service.
pub fn unregistered_members(
    inventory: &Inventory,
    members: &[(InstanceId, GroupName)],
) -> Vec<(InstanceId, GroupName)> {
    let registered: BTreeSet<_> = inventory.instances.iter().map(|one| &one.instance_id).collect();
    let stranger = |(id, group): &&(InstanceId, GroupName)| {
        !registered.contains(id) && inventory.groups.contains_key(group)
    };
    let mut strangers: Vec<_> = members.iter().filter(stranger).cloned().collect();
    strangers.sort();
    strangers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::follow_up::tests::{id, instance, inventory};

    #[test]
    fn reads_are_bounded_by_what_may_be_removed() {
        let policy = |percent| Policy { max_removals_percent: percent, ..Policy::default() };
        let of = |number| inventory((0..number).map(instance).collect());
        assert_eq!(reads_max(&of(5), &policy(10)), 20);
        assert_eq!(reads_max(&of(300), &policy(10)), 90);
        assert_eq!(reads_max(&of(300), &policy(0)), 0, "nothing may go: nothing is read");
    }

    #[test]
    fn instances_of_other_clusters_groups_are_no_strangers() {
        let all = inventory(vec![instance(1)]);
        let (ours, other) = (GroupName::new("group"), GroupName::new("other"));
        let members = [(id(1), ours.clone()), (id(2), ours.clone()), (id(3), other)];
        assert_eq!(unregistered_members(&all, &members), [(id(2), ours)]);
    }
}

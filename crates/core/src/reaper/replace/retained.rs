//! Which instances that their groups retain may be terminated. They are outside the desired capacity
//! and paid for until somebody terminates them (EC2 Auto Scaling User Guide,
//! configure-instance-retention). Asking other clusters, and terminating, are left to the
//! `scale-in-reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Inventory, Policy};
use jiff::Timestamp;

use crate::auto_scaling::LifecycleState;
use crate::ids::{GroupName, InstanceId};
use crate::reaper::replace::members::GroupMembers;

/// An instance that its group retains and that is not in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedMember {
    /// Its id.
    pub instance_id: InstanceId,
    /// Its group.
    pub group: GroupName,
    /// Its Availability Zone.
    pub zone: String,
}

/// What is said of one that no cluster has and that would be terminated.
pub const WOULD_END: &str = "it is in no cluster: it would be terminated";

/// What is said, with the cause, of one that another cluster may have: for all that is known its tasks
/// run.
pub const NOT_KNOWN: &str = "whether another cluster has it is not known";

/// Whether what a group retains may be terminated, as far as the group goes.
pub fn may_end_retained(
    inventory: &Inventory,
    policy: &Policy,
    name: &GroupName,
    now: Timestamp,
) -> bool {
    let Some(group) = inventory.groups.get(name) else { return false };
    inventory.hold(now).is_none()
        && inventory.group_hold(name, now).is_none()
        && !group.tagged_keep
        && group.owner.is_none()
        && policy.groups.as_ref().is_none_or(|groups| groups.contains(name))
}

/// What the groups of a cluster retain that is not in it, and may be terminated if it is in no other
/// cluster either: with its registration ECS has lost sight of it.
pub fn retained_unregistered(
    inventory: &Inventory,
    groups: &BTreeMap<GroupName, GroupMembers>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<RetainedMember> {
    let registered: BTreeSet<_> =
        inventory.instances.iter().map(|instance| &instance.instance_id).collect();
    let groups = groups.iter().filter(|(name, _)| may_end_retained(inventory, policy, name, now));
    let members =
        groups.flat_map(|(name, group)| group.members.iter().map(move |member| (name, member)));
    members
        .filter(|(_, member)| member.lifecycle_state == LifecycleState::TerminatingRetained)
        .filter(|(_, member)| !registered.contains(&member.instance_id))
        .map(|(name, member)| RetainedMember {
            instance_id: member.instance_id.clone(),
            group: name.clone(),
            zone: member.zone.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::replace::members::GroupMember;
    use crate::reaper::testing::{NOW, group_name, id, instance, inventory};

    fn member(number: u64, lifecycle_state: LifecycleState) -> GroupMember {
        GroupMember {
            instance_id: id(number),
            lifecycle_state,
            weight: 1,
            zone: "eu-west-1a".to_owned(),
            protected_from_scale_in: false,
        }
    }

    /// Of a cluster that has instance 1, what its group retains beside it.
    fn retained(change: impl FnOnce(&mut Inventory, &mut Policy)) -> Vec<InstanceId> {
        let mut cluster = inventory(vec![instance(1)]);
        let mut policy = Policy::default();
        change(&mut cluster, &mut policy);
        let members = vec![
            member(1, LifecycleState::TerminatingRetained),
            member(2, LifecycleState::TerminatingRetained),
            member(3, LifecycleState::InService),
            member(4, LifecycleState::TerminatingWait),
        ];
        let members = GroupMembers { members, ..GroupMembers::default() };
        let groups = BTreeMap::from([
            (group_name(), members.clone()),
            (GroupName::new("of another cluster"), members),
        ]);
        let retained = retained_unregistered(&cluster, &groups, &policy, NOW);
        retained.into_iter().map(|member| member.instance_id).collect()
    }

    #[test]
    fn only_what_is_retained_and_not_in_the_cluster_is_meant() {
        assert_eq!(retained(|_, _| {}), [id(2)]);
    }

    #[test]
    fn what_somebody_holds_or_keeps_stays() {
        let of_group = |change: fn(&mut ebb_planner::Group)| {
            retained(|cluster, _| change(cluster.groups.get_mut(&group_name()).unwrap()))
        };
        assert_eq!(of_group(|group| group.tagged_keep = true), []);
        assert_eq!(of_group(|group| group.owner = Some("AWS Batch".to_owned())), []);
        assert_eq!(of_group(|group| group.hold_until = Some("forever".to_owned())), []);
        assert_eq!(retained(|cluster, _| cluster.hold_until = Some("forever".to_owned())), []);
        let none_of_them = Some([GroupName::new("another")].into());
        assert_eq!(retained(|_, policy| policy.groups = none_of_them), []);
    }
}

//! How many interrupted instances their Spot group has not replaced by itself: for those alone the
//! fallback group is raised. With Capacity Rebalancing a group launches another instance as soon as
//! EC2 recommends to, which may be long before the notice (Auto Scaling User Guide,
//! ec2-auto-scaling-capacity-rebalancing).
//!
//! Who else drains in the cluster is for the `spot-drainer` to look up.

use std::collections::BTreeSet;

use crate::auto_scaling::LifecycleState;
use crate::ids::InstanceId;

/// A Spot group with its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotGroup {
    /// `DesiredCapacity`, in what the group counts in.
    pub desired_capacity: i64,
    /// Its instances.
    pub members: Vec<SpotMember>,
}

/// An instance of a Spot group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotMember {
    /// Its id.
    pub instance_id: InstanceId,
    /// `LifecycleState`.
    pub lifecycle_state: LifecycleState,
    /// What it counts in its group; 0 if that cannot be read.
    pub weight: i64,
}

impl SpotMember {
    fn is_launched(&self) -> bool {
        matches!(
            self.lifecycle_state,
            LifecycleState::Pending
                | LifecycleState::PendingWait
                | LifecycleState::PendingProceed
                | LifecycleState::InService
        )
    }
}

impl SpotGroup {
    /// Its instances in service that would have to stay if it had replaced those that are
    /// interrupted. Empty if it has not, whoever stays: then nobody need be asked about.
    pub fn to_look_up(&self, interrupted: &BTreeSet<InstanceId>) -> Vec<InstanceId> {
        let staying = self.staying(interrupted);
        if capacity(&staying) < self.desired_capacity {
            return Vec::new();
        }
        let in_service =
            staying.iter().filter(|member| member.lifecycle_state == LifecycleState::InService);
        in_service.map(|member| member.instance_id.clone()).collect()
    }

    /// How many of the interrupted instances it has not replaced, if of those in service only the
    /// `active` ones stay: as many as fill what it lacks.
    pub fn not_replaced(
        &self,
        interrupted: &BTreeSet<InstanceId>,
        active: &BTreeSet<InstanceId>,
    ) -> usize {
        let mut staying = self.staying(interrupted);
        staying.retain(|member| {
            member.lifecycle_state != LifecycleState::InService
                || active.contains(&member.instance_id)
        });
        let lacking = self.desired_capacity.saturating_sub(capacity(&staying)).max(0);
        // Each counts as one of the least weight, so that rather too many are raised than too few.
        let weights = self.members.iter().map(|member| member.weight.max(1));
        let lacking = lacking.unsigned_abs().div_ceil(weights.min().unwrap_or(1).unsigned_abs());
        usize::try_from(lacking).unwrap_or(usize::MAX).min(interrupted.len())
    }

    fn staying(&self, interrupted: &BTreeSet<InstanceId>) -> Vec<&SpotMember> {
        let launched = self.members.iter().filter(|member| member.is_launched());
        launched.filter(|member| !interrupted.contains(&member.instance_id)).collect()
    }
}

fn capacity(members: &[&SpotMember]) -> i64 {
    members.iter().fold(0, |sum, member| sum.saturating_add(member.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> InstanceId {
        InstanceId::parse(&format!("i-{number:017x}")).unwrap()
    }

    fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<InstanceId> {
        numbers.into_iter().map(id).collect()
    }

    /// A group that wants 3, with as many instances in service and as many that boot.
    fn group(in_service: usize, pending: usize) -> SpotGroup {
        let states = std::iter::repeat_n(LifecycleState::InService, in_service)
            .chain(std::iter::repeat_n(LifecycleState::Pending, pending));
        let members = states.enumerate().map(|(number, lifecycle_state)| SpotMember {
            instance_id: id(number),
            lifecycle_state,
            weight: 1,
        });
        SpotGroup { desired_capacity: 3, members: members.collect() }
    }

    #[test]
    fn what_its_group_has_replaced_is_not_counted() {
        for (in_service, pending, interrupted, not_replaced) in
            [(3, 0, 1, 1), (3, 0, 3, 3), (4, 0, 1, 0), (3, 1, 1, 0), (3, 1, 2, 1), (5, 0, 3, 1)]
        {
            let group = group(in_service, pending);
            let interrupted = ids(0..interrupted);
            let active: BTreeSet<_> = group.to_look_up(&interrupted).into_iter().collect();
            let all = ids(0..in_service);
            assert!(active.is_empty() || active.is_subset(&all));
            assert_eq!(group.not_replaced(&interrupted, &all), not_replaced, "{group:?}");
        }
    }

    #[test]
    fn nobody_is_asked_about_where_the_group_lacks_instances_anyway() {
        assert_eq!(group(3, 0).to_look_up(&ids(0..1)), []);
        assert_eq!(group(4, 0).to_look_up(&ids(0..1)), [id(1), id(2), id(3)]);
        assert_eq!(
            group(3, 1).to_look_up(&ids(0..1)),
            [id(1), id(2)],
            "what boots is in no cluster"
        );
    }

    #[test]
    fn one_that_an_earlier_notice_drained_is_no_replacement() {
        assert_eq!(group(4, 0).not_replaced(&ids(0..1), &ids(2..4)), 1);
    }

    #[test]
    fn weights_count_and_what_terminates_does_not() {
        let mut heavy = group(4, 0);
        heavy.desired_capacity = 6;
        heavy.members.iter_mut().for_each(|member| member.weight = 2);
        assert_eq!(heavy.not_replaced(&ids(0..1), &ids(0..4)), 0);
        heavy.members[3].lifecycle_state = LifecycleState::Terminating;
        assert_eq!(heavy.not_replaced(&ids(0..1), &ids(0..4)), 1);
    }
}

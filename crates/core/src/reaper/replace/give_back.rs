//! How a group becomes as large as before it was raised for replacements that did not come. It is
//! decided by a look at the group of just then.
//!
//! What was never launched is not wanted any more. What was launched for them and is in no cluster
//! may go; whether a cluster has it is for the `scale-in-reaper` to find out, just before.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::ids::InstanceId;
use crate::reaper::replace::members::GroupMember;

/// For how long a replacement may take to launch, boot and register, before it is given up: some
/// minutes as a rule, a quarter of an hour with Windows. The next sweep after that acts on it.
pub const JOINS_WITHIN: SignedDuration = SignedDuration::from_mins(20);

/// A group that is raised for replacements which did not come.
#[derive(Debug, Clone, Copy)]
pub struct RaisedGroup<'a> {
    /// `DesiredCapacity`.
    pub desired_capacity: i64,
    /// `MinSize`.
    pub min_size: i64,
    /// Its instances.
    pub members: &'a [GroupMember],
    /// By how much it was raised for them, at most.
    pub raised_by: i64,
}

impl RaisedGroup<'_> {
    /// How much of the raise was never launched.
    pub fn unlaunched(&self) -> i64 {
        let counting = self.members.iter().filter(|member| member.counts());
        let size: i64 = counting.map(|member| member.weight.max(1)).sum();
        self.desired_capacity.saturating_sub(size).clamp(0, self.raised_by.max(0))
    }

    /// The desired capacity without that; `None` if it stays. Never less than the group has, so that
    /// Auto Scaling has nothing to terminate, and never less than its minimum.
    pub fn lowered(&self) -> Option<i64> {
        let lowered = (self.desired_capacity - self.unlaunched()).max(self.min_size);
        Some(lowered).filter(|capacity| *capacity < self.desired_capacity)
    }

    /// Which of `unregistered`, members that were found in no cluster, may be the replacements that
    /// did not join: what was launched since the group was raised, and long enough ago to have
    /// joined. No more than the raise has left, and none that its group protects. What has no
    /// launch time stays.
    pub fn given_up(
        &self,
        unregistered: &[InstanceId],
        launched_at: &BTreeMap<InstanceId, Timestamp>,
        raised_at: Timestamp,
        now: Timestamp,
    ) -> Vec<InstanceId> {
        let mut left = self.raised_by - self.unlaunched();
        let is_meant = |member: &&GroupMember| {
            member.counts()
                && !member.protected_from_scale_in
                && unregistered.contains(&member.instance_id)
                && launched_at.get(&member.instance_id).is_some_and(|launched_at| {
                    *launched_at >= raised_at && now.duration_since(*launched_at) >= JOINS_WITHIN
                })
        };
        let mut given_up = Vec::new();
        for member in self.members.iter().filter(is_meant) {
            let weight = member.weight.max(1);
            if weight <= left {
                left -= weight;
                given_up.push(member.instance_id.clone());
            }
        }
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auto_scaling::LifecycleState;
    use crate::reaper::testing::{NOW, id, seconds_ago};

    fn member(number: u64) -> GroupMember {
        GroupMember {
            instance_id: id(number),
            lifecycle_state: LifecycleState::InService,
            weight: 1,
            zone: "eu-west-1a".to_owned(),
            protected_from_scale_in: false,
        }
    }

    fn group(desired_capacity: i64, members: &[GroupMember], raised_by: i64) -> RaisedGroup<'_> {
        RaisedGroup { desired_capacity, min_size: 2, members, raised_by }
    }

    #[test]
    fn only_what_the_raise_has_not_launched_is_taken_back() {
        let members = [1, 2, 3, 4].map(member);
        assert_eq!(group(6, &members, 2).lowered(), Some(4));
        assert_eq!(group(6, &members, 1).lowered(), Some(5), "the rest is somebody else's");
        assert_eq!(group(4, &members, 2).lowered(), None);
        assert_eq!(group(3, &members, 2).lowered(), None, "somebody shrinks it");
        assert_eq!(group(3, &members[..1], 2).lowered(), Some(2), "its minimum");
    }

    #[test]
    fn only_what_was_launched_for_the_raise_and_had_time_to_join_is_given_up() {
        let raised_at = NOW - SignedDuration::from_mins(30);
        let mut members = [1, 2, 3, 4, 5].map(member);
        members[3].protected_from_scale_in = true;
        // Before the raise, since then, just now, since then but protected; of the last nothing is
        // known.
        let launched_at =
            [(1, 1_801), (2, 1_800), (3, 1_199), (4, 1_800)].map(|(n, s)| (id(n), seconds_ago(s)));
        let launched_at = BTreeMap::from(launched_at);
        let unregistered = [1, 2, 3, 4, 5].map(id);
        let given_up = |group: RaisedGroup<'_>, unregistered: &[InstanceId]| {
            group.given_up(unregistered, &launched_at, raised_at, NOW)
        };
        assert_eq!(given_up(group(5, &members, 3), &unregistered), [id(2)]);
        assert_eq!(given_up(group(5, &members, 3), &[id(1)]), [], "what a cluster has");
        assert_eq!(given_up(group(7, &members, 2), &unregistered), [], "nothing was launched");
        members[1].weight = 2;
        assert_eq!(given_up(group(6, &members, 1), &unregistered), [], "it counts for more");
    }

    #[test]
    fn no_more_is_given_up_than_the_group_was_raised_by() {
        let members = [1, 2, 3, 4].map(member);
        let unregistered = [1, 2, 3, 4].map(id);
        let launched_at = unregistered.clone().map(|id| (id, seconds_ago(1_500))).into();
        let raised_at = NOW - SignedDuration::from_mins(30);
        for raised_by in 0..=4 {
            let given_up =
                group(4, &members, raised_by).given_up(&unregistered, &launched_at, raised_at, NOW);
            assert_eq!(i64::try_from(given_up.len()), Ok(raised_by));
        }
    }

    /// What is on its way out is no part of the group's size any more.
    #[test]
    fn what_terminates_is_not_launched_for_a_raise() {
        for (state, unlaunched) in [("InService", 0), ("Pending:Wait", 0), ("Terminating", 1)] {
            let mut members = [1, 2, 3].map(member);
            members[2].lifecycle_state = LifecycleState::from(state);
            assert_eq!(group(3, &members, 1).unlaunched(), unlaunched, "{state}");
        }
    }
}

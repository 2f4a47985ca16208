//! The fallback group as Auto Scaling describes it, and as how much one instance of it counts.
//!
//! How the group is raised is decided beside this module.

use crate::fallback_mark::FallbackMark;

/// The fallback group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FallbackGroup {
    /// `DesiredCapacity`, in what the group counts in: instances, weights, vCPUs or MiB.
    pub desired_capacity: i32,
    /// `MaxSize`, in the same.
    pub max_size: i32,
    /// `WeightedCapacity` of each of its instances that has one.
    pub instance_weights: Vec<i32>,
    /// What an instance of each override of its mixed instances policy counts at least, in the
    /// order of the policy; nothing for an override that does not say.
    pub override_weights: Vec<i32>,
    /// What it launches its instances from.
    pub source: LaunchSource,
    /// The Availability Zones that it is enabled in.
    pub zones: Vec<String>,
    /// What its tag says that it was before it was raised.
    pub mark: Option<FallbackMark>,
}

/// What a group launches its instances from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LaunchSource {
    /// A launch configuration.
    #[default]
    Configuration,
    /// A launch template.
    Template,
    /// A launch template with a mixed instances policy.
    Mixed {
        /// `OnDemandBaseCapacity`.
        on_demand_base: i32,
        /// `OnDemandPercentageAboveBaseCapacity`.
        on_demand_percentage: i32,
    },
}

impl FallbackGroup {
    /// As how much one instance of the group counts into its desired capacity, at least 1.
    ///
    /// Instances of one group may count differently, and which one comes next nobody knows. The
    /// largest of those that are there is taken, so that what was lost is not replaced by less; in
    /// an empty group the first override, which Auto Scaling prefers by default.
    /// Source: Auto Scaling User Guide, ec2-auto-scaling-mixed-instances-groups-instance-weighting.
    pub fn instance_capacity(&self) -> i32 {
        let largest = self.instance_weights.iter().max();
        largest.or_else(|| self.override_weights.first()).map_or(1, |weight| (*weight).max(1))
    }

    /// What its tag is to say if it is raised now; `None` if it says that already. One that counts the
    /// sweeps in which its Spot group was whole is about to be removed.
    pub fn mark_to_be_raised(&self) -> Option<FallbackMark> {
        let baseline = i64::from(self.desired_capacity);
        match self.mark {
            None => Some(FallbackMark { baseline, whole: None }),
            Some(FallbackMark { whole: None, .. }) => None,
            Some(mark) => Some(FallbackMark { baseline: mark.baseline.min(baseline), whole: None }),
        }
    }

    /// Why it takes no more, for people.
    pub fn fullness(&self) -> String {
        let Self { desired_capacity, max_size, .. } = self;
        let each = self.instance_capacity();
        format!(
            "its desired capacity was {desired_capacity} of at most {max_size}, and each counts as {each}"
        )
    }

    /// How many whole instances its maximum leaves room for.
    pub fn room(&self) -> usize {
        let room = self.max_size.saturating_sub(self.desired_capacity).max(0);
        usize::try_from(room / self.instance_capacity()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fallback_mark::WholeSweeps;

    fn group(instance_weights: &[i32], override_weights: &[i32]) -> FallbackGroup {
        FallbackGroup {
            desired_capacity: 8,
            max_size: 18,
            instance_weights: instance_weights.to_vec(),
            override_weights: override_weights.to_vec(),
            ..FallbackGroup::default()
        }
    }

    #[test]
    fn one_instance_counts_as_the_largest_there_or_as_the_preferred_type_of_an_empty_group() {
        assert_eq!(group(&[], &[]).instance_capacity(), 1);
        assert_eq!(group(&[4, 2], &[16, 8]).instance_capacity(), 4);
        assert_eq!(group(&[], &[2, 8]).instance_capacity(), 2);
        assert_eq!(group(&[0], &[]).instance_capacity(), 1, "no instance counts as nothing");
    }

    #[test]
    fn only_whole_instances_have_room_below_the_maximum() {
        assert_eq!(group(&[4], &[]).room(), 2);
        assert_eq!(FallbackGroup { desired_capacity: 20, ..group(&[], &[]) }.room(), 0);
    }

    #[test]
    fn a_group_is_marked_where_it_was_before_it_is_raised_and_counts_no_sweeps_then() {
        let mark = |baseline, whole| Some(FallbackMark { baseline, whole });
        let sweeps = Some(WholeSweeps { number: 2, last: jiff::Timestamp::UNIX_EPOCH });
        for (before, after) in [
            (None, mark(8, None)),
            (mark(5, None), None),
            (mark(5, sweeps), mark(5, None)),
            (mark(9, sweeps), mark(8, None)),
        ] {
            let group = FallbackGroup { mark: before, ..group(&[], &[]) };
            assert_eq!(group.mark_to_be_raised(), after, "{before:?}");
        }
    }

    #[test]
    fn people_read_how_full_a_group_is() {
        assert_eq!(
            group(&[2], &[]).fullness(),
            "its desired capacity was 8 of at most 18, and each counts as 2"
        );
    }
}

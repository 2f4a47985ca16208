//! How a fallback group comes back: it is kept as long as its Spot group lacks instances, and goes
//! down to what it was before once the Spot group was whole in several sweeps in a row. Meanwhile the
//! Spot group is not shrunk: what came back to it is to take over, and not to be removed as what
//! nobody needs.
//!
//! Which instances of the fallback group go then is for the plan to say, by its rules and within its
//! limits: only those whose tasks find a place. That the group was raised, and from what, its
//! [`FallbackMark`] says.

use jiff::{SignedDuration, Timestamp};

use crate::fallback_mark::{FallbackMark, WholeSweeps};
use crate::ids::GroupName;
use crate::words;

/// Sweeps that follow each other sooner count as one: a schedule's event that is delivered twice, and
/// a person who asks in between, tell nothing new. Lambda tries an event again after one and two
/// minutes (Lambda Developer Guide, invocation-async-error-handling).
pub const SWEEPS_APART: SignedDuration = SignedDuration::from_mins(5);

/// A Spot group, in what it counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpotGroup {
    /// `DesiredCapacity`.
    pub desired_capacity: i64,
    /// What its instances count that are in service, healthy, and not on their way out.
    pub in_service: i64,
}

impl SpotGroup {
    /// Whether it has all that it wants. Such a group launches nothing, so what failed to launch
    /// earlier does not matter any more.
    fn is_whole(self) -> bool {
        self.in_service >= self.desired_capacity
    }
}

/// A raised fallback group and its Spot group.
#[derive(Debug, Clone, Copy)]
pub struct RaisedGroup<'a> {
    /// The fallback group.
    pub name: &'a GroupName,
    /// Its `DesiredCapacity`.
    pub desired_capacity: i64,
    /// What its tag says.
    pub mark: FallbackMark,
    /// The Spot group that it stands in for.
    pub spot_name: &'a GroupName,
    /// That group as it is; `None` if there is no such group.
    pub spot: Option<SpotGroup>,
}

impl RaisedGroup<'_> {
    /// The capacity that the group keeps at least in a sweep: what it was before it was raised, and
    /// more if fewer instances may go. `may_go` is how many the budgets leave for coming back, each of
    /// them of `weight`; `draining` is the capacity that is on its way out of it already, and not held
    /// back.
    pub fn floor(&self, may_go: usize, weight: i64, draining: i64) -> i64 {
        let may_go = i64::try_from(may_go).unwrap_or(i64::MAX).saturating_mul(weight);
        let goes = may_go.saturating_add(draining);
        self.mark.baseline.max(self.desired_capacity.saturating_sub(goes))
    }
}

/// What becomes of a raised fallback group and its Spot group in a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComingBack {
    /// The tag as it is to be; `None` if it is to be removed, as the group has come back.
    pub mark: Option<FallbackMark>,
    /// Why the fallback group is not shrunk now, if so. It never goes below what it was before.
    pub keep_fallback: Option<String>,
    /// Why the Spot group is not shrunk now, if so.
    pub keep_spot: Option<String>,
}

/// Decides how far a fallback group has come back. `sweeps` is how many in a row must find its Spot
/// group whole, at least 1.
///
/// To ask again within [`SWEEPS_APART`], about the tag as it was decided before, decides the same.
pub fn come_back(group: &RaisedGroup<'_>, sweeps: u32, now: Timestamp) -> ComingBack {
    let RaisedGroup { name, spot_name, mark, .. } = group;
    let is_raised = group.desired_capacity > mark.baseline;
    let short = match group.spot {
        None => Some(format!("it stands in for group {spot_name}, which does not exist")),
        Some(spot) if !spot.is_whole() => Some(format!(
            "it stands in for group {spot_name}, which has {} of {} in service",
            spot.in_service, spot.desired_capacity
        )),
        Some(_) => None,
    };
    let whole = short.is_none().then(|| counted(mark.whole, now));
    let number = whole.map_or(0, |whole| whole.number);
    let too_early = (number < sweeps).then(|| {
        let all = words::count(sweeps as usize, "sweep");
        format!("group {spot_name}, which it stands in for, is whole in {number} of {all}")
    });
    // A group that stands as it was may be about to be raised, so that its tag stays for as long as
    // one that is raised would.
    let has_come_back = !is_raised && too_early.is_none();
    ComingBack {
        mark: (!has_come_back).then_some(FallbackMark { whole, ..*mark }),
        keep_fallback: short.or(too_early).filter(|_| is_raised),
        keep_spot: is_raised.then(|| {
            let raised_by = group.desired_capacity - mark.baseline;
            format!("its fallback group {name}, which is raised by {raised_by}, goes first")
        }),
    }
}

/// The sweeps in a row with this one, which finds the Spot group whole.
fn counted(earlier: Option<WholeSweeps>, now: Timestamp) -> WholeSweeps {
    match earlier {
        Some(earlier) if now.duration_since(earlier.last) < SWEEPS_APART => earlier,
        Some(earlier) => WholeSweeps { number: earlier.number.saturating_add(1), last: now },
        None => WholeSweeps { number: 1, last: now },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;
    const BASELINE: i64 = 2;

    fn minutes(number: i64) -> Timestamp {
        START + SignedDuration::from_mins(number)
    }

    /// Group `od`, which was at 2, for group `spot`, which wants 4.
    fn decide(
        desired_capacity: i64,
        in_service: i64,
        whole: Option<WholeSweeps>,
        now: Timestamp,
    ) -> ComingBack {
        let (name, spot_name) = (&GroupName::new("od"), &GroupName::new("spot"));
        let mark = FallbackMark { baseline: BASELINE, whole };
        let spot = Some(SpotGroup { desired_capacity: 4, in_service });
        come_back(&RaisedGroup { name, desired_capacity, mark, spot_name, spot }, 2, now)
    }

    fn whole(number: u32, minute: i64) -> Option<WholeSweeps> {
        Some(WholeSweeps { number, last: minutes(minute) })
    }

    fn mark(whole: Option<WholeSweeps>) -> Option<FallbackMark> {
        Some(FallbackMark { baseline: BASELINE, whole })
    }

    #[test]
    fn a_group_is_kept_while_its_spot_group_is_short() {
        let decided = decide(5, 3, whole(1, 0), minutes(30));
        let short = "it stands in for group spot, which has 3 of 4 in service";
        let first = "its fallback group od, which is raised by 3, goes first";
        assert_eq!(decided.keep_fallback.as_deref(), Some(short));
        assert_eq!(decided.keep_spot.as_deref(), Some(first));
        assert_eq!(decided.mark, mark(None), "it begins anew");
    }

    #[test]
    fn a_group_comes_back_once_its_spot_group_was_whole_in_two_sweeps() {
        let once = decide(5, 4, None, minutes(0));
        let text = "group spot, which it stands in for, is whole in 1 of 2 sweeps";
        assert_eq!(once.keep_fallback.as_deref(), Some(text));
        assert_eq!(once.mark, mark(whole(1, 0)));

        let twice = decide(5, 4, once.mark.unwrap().whole, minutes(30));
        assert_eq!((twice.keep_fallback, twice.mark), (None, mark(whole(2, 30))));
        assert!(twice.keep_spot.is_some(), "what came back to it is not removed instead");
    }

    #[test]
    fn a_group_that_has_come_back_loses_its_tag_and_keeps_nobody() {
        let back = decide(BASELINE, 4, whole(2, 30), minutes(60));
        assert_eq!(back, ComingBack { mark: None, keep_fallback: None, keep_spot: None });
        let about_to_be_raised = decide(BASELINE, 4, None, minutes(60));
        assert_eq!(about_to_be_raised.mark, mark(whole(1, 60)));
        assert_eq!((about_to_be_raised.keep_fallback, about_to_be_raised.keep_spot), (None, None));
    }

    #[test]
    fn a_group_for_one_that_is_gone_is_kept() {
        let (name, spot_name) = (&GroupName::new("od"), &GroupName::new("spot"));
        let mark = FallbackMark { baseline: 0, whole: None };
        let group = RaisedGroup { name, desired_capacity: 1, mark, spot_name, spot: None };
        let decided = come_back(&group, 1, START);
        let text = "it stands in for group spot, which does not exist";
        assert_eq!(decided.keep_fallback.as_deref(), Some(text));
    }

    fn floor(desired_capacity: i64, may_go: usize, weight: i64, draining: i64) -> i64 {
        let (name, spot_name) = (&GroupName::new("od"), &GroupName::new("spot"));
        let mark = FallbackMark { baseline: BASELINE, whole: None };
        let group = RaisedGroup { name, desired_capacity, mark, spot_name, spot: None };
        group.floor(may_go, weight, draining)
    }

    #[test]
    fn a_group_keeps_what_it_was_and_what_the_budgets_do_not_let_go() {
        assert_eq!(floor(7, 0, 1, 0), 7);
        assert_eq!(floor(7, 2, 1, 0), 5);
        assert_eq!(floor(7, 9, 1, 0), BASELINE);
        assert_eq!(floor(7, 1, 3, 0), 4);
        assert_eq!(floor(7, 0, 1, 2), 5, "what drains already goes on");
        assert_eq!(floor(7, 1, 1, 2), 4);
        assert_eq!(floor(1, 9, 1, 0), BASELINE);
    }

    proptest! {
        /// Sweeps at any times, each perhaps twice, while the Spot group comes and goes. A raised
        /// group may shrink only after as many sweeps apart, in a row, found the Spot group whole.
        #[test]
        fn a_group_comes_back_only_after_so_many_sweeps_in_a_row(
            looks in prop::collection::vec((0..12_i64, any::<bool>(), any::<bool>()), 1..30),
            sweeps in 1..5_u32,
        ) {
            let (name, spot_name) = (&GroupName::new("od"), &GroupName::new("spot"));
            let mut mark = FallbackMark { baseline: 1, whole: None };
            let (mut now, mut last, mut in_a_row) = (START, None, 0);
            for (pause, is_whole, twice) in looks {
                now += SignedDuration::from_mins(pause);
                let spot = Some(SpotGroup { desired_capacity: 1, in_service: i64::from(is_whole) });
                let group = RaisedGroup { name, desired_capacity: 3, mark, spot_name, spot };
                let decided = come_back(&group, sweeps, now);
                // An oracle of its own: a count, and when it was last counted.
                if !is_whole {
                    (in_a_row, last) = (0, None);
                } else if last.is_none_or(|last: Timestamp| now >= last + SWEEPS_APART) {
                    (in_a_row, last) = (in_a_row + 1, Some(now));
                }
                prop_assert_eq!(decided.keep_fallback.is_none(), in_a_row >= sweeps);
                prop_assert!(decided.keep_spot.is_some());
                let noted = decided.mark.expect("a raised group keeps its tag");
                prop_assert_eq!(noted.baseline, mark.baseline);
                prop_assert_eq!(FallbackMark::parse(&noted.to_string()), Some(noted));
                if twice {
                    let group = RaisedGroup { mark: noted, ..group };
                    prop_assert_eq!(come_back(&group, sweeps, now), decided);
                }
                mark = noted;
            }
        }
    }
}

//! Scaling down slowly: an instance with tasks goes once it could have gone for some time, and no
//! instance of a group goes for some time after one was taken back there.
//!
//! Time is what counts, not sweeps: one that is delivered twice, or that a person asks for, brings
//! nothing nearer. Writing the attributes is left to the `scale-in-reaper`, and making the plan
//! without what is held back to [`crate::reaper::hold_back`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ebb_planner::{Instance, Inventory, KeepReason, Policy, RemoveReason, plan};
use jiff::{SignedDuration, Timestamp};

use crate::ids::InstanceId;

/// The attribute of a container instance that could go: since when it could, and when a sweep saw
/// that last, as `TIME/TIME`.
pub const LOW_SINCE: &str = "ebb.low-since";

/// The attribute of a container instance whose drain a sweep took back: when that was. It stays, and
/// means nothing once the time is over.
pub const TAKEN_BACK: &str = "ebb.taken-back";

/// From one sweep to the next, by the schedule that comes with the module.
const INTERVAL: SignedDuration = SignedDuration::from_mins(30);

/// By how much a sweep may be early: schedules are not kept to the second, and a sweep may have
/// begun late and taken minutes.
const EARLY_MAX: SignedDuration = SignedDuration::from_mins(10);

/// How long it is believed that an instance could go all the time since a sweep saw it last: sweeps
/// come once a day at least.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_hours(25);

/// How many instances bear [`LOW_SINCE`] at most: ten calls write so many, whatever the size of the
/// cluster.
pub const LOW_MAX: usize = 100;

/// For how long an instance must have been able to go, for so many sweeps in a row.
pub fn low_for(sweeps: u32) -> SignedDuration {
    match sweeps {
        0 | 1 => SignedDuration::ZERO,
        _ => INTERVAL * i32::try_from(sweeps - 1).unwrap_or(i32::MAX) - EARLY_MAX,
    }
}

/// What [`LOW_SINCE`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Low {
    since: Timestamp,
    seen: Timestamp,
}

impl Low {
    /// What it says of an instance; `None` if that is not known, or is of another time.
    fn of(instance: &Instance, now: Timestamp) -> Option<Self> {
        let (since, seen) = instance.attributes.get(LOW_SINCE)?.split_once('/')?;
        let low = Self { since: since.parse().ok()?, seen: seen.parse().ok()? };
        let is_recent =
            low.since <= low.seen && low.seen <= now && now.duration_since(low.seen) <= SEEN_WITHIN;
        is_recent.then_some(low)
    }
}

impl fmt::Display for Low {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.since, self.seen)
    }
}

/// The instances that could go but for the operator's patience, in no more than [`LOW_MAX`] of them
/// that hold tasks. Budgets and shares do not count: what waits for a window has waited.
pub fn could_go(inventory: &Inventory, policy: &Policy, now: Timestamp) -> BTreeSet<InstanceId> {
    let planned = plan(inventory, &policy.without_cap(), now);
    let with_tasks =
        planned.remove.into_iter().filter(|removal| removal.reason != RemoveReason::Empty);
    with_tasks.take(LOW_MAX).map(|removal| removal.instance_id).collect()
}

/// The instances with tasks that could not go for `low_for` yet.
pub fn not_low_for(
    inventory: &Inventory,
    low_for: SignedDuration,
    now: Timestamp,
) -> BTreeMap<InstanceId, KeepReason> {
    let mut held = BTreeMap::new();
    for instance in inventory.instances.iter().filter(|instance| !instance.is_empty()) {
        let since = Low::of(instance, now).map_or(now, |low| low.since);
        if now.duration_since(since) < low_for {
            let goes_from = since.checked_add(low_for).unwrap_or(Timestamp::MAX);
            held.insert(
                instance.instance_id.clone(),
                KeepReason::NotLowForLong { since, goes_from },
            );
        }
    }
    held
}

/// The instances of groups in which a drain was taken back within `hold`.
pub fn held_after_take_back(
    inventory: &Inventory,
    hold: SignedDuration,
    now: Timestamp,
) -> BTreeMap<InstanceId, KeepReason> {
    let mut groups = BTreeMap::new();
    for instance in &inventory.instances {
        let at = instance.attributes.get(TAKEN_BACK).and_then(|at| at.parse::<Timestamp>().ok());
        // A time to come is none that a sweep wrote.
        let at = at.filter(|at| (SignedDuration::ZERO..hold).contains(&now.duration_since(*at)));
        if let (Some(at), Some(group)) = (at, &instance.group) {
            let latest = groups.entry(group).or_insert(at);
            *latest = at.max(*latest);
        }
    }
    let mut held = BTreeMap::new();
    for instance in &inventory.instances {
        let Some(group) = &instance.group else { continue };
        let Some(&taken_back_at) = groups.get(group) else { continue };
        let until = taken_back_at.checked_add(hold).unwrap_or(Timestamp::MAX);
        let reason = KeepReason::TakenBack { group: group.clone(), until };
        held.insert(instance.instance_id.clone(), reason);
    }
    held
}

/// What is to be written: the attribute of each instance that could go, by its index in the
/// inventory, and the instances that lose it as they could not go any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LowMarks {
    /// Whose attribute becomes what.
    pub put: Vec<(usize, Low)>,
    /// Who loses it.
    pub delete: Vec<usize>,
}

/// What is to be written about the instances that could go. What a sweep removes by now needs no
/// attribute.
pub fn low_marks(
    inventory: &Inventory,
    could_go: &BTreeSet<InstanceId>,
    removed: &BTreeSet<&InstanceId>,
    now: Timestamp,
) -> LowMarks {
    // Whole seconds, within the characters that ECS allows.
    let seen = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut marks = LowMarks::default();
    for (index, instance) in inventory.instances.iter().enumerate() {
        if instance.is_draining() || removed.contains(&instance.instance_id) {
            continue;
        }
        if could_go.contains(&instance.instance_id) {
            let since = Low::of(instance, now).map_or(seen, |low| low.since);
            marks.put.push((index, Low { since, seen }));
        } else if instance.attributes.contains_key(LOW_SINCE) {
            marks.delete.push(index);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use ebb_planner::TaskKind;

    use super::*;
    use crate::reaper::hold_back::hold_back;
    use crate::reaper::testing::{NOW, id, instance, inventory, seconds_ago, task};

    const HALF_HOUR: i64 = 1_800;

    fn low(number: u64, since: i64, seen: i64) -> Instance {
        let low = Low { since: seconds_ago(since), seen: seconds_ago(seen) };
        let attributes = [(LOW_SINCE.to_owned(), low.to_string())].into();
        Instance { attributes, tasks: Some(vec![task(TaskKind::Stopping)]), ..instance(number) }
    }

    fn held(instance: Instance, sweeps: u32) -> Option<KeepReason> {
        let held = not_low_for(&inventory(vec![instance]), low_for(sweeps), NOW);
        held.into_values().next()
    }

    #[test]
    fn an_instance_with_tasks_waits_for_so_many_sweeps_and_an_empty_one_for_none() {
        let busy = |number| Instance { attributes: [].into(), ..low(number, 0, 0) };
        assert_eq!(held(busy(1), 1), None);
        assert!(held(busy(1), 2).is_some());
        assert_eq!(held(instance(1), 48), None);
        for (sweeps, since, waits) in [
            (2, HALF_HOUR, false),
            (2, HALF_HOUR - 600, false),
            (2, HALF_HOUR - 601, true),
            (3, HALF_HOUR, true),
            (3, 2 * HALF_HOUR, false),
        ] {
            assert_eq!(held(low(1, since, 0), sweeps).is_some(), waits, "{sweeps}: {since}");
        }
    }

    #[test]
    fn what_nobody_saw_for_a_day_or_wrote_in_the_future_counts_from_now_on() {
        assert_eq!(held(low(1, 100_000, 25 * 3_600), 2), None);
        for (since, seen) in [(100_000, 25 * 3_600 + 1), (100_000, -1), (1_800, 3_600)] {
            assert!(held(low(1, since, seen), 2).is_some(), "{since}/{seen}");
        }
        let mut other = low(1, HALF_HOUR, 0);
        other.attributes.insert(LOW_SINCE.to_owned(), "yesterday".to_owned());
        assert!(held(other, 2).is_some());
    }

    #[test]
    fn a_sweep_that_comes_twice_or_in_between_brings_nothing_nearer() {
        let mut cluster = inventory(vec![low(1, 0, 0)]);
        cluster.instances[0].attributes.clear();
        let could_go = BTreeSet::from([id(1)]);
        let mut went_at = None;
        for minute in 0..40 {
            let now = NOW + SignedDuration::from_mins(minute);
            if not_low_for(&cluster, low_for(2), now).is_empty() {
                went_at = Some(minute);
                break;
            }
            let marks = low_marks(&cluster, &could_go, &BTreeSet::new(), now);
            let value = marks.put[0].1.to_string();
            cluster.instances[0].attributes.insert(LOW_SINCE.to_owned(), value);
        }
        assert_eq!(went_at, Some(20), "by a sweep a minute");
    }

    #[test]
    fn who_could_go_bears_it_and_who_could_not_any_more_loses_it() {
        let draining = Instance {
            status: crate::ecs::ContainerInstanceStatus::Draining,
            ..low(4, HALF_HOUR, 0)
        };
        let cluster = inventory(vec![
            low(1, HALF_HOUR, 60),
            low(2, HALF_HOUR, 60),
            instance(3),
            draining,
            low(5, 9, 9),
        ]);
        let could_go = [1, 3, 5].map(id).into();
        let gone = id(5);
        let marks = low_marks(&cluster, &could_go, &[&gone].into(), NOW);
        let since_half_an_hour = Low { since: seconds_ago(HALF_HOUR), seen: NOW };
        let since_now = Low { since: NOW, seen: NOW };
        assert_eq!(marks.put, [(0, since_half_an_hour), (2, since_now)]);
        assert_eq!(marks.delete, [1]);
    }

    #[test]
    fn a_group_rests_after_one_of_it_was_taken_back() {
        let hold = SignedDuration::from_hours(3);
        let back = |seconds: i64| {
            let attributes = [(TAKEN_BACK.to_owned(), seconds_ago(seconds).to_string())].into();
            Instance { attributes, ..instance(1) }
        };
        for (seconds, rests) in [(0, true), (10_799, true), (10_800, false), (-1, false)] {
            let other_group = Instance { group: None, ..instance(3) };
            let cluster = inventory(vec![back(seconds), instance(2), other_group]);
            let held = held_after_take_back(&cluster, hold, NOW);
            assert_eq!(held.len(), if rests { 2 } else { 0 }, "{seconds} s ago");
        }
    }

    #[test]
    fn the_latest_take_back_of_a_group_decides_until_when_it_rests() {
        let hold = SignedDuration::from_hours(3);
        for times in [[3_600, 60], [60, 3_600]] {
            let instances = (1..).zip(times).map(|(number, seconds)| {
                let attributes = [(TAKEN_BACK.to_owned(), seconds_ago(seconds).to_string())].into();
                Instance { attributes, ..instance(number) }
            });
            let held = held_after_take_back(&inventory(instances.collect()), hold, NOW);
            for reason in held.into_values() {
                let KeepReason::TakenBack { until, .. } = reason else { panic!("{reason:?}") };
                assert_eq!(until, seconds_ago(60) + hold, "{times:?}");
            }
        }
    }

    #[test]
    fn no_patience_is_needed_for_what_is_empty() {
        let empties = inventory((1..=10).map(instance).collect());
        assert_ne!(plan(&empties, &Policy::default(), NOW).remove, []);
        assert_eq!(could_go(&empties, &Policy::default(), NOW), [].into());
    }

    #[test]
    fn what_is_held_back_gives_way_to_others_and_says_why() {
        let cluster = inventory((1..=10).map(instance).collect());
        let policy = Policy { max_removals_percent: 20, ..Policy::default() };
        let planned = plan(&cluster, &policy, NOW);
        let going = planned.remove[0].instance_id.clone();
        let until = NOW;
        let group = planned.remove[0].group.clone();
        let reason = KeepReason::TakenBack { group, until };
        let held = [(going.clone(), reason.clone())].into();
        let replanned = hold_back(planned.clone(), &cluster, &held, &policy, NOW);
        assert_eq!((planned.remove.len(), replanned.remove.len()), (2, 2));
        assert!(replanned.remove.iter().all(|removal| removal.instance_id != going));
        let kept = replanned.keep.iter().find(|kept| kept.instance_id == going).unwrap();
        assert_eq!(kept.reason, reason);
        assert_eq!(replanned.keep.len() + replanned.remove.len(), 10);
    }
}

//! When to look at a drain again: often where its end is near, and seldom where it cannot be.
//!
//! What a look reads, and the wait itself, are left to the `lifecycle-drainer`.

use jiff::{SignedDuration, Timestamp};

use crate::ecs::Task;

/// The first pause once only tasks are left that are told to stop: containers take seconds to stop
/// after SIGTERM, and 30 at most unless their task definition says otherwise (ECS Developer Guide,
/// `task_definition_parameters`, `stopTimeout`).
const STOPPING_PAUSE: SignedDuration = SignedDuration::from_secs(3);

/// How long each drain leaves to the looks of the others where there are many at once: together they
/// make the 20 reads a second that ECS grants (ECS API Reference, request-throttling). Looks that are
/// throttled come later than they would have come by themselves.
const LOOK_SHARE: SignedDuration = SignedDuration::from_millis(50);

/// Each further pause is longer by this many percent: after half a minute they are twice as long.
const STOPPING_PAUSE_GROWTH_PERCENT: i32 = 15;

/// Deregistration delays are multiples of this, by far the most of them: 300 s by default, else 30,
/// 60 or 120 (Elastic Load Balancing, target group attributes).
const DEREGISTRATION_STEP_SECONDS: i128 = 15;

/// How long after a multiple of [`DEREGISTRATION_STEP_SECONDS`] a look comes: ECS needs a moment to
/// go on, and the containers to stop.
const AFTER_DEREGISTRATION: SignedDuration = SignedDuration::from_secs(2);

/// The next look at a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextLook {
    /// How long to wait before it.
    pub pause: SignedDuration,
    /// What it is at.
    pub target: LookTarget,
}

/// What a look is at. One call cannot show both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookTarget {
    /// The tasks that hold the drain.
    Tasks,
    /// The statuses of the container instances: somebody may have set them ACTIVE.
    Statuses,
    /// The group: whether it still waits, and for which other instances.
    Group,
}

/// A pause as long as this leaves time to look at something else than the tasks in between.
const LONG_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// What is known of the looks before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastLooks {
    /// How many there were.
    pub looks: u32,
    /// What [`count_stopping_looks`] says of the last one.
    pub stopping_looks: u32,
    /// How many instances their group waits for, as far as that was looked at: they share ECS's
    /// request rate.
    pub drains_at_once: usize,
}

/// How near the end of a drain is.
enum Stage {
    /// A task has not been told to stop: its service waits for a replacement, or it is standalone.
    NotTold,
    /// The last of the tasks was told then, and leaves its load balancers.
    Deregistering(Timestamp),
    /// Containers stop, or nothing says when their tasks were told.
    Stopping,
}

impl Stage {
    fn of(holding: &[&Task]) -> Self {
        if holding.is_empty() || holding.iter().any(|task| !task.told_to_stop) {
            return Self::NotTold;
        }
        let deactivating: Vec<_> = holding.iter().filter(|task| task.deactivating).collect();
        // The last of them to be told is the last to stop, so the others need no looks of their own.
        let last_stop_request = deactivating.iter().map(|task| task.stopping_at).max().flatten();
        match last_stop_request {
            Some(stop_request) if deactivating.iter().all(|task| task.stopping_at.is_some()) => {
                Self::Deregistering(stop_request)
            }
            _ => Self::Stopping,
        }
    }
}

/// The next look at a drain that is held by these tasks: `poll_interval` from now at most. The first
/// is at the group. Of those after it, every second one at least is at the statuses, but for looks
/// that follow each other within seconds.
///
/// Pauses that nothing else determines are jittered: by up to a tenth less, `jitter` of 0 to 1.
pub fn next_look(
    holding: &[&Task],
    past: PastLooks,
    poll_interval: SignedDuration,
    jitter: f64,
    now: Timestamp,
) -> NextLook {
    let PastLooks { looks, stopping_looks, drains_at_once } = past;
    let in_turn = if looks % 2 == 0 { LookTarget::Statuses } else { LookTarget::Tasks };
    let fair_pause = LOOK_SHARE * i32::try_from(drains_at_once).unwrap_or(i32::MAX);
    let (pause, target) = match Stage::of(holding) {
        Stage::NotTold => {
            let target = if looks == 0 { LookTarget::Group } else { in_turn };
            (jittered(poll_interval, jitter), target)
        }
        Stage::Deregistering(stop_request) => until_next_step(stop_request, now),
        Stage::Stopping => {
            match stopping_pause(stopping_looks).max(fair_pause).min(poll_interval) {
                pause if pause < LONG_PAUSE => (jittered(pause, jitter), LookTarget::Tasks),
                pause => (jittered(pause, jitter), in_turn),
            }
        }
    };
    NextLook { pause: pause.min(poll_interval), target }
}

/// How many looks in a row have shown only tasks whose containers stop, after one more look.
pub fn count_stopping_looks(holding: &[&Task], stopping_looks: u32) -> u32 {
    match Stage::of(holding) {
        Stage::Stopping => stopping_looks.saturating_add(1),
        Stage::NotTold | Stage::Deregistering(_) => 0,
    }
}

/// A pause of up to a tenth less, so that many drains do not call in step.
pub fn jittered(pause: SignedDuration, jitter: f64) -> SignedDuration {
    let share = jitter.clamp(0.0, 1.0).mul_add(-0.1, 1.0);
    SignedDuration::try_from_secs_f64(pause.as_secs_f64() * share).unwrap_or(pause)
}

/// From now to the first moment, more than a second ahead, that follows a whole number of steps
/// after the task was told to stop. After an even number of them a delay may well be over; after an
/// odd one hardly.
fn until_next_step(stop_request: Timestamp, now: Timestamp) -> (SignedDuration, LookTarget) {
    const STEP: i128 = DEREGISTRATION_STEP_SECONDS * 1_000;
    let earliest =
        now.duration_since(stop_request) - AFTER_DEREGISTRATION + SignedDuration::from_secs(1);
    let steps = earliest.as_millis().div_euclid(STEP) + 1;
    let pause = steps * STEP - (earliest.as_millis() - 1_000);
    let target = if steps % 2 == 0 { LookTarget::Tasks } else { LookTarget::Statuses };
    (SignedDuration::from_millis(i64::try_from(pause).unwrap_or(0)), target)
}

fn stopping_pause(stopping_looks: u32) -> SignedDuration {
    let mut pause = STOPPING_PAUSE;
    // After 20 of them a pause is longer than any poll interval.
    for _ in 1..stopping_looks.min(30) {
        pause = pause + pause * STOPPING_PAUSE_GROWTH_PERCENT / 100;
    }
    pause
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TaskArn;

    const POLL: SignedDuration = SignedDuration::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn task(told_to_stop: bool, stopping_at: Option<i64>, deactivating: bool) -> Task {
        Task {
            arn: TaskArn::new("1"),
            service: Some("web".to_owned()),
            told_to_stop,
            stopping_at: stopping_at.map(at),
            deactivating,
            stopped: false,
            stopped_at: None,
            needs: None,
        }
    }

    fn past(looks: u32, stopping_looks: u32) -> PastLooks {
        PastLooks { looks, stopping_looks, drains_at_once: 1 }
    }

    #[test]
    fn many_drains_at_once_share_the_request_rate() {
        let stopping = task(true, Some(0), false);
        let pauses = [1, 20, 50, 150, usize::MAX].map(|drains_at_once| {
            let past = PastLooks { drains_at_once, ..past(1, 1) };
            next_look(&[&stopping], past, POLL, 0.0, at(40)).pause.as_secs()
        });
        assert_eq!(pauses, [3, 3, 3, 7, 15]);
    }

    #[test]
    fn while_a_task_is_not_told_to_stop_looks_are_a_poll_interval_apart() {
        let (running, stopping) = (task(false, None, false), task(true, Some(0), true));
        let holding = [&running, &stopping];
        assert_eq!(count_stopping_looks(&holding, 7), 0);
        let targets = [0, 1, 2].map(|looks| {
            let next = next_look(&holding, past(looks, 0), POLL, 0.0, at(1));
            assert_eq!(next.pause, POLL);
            next.target
        });
        assert_eq!(targets, [LookTarget::Group, LookTarget::Tasks, LookTarget::Statuses]);
        let jittered = next_look(&holding, past(1, 0), POLL, 1.0, at(1)).pause;
        assert_eq!(jittered, SignedDuration::from_millis(13_500));
    }

    #[test]
    fn while_targets_deregister_looks_come_when_a_delay_may_be_over() {
        let (early, late) = (task(true, Some(-9), true), task(true, Some(0), true));
        let mut looks = Vec::new();
        let mut now = at(4);
        for number in 1..=4 {
            let next = next_look(&[&early, &late], past(number, 0), POLL, 1.0, now);
            now += next.pause;
            looks.push((now.duration_since(at(0)).as_secs(), next.target));
        }
        // Two seconds after 15, 30, 45 and 60.
        let (statuses, tasks) = (LookTarget::Statuses, LookTarget::Tasks);
        assert_eq!(looks, [(17, statuses), (32, tasks), (47, statuses), (62, tasks)]);
    }

    #[test]
    fn while_containers_stop_looks_come_seconds_apart_and_then_less_often() {
        let stopping = task(true, Some(0), false);
        let next = |number| next_look(&[&stopping], past(number, number), POLL, 0.0, at(40));
        let pauses = [1, 2, 5, 8, 12, 30].map(|number| next(number).pause.as_secs());
        assert_eq!(pauses, [3, 3, 5, 7, 13, 15]);
        let targets = [8, 12, 13].map(|number| next(number).target);
        assert_eq!(targets, [LookTarget::Tasks, LookTarget::Statuses, LookTarget::Tasks]);
        let unknown = task(true, None, true);
        let next = next_look(&[&unknown], past(1, 1), POLL, 0.0, at(40));
        assert_eq!(next.pause.as_secs(), 3, "so where ECS does not say when it was told");
    }

    #[test]
    fn the_looks_that_follow_each_other_within_seconds_begin_when_the_targets_are_gone() {
        let (deregisters, stops) = (task(true, Some(0), true), task(true, Some(0), false));
        assert_eq!(count_stopping_looks(&[&deregisters, &stops], 3), 0);
        assert_eq!(count_stopping_looks(&[&stops], 0), 1);
        assert_eq!(count_stopping_looks(&[&stops], 1), 2);
        assert_eq!(count_stopping_looks(&[], 2), 0);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_a_poll_interval_nor_shorter_than_most_of_a_second(
            looks in any::<u32>(), stop_request in -1_000_i64..1_000, poll in 1_i64..60, jitter in any::<f64>(),
            deactivating in any::<bool>(),
        ) {
            let stopping = task(true, Some(stop_request), deactivating);
            let poll = SignedDuration::from_secs(poll);
            let pause = next_look(&[&stopping], past(looks, looks), poll, jitter, at(0)).pause;
            prop_assert!(pause <= poll && pause >= SignedDuration::from_millis(900), "{pause}");
        }
    }
}

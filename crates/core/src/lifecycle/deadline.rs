//! When a drain gives up.
//!
//! What happens then is the operator's choice, see [`crate::lifecycle::decide()`].

use jiff::{SignedDuration, Timestamp};

use crate::lifecycle::settings::DRAIN_TIMEOUT_MAX;

/// The deadline of a drain: `drain_timeout` after Auto Scaling sent the message.
///
/// A message may come late: it waits while the function has no free execution, or fails. Its drain
/// is not cut short by that alone: it gets at least half of `drain_timeout`, from the first look at
/// the instance or, once it is DRAINING, from then. So an instance is held for one and a half
/// `drain_timeout`s after the first look at most, never longer than 48 hours, and never beyond its
/// lifecycle action's own end.
pub fn drain_deadline(
    message_time: Option<Timestamp>,
    first_seen: Timestamp,
    draining_since: Option<Timestamp>,
    drain_timeout: SignedDuration,
) -> Timestamp {
    let began = drain_began(message_time, first_seen);
    let grace = drain_timeout / 2;
    let deadline = after(began, drain_timeout)
        .max(after(draining_since.unwrap_or(first_seen).max(first_seen), grace));
    deadline.min(after(first_seen, DRAIN_TIMEOUT_MAX))
}

/// When Auto Scaling began to wait for a drain: its message's own time, where that is known.
///
/// A time that lies ahead, or further back than any action lasts, counts as the first look: it is
/// forged, and must neither hold an instance for longer nor end its drain at once.
pub fn drain_began(message_time: Option<Timestamp>, first_seen: Timestamp) -> Timestamp {
    let is_possible = |time: &Timestamp| {
        let age = first_seen.duration_since(*time);
        (SignedDuration::ZERO..=DRAIN_TIMEOUT_MAX).contains(&age)
    };
    message_time.filter(is_possible).unwrap_or(first_seen)
}

/// The last moment that there is stands for every later one.
fn after(moment: Timestamp, duration: SignedDuration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: SignedDuration = SignedDuration::from_secs(900);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn deadline_seconds(message: Option<i64>, draining: Option<i64>) -> i64 {
        let deadline = drain_deadline(message.map(at), at(0), draining.map(at), TIMEOUT);
        deadline.duration_since(at(0)).as_secs()
    }

    #[test]
    fn it_counts_from_the_message_and_leaves_half_of_it_to_a_late_drain() {
        assert_eq!(deadline_seconds(Some(0), Some(1)), 900);
        assert_eq!(deadline_seconds(Some(-100), Some(1)), 800);
        assert_eq!(deadline_seconds(Some(-600), None), 450, "from the first look");
        assert_eq!(deadline_seconds(Some(-600), Some(30)), 480, "from DRAINING");
        assert_eq!(deadline_seconds(Some(-86_400), Some(0)), 450, "however late");
        assert_eq!(deadline_seconds(None, Some(0)), 900, "without a time, from the first look");
    }

    #[test]
    fn a_time_that_lies_ahead_or_is_out_of_range_gives_no_more() {
        assert_eq!(deadline_seconds(Some(86_400), None), 900);
        for message_time in [Timestamp::MAX, Timestamp::MIN] {
            let deadline = drain_deadline(Some(message_time), at(0), None, TIMEOUT);
            assert!(deadline <= at(900), "{deadline}");
        }
        let latest = drain_deadline(None, Timestamp::MAX, None, DRAIN_TIMEOUT_MAX);
        assert_eq!(latest, Timestamp::MAX);
    }

    #[test]
    fn no_drain_gets_more_than_48_hours() {
        let late = at(0) + DRAIN_TIMEOUT_MAX;
        let deadline = drain_deadline(Some(at(0)), at(0), Some(late), DRAIN_TIMEOUT_MAX);
        assert_eq!(deadline, late);
    }
}

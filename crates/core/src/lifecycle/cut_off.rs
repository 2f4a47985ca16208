//! Whether a lifecycle action ended by its hook's own time-out, with tasks left: then they are cut
//! off, and neither a deadline nor a completion says so.
//!
//! Finding the tasks is left to the `lifecycle-drainer`.

use jiff::Timestamp;

/// How the mark on a container instance begins whose action was ended with tasks left.
const MARK: &str = "ended:";

/// Whether an action that is over can have ended by itself: no heartbeat has come until it expired,
/// or its global time-out has come, which no heartbeat puts off. If not, somebody completed it.
pub fn can_have_timed_out(expires: Timestamp, global_end: Timestamp, now: Timestamp) -> bool {
    now >= expires.min(global_end)
}

/// The mark of an action that was ended with tasks left, and counted, at this moment.
pub fn ended_mark(moment: Timestamp) -> String {
    format!("{MARK}{moment}")
}

/// Whether a mark says that the action of a drain which began then is counted already: by its own
/// chain of hops, or by another that began with a second delivery.
pub fn is_counted(mark: Option<&str>, began: Timestamp) -> bool {
    let moment = mark.and_then(|mark| mark.strip_prefix(MARK)?.parse::<Timestamp>().ok());
    // An instance that went back to its warm pool is drained more than once.
    moment.is_some_and(|moment| moment >= began)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn an_action_ends_by_itself_when_it_expires_or_at_its_global_end() {
        let later = NOW + SignedDuration::from_secs(1);
        assert!(!can_have_timed_out(later, later, NOW));
        assert!(can_have_timed_out(NOW, later, NOW));
        assert!(can_have_timed_out(later, NOW, NOW));
    }

    #[test]
    fn the_mark_of_an_earlier_drain_and_any_other_count_nothing() {
        let mark = ended_mark(NOW);
        assert!(is_counted(Some(&mark), NOW));
        assert!(!is_counted(Some(&mark), NOW + SignedDuration::from_secs(1)));
        for mark in [None, Some("3:00ff00ff"), Some("ended:"), Some("ended:soon")] {
            assert!(!is_counted(mark, NOW), "{mark:?}");
        }
    }
}

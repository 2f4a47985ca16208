//! What becomes of the mark on a container instance that is drained on a notice: whether it says that
//! the instance may come back, and from which notice on.
//!
//! Writing it is left to the `spot-drainer`. What it is good for is decided by
//! `spot::reactivation` and `reaper::follow_up`.

use jiff::Timestamp;

use crate::mark::{Cause, Mark};
use crate::spot::notice::{InterruptionAction, Notice, NoticeKind};

/// What is to be done to the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marking {
    /// Write this one.
    Write(Mark),
    /// Remove the one that is there.
    Remove,
}

/// Decides what becomes of the `mark` on a container instance that is DRAINING by now. `by_us` says
/// whether this invocation set it so. `None` leaves everything as it is, which costs no call: that
/// is so for every termination of an instance without a mark.
pub fn marking(
    notice: &Notice,
    mark: Option<&Mark>,
    by_us: bool,
    function: &str,
    now: Timestamp,
) -> Option<Marking> {
    let cause = cause(&notice.kind);
    // The notice's own time rather than the moment of the drain: whether the instance runs since
    // then is asked later. A time in the future would keep it DRAINING.
    let at = notice.time.unwrap_or(now).min(now);
    let write =
        |cause| Marking::Write(Mark { function: function.to_owned(), at, cause: Some(cause) });
    match mark.filter(|mark| mark.function == function && mark.cause.is_some()) {
        // What others drained, a sweep among them, stays theirs.
        None => cause.filter(|_| by_us).map(write),
        // An earlier notice let it come back, and now it is terminated: nothing may set it to ACTIVE
        // in its last minutes.
        Some(_) if cause.is_none() => Some(Marking::Remove),
        // A recommendation takes nothing back that an interruption has said. A second delivery has
        // the same time, and changes nothing.
        Some(mark) if cause < mark.cause || at.as_second() <= mark.at.as_second() => None,
        Some(_) => cause.map(write),
    }
}

/// Of two notices about one instance, the one that says more: a termination more than an interruption
/// that the instance may outlive, and that more than a recommendation. Of two alike it is the later.
pub fn weightier(a: Notice, b: Notice) -> Notice {
    let weight = |notice: &Notice| {
        let cause = cause(&notice.kind);
        // `None`, which no instance outlives, weighs most.
        (cause.is_none(), cause.map(|cause| cause != Cause::Rebalance), notice.time)
    };
    if weight(&b) > weight(&a) { b } else { a }
}

/// Why it may come back; `None` if it does not, or if nobody knows.
fn cause(kind: &NoticeKind) -> Option<Cause> {
    match kind {
        NoticeKind::RebalanceRecommendation => Some(Cause::Rebalance),
        NoticeKind::CapacityBlockExpiry => None,
        // Where it is stopped, it stays so until somebody starts it on other hardware; its group
        // replaces it before.
        NoticeKind::Retirement(_) => None,
        // Nothing is drained on it.
        NoticeKind::Running => None,
        NoticeKind::SpotInterruption(action)
        | NoticeKind::CapacityReservationInterruption(action) => match action {
            InterruptionAction::Stop => Some(Cause::Stop),
            InterruptionAction::Hibernate => Some(Cause::Hibernate),
            InterruptionAction::Terminate | InterruptionAction::Other(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;

    const FUNCTION: &str = "spot-drainer";
    const NOW: i64 = 10_000;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn notice(kind: NoticeKind, time: i64) -> Notice {
        let instance_id = InstanceId::parse("i-1a2b3c4d").unwrap();
        Notice { instance_id, kind, time: Some(second(time)) }
    }

    fn spot(action: InterruptionAction) -> NoticeKind {
        NoticeKind::SpotInterruption(action)
    }

    #[test]
    fn every_notice_has_its_way_with_every_mark() {
        let kinds = [
            ("rebalance", NoticeKind::RebalanceRecommendation),
            ("stop", spot(InterruptionAction::Stop)),
            ("hibernate", spot(InterruptionAction::Hibernate)),
            ("terminate", spot(InterruptionAction::Terminate)),
            ("no action", spot(InterruptionAction::Other(None))),
        ];
        let marks = [
            "none",
            "person",
            "scale-in-reaper/1970-01-01T02:00:00Z",
            "spot-drainer/1970-01-01T02:00:00Z/rebalance",
            "spot-drainer/1970-01-01T02:00:00Z/stop",
        ];
        let mut lines = Vec::new();
        for (name, kind) in &kinds {
            // Before the marks' time, at it, and after it.
            for time in [7_100, 7_200, 9_000] {
                let words = marks.map(|text| {
                    let mark = Mark::parse(text);
                    let by_us = text == "none";
                    let notice = notice(kind.clone(), time);
                    match marking(&notice, mark.as_ref(), by_us, FUNCTION, second(NOW)) {
                        None => "-".to_owned(),
                        Some(Marking::Remove) => "remove".to_owned(),
                        Some(Marking::Write(mark)) => mark.cause.unwrap().as_str().to_owned(),
                    }
                });
                lines.push(format!("{name} at {time}: {}", words.join(", ")));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        rebalance at 7100: rebalance, -, -, -, -
        rebalance at 7200: rebalance, -, -, -, -
        rebalance at 9000: rebalance, -, -, rebalance, -
        stop at 7100: stop, -, -, -, -
        stop at 7200: stop, -, -, -, -
        stop at 9000: stop, -, -, stop, stop
        hibernate at 7100: hibernate, -, -, -, -
        hibernate at 7200: hibernate, -, -, -, -
        hibernate at 9000: hibernate, -, -, hibernate, hibernate
        terminate at 7100: -, -, -, remove, remove
        terminate at 7200: -, -, -, remove, remove
        terminate at 9000: -, -, -, remove, remove
        no action at 7100: -, -, -, remove, remove
        no action at 7200: -, -, -, remove, remove
        no action at 9000: -, -, -, remove, remove
        ");
    }

    #[test]
    fn a_termination_outweighs_a_stop_and_a_stop_a_recommendation() {
        let rebalance = notice(NoticeKind::RebalanceRecommendation, 300);
        let stop = notice(spot(InterruptionAction::Stop), 200);
        let later_stop = notice(spot(InterruptionAction::Stop), 250);
        let terminate = notice(spot(InterruptionAction::Terminate), 100);
        let ascending = [rebalance, stop, later_stop, terminate];
        for (index, lighter) in ascending.iter().enumerate() {
            for heavier in &ascending[index..] {
                assert_eq!(&weightier(lighter.clone(), heavier.clone()), heavier);
                assert_eq!(&weightier(heavier.clone(), lighter.clone()), heavier);
            }
        }
    }

    #[test]
    fn a_mark_has_the_time_of_its_notice_and_none_in_the_future() {
        let at = |time: Option<i64>| {
            let kind = spot(InterruptionAction::Stop);
            let notice = Notice { time: time.map(second), ..notice(kind, 0) };
            match marking(&notice, None, true, FUNCTION, second(NOW)) {
                Some(Marking::Write(mark)) => mark.at.as_second(),
                decision => panic!("not written: {decision:?}"),
            }
        };
        assert_eq!(at(Some(9_000)), 9_000);
        assert_eq!(at(Some(NOW + 60)), NOW);
        assert_eq!(at(None), NOW);
    }
}

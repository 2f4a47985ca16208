//! What to do about an instance that is about to be taken away, and why.
//!
//! The decision is [`decide`]: from one notice and its container instance, as ECS describes it, to
//! what happens next. Finding the container instance, draining it, and trying again until the time
//! is up is left to the `spot-drainer`.

use jiff::{SignedDuration, Timestamp};

use crate::ecs::{ContainerInstance, ContainerInstanceStatus};
use crate::event::Origin;
use crate::spot::answer::OutcomeKind;
use crate::spot::notice::{Announcement, Notice, NoticeKind};
use crate::spot::settings::SpotSettings;
use crate::words::seconds;

/// How old a notice may be. What it announces is over long before, so the instance is gone or has
/// outlived it: one that is replayed from an archive must not drain a healthy instance. A late one
/// is worth acting on, as the tasks on an instance that is gone are replaced sooner. Not shorter than
/// the scale-in reaper believes a rebalance recommendation (`reaper::follow_up`). A notice that gives
/// a longer warning counts for as long as that.
pub const NOTICE_AGE_MAX: SignedDuration = SignedDuration::from_mins(15);

/// What happens next for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Set the container instance to DRAINING.
    Drain,
    /// Set it to ACTIVE, and remove its mark: it is back.
    Reactivate,
    /// It is back and ACTIVE: only its mark is to be removed.
    Unmark,
    /// It can be neither changed nor given up yet: look again while there is time, then fail, so
    /// that the event runs again.
    LookAgain {
        /// What is in the way.
        why: String,
    },
    /// Nothing more is to be done.
    Done {
        /// What is answered.
        outcome: OutcomeKind,
        /// Why.
        reason: String,
    },
}

/// Decides what to do about an instance that is interrupted. `container_instance` is `None` if
/// every cluster was looked through and none has it; a look-up that failed must not be passed as
/// `None`.
pub fn decide(
    notice: &Notice,
    container_instance: Option<&ContainerInstance>,
    dry_run: bool,
) -> Decision {
    let Some(ContainerInstance { status, .. }) = container_instance else {
        return done(OutcomeKind::NotInCluster, "no cluster has a container instance on it");
    };
    match status {
        ContainerInstanceStatus::Active if dry_run => {
            done(OutcomeKind::WouldDrain, format!("{}; DRY_RUN is set", notice.kind))
        }
        ContainerInstanceStatus::Active => Decision::Drain,
        // Somebody drains it already, be it an earlier delivery, the reaper or a person: nothing is
        // left to do.
        ContainerInstanceStatus::Draining => {
            done(OutcomeKind::AlreadyDraining, "was DRAINING before this notice was handled")
        }
        ContainerInstanceStatus::Deregistering
        | ContainerInstanceStatus::Inactive
        | ContainerInstanceStatus::RegistrationFailed => {
            done(OutcomeKind::Gone, format!("the container instance is {status}"))
        }
        // Only an ACTIVE container instance can be drained (ECS API,
        // UpdateContainerInstancesState), and tasks may be placed on it as soon as it is.
        ContainerInstanceStatus::Registering | ContainerInstanceStatus::Other(_) => {
            Decision::LookAgain { why: format!("the container instance is {status}") }
        }
    }
}

fn done(outcome: OutcomeKind, reason: impl Into<String>) -> Decision {
    Decision::Done { outcome, reason: reason.into() }
}

/// Says why a notice is not acted on, if it is not: the settings say so, it is not about an instance
/// in the function's own account and Region (`home`), or it is older than [`NOTICE_AGE_MAX`] and than
/// its warning is long.
pub fn ignore_reason(
    announcement: &Announcement,
    settings: &SpotSettings,
    home: &Origin,
    now: Timestamp,
) -> Option<String> {
    let kind = &announcement.kind;
    if let Some(why) = announcement.origin.why_foreign(home) {
        return Some(format!("{kind}; {why}"));
    }
    if *kind == NoticeKind::RebalanceRecommendation && !settings.drain_on_rebalance {
        return Some("rebalance recommendation; DRAIN_ON_REBALANCE is not set".to_owned());
    }
    // That an instance runs is checked against its mark, which tells whether that is news.
    let age = now.duration_since(announcement.time?);
    let age_max = NOTICE_AGE_MAX.max(kind.warning());
    (*kind != NoticeKind::Running && age > age_max).then(|| {
        let (age, age_max) = (seconds(age), seconds(age_max));
        format!("{kind} of {age} ago: after more than {age_max} it is over")
    })
}

/// Until when trying again helps: the end of the notice period, or the moment by which the function
/// must answer, whichever is first. May lie in the past, as delivery may be late; a late notice is
/// still acted on, once.
pub fn retry_until(notices: &[Notice], answer_by: Timestamp) -> Timestamp {
    // A notice without a time may be fresh, so it is tried for as long as the invocation lasts.
    match notices.iter().map(interrupted_at).collect::<Option<Vec<_>>>() {
        // The latest of them, as one moment serves the whole batch and no instance may be given up
        // early.
        Some(times) => times.into_iter().max().unwrap_or(answer_by).min(answer_by),
        None => answer_by,
    }
}

/// When EC2 interrupts the instance at the latest, if the notice says when it was given. The event of
/// one that runs again is tried for as long.
fn interrupted_at(notice: &Notice) -> Option<Timestamp> {
    notice.time?.checked_add(notice.kind.warning()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Cluster, ContainerInstanceArn, InstanceId};
    use crate::spot::notice::{InterruptionAction, Subject};

    fn instance_id() -> InstanceId {
        InstanceId::parse("i-1a2b3c4d").unwrap()
    }

    fn notice(kind: NoticeKind, time: Option<&str>) -> Notice {
        Notice { instance_id: instance_id(), kind, time: time.map(|time| time.parse().unwrap()) }
    }

    fn spot_notice(time: Option<&str>) -> Notice {
        notice(NoticeKind::SpotInterruption(InterruptionAction::Terminate), time)
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn container_instance(status: &str) -> ContainerInstance {
        ContainerInstance {
            arn: ContainerInstanceArn::new("arn"),
            cluster: Cluster::new("shop"),
            instance_id: instance_id(),
            status: status.into(),
        }
    }

    fn describe(decision: Decision) -> String {
        match decision {
            Decision::Drain => "drain".to_owned(),
            Decision::Reactivate => "reactivate".to_owned(),
            Decision::Unmark => "unmark".to_owned(),
            Decision::LookAgain { why } => format!("look again: {why}"),
            Decision::Done { outcome, reason } => format!("{}: {reason}", outcome.as_str()),
        }
    }

    #[test]
    fn every_status_has_its_decision_with_and_without_dry_run() {
        let mut lines = Vec::new();
        for status in [
            "none",
            "REGISTERING",
            "REGISTRATION_FAILED",
            "ACTIVE",
            "DRAINING",
            "DEREGISTERING",
            "INACTIVE",
            "NEW_WORD",
        ] {
            let container_instance = (status != "none").then(|| container_instance(status));
            for (dry_run, suffix) in [(false, ""), (true, " (dry run)")] {
                let decision = decide(&spot_notice(None), container_instance.as_ref(), dry_run);
                lines.push(format!("{status}{suffix} -> {}", describe(decision)));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        none -> not_in_cluster: no cluster has a container instance on it
        none (dry run) -> not_in_cluster: no cluster has a container instance on it
        REGISTERING -> look again: the container instance is REGISTERING
        REGISTERING (dry run) -> look again: the container instance is REGISTERING
        REGISTRATION_FAILED -> gone: the container instance is REGISTRATION_FAILED
        REGISTRATION_FAILED (dry run) -> gone: the container instance is REGISTRATION_FAILED
        ACTIVE -> drain
        ACTIVE (dry run) -> would_drain: Spot interruption notice (terminate); DRY_RUN is set
        DRAINING -> already_draining: was DRAINING before this notice was handled
        DRAINING (dry run) -> already_draining: was DRAINING before this notice was handled
        DEREGISTERING -> gone: the container instance is DEREGISTERING
        DEREGISTERING (dry run) -> gone: the container instance is DEREGISTERING
        INACTIVE -> gone: the container instance is INACTIVE
        INACTIVE (dry run) -> gone: the container instance is INACTIVE
        NEW_WORD -> look again: the container instance is NEW_WORD
        NEW_WORD (dry run) -> look again: the container instance is NEW_WORD
        ");
    }

    fn announcement(kind: NoticeKind, at: Option<&str>) -> Announcement {
        let Notice { instance_id, kind, time } = notice(kind, at);
        let subject = Subject::Instances(vec![instance_id]);
        Announcement { subject, kind, time, origin: Origin::default() }
    }

    fn is_ignored(kind: NoticeKind, drain_on_rebalance: bool) -> bool {
        let settings = SpotSettings { drain_on_rebalance, ..SpotSettings::default() };
        let now = time(ANSWER_BY);
        ignore_reason(&announcement(kind, None), &settings, &Origin::default(), now).is_some()
    }

    #[test]
    fn a_notice_counts_for_a_quarter_of_an_hour_and_one_that_it_runs_for_ever() {
        let now = time("2025-03-04T05:15:00Z");
        let home = Origin::default();
        let why = |kind: &NoticeKind, at: &str| {
            let settings = SpotSettings { drain_on_rebalance: true, ..SpotSettings::default() };
            ignore_reason(&announcement(kind.clone(), Some(at)), &settings, &home, now)
        };
        let interruption = NoticeKind::SpotInterruption(InterruptionAction::Stop);
        for kind in [&interruption, &NoticeKind::RebalanceRecommendation] {
            assert_eq!(why(kind, "2025-03-04T05:00:00Z"), None, "{kind}");
            assert_eq!(why(kind, "2025-03-05T05:00:00Z"), None, "{kind}, by a clock that is ahead");
            assert!(why(kind, "2025-03-04T04:59:59Z").is_some(), "{kind}");
        }
        let retirement = NoticeKind::Retirement("AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED".to_owned());
        assert_eq!(why(&retirement, "2025-03-03T05:15:00Z"), None, "its day is still to come");
        assert!(why(&retirement, "2025-03-03T05:14:59Z").is_some());
        assert_eq!(why(&NoticeKind::Running, "2024-03-04T05:00:00Z"), None);
        insta::assert_snapshot!(
            why(&interruption, "2025-03-03T05:15:00Z").unwrap(),
            @"Spot interruption notice (stop) of 86400 s ago: after more than 900 s it is over"
        );
    }

    #[test]
    fn only_the_rebalance_recommendation_asks_for_a_setting() {
        assert!(is_ignored(NoticeKind::RebalanceRecommendation, false));
        assert!(!is_ignored(NoticeKind::RebalanceRecommendation, true));
        let interruption = NoticeKind::SpotInterruption(InterruptionAction::Stop);
        assert!(!is_ignored(interruption, false));
        let reclaimed = NoticeKind::CapacityReservationInterruption(InterruptionAction::Terminate);
        assert!(!is_ignored(reclaimed, false));
    }

    const ANSWER_BY: &str = "2025-03-04T05:07:00Z";

    /// Until when notices of these times are tried again.
    fn retried_until(times: &[Option<&str>]) -> Timestamp {
        let notices: Vec<_> = times.iter().map(|time| spot_notice(*time)).collect();
        retry_until(&notices, time(ANSWER_BY))
    }

    #[test]
    fn trying_again_ends_with_the_notice_period_or_with_the_invocation() {
        let early = retried_until(&[Some("2025-03-04T05:04:30Z")]);
        assert_eq!(early, time("2025-03-04T05:06:30Z"), "notice period");
        let late = retried_until(&[Some("2025-03-04T05:05:30Z")]);
        assert_eq!(late, time(ANSWER_BY), "invocation");
        assert_eq!(retried_until(&[None]), time(ANSWER_BY), "a notice without a time");
        let several = retried_until(&[Some("2025-03-04T05:03:00Z"), Some("2025-03-04T05:04:00Z")]);
        assert_eq!(several, time("2025-03-04T05:06:00Z"), "the last of several");
        let long_past = retried_until(&[Some("2020-01-01T00:00:00Z")]);
        assert!(long_past < time(ANSWER_BY), "a late notice leaves no time to try again");
    }
}

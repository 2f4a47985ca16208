//! What to do about an instance that is about to be taken away, and why; and the answer that says so.
//!
//! The decision is [`decide`]: from one notice's instance as ECS shows it to what happens next. Finding the container
//! instance, draining it, and looking again until the time is up is left to the `spot-drainer`.

use std::fmt;

use aws_lambda_events::sqs::BatchItemFailure;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::ecs::{ContainerInstance, ContainerInstanceStatus};
use crate::event::notice::{Notice, NoticeKind};
use crate::ids::{ContainerInstanceArn, InstanceId};
use crate::settings::SpotSettings;

/// How long EC2 waits between an interruption notice and the interruption.
/// Source: EC2 User Guide, spot-instance-termination-notices.
pub const NOTICE_PERIOD: SignedDuration = SignedDuration::from_secs(120);

/// What happens next for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Set the container instance to DRAINING.
    Drain,
    /// It can be neither drained nor given up yet: look again while there is time, then fail, so that the event runs
    /// again.
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

/// Decides what to do about an instance of which EC2 gave notice. `seen` is its container instance, or `None` if every
/// cluster was looked through and none has it; a look-up that failed must not be passed as `None`.
pub fn decide(notice: &Notice, seen: Option<&ContainerInstance>, dry_run: bool) -> Decision {
    let done = |outcome, reason: &str| Decision::Done { outcome, reason: reason.to_owned() };
    let Some(seen) = seen else {
        return done(OutcomeKind::NotInCluster, "no cluster has a container instance on it");
    };
    match &seen.status {
        ContainerInstanceStatus::Active if dry_run => {
            done(OutcomeKind::WouldDrain, &format!("{}; DRY_RUN is set", notice.kind))
        }
        ContainerInstanceStatus::Active => Decision::Drain,
        ContainerInstanceStatus::Draining => {
            done(OutcomeKind::AlreadyDraining, "was DRAINING before this notice was handled")
        }
        ContainerInstanceStatus::Deregistering
        | ContainerInstanceStatus::Inactive
        | ContainerInstanceStatus::RegistrationFailed => {
            done(OutcomeKind::Gone, &format!("the container instance is {}", seen.status))
        }
        // Only an ACTIVE container instance can be drained (ECS API, UpdateContainerInstancesState), and tasks may be
        // placed on it as soon as it is.
        ContainerInstanceStatus::Registering | ContainerInstanceStatus::Other(_) => {
            Decision::LookAgain { why: format!("the container instance is {}", seen.status) }
        }
    }
}

/// Says why a notice is not acted on, if the settings say that it is not.
pub fn ignore_reason(notice: &Notice, settings: &SpotSettings) -> Option<String> {
    let unwanted =
        notice.kind == NoticeKind::RebalanceRecommendation && !settings.drain_on_rebalance;
    unwanted.then(|| "rebalance recommendation; DRAIN_ON_REBALANCE is not set".to_owned())
}

/// Until when trying again helps: the end of the notice period, or the moment by which the function must answer,
/// whichever is first. May lie in the past, as delivery may be late; a late notice is still acted on, once.
pub fn retry_until(notices: &[Notice], answer_by: Timestamp) -> Timestamp {
    let interrupted_at =
        |notice: &Notice| notice.time.and_then(|time| time.checked_add(NOTICE_PERIOD).ok());
    match notices.iter().map(interrupted_at).collect::<Option<Vec<_>>>() {
        Some(times) => times.into_iter().max().unwrap_or(answer_by).min(answer_by),
        None => answer_by,
    }
}

/// How an instance of which EC2 gave notice came off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Set to DRAINING by this invocation.
    Draining,
    /// Somebody set it to DRAINING before: the agent, another drainer, or an earlier delivery of the notice.
    AlreadyDraining,
    /// No cluster has a container instance on it. Normal: not every instance belongs to ECS.
    NotInCluster,
    /// Not an event to act on.
    Ignored,
    /// The container instance has left, or is leaving, its cluster.
    Gone,
    /// It would have been drained, had `DRY_RUN` not been set.
    WouldDrain,
}

impl OutcomeKind {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Draining,
        Self::AlreadyDraining,
        Self::NotInCluster,
        Self::Ignored,
        Self::Gone,
        Self::WouldDrain,
    ];

    /// The word in the answer and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::AlreadyDraining => "already_draining",
            Self::NotInCluster => "not_in_cluster",
            Self::Ignored => "ignored",
            Self::Gone => "gone",
            Self::WouldDrain => "would_drain",
        }
    }
}

/// What was done about one instance, or about one event that names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The EC2 instance; absent for an event that is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// How it came off.
    pub outcome: OutcomeKind,
    /// The name of the cluster it was found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its container instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<ContainerInstanceArn>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the function returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// One entry an instance that was dealt with, and one an event that was ignored.
    pub outcomes: Vec<Outcome>,
    /// The messages of an SQS batch that must be delivered again. Empty for every other source.
    /// The key is Lambda's (Lambda Developer Guide, services-sqs-errorhandling).
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<BatchItemFailure>,
}

impl Answer {
    /// The outcomes of this kind.
    pub fn of_kind(&self, kind: OutcomeKind) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.outcome == kind)
    }
}

/// The answer as one line of a log: `2 draining, 1 not_in_cluster, 1 to be delivered again`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = OutcomeKind::ALL
            .iter()
            .map(|&kind| (self.of_kind(kind).count(), kind.as_str()))
            .filter(|&(count, _)| count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if !self.batch_item_failures.is_empty() {
            parts.push(format!("{} to be delivered again", self.batch_item_failures.len()));
        }
        f.write_str(
            if parts.is_empty() { "nothing done".to_owned() } else { parts.join(", ") }.as_str(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::notice::InterruptionAction;
    use crate::ids::Cluster;

    fn instance_id() -> InstanceId {
        InstanceId::parse("i-1a2b3c4d").unwrap()
    }

    fn notice(kind: NoticeKind, time: Option<&str>) -> Notice {
        Notice { instance_id: instance_id(), kind, time: time.map(|time| time.parse().unwrap()) }
    }

    fn spot_notice(time: Option<&str>) -> Notice {
        notice(NoticeKind::SpotInterruption(InterruptionAction::Terminate), time)
    }

    #[test]
    fn every_status_has_its_decision_with_and_without_dry_run() {
        let words = [
            "none",
            "REGISTERING",
            "REGISTRATION_FAILED",
            "ACTIVE",
            "DRAINING",
            "DEREGISTERING",
            "INACTIVE",
            "NEW_WORD",
        ];
        let rows = words.iter().flat_map(|&word| [false, true].map(|dry_run| (word, dry_run))).map(
            |(word, dry_run)| {
                let seen = (word != "none").then(|| ContainerInstance {
                    arn: ContainerInstanceArn::new("arn"),
                    cluster: Cluster::new("shop"),
                    instance_id: instance_id(),
                    status: word.into(),
                });
                let said = match decide(&spot_notice(None), seen.as_ref(), dry_run) {
                    Decision::Drain => "drain".to_owned(),
                    Decision::LookAgain { why } => format!("look again: {why}"),
                    Decision::Done { outcome, reason } => format!("{}: {reason}", outcome.as_str()),
                };
                format!("{word}{} -> {said}", if dry_run { " (dry run)" } else { "" })
            },
        );
        insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r"
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

    #[test]
    fn only_the_rebalance_recommendation_asks_for_a_setting() {
        let settings =
            |drain_on_rebalance| SpotSettings { drain_on_rebalance, ..SpotSettings::default() };
        let ignored = |kind, drain| ignore_reason(&notice(kind, None), &settings(drain)).is_some();

        assert!(ignored(NoticeKind::RebalanceRecommendation, false));
        assert!(!ignored(NoticeKind::RebalanceRecommendation, true));
        assert!(!ignored(NoticeKind::SpotInterruption(InterruptionAction::Stop), false));
        assert!(!ignored(
            NoticeKind::CapacityReservationInterruption(InterruptionAction::Terminate),
            false
        ));
    }

    #[test]
    fn trying_again_ends_with_the_notice_period_or_with_the_invocation() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let answer_by = time("2025-03-04T05:07:00Z");
        let until = |notices: &[Notice]| retry_until(notices, answer_by);

        assert_eq!(
            until(&[spot_notice(Some("2025-03-04T05:04:30Z"))]),
            time("2025-03-04T05:06:30Z"),
            "notice period"
        );
        assert_eq!(until(&[spot_notice(Some("2025-03-04T05:05:30Z"))]), answer_by, "invocation");
        assert_eq!(until(&[spot_notice(None)]), answer_by, "a notice without a time");
        assert_eq!(
            until(&[
                spot_notice(Some("2025-03-04T05:03:00Z")),
                spot_notice(Some("2025-03-04T05:04:00Z"))
            ]),
            time("2025-03-04T05:06:00Z"),
            "the last of several"
        );
        assert!(
            until(&[spot_notice(Some("2020-01-01T00:00:00Z"))]) < answer_by,
            "a late notice leaves no time to try again"
        );
    }

    #[test]
    fn outcome_words_in_the_answer_and_in_the_log_are_the_same() {
        for kind in OutcomeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn the_answer_leaves_out_what_is_not_known() {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = "message-1".to_owned();
        let outcomes = vec![
            Outcome {
                instance_id: Some(instance_id()),
                outcome: OutcomeKind::Draining,
                cluster: Some("shop".to_owned()),
                container_instance_arn: Some(ContainerInstanceArn::new(
                    "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/1",
                )),
                reason: Some("Spot interruption notice (terminate)".to_owned()),
            },
            Outcome {
                instance_id: None,
                outcome: OutcomeKind::Ignored,
                cluster: None,
                container_instance_arn: None,
                reason: None,
            },
        ];
        let answer = Answer { outcomes, batch_item_failures: vec![failure] };

        insta::assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
        {
          "outcomes": [
            {
              "instance_id": "i-1a2b3c4d",
              "outcome": "draining",
              "cluster": "shop",
              "container_instance_arn": "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/1",
              "reason": "Spot interruption notice (terminate)"
            },
            {
              "outcome": "ignored"
            }
          ],
          "batchItemFailures": [
            {
              "itemIdentifier": "message-1"
            }
          ]
        }
        "#);
        assert_eq!(answer.to_string(), "1 draining, 1 ignored, 1 to be delivered again");
    }
}

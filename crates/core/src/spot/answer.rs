//! What the `spot-drainer` answers: one outcome per interrupted instance, and the messages to be
//! delivered again.
//!
//! Logging it and counting it in metrics is left to the function.

use std::fmt;

use aws_lambda_events::sqs::BatchItemFailure;
use serde::Serialize;

use crate::ids::{ContainerInstanceArn, InstanceId};
use crate::outcome::{list_or, outcomes, serialize_reason, tally};

outcomes! {
    /// The outcome for one interrupted instance.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum OutcomeKind {
        /// Set to DRAINING by this invocation.
        Draining = "draining", metric "Draining",
        /// Somebody set it to DRAINING before: the agent, another drainer, or an earlier delivery
        /// of the notice.
        AlreadyDraining = "already_draining", metric "AlreadyDraining",
        /// No cluster has a container instance on it. Normal: not every instance belongs to ECS.
        NotInCluster = "not_in_cluster", metric "NotInCluster",
        /// Not an event to act on.
        Ignored = "ignored", metric "Ignored",
        /// The container instance has left, or is leaving, its cluster.
        Gone = "gone", metric "Gone",
        /// Left as it is: EC2 recommends to rebalance it, and its tasks are not certain to find a
        /// place on the rest of its cluster.
        NoRoom = "no_room", metric "NoRoom",
        /// `DRY_RUN` is set: it would have been drained.
        WouldDrain = "would_drain", metric "WouldDrain",
        /// Drained by this function before, and back: it is ACTIVE again.
        Reactivated = "reactivated", metric "Reactivated",
        /// Drained by this function before, and its EC2 instance runs again, but its agent is not
        /// connected. It is still DRAINING.
        NotReactivated = "not_reactivated", metric "NotReactivated",
        /// `DRY_RUN` is set: it would have been set to ACTIVE.
        WouldReactivate = "would_reactivate", metric "WouldReactivate",
    }
}

/// What was done about one instance, or about one event that names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The EC2 instance; absent for an event that is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// The outcome.
    pub outcome: OutcomeKind,
    /// The name of the cluster it was found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its container instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<ContainerInstanceArn>,
    /// Why. Cut where it is long.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_reason")]
    pub reason: Option<String>,
}

/// What the function returns.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    /// One entry per instance that was dealt with, and one per event that was ignored.
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
        let counts = OutcomeKind::ALL.map(|kind| (self.of_kind(kind).count(), kind.as_str()));
        let mut parts = tally(counts);
        if !self.batch_item_failures.is_empty() {
            parts.push(format!("{} to be delivered again", self.batch_item_failures.len()));
        }
        f.write_str(&list_or("nothing done", &parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance_id() -> InstanceId {
        InstanceId::parse("i-1a2b3c4d").unwrap()
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

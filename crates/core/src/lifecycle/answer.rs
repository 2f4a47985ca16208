//! What the `lifecycle-drainer` answers: one outcome per message, and the messages to be delivered
//! again.
//!
//! Logging it and counting it in metrics is left to the function.

use std::fmt;

use aws_lambda_events::sqs::BatchItemFailure;
use serde::Serialize;

use crate::ids::InstanceId;
use crate::lifecycle::decide::TasksLeft;
use crate::outcome::{list_or, outcomes, serialize_reason, tally};

outcomes! {
    /// The outcome for one lifecycle message.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum OutcomeKind {
        /// The action was completed with CONTINUE, or was completed already.
        Completed = "completed", metric "Completed",
        /// The message was published again, for the next hop.
        Republished = "republished", metric "Republished",
        /// The deadline has passed, and what the operator chose was done.
        TimedOut = "timed_out", metric "TimedOut",
        /// The action ended by its hook's own time-out, and its tasks were cut off.
        HookTimedOut = "hook_timed_out", metric "HookTimedOut",
        /// The deadline has passed, and the group keeps the instance with its tasks.
        Retained = "retained", metric "Retained",
        /// The instance is back with a new root volume, and its container instance ACTIVE again.
        Reactivated = "reactivated", metric "Reactivated",
        /// Not a message to act on.
        Ignored = "ignored", metric "Ignored",
        /// `DRY_RUN` is set: it would have been drained.
        WouldDrain = "would_drain", metric "WouldDrain",
    }
}

/// What was done about one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The instance; absent for a message that is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// The outcome.
    pub outcome: OutcomeKind,
    /// The name of the cluster it was found in; of the first, should there be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why. Cut where it is long.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_reason")]
    pub reason: Option<String>,
    /// The tasks that had not stopped when they were last counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_left: Option<TasksLeft>,
    /// The number of this hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<u64>,
}

/// What the function returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// One entry per message.
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

/// The answer as one line of a log: `1 completed, 1 ignored, 1 to be delivered again`.
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

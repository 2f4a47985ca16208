//! What the `lifecycle-drainer` answers: one outcome for each message.

use std::fmt;

use serde::Serialize;

use crate::ids::InstanceId;
use crate::lifecycle::decide::TasksLeft;

/// How a lifecycle message came off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The action was completed with CONTINUE, or was completed already.
    Completed,
    /// The message was published again, for the next hop.
    Republished,
    /// The deadline has passed, and what the operator chose was done.
    TimedOut,
    /// Not a message to act on.
    Ignored,
    /// It would have been drained, had `DRY_RUN` not been set.
    WouldDrain,
}

impl OutcomeKind {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Republished, Self::TimedOut, Self::Ignored, Self::WouldDrain];

    /// The word in the answer and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Republished => "republished",
            Self::TimedOut => "timed_out",
            Self::Ignored => "ignored",
            Self::WouldDrain => "would_drain",
        }
    }
}

/// What was done about one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The instance; absent for a message that is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// How it came off.
    pub outcome: OutcomeKind,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tasks that had not stopped when they were last counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_left: Option<TasksLeft>,
    /// The number of this hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<u64>,
}

/// What the function returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// One entry a message.
    pub outcomes: Vec<Outcome>,
}

impl Answer {
    /// The outcomes of this kind.
    pub fn of_kind(&self, kind: OutcomeKind) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.outcome == kind)
    }
}

/// The answer as one line of a log: `1 completed, 1 ignored`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts =
            OutcomeKind::ALL.iter().map(|&kind| (self.of_kind(kind).count(), kind.as_str()));
        let parts: Vec<_> = counts
            .filter(|&(count, _)| count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        f.write_str(
            if parts.is_empty() { "nothing done".to_owned() } else { parts.join(", ") }.as_str(),
        )
    }
}

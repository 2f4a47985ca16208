//! Where a function waits in a story, and what may befall it there.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::fault::Fault;

/// What befalls a function at an await point.
#[derive(Clone, Copy)]
pub enum Mishap {
    /// Its process dies. Calls that are on their way never arrive.
    Killed,
    /// The call that is on its way, and so many in all of its operation, meet a fault.
    Fault(Fault, u32),
    /// What it deals with is delivered once more.
    Doubled,
    /// What its first invocation dealt with is delivered once more.
    OutOfOrder,
    /// From then on reads lag behind by so much at most.
    Lag(Duration),
}

impl Mishap {
    /// What may befall any function anywhere, and must harm nobody.
    pub const ANYWHERE: [Self; 9] = [
        Self::Killed,
        Self::Fault(Fault::Throttle, 8),
        Self::Fault(Fault::ServerError, 1),
        Self::Fault(Fault::Timeout, 1),
        // As of an execution that was frozen for minutes: every connection in its pool is stale.
        Self::Fault(Fault::ConnectionReset, 3),
        Self::Fault(Fault::AnswerLost, 1),
        Self::Doubled,
        Self::OutOfOrder,
        Self::Lag(Duration::from_secs(5)),
    ];

    /// Whether it is something else at this await point than at the one before.
    pub(super) fn may_befall(self, stage: Stage) -> bool {
        match self {
            Self::Killed => true,
            Self::Fault(..) => stage == Stage::Sent,
            Self::Doubled | Self::OutOfOrder | Self::Lag(_) => stage != Stage::Answered,
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("killed"),
            Self::Fault(fault, calls) => write!(f, "{fault:?} x{calls}"),
            Self::Doubled => f.write_str("doubled"),
            Self::OutOfOrder => f.write_str("out of order"),
            Self::Lag(most) => write!(f, "lag of {} s", most.as_secs()),
        }
    }
}

/// What a function waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A call is on its way.
    Sent,
    /// A call has taken effect, and its answer is on its way.
    Answered,
    /// It pauses after a call.
    Pause,
}

/// Where a function waits in a story.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AwaitPoint {
    pub(super) moment: Timestamp,
    /// The call, or the one before a pause.
    pub operation: String,
    /// What is waited for.
    pub stage: Stage,
    /// The operations that its invocation has called before with success.
    pub(super) earlier: BTreeSet<String>,
}

impl AwaitPoint {
    /// Whether such a call of its invocation has taken effect by then.
    pub fn is_after(&self, operation: &str) -> bool {
        let is_answered = self.stage != Stage::Sent && self.operation == operation;
        is_answered || self.earlier.contains(operation)
    }
}

impl fmt::Display for AwaitPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Sent => "sent",
            Stage::Answered => "answer",
            Stage::Pause => "pause after",
        };
        write!(f, "{} {stage}", self.operation)
    }
}

//! Where a function waits in a story, and what may befall it there.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::fault::Fault;
use crate::world::World;

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
    /// A service refuses every call for so long, and no other does.
    Throttled(Service, Duration),
    /// From then on a connection is closed that was idle for so long, as under a frozen execution.
    IdleConnections(Duration),
    /// Something changes that must make no difference in the end: what, and how.
    Changed(&'static str, fn(&mut World)),
    /// Something goes that the story is about: what, and how. Nothing of it may be left half done.
    Gone(&'static str, fn(&mut World)),
}

/// What Ebb calls of EC2 Auto Scaling.
const AUTO_SCALING_OPERATIONS: [&str; 10] = [
    "CompleteLifecycleAction",
    "CreateOrUpdateTags",
    "DeleteTags",
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeInstanceRefreshes",
    "DescribeLifecycleHooks",
    "RecordLifecycleActionHeartbeat",
    "SetDesiredCapacity",
    "TerminateInstanceInAutoScalingGroup",
];

/// A service that refuses calls while the others answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// EC2 Auto Scaling.
    AutoScaling,
    /// Amazon SNS.
    Sns,
}

impl Service {
    pub(super) fn operations(self) -> &'static [&'static str] {
        match self {
            Self::AutoScaling => &AUTO_SCALING_OPERATIONS,
            Self::Sns => &["Publish"],
        }
    }
}

impl Mishap {
    /// What may befall any function anywhere, and must harm nobody.
    pub const ANYWHERE: [Self; 12] = [
        Self::Killed,
        Self::Fault(Fault::Throttle, 8),
        Self::Fault(Fault::ServerError, 1),
        Self::Fault(Fault::Timeout, 1),
        Self::Fault(Fault::ConnectionReset, 3),
        Self::Fault(Fault::AnswerLost, 1),
        Self::Doubled,
        Self::OutOfOrder,
        Self::Lag(Duration::from_secs(5)),
        Self::Throttled(Service::AutoScaling, Duration::from_secs(30)),
        Self::Throttled(Service::Sns, Duration::from_secs(30)),
        Self::IdleConnections(Duration::from_secs(5)),
    ];

    /// Whether it is something else at this await point than at the one before.
    pub(super) fn may_befall(self, point: &AwaitPoint) -> bool {
        let AwaitPoint { operation, stage, earlier, .. } = point;
        match self {
            Self::Killed => true,
            Self::Fault(..) => *stage == Stage::Sent,
            Self::Throttled(service, _) => {
                *stage == Stage::Sent && service.operations().contains(&operation.as_str())
            }
            // What is frozen has just begun, or waits.
            Self::IdleConnections(_) => earlier.is_empty() || *stage == Stage::Pause,
            Self::Doubled
            | Self::OutOfOrder
            | Self::Lag(_)
            | Self::Changed(..)
            | Self::Gone(..) => *stage != Stage::Answered,
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
            Self::Throttled(service, time) => {
                write!(f, "{service:?} for {} s", time.as_secs())
            }
            Self::IdleConnections(limit) => write!(f, "frozen over {} s", limit.as_secs()),
            Self::Changed(what, _) | Self::Gone(what, _) => f.write_str(what),
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

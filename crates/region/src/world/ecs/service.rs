//! Services: how many tasks they keep.

use jiff::Timestamp;

use super::placement_rules::Placement;
use super::task_spec::TaskSpec;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// How its tasks are spread.
    pub kind: ServiceKind,
    /// What its tasks need.
    pub spec: TaskSpec,
    /// Where its tasks go.
    pub placement: Placement,
    /// Whether it says that it keeps its Availability Zones balanced. It does not do so here.
    pub zone_rebalancing: bool,
    /// Whether it says that a deployment is going on. None is here.
    pub deployment_in_progress: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether its scheduler is to look at it soon already.
    pub(in crate::world) reconcile_planned: bool,
    /// How many tasks it has started, to number them.
    pub(in crate::world) started: u32,
}

/// How a service's tasks are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// A number of tasks.
    Replica {
        /// How many.
        desired: usize,
        /// `minimumHealthyPercent`.
        min_percent: usize,
        /// `maximumPercent`.
        max_percent: usize,
    },
    /// One task on each container instance.
    Daemon,
}

impl ServiceKind {
    /// AWS's word: `schedulingStrategy`.
    pub fn scheduling_strategy(self) -> &'static str {
        match self {
            Self::Replica { .. } => "REPLICA",
            Self::Daemon => "DAEMON",
        }
    }

    /// A replica service with ECS's defaults: 100 % at least, 200 % at most.
    pub const fn replica(desired: usize) -> Self {
        Self::Replica { desired, min_percent: 100, max_percent: 200 }
    }
}

//! Services: how many tasks they keep.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::capacity_provider_strategy::Capacity;
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
    /// By which capacity providers they are placed.
    pub capacity: Capacity,
    /// Whether it keeps its Availability Zones balanced.
    pub zone_rebalancing: bool,
    /// The target groups of its load balancers, by their ARNs.
    pub target_groups: Vec<String>,
    /// What it says of its deployments. None takes place here.
    pub deployments: Deployments,
    /// AWS's word for how a deployment replaces tasks: `deploymentConfiguration.strategy`.
    pub deployment_strategy: &'static str,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether its scheduler is to look at it soon already.
    pub(in crate::world) reconcile_planned: bool,
    /// How many tasks it has started, to number them.
    pub(in crate::world) started: u32,
}

/// What a service says of its deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployments {
    /// The only one is complete.
    Completed,
    /// The only one is in progress: it is the first, or its tasks are never healthy for long.
    FirstInProgress,
    /// One is in progress, and the one that it replaces is still there.
    ReplacementInProgress,
    /// One is in progress, and tasks of it have failed.
    Failing,
    /// The only one has failed, and was not rolled back.
    Failed,
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

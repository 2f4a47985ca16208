//! One sweep: what it may do, how long it may take, and what it has read so far.

use std::collections::BTreeMap;

use ebb_aws::{Clients, Clock, Ecs};
use ebb_core::ids::GroupName;
use ebb_core::reaper::services::TaskRequirements;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_planner::Policy;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

/// The function's name, as in logs and metrics, and in the marks on what it drains.
pub const FUNCTION: &str = "scale-in-reaper";

/// With less time than this nothing new is begun: a drain that was begun is to be carried on, or
/// taken back. It is half of the time if that is less.
const ACT_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// One sweep over every cluster.
pub(crate) struct Sweep<'a> {
    pub(crate) clients: &'a Clients,
    /// ECS, read no faster than leaves room for everybody else.
    pub(crate) paced_ecs: Ecs,
    pub(crate) settings: &'a ReaperSettings,
    pub(crate) mode: ReaperMode,
    pub(crate) policy: Policy,
    pub(crate) clock: Clock,
    /// When nothing new is begun any more.
    act_by: Timestamp,
    /// Task definitions never change: each is read once.
    pub(crate) task_requirements: Mutex<BTreeMap<String, TaskRequirements>>,
    /// Whether groups hold an instance until it is empty. Each group is asked once.
    pub(crate) holding_groups: Mutex<BTreeMap<GroupName, bool>>,
}

impl<'a> Sweep<'a> {
    /// Begins a sweep that is cut off at `deadline`.
    pub(crate) fn new(
        clients: &'a Clients,
        settings: &'a ReaperSettings,
        mode: ReaperMode,
        clock: Clock,
        deadline: Timestamp,
    ) -> Self {
        let time_left = deadline.duration_since(clock.now());
        Self {
            clients,
            paced_ecs: clients.ecs.paced(),
            settings,
            mode,
            policy: settings.policy(),
            clock,
            act_by: deadline - ACT_MARGIN.min(time_left / 2),
            task_requirements: Mutex::default(),
            holding_groups: Mutex::default(),
        }
    }

    /// Whether there is time to begin something new.
    pub(crate) fn has_time(&self) -> bool {
        self.clock.now() < self.act_by
    }
}

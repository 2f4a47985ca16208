//! What the operator allows a sweep to do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::budgets::{Allowance, Allowances, Budgets, Defaults, DisruptionReason};
use crate::ids::GroupName;

/// The limits of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The share of CPU on usable instances that must be free after the plan, in percent.
    pub headroom_cpu_percent: u32,
    /// The share of memory on usable instances that must be free after the plan, in percent.
    pub headroom_memory_percent: u32,
    /// The tasks that there must be room for after the plan, beside those shares.
    pub task_headroom: TaskHeadroom,
    /// The share of the usable instances that one sweep may remove, in percent, rounded up.
    /// Instances that drain already count.
    pub max_removals_percent: u32,
    /// The share of the usable instances that one sweep may remove beyond that, in percent, rounded
    /// up, if nothing but daemon tasks is on them. Instances that drain already count here as well.
    /// Without meaning where `max_removals_percent` is 0: nothing goes then.
    pub max_empty_removals_percent: u32,
    /// How many may go at some times or for some reasons, in place of those two shares.
    pub budgets: Budgets,
    /// How many usable instances are always left.
    pub min_instances: usize,
    /// Younger instances are kept, and take no displaced tasks.
    pub min_instance_age: SignedDuration,
    /// The only groups that may be shrunk; `None` is every group.
    pub groups: Option<BTreeSet<GroupName>>,
    /// Whether groups under a capacity provider's managed scaling may be shrunk, as far as that
    /// would not undo it.
    pub allow_managed_scaling: bool,
    /// Whether an instance with standalone tasks may be removed; it is then held until they have
    /// ended.
    pub allow_standalone_tasks: bool,
    /// Whether the zones of each group must stay as balanced as they are.
    pub keep_zone_balance: bool,
    /// How much work the search may do, in counted steps, so that equal input gives an equal plan
    /// on any machine. A step is one container instance examined for one kind of task: a
    /// nanosecond or two.
    pub steps_max: u64,
}

/// More tasks that there is to be room for, each as a whole on an instance that may run it, and all
/// of them at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskHeadroom {
    /// How many of the largest task of the cluster's replica services: of that with the most CPU, and
    /// likewise of that with the most memory, if that is another one.
    pub largest: u32,
    /// How many of a service, by its name. One that a cluster does not have asks for nothing there.
    pub by_service: BTreeMap<String, u32>,
}

impl TaskHeadroom {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.largest == 0 && self.by_service.values().all(|tasks| *tasks == 0)
    }

    /// Whether it may ask for a task of this service: its tasks are to be known then.
    pub fn may_ask_for(&self, service: &str) -> bool {
        self.largest > 0 || self.by_service.get(service).is_some_and(|tasks| *tasks > 0)
    }
}

impl Policy {
    /// A guard: 5,000 instances take 39 million steps at most on recorded inventories, and the
    /// search has tighter budgets of its own that grow with the cluster. At it, the search ends
    /// with what it has found.
    pub const STEPS_MAX: u64 = 150_000_000;

    /// The same without a cap on one sweep.
    #[must_use]
    pub fn without_cap(&self) -> Self {
        Self { max_removals_percent: 100, budgets: Budgets::default(), ..self.clone() }
    }

    /// How many of so many usable instances may go for a reason. Those that drain already are to be
    /// taken off.
    pub fn allowance(&self, reason: DisruptionReason, usable: usize, now: Timestamp) -> Allowance {
        let Self { max_removals_percent, max_empty_removals_percent, .. } = *self;
        let defaults = Defaults { max_removals_percent, max_empty_removals_percent };
        self.budgets.allowance(reason, usable, defaults, now)
    }

    /// How many of so many usable instances one sweep may remove while so many drain.
    pub fn allowances(&self, usable: usize, draining: usize, now: Timestamp) -> Allowances {
        let of = |reason| self.allowance(reason, usable, now);
        let (consolidate, empty) = (of(DisruptionReason::Consolidate), of(DisruptionReason::Empty));
        Allowances::new(consolidate, empty, draining)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            headroom_cpu_percent: 20,
            headroom_memory_percent: 20,
            task_headroom: TaskHeadroom::default(),
            max_removals_percent: 10,
            max_empty_removals_percent: 0,
            budgets: Budgets::default(),
            min_instances: 1,
            min_instance_age: SignedDuration::from_secs(900),
            groups: None,
            allow_managed_scaling: false,
            allow_standalone_tasks: false,
            keep_zone_balance: true,
            steps_max: Self::STEPS_MAX,
        }
    }
}

//! What a trial came to, as the world tells it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::signal::Signal;
use crate::world::autoscaling::{CompletedAction, CompletedBy};
use crate::world::ecs::Status;
use crate::world::ecs::task::TaskStatus;
use crate::world::{Happening, World};

/// The head of the table whose rows [`Outcome`]s are.
pub const HEAD: &str = "cut off   early    left  failed      gap   calls";

/// What a trial came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many tasks were cut off when their instance went, but for those of daemons.
    pub cut_off: usize,
    /// How many actions were completed while a non-daemon task of their instance had not STOPPED.
    pub early: usize,
    /// How many instances were left to themselves: their action was not completed before its
    /// time-out or the trial's end, or they were not DRAINING before EC2 took them.
    pub left: usize,
    /// How many invocations failed.
    pub failed: usize,
    /// The longest from the last task's stop to the completed action, or from a notice to DRAINING.
    /// Of an instance that never had a task, from the start. Early ones do not count.
    pub gap: Option<Duration>,
    /// How many API calls there were.
    pub calls: usize,
}

impl Outcome {
    /// What came of a world in which a trial began at a moment.
    pub(super) fn of(world: &World, signal: Signal, begun: Timestamp) -> Self {
        let account = match signal {
            Signal::Termination => Account::of_actions(world, begun),
            Signal::Interruption(_) => Account::of_notices(world),
        };
        Self {
            cut_off: world.tasks_cut_off().len(),
            early: account.early,
            left: account.left,
            failed: world.delivery.ended.iter().filter(|ended| ended.result.is_err()).count(),
            gap: account.gaps.into_iter().max(),
            calls: world.calls.len(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cut_off, early, left, failed, gap, calls } = self;
        let gap = gap.map_or_else(|| "-".to_owned(), |gap| format!("{:.1} s", gap.as_secs_f64()));
        write!(formatter, "{cut_off:>7} {early:>7} {left:>7} {failed:>7} {gap:>8} {calls:>7}")
    }
}

/// What became of the instances.
#[derive(Debug, Default)]
struct Account {
    early: usize,
    left: usize,
    gaps: Vec<Duration>,
}

impl Account {
    fn of_actions(world: &World, begun: Timestamp) -> Self {
        let mut account = Self { left: world.lifecycle_actions.len(), ..Self::default() };
        let mut stopped = BTreeMap::new();
        for entry in &world.history {
            match &entry.happening {
                Happening::Task { task, status: TaskStatus::Stopped, .. } => {
                    stopped.insert(task.as_str(), entry.time);
                }
                Happening::ActionCompleted { action } if action.cause == CompletedBy::Caller => {
                    account.add(world, &stopped, action, begun);
                }
                Happening::ActionCompleted { .. } => account.left += 1,
                _ => {}
            }
        }
        account
    }

    fn add(
        &mut self,
        world: &World,
        stopped: &BTreeMap<&str, Timestamp>,
        action: &CompletedAction,
        begun: Timestamp,
    ) {
        let stops: Option<Vec<_>> =
            tasks_of(world, &action.instance_id).map(|task| stopped.get(task).copied()).collect();
        match stops {
            Some(stops) => {
                let empty_since = stops.into_iter().max().unwrap_or(begun);
                self.gaps.push(between(empty_since, action.time));
            }
            None => self.early += 1,
        }
    }

    fn of_notices(world: &World) -> Self {
        let mut account = Self::default();
        let mut given = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for entry in &world.history {
            match &entry.happening {
                Happening::Notice { instance_id, .. } => {
                    given.insert(instance_id.as_str(), entry.time);
                }
                Happening::ContainerInstance { instance_id, status: Status::Draining } => {
                    if let Some(&notice) = given.get(instance_id.as_str()) {
                        account.gaps.push(between(notice, entry.time));
                        seen.insert(instance_id);
                    }
                }
                _ => {}
            }
        }
        account.left = given.len() - seen.len();
        account
    }
}

/// The ids of the tasks that were ever on an instance, but for those of daemons.
fn tasks_of<'w>(world: &'w World, instance_id: &'w str) -> impl Iterator<Item = &'w str> {
    world.clusters.values().flat_map(move |cluster| {
        let on_it = cluster.tasks.values().filter(move |task| {
            cluster
                .instances
                .get(&task.container_instance)
                .is_some_and(|instance| instance.instance_id == instance_id)
        });
        on_it.filter(|task| !cluster.is_daemon(task)).map(|task| task.id.as_str())
    })
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).unsigned_abs()
}

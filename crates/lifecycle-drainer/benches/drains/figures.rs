//! What a story came to, as the world tells it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use ebb_region::world::autoscaling::CompletedBy;
use ebb_region::world::ecs::Status;
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::{Happening, World};
use jiff::Timestamp;

use crate::story::{START, Story};

/// How many instances were never DRAINING before they went.
pub(crate) fn never_draining(world: &World, story: Story) -> usize {
    let drained: BTreeSet<_> = draining(world).map(|(instance_id, _)| instance_id).collect();
    story.instance_ids().filter(|id| !drained.contains(id.as_str())).count()
}

/// After how many seconds the last instance was DRAINING, of those that ever were.
pub(crate) fn seconds_to_last_draining(world: &World) -> Option<f64> {
    let times = draining(world).map(|(_, time)| time.duration_since(START).as_secs_f64());
    times.reduce(f64::max)
}

fn draining(world: &World) -> impl Iterator<Item = (&str, Timestamp)> {
    world.history.iter().filter_map(|entry| match &entry.happening {
        Happening::ContainerInstance { instance_id, status: Status::Draining } => {
            Some((instance_id.as_str(), entry.time))
        }
        _ => None,
    })
}

/// How many actions nobody completed before their time-out.
pub(crate) fn timed_out(world: &World) -> usize {
    world.completed_actions.iter().filter(|action| action.cause != CompletedBy::Caller).count()
}

/// How many calls, on average.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) fn calls_per_drain(world: &World, drains: usize) -> f64 {
    world.calls.len() as f64 / drains as f64
}

/// How long each action was open, in ascending order.
pub(crate) fn drain_seconds(world: &World) -> Vec<f64> {
    let completed = world.completed_actions.iter();
    sorted(completed.map(|action| action.time.duration_since(START).as_secs_f64()).collect())
}

/// How long each action was open after the last task of its instance had stopped, in ascending
/// order. Left out are instances that went before their tasks had stopped.
pub(crate) fn seconds_since_last_stop(world: &World) -> Vec<f64> {
    let mut last_stop = BTreeMap::<&str, Timestamp>::new();
    for entry in &world.history {
        if let Happening::Task { instance_id, status: TaskStatus::Stopped, .. } = &entry.happening {
            last_stop.insert(instance_id, entry.time);
        }
    }
    let completed = world.completed_actions.iter();
    let seconds = completed.filter_map(|action| {
        let stopped = *last_stop.get(action.instance_id.as_str())?;
        Some(action.time.duration_since(stopped).as_secs_f64())
    });
    let seconds = seconds.filter(|&seconds| seconds >= 0.0);
    sorted(seconds.collect())
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The upper median of values in ascending order.
pub(crate) fn median(values: &[f64]) -> f64 {
    values.get(values.len() / 2).copied().unwrap_or_default()
}

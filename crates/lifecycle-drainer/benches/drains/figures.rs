//! What a story came to, as the world tells it afterwards.

use std::collections::BTreeMap;

use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::{Happening, World};
use jiff::Timestamp;

use crate::story::START;

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
/// order.
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

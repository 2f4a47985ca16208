//! What usable instances have to spare, before a plan and after it.
//!
//! Whether that is enough is for `limits` to say.

use crate::ecs::{DIMENSIONS, Resources};
use crate::index::InstanceIndex;
use crate::model::{Amounts, Model};

/// What usable instances have, and what of it is free once all that is on its way has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headroom {
    /// How many usable instances there are.
    pub instances: usize,
    /// What they have in all.
    pub registered: Resources,
    /// What of it is free. Negative if what is on its way needs more than there is.
    pub free: Resources,
}

impl Headroom {
    /// The share of CPU that is free, in percent; 0 where there is none.
    pub fn cpu_percent(&self) -> f64 {
        percent(self.free.cpu, self.registered.cpu)
    }

    /// The share of memory that is free, in percent; 0 where there is none.
    pub fn memory_percent(&self) -> f64 {
        percent(self.free.memory_mib, self.registered.memory_mib)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people; no decision is made by it")]
fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Counts what is spare on usable instances without the removed ones, once all that moves and all
/// that is on its way has its place. Wherever ECS places it: sums do not depend on that.
pub(crate) fn headroom<const D: usize>(
    model: &Model<D>,
    is_removed: impl Fn(InstanceIndex) -> bool,
) -> Headroom {
    let (mut registered, mut free, mut instances) = ([0; DIMENSIONS], [0; DIMENSIONS], 0);
    for instance in model.instances() {
        if is_removed(instance) {
            // Its own free room was never added; what its tasks hold is taken from the room of
            // those that stay.
            for &(kind, count) in model.movable.of(instance) {
                add(&mut free, &model.kinds[kind].demand, -i64::from(count));
            }
        } else {
            instances += 1;
            add(&mut registered, &model.capacity[instance], 1);
            add(&mut free, &model.free[instance], 1);
        }
    }
    for kind in model.kinds.iter() {
        add(&mut free, &kind.demand, -i64::from(kind.in_flight));
    }
    Headroom { instances, registered: registered.into(), free: free.into() }
}

fn add<const D: usize>(sums: &mut [i64; DIMENSIONS], amounts: &Amounts<D>, times: i64) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum = sum.saturating_add(i64::from(*amount) * times);
    }
}

//! What usable instances have to spare, before a plan and after it.
//!
//! Whether that is enough is for [`crate::limits`] to say.

use crate::ecs::{DIMENSIONS, Resources};
use crate::model::Model;

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

/// What is spare on usable instances without those that are `gone`, once all that moves and all that is on its way has
/// its place.
pub(crate) fn headroom<const D: usize>(model: &Model<D>, gone: impl Fn(usize) -> bool) -> Headroom {
    let (mut registered, mut free, mut instances) = ([0_i64; DIMENSIONS], [0_i64; DIMENSIONS], 0);
    let add = |to: &mut [i64], amounts: &[i32; D], times: i64| {
        for (sum, one) in to.iter_mut().zip(amounts) {
            *sum = sum.saturating_add(i64::from(*one) * times);
        }
    };
    for number in 0..model.len() {
        if gone(number) {
            for &(kind, count) in model.held.of(number) {
                add(&mut free, &model.kinds[usize::from(kind)].demand, -i64::from(count));
            }
        } else {
            instances += 1;
            add(&mut registered, &model.capacity[number], 1);
            add(&mut free, &model.free[number], 1);
        }
    }
    for kind in &model.kinds {
        add(&mut free, &kind.demand, -i64::from(kind.in_flight));
    }
    Headroom { instances, registered: registered.into(), free: free.into() }
}

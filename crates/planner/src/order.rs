//! The order in which candidates are tried: the most saving for the least disturbance first.
//!
//! Whether a candidate can go is for [`crate::safe`] to find out.

use crate::bound::Prices;
use crate::model::Model;

/// How much a mean instance's worth of moved tasks counts in the gentle order, in values of a mean instance.
const MOVED: f32 = 1.5;
/// How much the largest of them counts: it asks for more room in one piece than any other.
const LARGEST: f32 = 1.0;

/// Candidates with the most saving for the least disturbance first: few tasks, and small ones. Those are easily certified.
pub(crate) fn gentle_order<const D: usize>(model: &Model<D>, prices: &Prices) -> Vec<u32> {
    let mean = model.value.iter().sum::<u64>() as f32 / model.len().max(1) as f32;
    let sizes = model.sizes();
    let worth = |number: usize| {
        let (mut moved, mut largest) = (0.0, 0.0_f32);
        for &(kind, count) in model.held.of(number) {
            moved += sizes[usize::from(kind)] * f32::from(count);
            largest = largest.max(sizes[usize::from(kind)]);
        }
        let cost = prices.cost[number] + mean * (MOVED * moved + LARGEST * largest);
        model.value[number] as f32 / cost.max(f32::MIN_POSITIVE)
    };
    let candidates = (0..model.len()).filter(|&number| model.candidate[number]);
    let mut order: Vec<(f32, u32)> =
        candidates.map(|number| (worth(number), number as u32)).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    order.into_iter().map(|(_, number)| number).collect()
}

//! How far sweeps would come that follow each other until nothing more goes, if the load stays as it
//! is.
//!
//! One sweep takes its share; people who weigh whether Ebb is worth it want to know the end.

use ebb_planner::{Headroom, Instance, Inventory, KeepReason, Plan, Policy, plan, rehearse};
use jiff::{SignedDuration, Timestamp};

use crate::reaper::reading::as_a_sweep_reads;

/// From one sweep to the next.
const INTERVAL: SignedDuration = SignedDuration::from_mins(30);

/// After so many sweeps the play ends as it stands: each takes a tenth of a cluster as a rule, so
/// that 5,000 instances are some 90 sweeps from 1.
const SWEEPS_MAX: usize = 100;

/// What sweeps come to in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prospect {
    /// How many sweeps remove something.
    pub sweeps: usize,
    /// How many instances go.
    pub instances: usize,
    /// How many service tasks move.
    pub tasks_moved: usize,
    /// What is saved, of 1: by price if every instance has one, else by the number of instances.
    pub saved: f64,
    /// What is saved per hour, in millionths of a dollar, if every instance has a price.
    pub saved_microusd: Option<u64>,
    /// The least share of CPU that is free after a sweep, in percent.
    pub least_free_cpu_percent: f64,
    /// The least share of memory that is free after a sweep, in percent.
    pub least_free_memory_percent: f64,
    /// For how long that takes, from the first sweep to the one after the last.
    lasts: SignedDuration,
}

impl Prospect {
    /// Plays sweep after sweep on an inventory with the tasks of every instance, from `now` on. What
    /// drains already goes on to do so.
    pub fn new(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Self {
        let mut cluster = inventory.clone();
        let (mut sweeps, mut tasks_moved, mut lasts) = (0, 0, SignedDuration::ZERO);
        let mut least = Least::default();
        let mut time = now;
        for _ in 0..SWEEPS_MAX {
            let planned = plan(&as_a_sweep_reads(&cluster, policy, time), policy, time);
            least.take(&planned.headroom_after);
            if planned.remove.is_empty() {
                // What a budget lets go later is waited for.
                let Some(more_from) = more_from(&planned) else { break };
                time = more_from;
                continue;
            }
            // A drain that stalls is taken back, and is nothing to count on.
            let Some(rehearsal) = rehearse(&cluster, &planned, policy, time) else { break };
            sweeps += 1;
            tasks_moved += rehearsal.moves.len();
            cluster = rehearsal.inventory;
            time = time.checked_add(INTERVAL).unwrap_or(Timestamp::MAX);
            lasts = time.duration_since(now);
        }
        let saved_microusd =
            cost(&inventory.instances).zip(cost(&cluster.instances)).map(|(all, left)| all - left);
        Self {
            sweeps,
            instances: inventory.instances.len() - cluster.instances.len(),
            tasks_moved,
            saved: share_gone(&inventory.instances, &cluster.instances),
            saved_microusd,
            least_free_cpu_percent: least.cpu_percent,
            least_free_memory_percent: least.memory_percent,
            lasts,
        }
    }

    /// For how long that takes, from one sweep to the next, and while budgets let nothing go.
    pub fn lasts(&self) -> SignedDuration {
        self.lasts
    }
}

/// From when on more may go than a plan removes, if a budget says so.
fn more_from(plan: &Plan) -> Option<Timestamp> {
    let reasons = plan.keep.iter().map(|kept| &kept.reason);
    let times = reasons.filter_map(|reason| match reason {
        KeepReason::MaxRemovals { more_from, .. } => *more_from,
        _ => None,
    });
    times.min()
}

/// What instances cost per hour, if each has a price, and their sum is none that was made up.
fn cost(instances: &[Instance]) -> Option<u64> {
    instances.iter().try_fold(0_u64, |sum, instance| sum.checked_add(instance.price_microusd?))
}

#[expect(clippy::cast_precision_loss, reason = "shown to people; no decision is made by it")]
fn share_gone(all: &[Instance], left: &[Instance]) -> f64 {
    let (all, left) = match cost(all).zip(cost(left)) {
        Some((all, left)) => (all as f64, left as f64),
        None => (all.len() as f64, left.len() as f64),
    };
    if all == 0.0 { 0.0 } else { (all - left) / all }
}

/// The least headroom so far.
struct Least {
    cpu_percent: f64,
    memory_percent: f64,
}

impl Default for Least {
    fn default() -> Self {
        Self { cpu_percent: 100.0, memory_percent: 100.0 }
    }
}

impl Least {
    fn take(&mut self, headroom: &Headroom) {
        self.cpu_percent = self.cpu_percent.min(headroom.cpu_percent());
        self.memory_percent = self.memory_percent.min(headroom.memory_percent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{NOW, instance, inventory};

    #[test]
    fn sweeps_are_played_until_the_minimum_is_left() {
        let mut ten = inventory((1..=10).map(instance).collect());
        for instance in &mut ten.instances {
            instance.price_microusd = Some(100_000);
        }
        let policy = Policy { min_instances: 7, ..Policy::default() };
        let prospect = Prospect::new(&ten, &policy, NOW);
        assert_eq!((prospect.sweeps, prospect.instances, prospect.tasks_moved), (3, 3, 0));
        assert_eq!(prospect.saved_microusd, Some(300_000));
        assert!((prospect.saved - 0.3).abs() < 1e-9, "{prospect:?}");
        assert_eq!(prospect.lasts(), SignedDuration::from_mins(90));
    }

    #[test]
    fn sweeps_wait_for_the_budget_that_lets_something_go() {
        let ten = inventory((1..=10).map(instance).collect());
        let nights = r#"[{"share": 10, "schedule": "0 22 * * *", "duration": "2h"}]"#;
        let budgets = crate::reaper::budgets::setting::read(nights).unwrap();
        let policy =
            Policy { budgets, max_removals_percent: 0, min_instances: 7, ..Policy::default() };
        let prospect = Prospect::new(&ten, &policy, NOW);
        assert_eq!((prospect.sweeps, prospect.instances), (3, 3));
        assert_eq!(prospect.lasts(), SignedDuration::from_mins(22 * 60 + 90));
    }
}

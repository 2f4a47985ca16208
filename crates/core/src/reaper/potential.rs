//! What a cluster could shed without the cap on one sweep.
//!
//! A sweep takes its share, and what it saves says little about what there is to save. Writing both
//! for people is left to `text`.

use ebb_planner::{Inventory, KeepReason, Plan, Policy, Saving};
use jiff::Timestamp;

/// What a plan without a cap comes to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Potential {
    /// What it saves, and what no plan could exceed.
    pub saving: Saving,
    /// The cap on one sweep; `None` if that keeps nothing.
    pub cap: Option<Cap>,
    /// How many instances might go as well, and were not read: others were better candidates.
    pub not_read: usize,
}

/// What caps one sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// `MAX_REMOVALS_PERCENT`, in percent.
    Share(u32),
    /// `BUDGETS`.
    Budgets,
}

impl Cap {
    /// The setting that it is.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Share(_) => "MAX_REMOVALS_PERCENT",
            Self::Budgets => "BUDGETS",
        }
    }

    fn of(policy: &Policy) -> Self {
        if policy.budgets.is_empty() {
            Self::Share(policy.max_removals_percent)
        } else {
            Self::Budgets
        }
    }
}

impl Potential {
    /// Plans once more, without a cap. `planned` is the plan with it, for the same inventory.
    pub fn new(planned: &Plan, inventory: &Inventory, policy: &Policy, now: Timestamp) -> Self {
        let uncapped = policy.without_cap();
        let saving = if uncapped == *policy {
            planned.saving
        } else {
            ebb_planner::plan(inventory, &uncapped, now).saving
        };
        let is_capped = saving.planned > planned.saving.planned;
        let not_read = planned.keep.iter().filter(|kept| kept.reason == KeepReason::NotRead);
        Self {
            // One that is safe at once may be smaller than one that stops earlier.
            saving: if is_capped {
                saving
            } else {
                Saving { bound: saving.bound, ..planned.saving }
            },
            cap: is_capped.then(|| Cap::of(policy)),
            not_read: not_read.count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::plan;

    use super::*;
    use crate::reaper::testing::{NOW, instance, inventory};

    /// Ten empty instances, of which the headroom and the minimum let nine go.
    fn potential(max_removals_percent: u32) -> (Plan, Potential) {
        let inventory = inventory((1..=10).map(instance).collect());
        let policy = Policy { max_removals_percent, ..Policy::default() };
        let planned = plan(&inventory, &policy, NOW);
        let potential = Potential::new(&planned, &inventory, &policy, NOW);
        (planned, potential)
    }

    #[test]
    fn the_potential_is_what_a_plan_without_a_cap_saves() {
        let (planned, potential) = potential(10);
        assert!((planned.saving.planned - 0.1).abs() < 1e-9, "{planned:?}");
        assert!((potential.saving.planned - 0.9).abs() < 1e-9, "{potential:?}");
        assert!(potential.saving.bound >= 0.9, "no cap is in the bound: {potential:?}");
        assert_eq!(potential.cap, Some(Cap::Share(10)));
    }

    #[test]
    fn a_cap_that_keeps_nothing_is_none() {
        let (planned, potential) = potential(100);
        assert_eq!((potential.saving, potential.cap), (planned.saving, None));
    }
}

//! How many instances may go, for which reason and when: the operator's disruption budgets.
//!
//! A budget holds all the time, or from each occurrence of a schedule on for some time. Of
//! those that hold, the tightest counts; where none does, the shares of the policy count. How budgets
//! are written is left to whoever reads them, and which instances go to the plan.

mod window;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use self::window::{Schedule, Window};
use crate::amount::Amount;
use crate::words;

/// Why an instance is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisruptionReason {
    /// Nothing but daemon tasks is on it.
    Empty,
    /// Its tasks have room elsewhere.
    Consolidate,
    /// Another is to take its place.
    Replace,
    /// It stood in for Spot instances, which are back.
    Fallback,
}

impl DisruptionReason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Empty, Self::Consolidate, Self::Replace, Self::Fallback];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Consolidate => "consolidate",
            Self::Replace => "replace",
            Self::Fallback => "fallback",
        }
    }

    /// The reason of this word; `None` if there is none.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How many instances may go, for some reasons and at some times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// How many.
    pub amount: Amount,
    /// The reasons that it is for.
    pub reasons: BTreeSet<DisruptionReason>,
    /// When it holds; `None` is always.
    pub window: Option<Window>,
}

impl Budget {
    fn holds(&self, now: Timestamp) -> bool {
        self.window.as_ref().is_none_or(|window| window.is_open(now))
    }

    /// Whether it can never decide beside `other`: that is at least as tight wherever this holds.
    pub fn is_covered_by(&self, other: &Self) -> bool {
        let holds_as_long = match (&self.window, &other.window) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(window), Some(other)) => window.is_within(other),
        };
        holds_as_long
            && other.reasons.is_superset(&self.reasons)
            && other.amount.is_at_most(self.amount)
    }
}

/// The operator's budgets, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Budgets(Vec<Budget>);

impl From<Vec<Budget>> for Budgets {
    fn from(budgets: Vec<Budget>) -> Self {
        Self(budgets)
    }
}

/// What holds where no budget does, in percent of the usable instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For every reason but that an instance is empty.
    pub max_removals_percent: u32,
    /// For empty instances; nothing goes where the other is 0.
    pub max_empty_removals_percent: u32,
}

impl Defaults {
    /// The setting that holds for a reason, and its share.
    fn of(self, reason: DisruptionReason) -> (&'static str, u32) {
        match reason {
            // 0 is how sweeps are stopped: then no empty instance goes either.
            DisruptionReason::Empty if self.max_removals_percent > 0 => {
                ("MAX_EMPTY_REMOVALS_PERCENT", self.max_empty_removals_percent)
            }
            DisruptionReason::Empty
            | DisruptionReason::Consolidate
            | DisruptionReason::Replace
            | DisruptionReason::Fallback => ("MAX_REMOVALS_PERCENT", self.max_removals_percent),
        }
    }
}

/// How many openings and closings are looked past for a time at which more may go: weeks of
/// budgets that hold by day. With more, nobody is told it.
const CHANGES_MAX: usize = 64;

/// How many instances may go for a reason, and why so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// How many. Those that drain already count towards them.
    pub instances: usize,
    /// What decided that, for people: "budget 2 of BUDGETS (0 instances)", or a setting and its share.
    pub decided_by: String,
    /// Whether that was one of the budgets.
    pub by_budget: bool,
    /// From when on more may go, if that is known.
    pub more_from: Option<Timestamp>,
}

/// How many instances one sweep may remove, without those that drain already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowances {
    consolidate: Allowance,
    empty: Allowance,
}

impl Allowances {
    /// Takes what drains already off each.
    pub(crate) fn new(mut consolidate: Allowance, mut empty: Allowance, draining: usize) -> Self {
        for allowance in [&mut consolidate, &mut empty] {
            allowance.instances = allowance.instances.saturating_sub(draining);
        }
        Self { consolidate, empty }
    }

    /// Whether so many empty instances and others may go.
    pub fn permit(&self, empty: usize, others: usize) -> bool {
        // Empty ones use up their own share first, and then that of all: a budget of theirs is all
        // that they have.
        let beyond = empty.saturating_sub(self.empty.instances);
        let is_within = !self.empty.by_budget || beyond == 0;
        is_within && others + beyond <= self.consolidate.instances
    }

    /// The one that refuses an instance.
    pub(crate) fn of(&self, is_empty: bool) -> &Allowance {
        if is_empty && self.empty.by_budget { &self.empty } else { &self.consolidate }
    }

    /// How many may go at most.
    pub fn most(&self) -> usize {
        self.consolidate.instances + self.empty.instances
    }
}

impl Budgets {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of so many usable instances may go for a reason. Those that drain already are to be
    /// taken off.
    pub fn allowance(
        &self,
        reason: DisruptionReason,
        usable: usize,
        defaults: Defaults,
        now: Timestamp,
    ) -> Allowance {
        let (instances, number) = self.tightest(reason, usable, defaults, now);
        let decided_by = match number {
            Some(number) => {
                format!("budget {number} of BUDGETS ({})", self.0[number - 1].amount)
            }
            None => {
                let (setting, percent) = defaults.of(reason);
                format!("{setting} ({})", words::percent(percent))
            }
        };
        let by_budget = number.is_some();
        let more_from = self.more_from(reason, usable, defaults, now);
        Allowance { instances, decided_by, by_budget, more_from }
    }

    /// How many may go, and which budget decides that, by its number from 1 on.
    fn tightest(
        &self,
        reason: DisruptionReason,
        usable: usize,
        defaults: Defaults,
        now: Timestamp,
    ) -> (usize, Option<usize>) {
        let holding = self.of(reason).filter(|(_, budget)| budget.holds(now));
        let amounts = holding.map(|(number, budget)| (budget.amount.of(usable), Some(number)));
        let (_, percent) = defaults.of(reason);
        amounts.min().unwrap_or_else(|| (Amount::Percent(percent).of(usable), None))
    }

    fn more_from(
        &self,
        reason: DisruptionReason,
        usable: usize,
        defaults: Defaults,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (instances, _) = self.tightest(reason, usable, defaults, now);
        let mut at = now;
        for _ in 0..CHANGES_MAX {
            let windows = self.of(reason).filter_map(|(_, budget)| budget.window.as_ref());
            at = windows.filter_map(|window| window.next_change(at)).min()?;
            if self.tightest(reason, usable, defaults, at).0 > instances {
                return Some(at);
            }
        }
        None
    }

    /// The budgets for a reason, with their numbers from 1 on.
    fn of(&self, reason: DisruptionReason) -> impl Iterator<Item = (usize, &Budget)> {
        let numbered = self.0.iter().enumerate().map(|(index, budget)| (index + 1, budget));
        numbered.filter(move |(_, budget)| budget.reasons.contains(&reason))
    }
}

//! How many instances may go, for which reason and when: the operator's disruption budgets.
//!
//! A budget holds all the time, or from each occurrence of a [schedule](window) for some time. Of
//! those that hold, the tightest counts; where none does, the shares of `MAX_REMOVALS_PERCENT` and
//! `MAX_EMPTY_REMOVALS_PERCENT` count. How budgets are written is left to [`setting`], and which
//! instances go to whoever asks.

pub(crate) mod setting;
mod window;

use std::collections::BTreeSet;

use ebb_planner::Amount;
use jiff::Timestamp;

pub use self::window::Window;
use crate::vocabulary::vocabulary;
use crate::words;

vocabulary! {
    /// Why an instance is to go.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum DisruptionReason {
        /// Nothing but daemon tasks is on it.
        Empty = "empty",
        /// Its tasks have room elsewhere.
        Consolidate = "consolidate",
        /// Another is to take its place.
        Replace = "replace",
        /// It stood in for Spot instances, which are back.
        Fallback = "fallback",
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
    fn is_covered_by(&self, other: &Self) -> bool {
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

impl Budgets {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults =
        Defaults { max_removals_percent: 10, max_empty_removals_percent: 50 };

    fn budgets(text: &str) -> Budgets {
        setting::read(text).unwrap()
    }

    /// How many of 40 instances may go, what decided that, and from when on more may.
    fn allowance(budgets: &Budgets, reason: DisruptionReason, now: &str) -> String {
        let allowance = budgets.allowance(reason, 40, DEFAULTS, now.parse().unwrap());
        let more = allowance.more_from.map(|at| format!(", more from {at}")).unwrap_or_default();
        format!("{}: {}{more}", allowance.instances, allowance.decided_by)
    }

    #[test]
    fn without_budgets_the_shares_count() {
        let words: Vec<_> = DisruptionReason::ALL
            .iter()
            .map(|reason| allowance(&Budgets::default(), *reason, "2026-11-27T12:00:00Z"))
            .collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        20: MAX_EMPTY_REMOVALS_PERCENT (50 %)
        4: MAX_REMOVALS_PERCENT (10 %)
        4: MAX_REMOVALS_PERCENT (10 %)
        4: MAX_REMOVALS_PERCENT (10 %)
        ");
    }

    #[test]
    fn business_hours_fridays_and_empties_any_time() {
        let budgets = budgets(
            r#"[
                {"share": 0, "reasons": ["consolidate", "replace", "fallback"],
                 "schedule": "0 9 * * MON-FRI", "time_zone": "Europe/Berlin", "duration": "8h"},
                {"count": 0, "reasons": ["consolidate", "replace"],
                 "schedule": "0 0 * * FRI", "time_zone": "Europe/Berlin", "duration": "24h"},
                {"count": 3, "reasons": ["consolidate"]},
                {"share": 100, "reasons": ["empty"]}
            ]"#,
        );
        let mut lines = Vec::new();
        for now in ["2026-11-26T12:00:00Z", "2026-11-26T18:00:00Z", "2026-11-27T18:00:00Z"] {
            for reason in DisruptionReason::ALL {
                let allowance = allowance(&budgets, reason, now);
                lines.push(format!("{now} {}: {allowance}", reason.as_str()));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_tightest_counts_by_the_size_of_the_cluster() {
        let budgets = budgets(r#"[{"share": 10}, {"count": 3}]"#);
        let of = |usable| {
            let now = Timestamp::UNIX_EPOCH;
            let reason = DisruptionReason::Replace;
            budgets.allowance(reason, usable, DEFAULTS, now).instances
        };
        assert_eq!([0, 1, 20, 21, 30, 31, 1_000].map(of), [0, 1, 2, 3, 3, 3, 3]);
    }

    #[test]
    fn a_share_of_zero_stops_empty_ones_too_unless_a_budget_holds_for_them() {
        let stopped = Defaults { max_removals_percent: 0, max_empty_removals_percent: 50 };
        let now = Timestamp::UNIX_EPOCH;
        let empty = DisruptionReason::Empty;
        assert_eq!(Budgets::default().allowance(empty, 40, stopped, now).instances, 0);
        let budgets = budgets(r#"[{"count": 5, "reasons": ["empty"]}]"#);
        assert_eq!(budgets.allowance(empty, 40, stopped, now).instances, 5);
    }
}

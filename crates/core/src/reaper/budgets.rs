//! The operator's disruption budgets, as the setting `BUDGETS` has them. What they come to is left to
//! [`ebb_planner::budgets`].

#[cfg(test)]
mod calendars;
pub(crate) mod setting;

pub use ebb_planner::budgets::{Allowance, Budget, Budgets, Defaults, DisruptionReason};

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

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

    /// At which of these times a budget from `schedule` on, for so long, holds.
    fn holds(schedule: &str, time_zone: &str, duration: &str, times: &[&str]) -> Vec<bool> {
        let budget = serde_json::json!([{
            "count": 0, "schedule": schedule, "time_zone": time_zone, "duration": duration,
        }]);
        let budgets = budgets(&budget.to_string());
        let reason = DisruptionReason::Replace;
        let holds =
            |at: &&str| budgets.allowance(reason, 40, DEFAULTS, at.parse().unwrap()).by_budget;
        times.iter().map(holds).collect()
    }

    #[test]
    fn what_is_to_begin_while_clocks_go_forward_begins_at_that_moment() {
        // On that Friday Cairo goes from midnight to one o'clock.
        let times = ["2026-04-23T21:59:59Z", "2026-04-23T22:00:00Z", "2026-04-24T21:59:59Z"];
        assert_eq!(holds("0 0 * * FRI", "Africa/Cairo", "24h", &times), [false, true, true]);
        let times = ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
        assert_eq!(holds("30 2 * * *", "Europe/Berlin", "1h", &times), [false, true, false]);
    }

    #[test]
    fn what_is_to_begin_at_a_time_that_comes_twice_begins_twice() {
        let times = [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:29:59Z",
            "2026-10-25T02:30:00Z",
        ];
        assert_eq!(holds("30 2 * * *", "Europe/Berlin", "1h", &times), [true, true, true, false]);
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

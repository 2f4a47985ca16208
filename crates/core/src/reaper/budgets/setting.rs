//! How budgets are written: a JSON array of objects, in the setting `BUDGETS`. What they come to is
//! left to [`Budgets::allowance`].
//!
//! Each wrong field is a problem of its own, with the number of its budget.

use std::collections::BTreeSet;

use ebb_planner::Amount;
use ebb_planner::budgets::{Schedule, Window};
use jiff::SignedDuration;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::{Map, Value};

use super::{Budget, Budgets, DisruptionReason};
use crate::settings::{Format, Problem};
use crate::unique_object::UniqueObject;

/// How many budgets there may be: each is asked in every sweep, and people are to keep them in view.
const BUDGETS_MAX: usize = 20;

/// How large a count may be: as many container instances as a cluster may have (ECS service quotas).
const COUNT_MAX: u64 = 5_000;

/// How long a window may be open. One of less than a minute would fall between two sweeps, and one
/// of more than a month is better written as a schedule of days.
const DURATION: std::ops::RangeInclusive<SignedDuration> =
    SignedDuration::from_mins(1)..=SignedDuration::from_hours(31 * 24);

const MEMBERS: [&str; 6] = ["share", "count", "reasons", "schedule", "time_zone", "duration"];

const ARRAY_EXPECTED: &str = "a JSON array of at most 20 budgets, such as [{\"count\": 0, \
    \"schedule\": \"0 9 * * MON-FRI\", \"time_zone\": \"Europe/Berlin\", \"duration\": \"8h\"}]";
const BUDGET_EXPECTED: &str = "a JSON object with `share` or `count`";
const MEMBER_EXPECTED: &str =
    "only `share`, `count`, `reasons`, `schedule`, `time_zone` and `duration`";
const ONCE_EXPECTED: &str = "budgets in each of which every member stands once";
const AMOUNT_EXPECTED: &str = "either `share` or `count`";
const SHARE_EXPECTED: &str = "a whole number of percent from 0 to 100";
const COUNT_EXPECTED: &str = "a whole number of instances from 0 to 5000";
const REASONS_EXPECTED: &str =
    "an array of `empty`, `consolidate`, `replace` and `fallback`, at least one, each once";
const SCHEDULE_EXPECTED: &str = "the five fields of crontab(5), minute, hour, day of month, month \
    and day of week, of numbers, names, `*`, `,`, `-` and `/` alone, that occur within four years; \
    an EventBridge schedule has six fields and other numbers for days of the week";
const TIME_ZONE_EXPECTED: &str = "a time zone of the IANA database, such as Europe/Berlin or UTC";
const DURATION_EXPECTED: &str = "a duration from 1m to 744h, such as 8h or 1h 30m";
const TOGETHER_EXPECTED: &str = "`schedule` and `duration` together, or neither";
const ZONE_ALONE_EXPECTED: &str = "`time_zone` only beside `schedule`";
const COVERED_EXPECTED: &str = "a budget that is at some time the tightest for one of its reasons: \
    the other holds whenever this one does, for the same reasons, and lets no more go";

/// The format of the setting.
pub(crate) struct BudgetsFormat;

impl Format for BudgetsFormat {
    type Value = Budgets;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        _region: Option<&str>,
    ) -> Result<Budgets, Vec<Problem>> {
        read(text).map_err(|wrong| {
            let problem = |Wrong { value, expected }| Problem { variable, value, expected };
            wrong.into_iter().map(problem).collect()
        })
    }
}

/// A value that is wrong, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    value: String,
    expected: &'static str,
}

/// Reads budgets.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn read(text: &str) -> Result<Budgets, Vec<Wrong>> {
    let array = match serde_json::from_str(text) {
        Ok(Value::Array(array)) if array.len() <= BUDGETS_MAX => array,
        Ok(Value::Array(array)) => {
            let value = format!("an array of {}", array.len());
            return Err(vec![Wrong { value, expected: ARRAY_EXPECTED }]);
        }
        Ok(_) | Err(_) => {
            return Err(vec![Wrong { value: text.to_owned(), expected: ARRAY_EXPECTED }]);
        }
    };
    // Of two members of one name the last would count without a word.
    if array.iter().all(Value::is_object)
        && serde_json::from_str::<Vec<UniqueObject>>(text).is_err()
    {
        return Err(vec![Wrong { value: text.to_owned(), expected: ONCE_EXPECTED }]);
    }
    let (mut budgets, mut wrong) = (Vec::new(), Vec::new());
    for (index, value) in array.iter().enumerate() {
        let mut reader = BudgetReader { number: index + 1, wrong: Vec::new() };
        budgets.extend(reader.budget(value));
        wrong.append(&mut reader.wrong);
    }
    // Which of them are in vain can be said of right ones alone.
    if wrong.is_empty() {
        wrong = covered(&budgets);
    }
    if wrong.is_empty() { Ok(Budgets::from(budgets)) } else { Err(wrong) }
}

/// The budgets that can never decide, each once.
fn covered(budgets: &[Budget]) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (index, budget) in budgets.iter().enumerate() {
        // Of two that say the same, the later is in vain.
        let by = budgets.iter().enumerate().position(|(other_index, other)| {
            other_index != index
                && budget.is_covered_by(other)
                && (other_index < index || !other.is_covered_by(budget))
        });
        wrong.extend(by.map(|by| Wrong {
            value: format!("budget {} beside budget {}", index + 1, by + 1),
            expected: COVERED_EXPECTED,
        }));
    }
    wrong
}

/// Reads one budget, and notes what is wrong with it.
struct BudgetReader {
    /// Which it is, from 1 on.
    number: usize,
    wrong: Vec<Wrong>,
}

impl BudgetReader {
    /// `None` if anything is wrong.
    fn budget(&mut self, value: &Value) -> Option<Budget> {
        let Value::Object(members) = value else {
            self.note(value, BUDGET_EXPECTED);
            return None;
        };
        for name in members.keys().filter(|name| !MEMBERS.contains(&name.as_str())) {
            self.note(name, MEMBER_EXPECTED);
        }
        let amount = self.amount(members);
        let reasons = self.reasons(members);
        let window = self.window(members);
        if !self.wrong.is_empty() {
            return None;
        }
        Some(Budget { amount: amount?, reasons: reasons?, window })
    }

    fn note(&mut self, value: impl std::fmt::Display, expected: &'static str) {
        self.wrong.push(Wrong { value: format!("budget {}: {value}", self.number), expected });
    }

    /// A member that is there, as `read` reads it.
    fn member<T>(
        &mut self,
        members: &Map<String, Value>,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = members.get(name)?;
        let member = read(value);
        if member.is_none() {
            self.note(format_args!("{name} {value}"), expected);
        }
        member
    }

    fn amount(&mut self, members: &Map<String, Value>) -> Option<Amount> {
        if members.contains_key("share") == members.contains_key("count") {
            let value = if members.contains_key("share") { "both" } else { "neither" };
            self.note(value, AMOUNT_EXPECTED);
        }
        let share = self.member(members, "share", SHARE_EXPECTED, |value| {
            let share = value.as_u64().filter(|share| *share <= 100)?;
            u32::try_from(share).ok().map(Amount::Percent)
        });
        let count = self.member(members, "count", COUNT_EXPECTED, |value| {
            let count = value.as_u64().filter(|count| *count <= COUNT_MAX)?;
            usize::try_from(count).ok().map(Amount::Instances)
        });
        share.or(count)
    }

    fn reasons(&mut self, members: &Map<String, Value>) -> Option<BTreeSet<DisruptionReason>> {
        if !members.contains_key("reasons") {
            return Some(DisruptionReason::ALL.into());
        }
        self.member(members, "reasons", REASONS_EXPECTED, |value| {
            let words = value.as_array()?;
            let reasons = words.iter().map(|word| DisruptionReason::from_word(word.as_str()?));
            let reasons: BTreeSet<_> = reasons.collect::<Option<_>>()?;
            (!reasons.is_empty() && reasons.len() == words.len()).then_some(reasons)
        })
    }

    fn window(&mut self, members: &Map<String, Value>) -> Option<Window> {
        let has = |name| members.contains_key(name);
        if has("schedule") != has("duration") {
            let value = if has("schedule") { "only `schedule`" } else { "only `duration`" };
            self.note(value, TOGETHER_EXPECTED);
        }
        if has("time_zone") && !has("schedule") {
            self.note("`time_zone` alone", ZONE_ALONE_EXPECTED);
        }
        let schedule = self.member(members, "schedule", SCHEDULE_EXPECTED, |value| {
            Schedule::parse(value.as_str()?)
        });
        let time_zone = self
            .member(members, "time_zone", TIME_ZONE_EXPECTED, |value| time_zone(value.as_str()?));
        let duration = self.member(members, "duration", DURATION_EXPECTED, |value| {
            let duration: SignedDuration = value.as_str()?.parse().ok()?;
            DURATION.contains(&duration).then_some(duration)
        });
        Some(Window::new(schedule?, time_zone.unwrap_or(TimeZone::UTC), duration?))
    }
}

/// A time zone of the database that comes with the program: what is laid down on the machine that it
/// runs on decides nothing.
fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let wrong = read(text).unwrap_err();
        let lines: Vec<_> =
            wrong.iter().map(|Wrong { value, expected }| format!("{value} | {expected}")).collect();
        lines.join("\n")
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        insta::assert_snapshot!(wrong(
            r#"[
                {"share": 101, "reasons": ["empties"], "schedule": "0 9 * * 8", "time_zone":
                 "Europe/Berlyn", "duration": "8"},
                {"share": 10, "count": 1, "reasons": [], "schedule": "cron(0 9 ? * MON *)"},
                {"shares": 10, "duration": "745h", "time_zone": 1},
                {"count": -1, "reasons": ["empty", "empty"]},
                {"count": 5001, "reasons": "empty"},
                7
            ]"#
        ));
    }

    #[test]
    fn a_schedule_is_five_fields_of_crontab() {
        for text in [
            "0 9 * * MON-FRI",
            "*/15 0-6,22,23 1 jan,JUL *",
            "0  0 29 2 *",
            "0 0 * * 7",
            "0 0 1,15 * 5",
            "5/10 * * * *",
            "30 2 * * sat,sun",
        ] {
            assert!(Schedule::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "0 9 * *",
            "0 9 * * MON-FRI UTC",
            "0 9 ? * MON-FRI *",
            "0 9 * * ?",
            "60 9 * * *",
            "0 24 * * *",
            "0 0 30 2 *",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5L",
            "0 0 * * 5#3",
            "H 0 * * *",
            "@daily",
            "rate(1 hour)",
            "0 0 * * FRI-MON",
            "-1 0 * * *",
            "*/0 * * * *",
        ] {
            assert!(Schedule::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_in_hours_and_minutes() {
        let with = |duration: &str| {
            let budget =
                format!(r#"[{{"count": 0, "schedule": "0 9 * * *", "duration": "{duration}"}}]"#);
            read(&budget).is_ok()
        };
        for duration in ["1m", "8h", "1h 30m", "1h30m", "PT8H", "744h", "90 minutes"] {
            assert!(with(duration), "{duration}");
        }
        for duration in ["", "0s", "59s", "-8h", "8", "8x", "1d", "744h 1s", "∞"] {
            assert!(!with(duration), "{duration}");
        }
    }

    #[test]
    fn budgets_in_vain_are_wrong() {
        insta::assert_snapshot!(wrong(
            r#"[
                {"count": 0, "schedule": "0 9 * * *", "duration": "8h"},
                {"share": 10, "schedule": "0  9 * * *", "duration": "7h", "reasons": ["empty"]},
                {"share": 20},
                {"share": 30, "reasons": ["replace"]},
                {"share": 20}
            ]"#
        ));
        for fine in [
            "[]",
            // Which is tighter depends on the size of the cluster.
            r#"[{"share": 10}, {"count": 3}]"#,
            r#"[{"share": 10}, {"share": 5, "reasons": ["replace"]}]"#,
            r#"[{"share": 5, "reasons": ["replace"]}, {"share": 10, "reasons": ["empty", "replace"]}]"#,
            r#"[{"share": 5, "schedule": "0 9 * * *", "duration": "8h"},
                {"share": 10, "schedule": "0 9 * * *", "duration": "9h"}]"#,
            r#"[{"share": 5, "schedule": "0 9 * * *", "duration": "8h"},
                {"share": 5, "schedule": "0 9 * * *", "duration": "8h", "time_zone": "Asia/Tokyo"}]"#,
        ] {
            assert!(read(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_wrong() {
        let text = r#"[{"count": 1}, {"count": 0, "reasons": ["empty"], "reasons": ["replace"]}]"#;
        assert_eq!(wrong(text), format!("{text} | {ONCE_EXPECTED}"));
    }

    #[test]
    fn what_is_no_array_of_few_is_wrong_as_a_whole() {
        let many = format!("[{}]", vec![r#"{"count": 1}"#; 21].join(","));
        for text in ["", "{}", "[", "10", many.as_str()] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.len(), wrong[0].expected), (1, ARRAY_EXPECTED), "{text}");
        }
    }
}

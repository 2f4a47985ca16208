//! Random calendars, anywhere in the world, against somebody who watches a clock on the wall.
//!
//! `PROPTEST_CASES` says how many.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Defaults, DisruptionReason, setting};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// One of the five fields, and what it stands for.
#[derive(Debug, Clone)]
struct Field {
    text: String,
    values: BTreeSet<i8>,
}

impl Field {
    fn starts_with_star(&self) -> bool {
        self.text.starts_with('*')
    }
}

fn field(first: i8, last: i8) -> impl Strategy<Value = Field> {
    let of = move |text: String, values: BTreeSet<i8>| Field { text, values };
    let star = Just(of("*".to_owned(), (first..=last).collect()));
    let value = (first..=last).prop_map(move |value| of(value.to_string(), [value].into()));
    let list = proptest::collection::btree_set(first..=last, 1..4).prop_map(move |values| {
        let words: Vec<_> = values.iter().map(i8::to_string).collect();
        of(words.join(","), values)
    });
    let range = (first..=last, first..=last, 1..5_usize).prop_map(move |(a, b, step)| {
        let (from, to) = (a.min(b), a.max(b));
        let values = (from..=to).step_by(step).collect();
        let step = if step == 1 { String::new() } else { format!("/{step}") };
        of(format!("{from}-{to}{step}"), values)
    });
    let step = (2..8_usize)
        .prop_map(move |step| of(format!("*/{step}"), (first..=last).step_by(step).collect()));
    prop_oneof![3 => star, 3 => value, 1 => list, 1 => range, 1 => step]
}

/// A field that is mostly `*`, so that the calendar has days.
fn seldom(first: i8, last: i8) -> impl Strategy<Value = Field> {
    let star = Field { text: "*".to_owned(), values: (first..=last).collect() };
    prop_oneof![3 => Just(star), 1 => field(first, last)]
}

#[derive(Debug, Clone)]
struct Calendar {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    zone: String,
    duration: SignedDuration,
}

impl Calendar {
    fn schedule(&self) -> String {
        let Self { minute, hour, day, month, weekday, .. } = self;
        [minute, hour, day, month, weekday].map(|field| field.text.as_str()).join(" ")
    }

    /// Whether this minute is in the calendar, as crontab(5) says it.
    fn shows(&self, wall: DateTime) -> bool {
        let day = self.day.values.contains(&wall.day());
        let weekday = wall.date().weekday().to_sunday_zero_offset();
        let weekday = self.weekday.values.contains(&weekday)
            || (weekday == 0 && self.weekday.values.contains(&7));
        let is_day = if self.day.starts_with_star() || self.weekday.starts_with_star() {
            day && weekday
        } else {
            day || weekday
        };
        is_day
            && self.minute.values.contains(&wall.minute())
            && self.hour.values.contains(&wall.hour())
            && self.month.values.contains(&wall.month())
    }

    /// Whether it begins at this whole minute, for somebody who has watched the clock on the wall
    /// since the minute before.
    fn begins(&self, zone: &TimeZone, minute: Timestamp) -> bool {
        let shown = zone.to_datetime(minute);
        let before = zone.to_datetime(minute - MINUTE);
        let mut wall = shown;
        while wall > before {
            if self.shows(wall) {
                return true;
            }
            wall -= MINUTE;
        }
        shown <= before && self.shows(shown)
    }

    /// Whether it began at some minute since its duration ago.
    fn is_open(&self, zone: &TimeZone, now: Timestamp) -> bool {
        let mut minute = Timestamp::from_second(now.as_second().div_euclid(60) * 60).unwrap();
        while minute > now - self.duration {
            if self.begins(zone, minute) {
                return true;
            }
            minute -= MINUTE;
        }
        false
    }
}

prop_compose! {
    fn calendars()(
        minute in field(0, 59),
        hour in field(0, 23),
        day in seldom(1, 31),
        month in seldom(1, 12),
        weekday in seldom(0, 7),
        zone in proptest::sample::select(zones()),
        minutes in prop_oneof![3 => 1..180_i64, 1 => 1..1_600_i64],
    ) -> Calendar {
        let duration = SignedDuration::from_mins(minutes);
        Calendar { minute, hour, day, month, weekday, zone, duration }
    }
}

fn zones() -> Vec<String> {
    let names = TimeZoneDatabase::bundled();
    names.available().map(|name| name.to_string()).collect()
}

/// A moment of this century, as often as not around a change of the zone's clocks.
fn moment(zone: &TimeZone, second: i64, around: Option<i64>) -> Timestamp {
    let at = Timestamp::from_second(second).unwrap();
    match (around, zone.following(at).next()) {
        (Some(offset), Some(change)) => change.timestamp() + SignedDuration::from_secs(offset),
        (Some(_) | None, _) => at,
    }
}

proptest! {
    #[test]
    fn a_budget_holds_when_the_clock_on_the_wall_says_so_and_never_else(
        calendar in calendars(),
        second in 946_684_800..2_524_608_000_i64,
        around in proptest::option::of(-7_200..90_000_i64),
    ) {
        let zone = TimeZoneDatabase::bundled().get(&calendar.zone).unwrap();
        let now = moment(&zone, second, around);
        let text = serde_json::json!([{
            "share": 7,
            "schedule": calendar.schedule(),
            "time_zone": calendar.zone,
            "duration": format!("{}m", calendar.duration.as_mins()),
        }]);
        // It may be a day that no month has.
        let Ok(budgets) = setting::read(&text.to_string()) else { return Ok(()) };
        let defaults = Defaults { max_removals_percent: 0, max_empty_removals_percent: 0 };
        let is_open = calendar.is_open(&zone, now);
        for reason in DisruptionReason::ALL {
            let allowance = budgets.allowance(reason, 100, defaults, now);
            prop_assert_eq!(allowance.instances, if is_open { 7 } else { 0 });
        }

        // When it says that more may go they may, and not before that.
        let reason = DisruptionReason::Consolidate;
        let allowance = budgets.allowance(reason, 100, defaults, now);
        prop_assert!(!(is_open && allowance.more_from.is_some()));
        let watched = now + SignedDuration::from_hours(2);
        let mut minute = Timestamp::from_second((now.as_second().div_euclid(60) + 1) * 60).unwrap();
        while !is_open && minute < allowance.more_from.unwrap_or(watched).min(watched) {
            prop_assert!(!calendar.begins(&zone, minute), "it begins at {}", minute);
            minute += MINUTE;
        }
        if let Some(more_from) = allowance.more_from {
            prop_assert!(calendar.begins(&zone, more_from));
        }
    }
}

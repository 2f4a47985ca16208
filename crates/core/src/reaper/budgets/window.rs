//! When a budget holds: from each occurrence of a schedule in a time zone, for some time.
//!
//! The schedule is read on the clock on the wall, and the time it lasts is elapsed time. Where the
//! clocks are changed, what the clock on the wall shows decides:
//! - a time that they skip counts at the moment at which they skip it, so that a rule for Fridays
//!   holds on a Friday that begins at one o'clock;
//! - a time that comes twice counts twice, so that a window which is open from one showing of it on
//!   is open from the other on as well.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// How many changes of a zone's clocks are looked past for an occurrence: there are four a year at
/// most, and a schedule that has none within four years has none.
const CLOCK_CHANGES_MAX: usize = 16;

/// How many occurrences in a row are looked at for the end of windows that run into each other. With
/// more, nobody is told when it ends.
const JOINED_WINDOWS_MAX: usize = 2_000;

/// The times at which a budget holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    schedule: Schedule,
    time_zone: TimeZone,
    duration: SignedDuration,
}

impl Window {
    /// The window from each occurrence of `schedule` in `time_zone` on, for `duration`.
    pub(crate) fn new(schedule: Schedule, time_zone: TimeZone, duration: SignedDuration) -> Self {
        Self { schedule, time_zone, duration }
    }

    /// Whether it is open: at an occurrence it is, `duration` later it is not any more.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let opening = now.checked_sub(self.duration).ok().and_then(|at| self.next_opening(at));
        opening.is_some_and(|opening| opening <= now)
    }

    /// When it closes, if it is open and does so before long: windows that run into each other are
    /// one.
    pub fn closes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let mut opening = self.next_opening(now.checked_sub(self.duration).ok()?)?;
        if opening > now {
            return None;
        }
        for _ in 0..JOINED_WINDOWS_MAX {
            let closing = opening.checked_add(self.duration).ok()?;
            match self.next_opening(opening) {
                Some(next) if next <= closing => opening = next,
                Some(_) | None => return Some(closing),
            }
        }
        None
    }

    /// When it opens or closes next, if that is known.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_open(now) { self.closes_at(now) } else { self.next_opening(now) }
    }

    /// The first time after `after` at which its schedule occurs; `None` if there is none within
    /// four years.
    pub fn next_opening(&self, after: Timestamp) -> Option<Timestamp> {
        let mut at = after;
        // Between two changes of the clocks, times on the wall and elapsed time go alike.
        for _ in 0..CLOCK_CHANGES_MAX {
            let offset = self.time_zone.to_offset(at);
            let change = self.time_zone.following(at).next();
            let occurrence = self.schedule.first_after(offset.to_datetime(at));
            let opening = occurrence.and_then(|occurrence| offset.to_timestamp(occurrence).ok());
            let Some(change) = change else { return opening };
            let (change, new_offset) = (change.timestamp(), change.offset());
            if let Some(opening) = opening.filter(|opening| *opening < change) {
                return Some(opening);
            }
            if self.occurs_at_change(change, offset, new_offset) {
                return Some(change);
            }
            at = change;
        }
        None
    }

    /// Whether the schedule occurs at what the clocks show right after they were changed, or at what
    /// they skip.
    fn occurs_at_change(&self, change: Timestamp, old: Offset, new: Offset) -> bool {
        let shown = new.to_datetime(change);
        let skipped_from = old.to_datetime(change).min(shown);
        self.schedule.first_from(skipped_from).is_some_and(|occurrence| occurrence <= shown)
    }

    /// Whether it is never open but when `other` is.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.schedule == other.schedule
            && self.time_zone == other.time_zone
            && self.duration <= other.duration
    }
}

/// When something occurs, by the clock on the wall: the five fields of crontab(5), without the
/// extensions of others.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    text: String,
    /// Always read in UTC, where no clock is ever changed: time zones are the window's.
    crontab: Crontab,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl Schedule {
    /// Reads a schedule; `None` if it is none, or never occurs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else { return None };
        // Among them what the crate reads but other crons read otherwise: the last or the nearest
        // day. Its last day of a month has none in December.
        let is_extended = [minute, hour, day_of_month].iter().any(|field| has_letters(field))
            || day_of_week.contains(['L', 'l', '#'])
            || month.contains('#');
        if is_extended {
            return None;
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let text = fields.join(" ");
        let crontab = cronexpr::parse_crontab_with(&text, options).ok()?;
        let schedule = Self { text, crontab };
        schedule.first_after(DateTime::constant(2024, 1, 1, 0, 0, 0, 0)).map(|_| schedule)
    }

    /// The first occurrence after a time on the wall.
    fn first_after(&self, wall: DateTime) -> Option<DateTime> {
        let after = Offset::UTC.to_timestamp(wall).ok()?;
        self.crontab.find_next(after).ok().map(|occurrence| occurrence.datetime())
    }

    /// The first occurrence at a time on the wall, or after it.
    fn first_from(&self, wall: DateTime) -> Option<DateTime> {
        self.first_after(wall.checked_sub(SignedDuration::from_nanos(1)).ok()?)
    }
}

fn has_letters(field: &str) -> bool {
    field.contains(|character: char| character.is_ascii_alphabetic())
}

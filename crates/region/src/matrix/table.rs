//! What came of a story's mishaps, as a table: a row for each call, with what was waited for, and one
//! for all of them; and a column for each mishap.

use std::collections::BTreeMap;
use std::fmt;

use super::await_point::{AwaitPoint, Mishap};
use super::harm::Harm;

/// What came of a story's mishaps.
pub(super) struct Table<'a> {
    pub(super) function: &'a str,
    pub(super) name: &'a str,
    pub(super) mishaps: &'a [Mishap],
    pub(super) documented: fn(&AwaitPoint, Mishap, &Harm) -> bool,
    pub(super) results: Vec<Result>,
}

/// What came of a mishap at an await point.
pub(super) type Result = ((AwaitPoint, Mishap), Option<Harm>);

impl Table<'_> {
    /// The harms that nobody has to bear, a line each.
    pub(super) fn undocumented(&self) -> Vec<String> {
        let Self { function, name, .. } = self;
        let harms = self.results.iter().filter_map(|((point, mishap), harm)| {
            let harm = harm.as_ref().filter(|harm| !self.is_documented(point, *mishap, harm))?;
            let (kind, details, moment) = (harm.kind, &harm.details, point.moment);
            Some(format!("{function}, {name}: {mishap} at {point} ({moment}): {kind}: {details}"))
        });
        harms.collect()
    }

    fn is_documented(&self, point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
        (self.documented)(point, mishap, harm)
    }

    /// What came of a mishap at all await points of a kind, or at any: `fine`, or the worst with how
    /// often.
    fn cell(&self, row: Option<&str>, mishap: Mishap) -> String {
        let of_cell = self.results.iter().filter(|((point, befell), _)| {
            row.is_none_or(|row| point.to_string() == row)
                && befell.to_string() == mishap.to_string()
        });
        let mut numbers = BTreeMap::new();
        for ((point, _), harm) in of_cell {
            let word = harm.as_ref().map_or_else(
                || "fine".to_owned(),
                |harm| {
                    let star = if self.is_documented(point, mishap, harm) { "*" } else { "!" };
                    format!("{}{star}", harm.kind)
                },
            );
            *numbers.entry(word).or_insert(0) += 1;
        }
        let words = numbers.iter().map(|(word, number)| format!("{number} {word}"));
        let words: Vec<_> = words.collect();
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, name, mishaps, .. } = self;
        let fine = self.results.iter().filter(|(_, harm)| harm.is_none()).count();
        let cases = self.results.len();
        writeln!(f, "\n{function}: {name}: {fine} of {cases} fine (*: documented)")?;
        let mut rows: Vec<_> =
            self.results.iter().map(|((point, _), _)| point.to_string()).collect();
        rows.sort();
        rows.dedup();
        write!(f, "{:50}", "await point")?;
        for mishap in *mishaps {
            write!(f, "  {:>18}", mishap.to_string())?;
        }
        for row in rows.iter().map(|row| Some(row.as_str())).chain([None]) {
            write!(f, "\n{:50}", row.unwrap_or("all"))?;
            for mishap in *mishaps {
                write!(f, "  {:>18}", self.cell(row, *mishap))?;
            }
        }
        writeln!(f)
    }
}

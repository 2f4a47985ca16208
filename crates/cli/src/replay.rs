//! `ebb replay`: what several policies would have come to, over a folder of recordings.
//!
//! Each recording is played to its end by each policy, by itself: what one sweep removes is not in
//! the next recording, as it was made of a cluster that nobody shrank.

use std::path::{Path, PathBuf};

use ebb_core::reaper::Prospect;
use ebb_core::words::{HOURS_PER_MONTH, count, share};
use ebb_planner::Policy;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::recording::Recording;
use crate::snapshot::Snapshot;
use crate::words::{rounded, usd};

/// A policy, with the name that it was given.
pub(crate) struct NamedPolicy {
    pub(crate) name: String,
    pub(crate) policy: Policy,
}

/// What a policy came to over all recordings.
pub(crate) struct Row {
    name: String,
    /// By recording, its clusters taken together.
    played: Vec<Played>,
}

/// What a policy came to in one recording.
#[derive(Default)]
struct Played {
    instances: usize,
    removed: usize,
    moved: usize,
    saved_microusd: Option<u64>,
    least_cpu_percent: f64,
    least_memory_percent: f64,
}

/// The recordings of a folder: its files that end in `.json`, by name, which is by time where names
/// begin with it.
///
/// # Errors
/// If the folder cannot be read or has none.
pub(crate) fn recordings_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = folder.display();
    let unreadable = |error| Failure::input(format!("{shown} cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Failure::input(format!(
            "{shown} has no file that ends in .json: write some by `ebb record > NAME.json`"
        )));
    }
    files.sort();
    Ok(files)
}

/// Reads one.
///
/// # Errors
/// If it cannot be read, or is no recording.
pub(crate) fn read(path: &Path) -> Result<Snapshot, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("{file} cannot be read: {error}")))?;
    let recording = Recording::read(&text)
        .map_err(|failure| Failure { text: format!("{file}: {}", failure.text), ..failure })?;
    Ok(Snapshot::from(recording))
}

impl Row {
    /// A policy that nothing was played by yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), played: Vec::new() }
    }

    /// Plays a recording to its end.
    pub(crate) fn play(&mut self, snapshot: &Snapshot, policy: &Policy) {
        let mut played = Played {
            saved_microusd: Some(0),
            least_cpu_percent: 100.0,
            least_memory_percent: 100.0,
            ..Played::default()
        };
        for cluster in &snapshot.clusters {
            let prospect = Prospect::new(&cluster.inventory, policy, snapshot.at);
            played.instances += cluster.inventory.instances.len();
            played.removed += prospect.instances;
            played.moved += prospect.tasks_moved;
            let saved = played.saved_microusd.zip(prospect.saved_microusd);
            played.saved_microusd = saved.and_then(|(sum, saved)| sum.checked_add(saved));
            played.least_cpu_percent =
                played.least_cpu_percent.min(prospect.least_free_cpu_percent);
            played.least_memory_percent =
                played.least_memory_percent.min(prospect.least_free_memory_percent);
        }
        self.played.push(played);
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean, shown to people")]
    fn mean(&self, of: impl Fn(&Played) -> usize) -> f64 {
        self.played.iter().map(of).sum::<usize>() as f64 / self.played.len().max(1) as f64
    }

    /// What an hour would cost less, on the mean; `None` if a price is not known.
    #[expect(clippy::cast_precision_loss, reason = "a mean, shown to people")]
    fn mean_usd(&self) -> Option<f64> {
        let saved: f64 =
            self.played.iter().map(|played| played.saved_microusd.map(usd)).sum::<Option<_>>()?;
        Some(saved / self.played.len().max(1) as f64)
    }

    fn least(&self, of: impl Fn(&Played) -> f64) -> f64 {
        self.played.iter().map(of).fold(100.0, f64::min)
    }
}

/// The policies with a number each, as their names are long, and a table of what they came to.
pub(crate) fn text(rows: &[Row], recordings: usize) -> String {
    let names: String =
        (1..).zip(rows).map(|(number, row)| format!("  {number}  {}\n", row.name)).collect();
    let headings =
        ["policy", "instances gone", "$ a month", "tasks moved", "least CPU", "least memory"];
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend((1..).zip(rows).map(|(number, row)| {
        [
            number.to_string(),
            format!(
                "{:.1} of {:.1}",
                row.mean(|played| played.removed),
                row.mean(|played| played.instances)
            ),
            row.mean_usd().map_or_else(
                || "no prices".to_owned(),
                |usd| format!("{:.0}", usd * HOURS_PER_MONTH),
            ),
            format!("{:.1}", row.mean(|played| played.moved)),
            share(row.least(|played| played.least_cpu_percent)),
            share(row.least(|played| played.least_memory_percent)),
        ]
    }));
    let recordings = count(recordings, "recording");
    format!(
        "{recordings}, each played until nothing more goes. Means, and the least that was free.\n\
         {names}\n{}",
        table(&lines)
    )
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    });
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
        let cells: Vec<_> = cells.collect();
        text.push_str(&cells.join("  "));
        text.push('\n');
    }
    text
}

/// For programs.
pub(crate) fn json(rows: &[Row], recordings: usize) -> Value {
    let policies = rows.iter().map(|row| {
        json!({
            "policy": row.name,
            "instances": rounded(row.mean(|played| played.instances)),
            "instances_gone": rounded(row.mean(|played| played.removed)),
            "usd_per_hour": row.mean_usd(),
            "tasks_moved": rounded(row.mean(|played| played.moved)),
            "least_free_cpu_percent": rounded(row.least(|played| played.least_cpu_percent)),
            "least_free_memory_percent": rounded(row.least(|played| played.least_memory_percent)),
        })
    });
    json!({"recordings": recordings, "policies": policies.collect::<Vec<_>>()})
}

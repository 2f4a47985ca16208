//! What the `scale-in-reaper` answers: each cluster's report, with its text for people, or what a week
//! came to.
//!
//! The reports are made in `report`; logging the answer and counting it in metrics is left to the
//! function.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::outcome::{list_or, tally};
use crate::reaper::report::{ClusterReport, OutcomeKind, RemovalOutcome};
use crate::reaper::settings::ReaperMode;
use crate::reaper::summary::Summary;
use crate::reaper::text::text;
use crate::words;

/// What the function returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The mode of the sweep.
    pub mode: ReaperMode,
    /// One entry per cluster that could be swept.
    pub clusters: Vec<ClusterReport>,
    /// What a week came to, if that was asked for in place of a sweep.
    pub summaries: Option<Vec<Summary>>,
    /// Why it did not sweep at all, if so.
    pub ignored: Option<String>,
}

/// How many of a cluster's instances that stay a log line names. CloudWatch Logs takes events of up
/// to 256 KB, which the reports of several clusters share; the whole answer has all of them.
const LOGGED_KEPT_MAX: usize = 25;

impl Answer {
    /// The answer, whole, with each cluster's plan as text.
    pub fn to_json(&self) -> Value {
        let mut answer = self.json_with(usize::MAX);
        for (index, report) in self.clusters.iter().enumerate() {
            answer["clusters"][index]["text"] = json!(text(report));
        }
        answer
    }

    /// The answer for a log line: of each cluster's instances that stay only the first 25 are
    /// named.
    pub fn to_log(&self) -> Value {
        self.json_with(LOGGED_KEPT_MAX)
    }

    fn json_with(&self, kept_max: usize) -> Value {
        let clusters: Vec<_> =
            self.clusters.iter().map(|report| report.to_json(kept_max)).collect();
        let mut answer = json!({"mode": self.mode, "clusters": clusters});
        if let Some(summaries) = &self.summaries {
            answer["summaries"] = summaries.iter().map(Summary::to_json).collect();
        }
        if let Some(why) = &self.ignored {
            answer["ignored"] = json!(why);
        }
        answer
    }

    /// The outcomes of this kind.
    pub fn of_kind(&self, kind: OutcomeKind) -> impl Iterator<Item = &RemovalOutcome> {
        self.clusters
            .iter()
            .flat_map(ClusterReport::all_outcomes)
            .filter(move |outcome| outcome.outcome == kind)
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// The answer as one line of a log: `1 cluster swept: 2 terminating, 1 waiting`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ignored.is_some() {
            return f.write_str("1 ignored");
        }
        if let Some(summaries) = &self.summaries {
            return write!(f, "{} summed up", words::count(summaries.len(), "week"));
        }
        let counts = OutcomeKind::ALL.map(|kind| (self.of_kind(kind).count(), kind.as_str()));
        let done = list_or("nothing to do", &tally(counts));
        write!(f, "{} swept: {done}", words::count(self.clusters.len(), "cluster"))
    }
}

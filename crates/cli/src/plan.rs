//! `ebb plan`: what a sweep would do to each cluster, and how far sweeps would come in the end.

use anstyle::{AnsiColor, Style};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{Answer, ClusterReport, Prospect, text};
use ebb_core::words::{count, price, share};
use ebb_planner::Policy;
use serde_json::{Value, json};

use crate::cheaper_shapes::CheaperShapes;
use crate::failure::Failure;
use crate::snapshot::{ClusterSnapshot, Snapshot};
use crate::words::{printable, rounded, usd};

/// What sweeps would do to clusters.
pub(crate) struct Planned<'a> {
    snapshot: &'a Snapshot,
    /// What a sweep would report of each cluster.
    reports: Vec<ClusterReport>,
    /// What removals come to in the end, of each cluster; none for a sweep that replaces.
    outlooks: Vec<Outlook>,
    policy: Policy,
}

/// What the removals of one cluster come to in the end.
struct Outlook {
    prospect: Prospect,
    shapes: CheaperShapes,
}

impl<'a> Planned<'a> {
    /// Plans sweeps that remove what nobody needs.
    pub(crate) fn removals(snapshot: &'a Snapshot, policy: &Policy) -> Self {
        let now = snapshot.at;
        let outlooks = snapshot.clusters.iter().map(|cluster| Outlook {
            prospect: Prospect::new(&cluster.inventory, policy, now),
            shapes: CheaperShapes::new(cluster, policy, now),
        });
        Self {
            snapshot,
            reports: snapshot.reports(policy),
            outlooks: outlooks.collect(),
            policy: policy.clone(),
        }
    }

    /// Plans sweeps that replace what is old.
    ///
    /// # Errors
    /// If the snapshot is a recording of before those were thought of.
    pub(crate) fn replacements(
        snapshot: &'a Snapshot,
        settings: &ReaperSettings,
    ) -> Result<Self, Failure> {
        let report = |cluster: &ClusterSnapshot| {
            cluster.replace_report(settings, snapshot.at).ok_or_else(|| {
                let name = cluster.inventory.cluster.name();
                Failure::input(format!(
                    "the recording does not say of cluster {name} what is old: record it anew"
                ))
            })
        };
        Ok(Self {
            snapshot,
            reports: snapshot.clusters.iter().map(report).collect::<Result<_, _>>()?,
            outlooks: Vec::new(),
            policy: settings.policy(),
        })
    }

    /// As JSON: the function's answer, with what it comes to in the end in each cluster.
    pub(crate) fn json(&self) -> Value {
        let answer = Answer {
            mode: ReaperMode::Plan,
            clusters: self.reports.clone(),
            summaries: None,
            ignored: None,
        };
        let mut json = answer.to_json();
        json["region"] = json!(self.snapshot.region);
        json["at"] = json!(self.snapshot.at);
        for (index, Outlook { prospect, shapes }) in self.outlooks.iter().enumerate() {
            json["clusters"][index]["in_the_end"] = prospect_json(prospect);
            json["clusters"][index]["cheaper_shapes"] = shapes.json();
        }
        json
    }

    /// For people: the function's text, with what it comes to in the end.
    pub(crate) fn text(&self) -> String {
        let texts = self.reports.iter().enumerate().map(|(index, report)| {
            let end = self.outlooks.get(index).map(|outlook| outlook.text(report));
            format!("{}{}", colored(&printable(&text(report))), end.unwrap_or_default())
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The plan of one cluster as a page.
    ///
    /// # Errors
    /// If there is none, or there are several: a page shows one.
    pub(crate) fn html(&self) -> Result<String, String> {
        let ([cluster], [report]) = (self.snapshot.clusters.as_slice(), self.reports.as_slice())
        else {
            let clusters = count(self.reports.len(), "cluster");
            return Err(format!(
                "a page shows one cluster, and here are {clusters}; name one with --cluster"
            ));
        };
        let shapes = self.outlooks.iter().flat_map(|outlook| outlook.shapes.sentences());
        let shapes: Vec<_> = shapes.collect();
        let (policy, now) = (&self.policy, self.snapshot.at);
        Ok(ebb_page::plan_page(&cluster.inventory, report, &shapes, policy, now))
    }
}

impl Outlook {
    fn text(&self, report: &ClusterReport) -> String {
        let sentences = self.shapes.sentences();
        let shapes = sentences.iter().map(|sentence| format!("  {}\n", printable(sentence)));
        prospect_text(&self.prospect, report) + &shapes.collect::<String>()
    }
}

/// The text with what goes in green, and warnings in yellow. Where colour is not wanted, it is taken
/// out when it is written.
fn colored(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let style = match line.trim_start().get(..2) {
            _ if !line.starts_with(' ') => Style::new().bold(),
            Some("- ") => AnsiColor::Green.on_default(),
            Some("! ") => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        format!("{style}{line}{style:#}\n")
    });
    lines.collect()
}

fn prospect_text(prospect: &Prospect, report: &ClusterReport) -> String {
    let total = report.plan.remove.len() + report.plan.keep.len();
    if prospect.instances == 0 {
        return String::new();
    }
    let sweeps = count(prospect.sweeps, "sweep");
    let moved = count(prospect.tasks_moved, "task");
    let saved = share(prospect.saved * 100.0);
    let saved = match prospect.saved_microusd {
        Some(microusd) => format!("{saved}: {}", price(usd(microusd))),
        None => saved,
    };
    let cpu = share(prospect.least_free_cpu_percent);
    let memory = share(prospect.least_free_memory_percent);
    format!(
        "  In the end {} of {total} can go, in {sweeps} ({} h): that saves {saved}.\n  \
         {moved} moved by then; at least {cpu} of CPU and {memory} of memory stay free.\n",
        prospect.instances,
        hours(prospect),
    )
}

fn prospect_json(prospect: &Prospect) -> Value {
    json!({
        "sweeps": prospect.sweeps,
        "hours": hours(prospect),
        "instances": prospect.instances,
        "tasks_moved": prospect.tasks_moved,
        "saved_percent": rounded(prospect.saved * 100.0),
        "usd_per_hour": prospect.saved_microusd.map(usd),
        "least_free_cpu_percent": rounded(prospect.least_free_cpu_percent),
        "least_free_memory_percent": rounded(prospect.least_free_memory_percent),
    })
}

fn hours(prospect: &Prospect) -> f64 {
    rounded(prospect.lasts().as_secs_f64() / 3_600.0)
}

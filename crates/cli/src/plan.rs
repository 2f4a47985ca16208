//! `ebb plan`: what a sweep would do to each cluster, and how far sweeps would come in the end.

use anstyle::{AnsiColor, Style};
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::{Answer, ClusterReport, Prospect, text};
use ebb_core::words::{count, price, share};
use ebb_planner::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cheaper_shapes::CheaperShapes;
use crate::snapshot::{ClusterSnapshot, Snapshot};
use crate::words::{printable, rounded, usd};

/// The plan as JSON: the function's answer, with what it comes to in the end in each cluster.
pub(crate) fn plan_json(snapshot: &Snapshot, policy: &Policy) -> Value {
    let answer = Answer {
        mode: ReaperMode::Plan,
        clusters: snapshot.reports(policy),
        summaries: None,
        ignored: None,
    };
    let mut json = answer.to_json();
    json["region"] = json!(snapshot.region);
    json["at"] = json!(snapshot.at);
    for (index, prospect) in prospects(snapshot, policy).iter().enumerate() {
        json["clusters"][index]["in_the_end"] = prospect_json(prospect);
    }
    for (index, cluster) in snapshot.clusters.iter().enumerate() {
        let shapes = CheaperShapes::new(cluster, policy, snapshot.at).json();
        json["clusters"][index]["cheaper_shapes"] = shapes;
    }
    json
}

/// The plan for people: the function's text, with what it comes to in the end.
pub(crate) fn plan_text(snapshot: &Snapshot, policy: &Policy) -> String {
    let reports = snapshot.reports(policy);
    let prospects = prospects(snapshot, policy);
    let ends = prospects.iter().zip(&snapshot.clusters);
    let texts = reports.iter().zip(ends).map(|(report, (prospect, cluster))| {
        format!(
            "{}{}{}",
            colored(&printable(&text(report))),
            prospect_text(prospect, report),
            shapes_text(cluster, policy, snapshot.at),
        )
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The plan of one cluster as a page.
///
/// # Errors
/// If the snapshot has none, or several: a page shows one.
pub(crate) fn plan_html(snapshot: &Snapshot, policy: &Policy) -> Result<String, String> {
    let reports = snapshot.reports(policy);
    let ([cluster], [report]) = (snapshot.clusters.as_slice(), reports.as_slice()) else {
        let clusters = count(reports.len(), "cluster");
        return Err(format!(
            "a page shows one cluster, and here are {clusters}; name one with --cluster"
        ));
    };
    let ClusterReport { plan, potential, .. } = report;
    let shapes = CheaperShapes::new(cluster, policy, snapshot.at).sentences();
    Ok(ebb_page::plan_page(&cluster.inventory, plan, potential, &shapes, policy, snapshot.at))
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

fn prospects(snapshot: &Snapshot, policy: &Policy) -> Vec<Prospect> {
    let clusters = snapshot.clusters.iter();
    clusters.map(|cluster| Prospect::new(&cluster.inventory, policy, snapshot.at)).collect()
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

fn shapes_text(cluster: &ClusterSnapshot, policy: &Policy, now: Timestamp) -> String {
    let sentences = CheaperShapes::new(cluster, policy, now).sentences();
    sentences.iter().map(|sentence| format!("  {}\n", printable(sentence))).collect()
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

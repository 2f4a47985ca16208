//! A sweep of one cluster, written for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::answer::{Done, Swept, usd};
use super::plan::{Headroom, Kept, Plan, Removal};
use crate::ids::InstanceId;
use crate::settings::ReaperMode;

/// How many ids stand behind a reason to keep instances; the rest are counted.
const IDS_MAX: usize = 3;
/// How many reasons to keep instances are told; what stays for others is counted. Each pinned task is a reason of its own.
const REASONS_MAX: usize = 20;

/// Renders what goes, what stays and why, and what is left then.
pub fn text(swept: &Swept) -> String {
    let Swept { plan, mode, .. } = swept;
    let mut text = String::new();
    let total = plan.remove.len() + plan.keep.len();
    let mode = match mode {
        ReaperMode::Plan => " (plan: nothing is changed)",
        ReaperMode::Act => "",
    };
    let going = plan.remove.len();
    let _ = writeln!(
        text,
        "Cluster {}: {going} of {total} container instances can go{mode}",
        plan.cluster.name()
    );
    remove(&mut text, swept);
    keep(&mut text, &plan.keep);
    earlier(&mut text, &swept.earlier);
    for (instance_id, group) in &swept.never_joined {
        let _ = writeln!(
            text,
            "  ! {instance_id}  is in group {group}, but not in the cluster: paid for nothing?"
        );
    }
    headroom(&mut text, &plan.headroom_before, &plan.headroom_after);
    saving(&mut text, plan);
    text
}

fn remove(text: &mut String, swept: &Swept) {
    for (removal, done) in swept.plan.remove.iter().zip(&swept.done) {
        let Removal { instance_id, instance_type, zone, group, reason, .. } = removal;
        let _ = writeln!(text, "  - {instance_id}  {instance_type}  {zone}  {group}  {reason}");
        if swept.mode == ReaperMode::Act {
            let _ = writeln!(text, "      {}", outcome(done));
        }
    }
}

fn outcome(done: &Done) -> String {
    let word = done.outcome.as_str().replace('_', " ");
    done.detail.as_ref().map_or_else(|| word.clone(), |detail| format!("{word}: {detail}"))
}

/// What stays, by reason: the most frequent first.
fn keep(text: &mut String, kept: &[Kept]) {
    let mut by_reason = BTreeMap::<String, Vec<&InstanceId>>::new();
    for Kept { instance_id, reason } in kept {
        by_reason.entry(reason.to_string()).or_default().push(instance_id);
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, ids)| usize::MAX - ids.len());
    let _ = writeln!(text, "  {} stay", kept.len());
    for (reason, ids) in by_reason.iter().take(REASONS_MAX) {
        let mut named: Vec<_> = ids.iter().take(IDS_MAX).map(ToString::to_string).collect();
        if ids.len() > IDS_MAX {
            named.push(format!("{} more", ids.len() - IDS_MAX));
        }
        let _ = writeln!(text, "  {:>5}  {reason}: {}", ids.len(), named.join(", "));
    }
    let others: usize = by_reason.iter().skip(REASONS_MAX).map(|(_, ids)| ids.len()).sum();
    if others > 0 {
        let _ = writeln!(text, "  {others:>5}  for other reasons");
    }
}

fn earlier(text: &mut String, earlier: &[Done]) {
    if !earlier.is_empty() {
        let _ = writeln!(text, "  drained by an earlier sweep");
    }
    for done in earlier {
        let _ = writeln!(text, "    {}  {}", done.instance_id, outcome(done));
    }
}

fn headroom(text: &mut String, before: &Headroom, after: &Headroom) {
    let _ = writeln!(text, "  usable instances  {} -> {}", before.instances, after.instances);
    let _ =
        writeln!(text, "  free CPU          {:.1} % -> {:.1} %", before.cpu_percent(), after.cpu_percent());
    let _ = writeln!(
        text,
        "  free memory       {:.1} % -> {:.1} %",
        before.memory_percent(),
        after.memory_percent()
    );
}

fn saving(text: &mut String, plan: &Plan) {
    let (planned, bound) = (plan.saving.planned * 100.0, plan.saving.bound * 100.0);
    let _ = write!(text, "  This cluster could shed {bound:.1} %, the plan sheds {planned:.1} %");
    if let Some(microusd) = plan.saving.planned_microusd {
        let _ = write!(text, ": ${:.2} an hour", usd(microusd));
    }
    text.push_str(".\n");
}

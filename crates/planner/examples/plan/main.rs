//! Plans the removal of instances from an inventory file, for comparing planners.
//!
//! `plan INVENTORY.rcl [--max-removals-percent N] [--headroom-percent N]` prints the removed
//! instances (`R <instance>`), where their tasks could go (`M <task> <instance>`), and one JSON
//! line. The planner does not say where tasks could go, as ECS decides that: the example finds a
//! placement by itself, so that whoever checks a plan need not trust the planner.

#[path = "../../tests/it/filters.rs"]
mod filters;
mod rcl;
#[path = "../../tests/it/witness.rs"]
mod witness;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use ebb_planner::{Plan, Policy, plan};
use serde_json::json;

use crate::witness::{Move, Witness};

/// What is read from the command line.
struct Arguments {
    path: String,
    policy: Policy,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn run() -> Result<(), String> {
    let Arguments { path, policy } = arguments(std::env::args().skip(1))?;
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let inventory = rcl::read(&text).map_err(|problem| format!("{path}: {problem}"))?;
    // The peak of memory is to be the planner's, not the file's.
    drop(text);

    let before_ms = cpu_ms();
    let plan = plan(&inventory, &policy, rcl::now());
    let measured = Measured { cpu_ms: cpu_ms() - before_ms, peak_rss_kib: peak_rss_kib() };

    let is_old = |instance: &ebb_planner::Instance| {
        instance.registered_at.is_some_and(|registered_at| {
            rcl::now().duration_since(registered_at) >= policy.min_instance_age
        })
    };
    let moves = Witness::new(&inventory, &plan, is_old)
        .find()
        .map_err(|task| format!("{path}: no place was found for task {}", task.id))?;
    // A reader that has read enough closes the pipe: that is no failure.
    let _ = print(&plan, &moves, &measured);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command line's way to speak")]
fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}

const USAGE: &str = "usage: plan INVENTORY.rcl [--max-removals-percent N] [--headroom-percent N]";

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut path = None;
    let mut policy = Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        min_instances: 0,
        ..Policy::default()
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--max-removals-percent" => {
                policy.max_removals_percent = percent(&word, words.next())?;
            }
            "--headroom-percent" => {
                policy.headroom_cpu_percent = percent(&word, words.next())?;
                policy.headroom_memory_percent = policy.headroom_cpu_percent;
            }
            _ if word.starts_with('-') || path.is_some() => return Err(USAGE.to_owned()),
            _ => path = Some(word),
        }
    }
    Ok(Arguments { path: path.ok_or(USAGE)?, policy })
}

fn percent(option: &str, value: Option<String>) -> Result<u32, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
    let percent = value.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("{value:?} is not a percentage from 0 to 100"))
}

/// What planning took.
struct Measured {
    cpu_ms: f64,
    peak_rss_kib: u64,
}

fn print(plan: &Plan, moves: &[Move], measured: &Measured) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for removal in &plan.remove {
        writeln!(out, "R {}", rcl::number(&removal.instance_id))?;
    }
    for Move { task, to } in moves {
        writeln!(out, "M {task} {}", rcl::number(to))?;
    }
    let line = json!({
        "removed": plan.remove.len(),
        "cost_share": plan.saving.planned,
        "bound": plan.saving.bound,
        "cpu_ms": measured.cpu_ms,
        "peak_rss_kib": measured.peak_rss_kib,
        "steps": plan.steps,
    });
    writeln!(out, "{line}")?;
    out.flush()
}

/// CPU time of this process in milliseconds, as Linux counts it; 0 elsewhere.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e6
}

/// The most memory that this process held, in KiB, as Linux counts it; 0 elsewhere.
fn peak_rss_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

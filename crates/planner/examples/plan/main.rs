//! Plans the removal of instances from an inventory file, for comparing planners.
//!
//! `plan INVENTORY.rcl [--mode best|safe] [--max-removals-percent N] [--headroom-percent N]` prints the removed instances
//! (`R <instance>`), where their tasks would go (`M <task> <instance>`), and one JSON line.

mod rcl;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use ebb_planner::{Plan, Policy, Search, plan};
use serde_json::json;

/// What is read from the command line.
struct Arguments {
    path: String,
    policy: Policy,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => return fail(&problem),
    };
    let text = match std::fs::read_to_string(&arguments.path) {
        Ok(text) => text,
        Err(error) => return fail(&format!("{}: {error}", arguments.path)),
    };
    let inventory = match rcl::read(&text) {
        Ok(inventory) => inventory,
        Err(problem) => return fail(&format!("{}: {problem}", arguments.path)),
    };
    drop(text);
    let before_ms = cpu_ms();
    let plan = plan(&inventory, &arguments.policy, rcl::now());
    let cpu_ms = cpu_ms() - before_ms;
    // A reader that has seen enough closes the pipe.
    let _ = print(&plan, cpu_ms);
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a command line's way to speak")]
fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}

const USAGE: &str = "usage: plan INVENTORY.rcl [--mode best|safe] [--max-removals-percent N] [--headroom-percent N]";

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut path = None;
    let mut policy = Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        min_instances: 0,
        ..Policy::default()
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--mode" => policy.search = mode(&value()?)?,
            "--max-removals-percent" => policy.max_removals_percent = percent(&value()?)?,
            "--headroom-percent" => {
                policy.headroom_cpu_percent = percent(&value()?)?;
                policy.headroom_memory_percent = policy.headroom_cpu_percent;
            }
            _ if argument.starts_with('-') || path.is_some() => return Err(USAGE.to_owned()),
            _ => path = Some(argument),
        }
    }
    // The best packing is compared with others that know no zones.
    policy.keep_zone_balance = policy.search == Search::Safe;
    Ok(Arguments { path: path.ok_or(USAGE)?, policy })
}

fn mode(text: &str) -> Result<Search, String> {
    match text {
        "best" => Ok(Search::Best),
        "safe" => Ok(Search::Safe),
        _ => Err(format!("--mode is {text:?}, expected best or safe")),
    }
}

fn percent(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number <= 100);
    number.ok_or_else(|| format!("{text:?} is not a percentage from 0 to 100"))
}

fn print(plan: &Plan, cpu_ms: f64) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for removal in &plan.remove {
        writeln!(out, "R {}", rcl::number(&removal.instance_id))?;
    }
    for one in &plan.moves {
        writeln!(out, "M {} {}", one.task, rcl::number(&one.to))?;
    }
    let line = json!({
        "removed": plan.remove.len(),
        "cost_share": plan.saving.planned,
        "bound": plan.saving.bound,
        "cpu_ms": cpu_ms,
        "peak_rss_kib": peak_rss_kib(),
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

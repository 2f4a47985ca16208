//! `make bench`: what the planner finds and how long it takes, on seeded inventories of its own and, where `PLANNER_DIR`
//! names a folder with `instances/*.rcl` and `reference.csv`, on those; and closed loops of sweeps until they come to rest.
//! Only measures: nothing is compared with a clock.

#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::unwrap_used, reason = "`ecs.rs` belongs to the tests")]
#![expect(clippy::cast_precision_loss, reason = "shown to people")]

#[path = "../../tests/it/ecs.rs"]
mod ecs;
mod generate;
#[path = "../../examples/plan/rcl.rs"]
mod rcl;

use std::path::Path;

use ebb_planner::{Inventory, Plan, Policy, RemoveReason, Search, plan};

/// The share of its cluster that a sweep may remove in closed loops, in percent.
const SWEEP_PERCENT: u32 = 10;
/// Loops that have not come to rest by then are cut.
const SWEEPS_MAX: usize = 24;

fn main() {
    println!("planner: best packing, and what one sweep of {SWEEP_PERCENT} % takes safely");
    println!(
        "{:<22}{:>6}{:>7}{:>8}{:>8}{:>7}{:>9}{:>8}{:>8}{:>8}{:>8}",
        "inventory",
        "inst.",
        "tasks",
        "bound",
        "best",
        "ratio",
        "of known",
        "CPU ms",
        "sweep",
        "bound",
        "CPU ms"
    );
    let mut known = Vec::new();
    for (name, text) in inventories() {
        let share = row(&name, &text, None);
        known.extend(share);
    }
    if let Some(folder) = std::env::var_os("PLANNER_DIR") {
        let folder = Path::new(&folder);
        for (file, best_known) in reference(folder) {
            let Ok(text) = std::fs::read_to_string(folder.join("instances").join(&file)) else {
                continue;
            };
            known.extend(row(file.trim_end_matches(".rcl"), &text, Some(best_known)));
        }
        println!(
            "of the best known, on average: {:.4}",
            known.iter().sum::<f64>() / known.len().max(1) as f64
        );
    }
    println!(
        "\nclosed loops of sweeps of {SWEEP_PERCENT} %, ECS placing by each service's strategy, or worst fit"
    );
    println!(
        "{:<22}{:<11}{:>8}{:>8}{:>7}{:>15}{:>8}{:>8}{:>11}",
        "inventory",
        "placement",
        "unsafe",
        "safe",
        "ratio",
        "sweeps to 95%",
        "drains",
        "failed",
        "certified"
    );
    for (name, text) in inventories().into_iter().filter(|(name, _)| name.contains("-500-")) {
        let Ok(mut inventory) = rcl::read(&text) else { continue };
        for instance in &mut inventory.instances {
            let attributes = [
                ("ecs.availability-zone", &instance.zone),
                ("ecs.instance-type", &instance.instance_type),
            ];
            instance.attributes =
                attributes.map(|(name, value)| (name.to_owned(), value.clone())).into();
        }
        for worst_fit in [false, true] {
            loops(&name, &inventory, worst_fit);
        }
    }
}

/// Seeded inventories of three families in three sizes.
fn inventories() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for size in [50, 500, 5_000] {
        for family in generate::Family::ALL {
            all.push((
                format!("{}-{size}-35", family.name()),
                generate::inventory(family, size, 35, 1),
            ));
        }
    }
    all
}

/// File names and the best known saving of each.
fn reference(folder: &Path) -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(folder.join("reference.csv")).unwrap_or_default();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap_or_default();
    let (file, best) = (at("file"), at("best_known_frac"));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Some(((*fields.get(file)?).to_owned(), fields.get(best)?.parse().ok()?))
        })
        .collect()
}

fn policy(search: Search, percent: u32) -> Policy {
    Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: percent,
        min_instances: 0,
        keep_zone_balance: search == Search::Safe,
        search,
        ..Policy::default()
    }
}

fn timed(inventory: &Inventory, policy: &Policy) -> (Plan, f64) {
    let before = cpu_ms();
    let plan = plan(inventory, policy, rcl::now());
    (plan, cpu_ms() - before)
}

/// CPU time of this process in milliseconds, as Linux counts it; 0 elsewhere.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e6
}

/// Prints a row; returns the share of the best known, if that is known.
fn row(name: &str, text: &str, best_known: Option<f64>) -> Option<f64> {
    let inventory = match rcl::read(text) {
        Ok(inventory) => inventory,
        Err(problem) => {
            println!("{name:<22}{problem}");
            return None;
        }
    };
    let tasks: usize =
        inventory.instances.iter().map(|one| one.tasks.as_ref().map_or(0, Vec::len)).sum();
    let (best, best_ms) = timed(&inventory, &policy(Search::Best, 100));
    let (sweep, sweep_ms) = timed(&inventory, &policy(Search::Safe, SWEEP_PERCENT));
    let of = |share: f64, all: f64| if all > 0.0 { share / all } else { 1.0 };
    let known = best_known.map(|known| of(best.saving.planned, known));
    println!(
        "{:<22}{:>6}{:>7}{:>8.4}{:>8.4}{:>7.3}{:>9}{:>8.0}{:>8.4}{:>8.4}{:>8.0}",
        name,
        inventory.instances.len(),
        tasks,
        best.saving.bound,
        best.saving.planned,
        of(best.saving.planned, best.saving.bound),
        known.map_or_else(|| "-".to_owned(), |known| format!("{known:.4}")),
        best_ms,
        sweep.saving.planned,
        sweep.saving.bound,
        sweep_ms,
    );
    known
}

/// What came of sweeps until nothing more went.
struct Loop {
    saved: Vec<f64>,
    drains: usize,
    failed: usize,
    certified: usize,
}

fn run(inventory: &Inventory, search: Search, worst_fit: bool) -> Loop {
    let mut inventory = inventory.clone();
    let cost = |inventory: &Inventory| -> u64 {
        inventory.instances.iter().filter_map(|one| one.price_microusd).sum()
    };
    let all = cost(&inventory).max(1) as f64;
    let mut ecs = ecs::Ecs::new(3);
    ecs.worst_fit = worst_fit;
    let mut all_sweeps = Loop { saved: Vec::new(), drains: 0, failed: 0, certified: 0 };
    let policy = Policy { keep_zone_balance: true, ..policy(search, SWEEP_PERCENT) };
    for _ in 0..SWEEPS_MAX {
        let plan = plan(&inventory, &policy, rcl::now());
        let swept = ecs.carry_out(&mut inventory, &plan);
        let sure = |reason: &RemoveReason| {
            matches!(reason, RemoveReason::Certified { .. } | RemoveReason::Empty)
        };
        all_sweeps.certified += plan.remove.iter().filter(|removal| sure(&removal.reason)).count();
        all_sweeps.drains += plan.remove.len();
        all_sweeps.failed += swept.rolled_back;
        all_sweeps.saved.push(1.0 - cost(&inventory) as f64 / all);
        if swept.drained == 0 {
            break;
        }
    }
    all_sweeps
}

fn loops(name: &str, inventory: &Inventory, worst_fit: bool) {
    let reckless = run(inventory, Search::Best, worst_fit);
    let safe = run(inventory, Search::Safe, worst_fit);
    let last = |one: &Loop| one.saved.last().copied().unwrap_or_default();
    let aim = 0.95 * last(&reckless);
    let reached = safe.saved.iter().position(|&saved| saved >= aim);
    println!(
        "{:<22}{:<11}{:>8.4}{:>8.4}{:>7.3}{:>15}{:>8}{:>8}{:>11}",
        name,
        if worst_fit { "worst fit" } else { "strategies" },
        last(&reckless),
        last(&safe),
        last(&safe) / last(&reckless).max(1e-9),
        reached.map_or_else(|| "-".to_owned(), |at| (at + 1).to_string()),
        safe.drains,
        safe.failed,
        safe.certified,
    );
}

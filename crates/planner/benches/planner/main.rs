//! `make bench`: what the planner finds and how long it takes, and closed loops of sweeps until
//! they come to rest.
//!
//! On seeded inventories of its own and, where `PLANNER_DIR` names a folder with `instances/*.rcl`,
//! on those. Only measures: nothing is compared with a clock.

#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::unwrap_used, reason = "`ecs.rs` belongs to the tests")]
#![expect(clippy::cast_precision_loss, reason = "shown to people")]

#[path = "../../tests/it/ecs.rs"]
mod ecs;
#[path = "../../tests/it/filters.rs"]
mod filters;
mod generate;
#[path = "../../examples/plan/rcl.rs"]
mod rcl;

use std::path::Path;

use ebb_planner::{Inventory, Plan, Policy, plan};

/// The share of its cluster that a sweep may remove, in percent: the reaper's default.
const SWEEP_PERCENT: u32 = 10;
/// Loops that have not come to rest by then are cut: what the last sweeps of them gain is little.
const SWEEPS_MAX: usize = 24;
/// The end of a loop is slow: it is told when so much of what it saves in the end was saved.
const NEARLY: f64 = 0.95;

fn main() {
    println!("planner: one plan without a share, and one sweep of {SWEEP_PERCENT} %");
    println!(
        "{:<22}{:>6}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "inventory", "inst.", "tasks", "plan", "bound", "CPU ms", "sweep", "bound", "CPU ms"
    );
    let seeded = seeded_inventories();
    for (name, inventory) in &seeded {
        print_plans(name, inventory);
    }
    if let Some(folder) = std::env::var_os("PLANNER_DIR") {
        for (name, inventory) in read_folder(&Path::new(&folder).join("instances")) {
            print_plans(&name, &inventory);
        }
    }

    println!(
        "\nclosed loops of sweeps of {SWEEP_PERCENT} %, \
         ECS placing by each service's strategy, or worst fit"
    );
    println!(
        "{:<22}{:<11}{:>8}{:>8}{:>7}{:>15}{:>8}{:>8}{:>11}",
        "inventory",
        "placement",
        "saved",
        "bound",
        "ratio",
        "sweeps to 95%",
        "drains",
        "failed",
        "certified"
    );
    for (name, inventory) in seeded.iter().filter(|(name, _)| name.contains("-500-")) {
        for worst_fit in [false, true] {
            print_loop(name, inventory, worst_fit);
        }
    }
}

/// Three families in three sizes.
fn seeded_inventories() -> Vec<(String, Inventory)> {
    let mut inventories = Vec::new();
    for size in [50, 500, 5_000] {
        for family in generate::Family::ALL {
            let name = format!("{}-{size}-35", family.name());
            inventories.extend(read(name, &generate::inventory(family, size, 35, 1)));
        }
    }
    inventories
}

/// The inventories of a folder, in the order of their names.
fn read_folder(folder: &Path) -> Vec<(String, Inventory)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| {
            let name = path.file_stem()?.to_string_lossy().into_owned();
            read(name, &std::fs::read_to_string(path).ok()?)
        })
        .collect()
}

/// Says what is wrong with an inventory that cannot be read, and goes on without it.
fn read(name: String, text: &str) -> Option<(String, Inventory)> {
    match rcl::read(text) {
        Ok(inventory) => Some((name, inventory)),
        Err(problem) => {
            println!("{name:<22}{problem}");
            None
        }
    }
}

/// Without limits but the share and the balance of zones.
fn policy(max_removals_percent: u32) -> Policy {
    Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent,
        min_instances: 0,
        ..Policy::default()
    }
}

fn timed_plan(inventory: &Inventory, policy: &Policy) -> (Plan, f64) {
    let before_ms = cpu_ms();
    let plan = plan(inventory, policy, rcl::now());
    (plan, cpu_ms() - before_ms)
}

/// CPU time of this process in milliseconds, as Linux counts it; 0 elsewhere.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e6
}

fn print_plans(name: &str, inventory: &Inventory) {
    let tasks: usize = inventory
        .instances
        .iter()
        .map(|instance| instance.tasks.as_ref().map_or(0, Vec::len))
        .sum();
    let (unlimited, unlimited_ms) = timed_plan(inventory, &policy(100));
    let (sweep, sweep_ms) = timed_plan(inventory, &policy(SWEEP_PERCENT));
    println!(
        "{:<22}{:>6}{:>7}{:>8.4}{:>8.4}{:>8.0}{:>8.4}{:>8.4}{:>8.0}",
        name,
        inventory.instances.len(),
        tasks,
        unlimited.saving.planned,
        unlimited.saving.bound,
        unlimited_ms,
        sweep.saving.planned,
        sweep.saving.bound,
        sweep_ms,
    );
}

/// What came of sweeps until nothing more went.
#[derive(Default)]
struct ClosedLoop {
    /// By sweep: the share of the first cost that has been saved by then.
    saved: Vec<f64>,
    drains: usize,
    failed: usize,
    certain: usize,
}

fn run_loop(mut inventory: Inventory, worst_fit: bool) -> ClosedLoop {
    let cost_before = cost(&inventory).max(1) as f64;
    let mut ecs = ecs::Ecs::new(3);
    ecs.worst_fit = worst_fit;
    let mut closed_loop = ClosedLoop::default();
    for _ in 0..SWEEPS_MAX {
        let plan = plan(&inventory, &policy(SWEEP_PERCENT), rcl::now());
        let swept = ecs.carry_out(&mut inventory, &plan);
        let certain = plan.remove.iter().filter(|removal| removal.reason.is_certain());
        closed_loop.certain += certain.count();
        closed_loop.drains += plan.remove.len();
        closed_loop.failed += swept.rolled_back;
        closed_loop.saved.push(1.0 - cost(&inventory) as f64 / cost_before);
        if swept.drained == 0 {
            break;
        }
    }
    closed_loop
}

fn cost(inventory: &Inventory) -> u64 {
    inventory.instances.iter().filter_map(|instance| instance.price_microusd).sum()
}

/// The yardstick is strict: no plan at all could save more than the bound, however ECS placed what
/// moves.
fn print_loop(name: &str, inventory: &Inventory, worst_fit: bool) {
    let bound = plan(inventory, &policy(100), rcl::now()).saving.bound;
    let closed_loop = run_loop(inventory.clone(), worst_fit);
    let saved = closed_loop.saved.last().copied().unwrap_or_default();
    let nearly = closed_loop.saved.iter().position(|&so_far| so_far >= NEARLY * saved);
    println!(
        "{:<22}{:<11}{:>8.4}{:>8.4}{:>7.3}{:>15}{:>8}{:>8}{:>11}",
        name,
        if worst_fit { "worst fit" } else { "strategies" },
        saved,
        bound,
        saved / bound.max(1e-9),
        nearly.map_or_else(|| "-".to_owned(), |sweep| (sweep + 1).to_string()),
        closed_loop.drains,
        closed_loop.failed,
        closed_loop.certain,
    );
}

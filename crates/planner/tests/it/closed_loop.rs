//! Sweeps until nothing more goes, with ECS placing what moves by each strategy, and by the worst
//! that it could choose.

use ebb_planner::{Inventory, Policy, RemoveReason, Resources, Strategy, TaskKind, plan};

use crate::ecs::{Ecs, Swept};
use crate::generate::{boundless, mixed, now};

/// Sweeps after which a cluster must be at rest: each takes a tenth.
const SWEEPS_MAX: usize = 25;
/// How many clusters each scheduler is tried on.
const SEEDS: u64 = 3;

fn policy() -> Policy {
    Policy {
        headroom_cpu_percent: 5,
        headroom_memory_percent: 5,
        steps_max: 400_000,
        ..Policy::default()
    }
}

/// The strategies that the console offers, and the plainest.
fn strategies() -> Vec<Vec<Strategy>> {
    let zone = || Strategy::Spread("attribute:zone".to_owned());
    let instance = || Strategy::Spread("instanceId".to_owned());
    vec![
        vec![Strategy::Random],
        vec![zone(), instance()],
        vec![zone(), Strategy::BinpackMemory],
        vec![Strategy::BinpackCpu],
        vec![instance()],
    ]
}

/// The tasks of each service that run, and whether no instance is overfull.
fn running(inventory: &Inventory) -> Vec<usize> {
    let mut count = vec![0; inventory.services.len()];
    for instance in &inventory.instances {
        let mut used = [0; 4];
        for task in instance.tasks.iter().flatten() {
            let TaskKind::Service(service) = task.kind else { continue };
            count[service] += 1;
            let demand = inventory.services[service].demand.to_array();
            used.iter_mut().zip(demand).for_each(|(used, demand)| *used += demand);
        }
        let all = instance.registered.unwrap().to_array();
        let free = std::array::from_fn(|dimension| all[dimension] - used[dimension]);
        assert_eq!(
            instance.remaining,
            Some(Resources::from(free)),
            "what is free on {}",
            instance.instance_id
        );
        assert!(free.iter().all(|&free| free >= 0), "{} is overfull", instance.instance_id);
    }
    count
}

/// What came of the sweeps over many clusters.
#[derive(Debug, Default)]
struct Loops {
    drained: usize,
    certified: usize,
    rolled_back: usize,
    moved: usize,
}

/// Sweeps a cluster until a plan is empty. Returns how many sweeps that took.
fn sweep_until_rest(inventory: &mut Inventory, ecs: &mut Ecs, loops: &mut Loops) -> usize {
    let tasks = running(inventory);
    for sweep in 0..SWEEPS_MAX {
        let plan = plan(inventory, &policy(), now());
        if plan.remove.is_empty() {
            return sweep;
        }
        let replayed = plan
            .remove
            .iter()
            .any(|removal| matches!(removal.reason, RemoveReason::Replayed { .. }));
        let Swept { drained, rolled_back, moved } = ecs.carry_out(inventory, &plan);
        if !replayed {
            assert_eq!(rolled_back, 0, "drains of a certified sweep that found no place");
            loops.certified += drained;
        }
        loops.drained += drained;
        loops.rolled_back += rolled_back;
        loops.moved += moved;
        assert_eq!(running(inventory), tasks, "every task runs, on what stays or where it was");
    }
    panic!("not at rest after {SWEEPS_MAX} sweeps");
}

fn sweep_clusters(worst_fit: bool) -> Loops {
    let mut loops = Loops::default();
    for (number, strategy) in (0..).zip(strategies()) {
        for seed in 0..SEEDS {
            let seed = seed + 100 * number;
            let mut inventory =
                mixed(seed, 60 + usize::try_from(seed % 100).unwrap() * 25, &strategy);
            let mut ecs = Ecs::new(seed);
            ecs.worst_fit = worst_fit;
            let before = inventory.instances.len();
            sweep_until_rest(&mut inventory, &mut ecs, &mut loops);
            assert!(inventory.instances.len() < before, "seed {seed}: nothing went");
        }
    }
    loops
}

#[test]
fn sweeps_come_to_rest_and_hardly_a_drain_stalls_whoever_places_the_tasks() {
    let [declared, worst] = std::thread::scope(|scope| {
        let threads = [false, true].map(|worst_fit| scope.spawn(move || sweep_clusters(worst_fit)));
        threads.map(|thread| thread.join().unwrap())
    });
    let summary = format!("by the declared strategies {declared:?}, by the worst choice {worst:?}");
    let hardly = |rolled_back: usize, drained: usize| rolled_back * 1000 <= drained * 3;
    assert!(hardly(declared.rolled_back, declared.drained), "{summary}");
    assert!(
        hardly(declared.rolled_back + worst.rolled_back, declared.drained + worst.drained),
        "{summary}"
    );
    for loops in [declared, worst] {
        assert!(
            loops.certified > 0 && loops.certified < loops.drained && loops.moved > loops.drained,
            "{summary}"
        );
    }
}

#[test]
fn one_sweep_without_limits_saves_most_of_the_bound() {
    for keep_zone_balance in [false, true] {
        let policy = Policy { keep_zone_balance, ..boundless() };
        let savings =
            (0..6).map(|seed| plan(&mixed(seed, 150, &[Strategy::Random]), &policy, now()).saving);
        let (planned, bound) =
            savings.fold((0.0, 0.0), |sum, saving| (sum.0 + saving.planned, sum.1 + saving.bound));
        assert!(planned > 0.6 * bound, "{planned} of {bound}");
    }
}

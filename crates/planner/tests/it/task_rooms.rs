//! Room for whole tasks after a plan: worked out by hand, and in every way in which ECS could place
//! what a plan displaces on tiny clusters.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use ebb_planner::{
    Group, Inventory, KeepReason, Policy, RemoveReason, Service, TaskHeadroom, TaskRoom, plan,
    task_rooms,
};
use jiff::SignedDuration;

use crate::exhaustive::{Game, State};
use crate::filters::is_member;
use crate::generate::{boundless, empty, group_name, instance, now, room, run, service, tcp, tiny};

fn largest(largest: u32) -> Policy {
    let task_headroom = TaskHeadroom { largest, ..TaskHeadroom::default() };
    Policy { task_headroom, min_instances: 0, ..boundless() }
}

fn named(tasks: &[(&str, u32)]) -> Policy {
    let by_service = tasks.iter().map(|&(name, tasks)| (name.to_owned(), tasks)).collect();
    let task_headroom = TaskHeadroom { largest: 0, by_service };
    Policy { task_headroom, min_instances: 0, ..boundless() }
}

/// Empty instances of these sizes, and services whose tasks need so much.
fn cluster(sizes: &[(i64, i64)], demands: &[(i64, i64)]) -> Inventory {
    let mut inventory = empty();
    let sizes = sizes.iter().enumerate();
    inventory.instances =
        sizes.map(|(at, &(cpu, mib))| instance(at, 0, 0, room(cpu, mib))).collect();
    let demands = demands.iter().enumerate();
    inventory.services =
        demands.map(|(number, &(cpu, mib))| service(number, room(cpu, mib))).collect();
    let desired_capacity = i64::try_from(inventory.instances.len()).unwrap();
    inventory.groups.insert(group_name(0), Group { desired_capacity, ..Group::default() });
    inventory
}

/// How many go, and the reasons why others stay, each once.
fn outcome(inventory: &Inventory, policy: &Policy) -> (usize, Vec<String>) {
    let plan = plan(inventory, policy, now());
    let mut reasons: Vec<_> = plan.keep.iter().map(|kept| kept.reason.to_string()).collect();
    reasons.sort();
    reasons.dedup();
    (plan.remove.len(), reasons)
}

#[test]
fn as_many_go_as_leave_whole_places_and_the_reason_names_the_task_that_would_lack_one() {
    // Four have room for two large tasks each, and two for none, however much is free on them.
    let sizes = [(8, 8), (8, 8), (8, 8), (8, 8), (3, 3), (3, 3)];
    let inventory = cluster(&sizes, &[(4, 4), (1, 1)]);
    for (tasks, goes) in [(0, 6), (1, 5), (2, 5), (3, 4), (4, 4), (5, 3), (7, 2), (8, 2), (9, 0)] {
        let (removed, reasons) = outcome(&inventory, &largest(tasks));
        assert_eq!(removed, goes, "{tasks}: {reasons:?}");
    }
    assert_eq!(
        outcome(&inventory, &largest(2)).1,
        [format!(
            "room for 2 more tasks of service {}, the largest there is, would not be left \
             (HEADROOM_LARGEST_TASKS)",
            inventory.services[0].name
        )]
    );
    let name = inventory.services[1].name.clone();
    let reason =
        format!("room for 7 more tasks of service {name} would not be left (HEADROOM_TASKS)");
    assert_eq!(outcome(&inventory, &named(&[(&name, 7)])), (5, vec![reason]));
    assert_eq!(outcome(&inventory, &named(&[("elsewhere", 9)])).0, 6);
}

#[test]
fn what_is_wanted_by_name_and_as_the_largest_is_to_fit_at_once() {
    let inventory = cluster(&[(4, 4); 4], &[(4, 4), (1, 1)]);
    let names: Vec<&str> = inventory.services.iter().map(|it| it.name.as_str()).collect();
    let one_each = named(&[(names[0], 1), (names[1], 1)]);
    assert_eq!(outcome(&inventory, &one_each).0, 2);
    let mut both = named(&[(names[1], 4)]);
    both.task_headroom.largest = 1;
    assert!(outcome(&inventory, &both).0 <= 2);
}

#[test]
fn the_largest_is_that_with_the_most_cpu_and_that_with_the_most_memory() {
    // The one with much CPU finds room on the first two, the one with much memory on the others.
    let sizes = [(8, 2), (8, 2), (2, 8), (2, 8)];
    let inventory = cluster(&sizes, &[(8, 1), (1, 8)]);
    assert_eq!(outcome(&inventory, &largest(1)).0, 2);
    assert_eq!(outcome(&inventory, &largest(2)).0, 0);
    // What fits nowhere, not even on an empty instance, would hold the cluster for ever.
    let inventory = cluster(&[(4, 4); 3], &[(9, 9), (2, 2)]);
    assert_eq!(outcome(&inventory, &largest(4)).0, 1);
}

#[test]
fn a_task_with_a_port_a_constraint_or_an_instance_of_its_own_counts_only_where_it_may_run() {
    let changes: [fn(&mut Service); 2] = [
        |service| service.distinct_instance = true,
        |service| service.host_ports = [tcp(80)].into(),
    ];
    for change in changes {
        let mut inventory = cluster(&[(8, 8); 3], &[(1, 1)]);
        change(&mut inventory.services[0]);
        assert_eq!(outcome(&inventory, &largest(2)).0, 1, "one to each instance");
        run(&mut inventory, 0, 0);
        let (removed, reasons) = outcome(&inventory, &largest(2));
        assert_eq!(removed, 0, "one holds a task already: {reasons:?}");
    }
    let mut inventory = cluster(&[(8, 8); 4], &[(1, 1)]);
    inventory.services[0].constraints = vec!["attribute:disk == nvme".to_owned()];
    inventory.instances[3].attributes.insert("disk".to_owned(), "nvme".to_owned());
    let plan = plan(&inventory, &largest(1), now());
    assert_eq!(plan.remove.len(), 3, "where it may not run, no room of its is lost");
    assert!(matches!(plan.keep[0].reason, KeepReason::TaskHeadroom { largest: true, .. }));
}

#[test]
fn tasks_on_their_way_take_their_room_first() {
    let mut inventory = cluster(&[(4, 4); 4], &[(4, 4)]);
    inventory.services[0].in_flight = 1;
    assert_eq!(outcome(&inventory, &largest(2)).0, 1);
    let rooms = task_rooms(&inventory, &largest(2), now());
    let service = inventory.services[0].name.clone();
    assert_eq!(rooms, [TaskRoom { service, wanted: 2, largest: true, room: 3 }]);
    assert_eq!(task_rooms(&inventory, &largest(0), now()), []);
}

/// Whether there is room for so many of a service, in whatever order and place they come, however ECS
/// has placed what waits.
fn always_fits(
    inventory: &Inventory,
    game: &Game<'_>,
    state: &State,
    (service, tasks): (usize, u64),
    visited: &mut HashSet<State>,
) -> bool {
    let mut waits = false;
    for waiting in (0..inventory.services.len()).filter(|&it| state.waiting[it] > 0) {
        waits = true;
        for position in 0..state.free.len() {
            if game.takes(state, position, waiting) {
                let next = game.placed(state, position, waiting);
                if visited.insert(next.clone())
                    && !always_fits(inventory, game, &next, (service, tasks), visited)
                {
                    return false;
                }
            }
        }
    }
    let mut after = state.clone();
    after.waiting[service] = tasks;
    waits || !game.clone().can_be_stuck(after)
}

/// The services whose task is the largest by some dimension, of those that fit on some instance.
fn largest_services(inventory: &Inventory) -> Vec<usize> {
    let fits_somewhere = |service: &Service| {
        inventory.instances.iter().any(|instance| {
            let all = instance.registered.unwrap().to_array();
            let demand = service.demand.to_array();
            demand.iter().zip(all).all(|(demand, all)| *demand <= all)
                && service.constraints.iter().all(|text| is_member(instance, text))
        })
    };
    let mut largest = BTreeMap::new();
    for dimension in 0..2 {
        let services = inventory.services.iter().enumerate();
        let candidates = services.filter(|(_, service)| {
            service.demand.to_array()[dimension] > 0 && fits_somewhere(service)
        });
        let first = candidates.min_by_key(|(_, service)| {
            let demand = service.demand.to_array();
            (Reverse((demand[dimension], demand.iter().sum::<i64>())), service.name.clone())
        });
        largest.extend(first.map(|(position, _)| (position, ())));
    }
    largest.into_keys().collect()
}

/// How many plans took room of the largest task away and left enough, and the seeds of those that did
/// not. A planner that is not `aware` is not told of it.
fn play(aware: bool) -> (usize, Vec<u64>) {
    let (mut left, mut short) = (0, Vec::new());
    for seed in 0..6_000_u64 {
        let mut inventory = tiny(seed);
        for instance in &mut inventory.instances {
            instance.registered_at = Some(now() - SignedDuration::from_hours(24));
        }
        let tasks = 1 + u32::try_from(seed % 3).unwrap();
        let policy = Policy { steps_max: 2_000, ..largest(if aware { tasks } else { 0 }) };
        let plan = plan(&inventory, &policy, now());
        let replayed = |reason: &RemoveReason| matches!(reason, RemoveReason::Replayed { .. });
        if plan.remove.iter().any(|removal| replayed(&removal.reason)) {
            continue;
        }
        let gone = plan.remove.iter().map(|removal| &removal.instance_id).collect();
        for wanted in largest_services(&inventory) {
            let takes_room = inventory.instances.iter().any(|instance| {
                let constraints = &inventory.services[wanted].constraints;
                plan.remove.iter().any(|removal| removal.instance_id == instance.instance_id)
                    && constraints.iter().all(|text| is_member(instance, text))
            });
            if !takes_room {
                continue;
            }
            let (game, start) = Game::new(&inventory, &gone);
            let wanted = (wanted, u64::from(tasks));
            if always_fits(&inventory, &game, &start, wanted, &mut HashSet::new()) {
                left += 1;
            } else {
                short.push(seed);
            }
        }
    }
    (left, short)
}

#[test]
fn however_ecs_places_what_a_certified_plan_displaces_there_is_room_for_the_largest_task() {
    let (left, short) = play(true);
    assert_eq!(short, [0; 0], "seeds of plans that leave too little");
    assert!(left >= 500, "{left}");
    let (_, short) = play(false);
    assert!(short.len() >= 500, "a planner that is not told leaves too little: {}", short.len());
}

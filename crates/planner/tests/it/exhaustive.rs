//! Every way in which ECS could place what a plan displaces, and every plan, on clusters small
//! enough to try them all.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ebb_planner::ids::InstanceId;
use ebb_planner::{
    CAPACITY_PROVIDER, DIMENSIONS, Group, Instance, Inventory, Policy, RemoveReason, Service,
    TaskKind, plan,
};

use crate::filters::{attribute, is_member};
use crate::generate::{
    boundless, empty, group_name, instance, now, room, run, service, tiny, with_capacity_providers,
    with_rebalancing,
};

/// How many clusters are played.
const CLUSTERS: u64 = 22_000;
/// So many of the plans must be certified and displace tasks: else the test would show nothing.
const CERTIFIED_MIN: usize = 5_000;

/// What is left to be placed, and where there is room for it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// By instance that stays: what is free.
    pub(crate) free: Vec<[i64; DIMENSIONS]>,
    /// By instance that stays: how many tasks of each service are on it.
    tasks: Vec<Vec<u8>>,
    /// By service: how many tasks need a place.
    pub(crate) waiting: Vec<u64>,
}

/// The services and instances of one game.
#[derive(Clone)]
pub(crate) struct Game<'a> {
    services: &'a [Service],
    /// By service: the services that cannot share an instance with a task of it, as bits.
    conflicts: Vec<u32>,
    /// By instance that stays: the services that may never place a task there, as bits.
    closed: Vec<u32>,
    /// By service: the instances that stay and can be chosen for a task, by each capacity provider.
    choices: Vec<Vec<Vec<usize>>>,
    /// By instance that stays: its Availability Zone.
    zones: Vec<&'a str>,
    /// By service: whether Availability Zone rebalancing is on.
    rebalances: Vec<bool>,
    visited: HashSet<State>,
}

impl<'a> Game<'a> {
    pub(crate) fn new(inventory: &'a Inventory, gone: &BTreeSet<&InstanceId>) -> (Self, State) {
        let services = &inventory.services;
        let conflicts: Vec<u32> = services
            .iter()
            .enumerate()
            .map(|(a_index, a)| {
                bits(services, |b_index, b| {
                    !a.host_ports.is_disjoint(&b.host_ports)
                        || a_index == b_index && a.distinct_instance
                })
            })
            .collect();
        let mut waiting = vec![0; services.len()];
        let (mut free, mut tasks, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for instance in &inventory.instances {
            let running = instance.tasks.iter().flatten().filter_map(|task| match task.kind {
                TaskKind::Service(service) => Some(service),
                _ => None,
            });
            if gone.contains(&instance.instance_id) {
                running.for_each(|service| waiting[service] += 1);
            } else {
                free.push(instance.remaining.unwrap().to_array());
                closed.push(bits(services, |_, service| {
                    !service.constraints.iter().all(|text| is_member(instance, text))
                }));
                let mut counts = vec![0; services.len()];
                running.for_each(|service| counts[service] += 1);
                tasks.push(counts);
            }
        }
        let stay: Vec<&Instance> = inventory
            .instances
            .iter()
            .filter(|instance| !gone.contains(&instance.instance_id))
            .collect();
        let choices = services.iter().map(|service| choices(service, &stay)).collect();
        for (position, service) in services.iter().enumerate() {
            // What would not even fit on an empty instance waits for ever, whatever the plan does.
            let could_run = inventory.instances.iter().any(|instance| {
                let all = instance.registered.unwrap().to_array();
                let old = instance.registered_at.unwrap() < now();
                let providers = &service.capacity_providers;
                old && fits(&service.demand.to_array(), &all)
                    && service.constraints.iter().all(|text| is_member(instance, text))
                    && (providers.is_empty()
                        || providers.iter().any(|provider| is_of(provider, instance)))
            });
            waiting[position] += if could_run { service.in_flight } else { 0 };
        }
        let zones = stay.iter().map(|instance| instance.zone.as_str()).collect();
        let rebalances = vec![false; services.len()];
        let visited = HashSet::new();
        let game = Self { services, conflicts, closed, choices, zones, rebalances, visited };
        (game, State { free, tasks, waiting })
    }

    /// Whether an instance can take a task now.
    pub(crate) fn takes(&self, state: &State, position: usize, service: usize) -> bool {
        let counts = state.tasks[position].iter().enumerate();
        let mut running = counts.filter(|(_, count)| **count > 0);
        self.closed[position] >> service & 1 == 0
            && running.all(|(running, _)| self.conflicts[running] >> service & 1 == 0)
            && fits(&self.services[service].demand.to_array(), &state.free[position])
    }

    /// The state with a task that has found its place.
    pub(crate) fn placed(&self, state: &State, position: usize, service: usize) -> State {
        let mut next = self.started(state, position, service);
        next.waiting[service] -= 1;
        next
    }

    fn started(&self, state: &State, position: usize, service: usize) -> State {
        let mut next = state.clone();
        let demand = self.services[service].demand.to_array();
        next.free[position].iter_mut().zip(demand).for_each(|(free, demand)| *free -= demand);
        next.tasks[position][service] += 1;
        next
    }

    fn stopped(&self, mut state: State, position: usize, service: usize) -> State {
        let demand = self.services[service].demand.to_array();
        state.free[position].iter_mut().zip(demand).for_each(|(free, demand)| *free += demand);
        state.tasks[position][service] -= 1;
        state
    }

    /// The states that rebalancing a service may lead to next: ECS starts a task in the zone with the
    /// fewest and stops one in the zone with the most, once the service is steady. That both happen
    /// at once hides nothing: who finds a place in between finds it after the stop as well.
    fn rebalanced(&self, state: &State, service: usize) -> Vec<State> {
        let mut counts = BTreeMap::<&str, u64>::new();
        for (zone, tasks) in self.zones.iter().zip(&state.tasks) {
            *counts.entry(zone).or_default() += u64::from(tasks[service]);
        }
        let (Some(fewest), Some(most)) = (counts.values().min(), counts.values().max()) else {
            return Vec::new();
        };
        if !self.rebalances[service] || state.waiting[service] > 0 || most - fewest < 2 {
            return Vec::new();
        }
        let in_zones_of = |count| {
            let counts = &counts;
            (0..self.zones.len()).filter(move |&position| counts[self.zones[position]] == count)
        };
        let starts = in_zones_of(*fewest).filter(|&to| self.takes(state, to, service));
        starts
            .flat_map(|to| {
                let started = self.started(state, to, service);
                let stops = in_zones_of(*most).filter(|&from| state.tasks[from][service] > 0);
                stops.map(move |from| self.stopped(started.clone(), from, service))
            })
            .collect()
    }

    /// Whether some order of tasks and some choice of capacity providers and instances leaves a task
    /// without a place.
    pub(crate) fn can_be_stuck(&mut self, state: State) -> bool {
        for service in (0..self.services.len()).filter(|&service| state.waiting[service] > 0) {
            for choice in 0..self.choices[service].len() {
                let mut nowhere = true;
                for position in self.choices[service][choice].clone() {
                    if self.takes(&state, position, service) {
                        nowhere = false;
                        let next = self.placed(&state, position, service);
                        if self.visited.insert(next.clone()) && self.can_be_stuck(next) {
                            return true;
                        }
                    }
                }
                if nowhere {
                    return true;
                }
            }
        }
        (0..self.services.len()).any(|service| {
            self.rebalanced(&state, service)
                .into_iter()
                .any(|next| self.visited.insert(next.clone()) && self.can_be_stuck(next))
        })
    }

    /// The services of which some order of tasks and some choice of capacity providers and instances
    /// leaves a task without a place, as bits.
    fn may_wait(&mut self, state: &State) -> u32 {
        let mut waiting = 0;
        let mut open = Vec::new();
        for service in (0..self.services.len()).filter(|&service| state.waiting[service] > 0) {
            for choice in &self.choices[service] {
                let places: Vec<usize> =
                    choice.iter().copied().filter(|&at| self.takes(state, at, service)).collect();
                if places.is_empty() {
                    waiting |= 1 << service;
                }
                open.extend(places.into_iter().map(|at| self.placed(state, at, service)));
            }
        }
        open.extend((0..self.services.len()).flat_map(|service| self.rebalanced(state, service)));
        for next in open {
            if self.visited.insert(next.clone()) {
                waiting |= self.may_wait(&next);
            }
        }
        waiting
    }

    /// Whether some choice of instances places every task.
    fn can_be_placed(&mut self, state: State) -> bool {
        // Any task may come first: where all are placed, the order does not matter.
        let Some(service) = (0..self.services.len()).find(|&service| state.waiting[service] > 0)
        else {
            return true;
        };
        let choices: BTreeSet<usize> = self.choices[service].iter().flatten().copied().collect();
        choices.into_iter().any(|position| {
            self.takes(&state, position, service) && {
                let next = self.placed(&state, position, service);
                self.visited.insert(next.clone()) && self.can_be_placed(next)
            }
        })
    }
}

/// The positions of the instances that can be chosen for a task, by each capacity provider.
fn choices(service: &Service, stay: &[&Instance]) -> Vec<Vec<usize>> {
    let providers = &service.capacity_providers;
    if providers.is_empty() {
        return vec![(0..stay.len()).collect()];
    }
    let of = |provider: &String| (0..stay.len()).filter(|&at| is_of(provider, stay[at])).collect();
    providers.iter().map(of).collect()
}

fn is_of(provider: &str, instance: &Instance) -> bool {
    attribute(instance, CAPACITY_PROVIDER).is_some_and(|of| of == provider)
}

fn bits(services: &[Service], is_set: impl Fn(usize, &Service) -> bool) -> u32 {
    services
        .iter()
        .enumerate()
        .filter(|(index, service)| is_set(*index, service))
        .map(|(index, _)| 1 << index)
        .sum()
}

fn fits(demand: &[i64; DIMENSIONS], free: &[i64; DIMENSIONS]) -> bool {
    demand.iter().zip(free).all(|(demand, free)| demand <= free)
}

/// How the plans of many clusters came out.
#[derive(Debug, Default)]
struct Played {
    /// Certified plans that displace tasks.
    certified: usize,
    /// Those with tasks that conflict with others for a port or an instance.
    conflicting: usize,
    /// Those that displace the tasks of two instances or more.
    several: usize,
    /// Those beside which tasks wait that might have waited without them.
    waiting: usize,
    /// Seeds of certified plans that can get stuck.
    stuck: Vec<u64>,
}

/// Plays the plans of clusters. A planner that is not `aware` takes all services for such as are not
/// rebalanced.
fn play(seeds: impl Iterator<Item = u64>, make: fn(u64) -> Inventory, aware: bool) -> Played {
    let policy = Policy { steps_max: 2_000, ..boundless() };
    let mut played = Played::default();
    for seed in seeds {
        let mut inventory = make(seed);
        let rebalances: Vec<bool> =
            inventory.services.iter().map(|service| service.tasks_to_rebalance.is_some()).collect();
        if !aware {
            inventory.services.iter_mut().for_each(|service| service.tasks_to_rebalance = None);
        }
        let plan = plan(&inventory, &policy, now());
        let certified = |reason: &RemoveReason| matches!(reason, RemoveReason::Certified { .. });
        let holds = |reason: &RemoveReason| certified(reason) || *reason == RemoveReason::Empty;
        if plan.remove.is_empty() || !plan.remove.iter().all(|removal| holds(&removal.reason)) {
            continue;
        }
        let gone = plan.remove.iter().map(|removal| &removal.instance_id).collect();
        let (mut game, start) = Game::new(&inventory, &gone);
        game.rebalances = rebalances;
        let waits = |service: usize| start.waiting[service] > 0;
        let conflicts = (0..start.waiting.len())
            .any(|position| waits(position) && game.conflicts[position] != 0);
        let moving = plan.remove.iter().filter(|removal| certified(&removal.reason)).count();
        played.certified += usize::from(moving > 0);
        played.conflicting += usize::from(moving > 0 && conflicts);
        played.several += usize::from(moving > 1);
        if !game.can_be_stuck(start.clone()) {
            continue;
        }
        // What waits already may wait on, as long as the plan is not to blame.
        let moved =
            bits(&inventory.services, |service, facts| start.waiting[service] > facts.in_flight);
        game.visited.clear();
        let waiting = game.may_wait(&start);
        let (mut alone, start) = Game::new(&inventory, &BTreeSet::new());
        alone.rebalances = game.rebalances;
        if waiting & (moved | !alone.may_wait(&start)) == 0 {
            played.waiting += 1;
        } else {
            played.stuck.push(seed);
        }
    }
    played
}

/// Plays the plans of clusters on two threads.
fn play_all(clusters: u64, make: fn(u64) -> Inventory, aware: bool) -> [Played; 2] {
    std::thread::scope(|scope| {
        let threads = [0, 1]
            .map(|first| scope.spawn(move || play((first..clusters).step_by(2), make, aware)));
        threads.map(|thread| thread.join().unwrap())
    })
}

#[test]
fn no_certified_plan_of_a_tiny_cluster_can_ever_be_stuck() {
    let halves = play_all(CLUSTERS, tiny, true);
    let sum = |count: fn(&Played) -> usize| halves.iter().map(count).sum::<usize>();
    let stuck: Vec<u64> = halves.iter().flat_map(|played| played.stuck.iter().copied()).collect();
    assert_eq!(stuck, [0; 0], "seeds of certified plans that can be stuck");
    assert!(sum(|played| played.certified) >= CERTIFIED_MIN, "{halves:?}");
    assert!(sum(|played| played.conflicting) >= CERTIFIED_MIN / 10, "{halves:?}");
    assert!(sum(|played| played.several) >= CERTIFIED_MIN / 10, "{halves:?}");
}

#[test]
fn no_certified_plan_is_stuck_whichever_capacity_provider_ecs_chooses() {
    let halves = play_all(CLUSTERS / 2, with_capacity_providers, true);
    let stuck: Vec<u64> = halves.iter().flat_map(|played| played.stuck.iter().copied()).collect();
    assert_eq!(stuck, [0; 0], "seeds of certified plans that can be stuck");
    let sum = |count: fn(&Played) -> usize| halves.iter().map(count).sum::<usize>();
    assert!(sum(|played| played.certified) >= CERTIFIED_MIN / 4, "{halves:?}");
    let waiting = sum(|played| played.waiting);
    println!("beside {waiting} plans, tasks wait as they might have without them");
    assert!(waiting >= CERTIFIED_MIN / 50, "{halves:?}");
}

#[test]
fn no_certified_plan_is_stuck_whatever_rebalancing_does() {
    let [unaware, aware] =
        [false, true].map(|aware| play_all(CLUSTERS / 2, with_rebalancing, aware));
    let stuck =
        |halves: &[Played; 2]| halves.iter().map(|played| played.stuck.len()).sum::<usize>();
    let certified = |halves: &[Played; 2]| halves.iter().map(|played| played.certified).sum();
    let (before, after): (usize, usize) = (certified(&unaware), certified(&aware));
    println!("{} of {before} stuck before, {} of {after} after", stuck(&unaware), stuck(&aware));
    assert_eq!(stuck(&aware), 0, "seeds of certified plans that can be stuck: {aware:?}");
    assert!(after >= CERTIFIED_MIN / 4, "{after} certified");
    // Else the game would show nothing. They are few, as what moves leaves as much room as it takes.
    assert!(stuck(&unaware) >= 5, "{} of {before} are stuck", stuck(&unaware));
}

/// A small and a large task leave zone 0. Both instances that could take the large one have just
/// enough room. The small one lands in zone 1, which another task of its service has to leave then,
/// for zone 0, off an instance that is full without it.
#[test]
fn a_task_that_is_moved_after_a_displaced_one_can_take_the_last_room_of_another() {
    let certified = |tasks_to_rebalance| {
        let mut inventory = empty();
        // By group, zone and size. The second group stays as it is.
        let sizes = [(0, 0, 4), (1, 0, 3), (1, 1, 3), (1, 1, 1)];
        for (number, (group, zone, all)) in sizes.into_iter().enumerate() {
            inventory.instances.push(instance(number, group, zone, room(all, all)));
        }
        for (number, desired_capacity, min_size) in [(0, 1, 0), (1, 3, 3)] {
            let group = Group { desired_capacity, min_size, ..Group::default() };
            inventory.groups.insert(group_name(number), group);
        }
        // On instances of its own, so that the two are certified apart.
        let small = service(0, room(1, 0));
        inventory.services = vec![
            Service { distinct_instance: true, tasks_to_rebalance, ..small },
            service(1, room(3, 3)),
        ];
        for (position, service) in [(0, 0), (0, 1), (3, 0)] {
            run(&mut inventory, position, service);
        }
        let plan = plan(&inventory, &boundless(), now());
        let gone = plan.remove.iter().map(|removal| &removal.instance_id).collect();
        let (mut game, start) = Game::new(&inventory, &gone);
        game.rebalances = vec![true, false];
        let is_certified = plan
            .remove
            .iter()
            .any(|removal| matches!(removal.reason, RemoveReason::Certified { .. }));
        (is_certified, game.can_be_stuck(start))
    };
    assert_eq!(certified(None), (true, true), "as if nothing was rebalanced");
    assert!(!certified(Some(0)).0);
}

/// How many clusters are planned in every way.
const PLANNED: u64 = 6_000;

/// The most instances up to so many that can go at once, if what is on its way has a place at all.
fn optimum(inventory: &Inventory, most: usize) -> Option<usize> {
    let old = |instance: &&Instance| instance.registered_at.unwrap() < now();
    let candidates: Vec<&InstanceId> =
        inventory.instances.iter().filter(old).map(|instance| &instance.instance_id).collect();
    let can_go = |subset: &u32| {
        let gone = candidates
            .iter()
            .enumerate()
            .filter(|(position, _)| subset >> position & 1 == 1)
            .map(|(_, id)| *id)
            .collect();
        let (mut game, start) = Game::new(inventory, &gone);
        // Nobody knows how long a young instance stays.
        let stays =
            inventory.instances.iter().filter(|instance| !gone.contains(&instance.instance_id));
        for (closed, _) in game.closed.iter_mut().zip(stays).filter(|(_, instance)| !old(instance))
        {
            *closed = u32::MAX;
        }
        game.can_be_placed(start)
    };
    let subsets = (0..1_u32 << candidates.len()).filter(|set| set.count_ones() as usize <= most);
    subsets.filter(can_go).map(|set| set.count_ones() as usize).max()
}

#[test]
fn no_plan_of_a_tiny_cluster_beats_the_optimum_and_no_optimum_the_bound() {
    let policy = boundless();
    let (mut possible, mut planned) = (0, 0);
    for seed in 0..PLANNED {
        let mut inventory = tiny(seed);
        let instances = inventory.instances.len();
        let most = instances - usize::try_from(seed).unwrap() % 3;
        inventory.groups.get_mut(&group_name(0)).unwrap().min_size =
            i64::try_from(instances - most).unwrap();
        let Some(optimum) = optimum(&inventory, most) else { continue };
        let plan = plan(&inventory, &policy, now());
        let bound = plan.saving.bound * instances as f64;
        assert!(bound <= most as f64 + 1e-3, "seed {seed}: bound {bound}, {most} may go");
        assert!(bound + 1e-3 >= optimum as f64, "seed {seed}: bound {bound}, optimum {optimum}");
        let removed = plan.remove.len();
        assert!(removed <= optimum, "seed {seed}: {removed} planned, optimum {optimum}");
        (possible, planned) = (possible + optimum, planned + removed);
    }
    assert!(planned * 100 >= possible * 97 && possible > 5_000, "{planned} of {possible} planned");
}

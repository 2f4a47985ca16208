//! What holds of every plan, on inventories and policies by chance.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::ids::{GroupName, InstanceId};
use ebb_planner::{
    Instance, Inventory, KEEP_ATTRIBUTE, KeepReason, Plan, Policy, RemoveReason, Resources,
    Service, TaskKind, plan,
};
use proptest::prelude::*;

use crate::filters::{is_member, is_within_reach};
use crate::generate::{drain, is_usable, now, some_policy, wild, with_platforms};
use crate::witness::Witness;

/// A world and what is planned for it.
#[derive(Debug)]
struct World {
    inventory: Inventory,
    policy: Policy,
    plan: Plan,
}

impl World {
    fn new(inventory: Inventory, policy: Policy) -> Self {
        let plan = plan(&inventory, &policy, now());
        Self { inventory, policy, plan }
    }

    fn removed(&self) -> BTreeSet<&InstanceId> {
        self.plan.remove.iter().map(|removal| &removal.instance_id).collect()
    }

    fn going(&self) -> impl Iterator<Item = &Instance> {
        let removed = self.removed();
        self.inventory
            .instances
            .iter()
            .filter(move |instance| removed.contains(&instance.instance_id))
    }

    fn is_usable(&self, instance: &Instance) -> bool {
        is_usable(instance, &self.policy)
    }

    /// What the plan displaces, and what stays to take it.
    fn witness(&self) -> Witness {
        Witness::new(&self.inventory, &self.plan, |instance| self.is_usable(instance))
    }

    /// The usable instances, before or after the plan.
    fn usable(&self, after: bool) -> impl Iterator<Item = &Instance> {
        let removed = if after { self.removed() } else { BTreeSet::new() };
        let stays = move |instance: &&Instance| {
            self.is_usable(instance) && !removed.contains(&instance.instance_id)
        };
        self.inventory.instances.iter().filter(stays)
    }
}

fn services_of(instance: &Instance) -> impl Iterator<Item = usize> {
    instance.tasks.iter().flatten().filter_map(|task| match task.kind {
        TaskKind::Service(service) => Some(service),
        _ => None,
    })
}

/// Whether ECS moves tasks of a service, and where to can be told.
fn is_movable(service: &Service) -> bool {
    let known = |text: &String| text.starts_with("attribute:");
    (service.minimum_healthy_percent < 100 || service.maximum_percent > 100)
        && service.unclear.is_none()
        && service.constraints.iter().all(known)
}

/// Whether a task of a service may run on an instance, if there is room.
fn could_run(instance: &Instance, service: &Service) -> bool {
    is_within_reach(instance, service)
        && service.constraints.iter().all(|text| is_member(instance, text))
}

/// Inventories, with the seed of a policy.
fn inventories() -> impl Strategy<Value = (Inventory, u64)> {
    (any::<u64>(), 2_usize..24, any::<u64>())
        .prop_map(|(seed, size, policy)| (with_platforms(wild(seed, size), seed), policy))
}

fn worlds() -> impl Strategy<Value = World> {
    inventories().prop_map(|(inventory, seed)| {
        let policy = some_policy(seed, inventory.instances.len());
        World::new(inventory, policy)
    })
}

/// Shuffles the instances, services and tasks of an inventory; tasks name their services anew.
fn shuffled(inventory: &Inventory, seed: u64) -> Inventory {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut inventory = inventory.clone();
    let mut order: Vec<usize> = (0..inventory.services.len()).collect();
    rng.shuffle(&mut order);
    inventory.services =
        order.iter().map(|&position| inventory.services[position].clone()).collect();
    let renamed = |service: usize| order.iter().position(|&before| before == service).unwrap();
    rng.shuffle(&mut inventory.instances);
    for instance in &mut inventory.instances {
        for task in instance.tasks.iter_mut().flatten() {
            if let TaskKind::Service(service) = &mut task.kind {
                *service = renamed(*service);
            }
        }
        instance.distinct_services =
            instance.distinct_services.iter().map(|&service| renamed(service)).collect();
        rng.shuffle(instance.tasks.as_deref_mut().unwrap_or_default());
    }
    inventory
}

/// What is planned once all that the plan removes drains.
fn plan_again(world: &World) -> Plan {
    let mut after = world.inventory.clone();
    let Inventory { instances, services, .. } = &mut after;
    for instance in instances {
        if world.removed().contains(&instance.instance_id) {
            drain(instance, services);
        }
    }
    plan(&after, &world.policy, now())
}

/// Takes everything off half of the instances.
fn clear_some(inventory: &mut Inventory, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for instance in inventory.instances.iter_mut().filter(|_| rng.bool()) {
        instance.remaining = instance.registered;
        instance.tasks = Some(Vec::new());
        instance.host_ports.clear();
        instance.distinct_services.clear();
    }
}

/// An instance of the plan with tasks, and an empty one of its price that could go in its place.
fn needless_move(world: &World) -> Option<(InstanceId, InstanceId)> {
    let removed = world.removed();
    let kept: BTreeMap<_, _> =
        world.plan.keep.iter().map(|kept| (&kept.instance_id, kept.reason.code())).collect();
    let could_go = |instance: &&Instance| {
        let code = kept.get(&instance.instance_id).copied().unwrap_or_default();
        let is_limited = ["min_instances", "max_removals", "zone_balance", "headroom", "no_room"];
        let at_minimum = code == "group_at_minimum";
        services_of(instance).count() == 0 && (is_limited.contains(&code) || at_minimum)
    };
    let empty: Vec<_> = world.inventory.instances.iter().filter(could_go).collect();
    let busy: Vec<_> = world.going().filter(|going| services_of(going).count() > 0).collect();
    let priced = world.plan.saving.planned_microusd.is_some();
    let pairs = busy.iter().flat_map(|busy| empty.iter().map(move |empty| (*busy, *empty)));
    for (busy, empty) in pairs {
        if priced && busy.price_microusd != empty.price_microusd {
            continue;
        }
        let mut exchanged = removed.clone();
        exchanged.remove(&busy.instance_id);
        exchanged.insert(&empty.instance_id);
        let mut inventory = world.inventory.clone();
        for instance in &mut inventory.instances {
            if !exchanged.contains(&instance.instance_id) {
                instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
            }
        }
        if plan(&inventory, &world.policy, now()).remove.len() == removed.len() {
            return Some((busy.instance_id.clone(), empty.instance_id.clone()));
        }
    }
    None
}

fn spread(zones: &BTreeMap<&str, i64>) -> i64 {
    zones.values().max().unwrap_or(&0) - zones.values().min().unwrap_or(&0)
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Half of what PROPTEST_CASES says, or else of 256: each case plans several times.
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_instance_is_in_the_plan_once(world in worlds()) {
        let removed = world.plan.remove.iter().map(|removal| &removal.instance_id);
        let kept = world.plan.keep.iter().map(|kept| &kept.instance_id);
        let mut listed: Vec<_> = removed.chain(kept).collect();
        let instances = &world.inventory.instances;
        let mut known: Vec<_> = instances.iter().map(|instance| &instance.instance_id).collect();
        listed.sort();
        known.sort();
        prop_assert_eq!(listed, known);
    }

    #[test]
    fn no_group_goes_below_its_minimum(world in worlds()) {
        let removed = world.removed();
        for (name, group) in &world.inventory.groups {
            let leaves = |instance: &&Instance| {
                let drains = instance.status == ContainerInstanceStatus::Draining;
                let goes = drains || removed.contains(&instance.instance_id);
                instance.group.as_ref() == Some(name) && goes
            };
            let leaving = world.inventory.instances.iter().filter(leaves);
            let leaving: i64 = leaving.map(|instance| instance.weight).sum();
            let remaining = group.desired_capacity - leaving;
            let touched = world.plan.remove.iter().any(|removal| removal.group == *name);
            prop_assert!(!touched || remaining >= group.min_size, "{}", name);
        }
    }

    #[test]
    fn the_least_number_of_instances_and_the_share_are_kept(world in worlds()) {
        let (usable, removed) = (world.usable(false).count(), world.plan.remove.len());
        prop_assert!(removed == 0 || usable - removed >= world.policy.min_instances);
        let drains =
            |instance: &&Instance| instance.status == ContainerInstanceStatus::Draining;
        let draining = world.inventory.instances.iter().filter(drains).count();
        let share = (usable * world.policy.max_removals_percent as usize).div_ceil(100);
        prop_assert!(
            removed == 0 || removed + draining <= share,
            "{} and {} of {}", removed, draining, usable
        );
    }

    #[test]
    fn nothing_goes_that_may_not(world in worlds()) {
        for instance in world.going() {
            let name = instance.group.as_ref().unwrap();
            let group = &world.inventory.groups[name];
            let is_protected = instance.protected_from_scale_in && !group.is_left_to_ecs();
            prop_assert!(world.is_usable(instance) && !is_protected);
            prop_assert!(group.unavailable.is_none());
            prop_assert!(group.managed_scaling.is_none() || world.policy.allow_managed_scaling);
            prop_assert!(world.policy.groups.as_ref().is_none_or(|groups| groups.contains(name)));
            for task in instance.tasks.as_ref().expect("only what was read may go") {
                let may_go = match task.kind {
                    TaskKind::Service(service) =>
                        !task.protected && is_movable(&world.inventory.services[service]),
                    TaskKind::Standalone => world.policy.allow_standalone_tasks,
                    TaskKind::UnknownService => false,
                    TaskKind::Daemon | TaskKind::Stopping => true,
                };
                prop_assert!(may_go, "{:?}", task);
            }
        }
    }

    #[test]
    fn managed_scaling_launches_none_whoever_places_the_tasks_and_takes_one(world in worlds()) {
        let removed = world.removed();
        let moved: usize = world.going().map(|going| services_of(going).count()).sum();
        let in_flight: u64 = world.inventory.services.iter().map(|it| it.in_flight).sum();
        for (name, group) in &world.inventory.groups {
            let Some(scaling) = group.managed_scaling else { continue };
            let members = world.inventory.instances.iter().filter(|instance| {
                instance.group.as_ref() == Some(name) && instance.is_in_service()
            });
            let (going, staying): (Vec<_>, Vec<_>) =
                members.partition(|member| removed.contains(&member.instance_id));
            let (draining, left): (Vec<_>, Vec<_>) =
                staying.into_iter().partition(|member| member.is_draining());
            let busy = left.iter().filter(|member| !Instance::is_empty(member)).count();
            let empties = left.len() - busy;
            let busy_too = going.iter().chain(&draining).filter(|member| !member.is_empty());
            let members = draining.len() + left.len() + going.len();
            let target_capacity = scaling.target_capacity as usize;
            let busy_before = busy + busy_too.count();
            let is_within =
                |needed, running| 100 * needed <= target_capacity * running;
            // Until what moves is there, ECS may take away what neither the target nor the group's
            // minimum asks for.
            let taken_up = empties.min(moved);
            let needed = busy_before + taken_up;
            let least = (100 * busy_before).div_ceil(target_capacity).max(needed);
            let least = least.max(group.min_size.max(0) as usize).min(members);
            prop_assert!(taken_up == 0 || is_within(needed, least), "{}", name);
            if going.is_empty() {
                // What waits takes what it takes.
                continue;
            }
            let taken_up = empties.min(moved + in_flight as usize);
            // While old and new tasks run side by side.
            prop_assert!(is_within(busy_before + taken_up, members), "{}", name);
            // ECS takes what is empty one by one, and until then it runs. Where nothing but tasks of
            // others comes, it may run for good.
            let moves = going.iter().any(|going| services_of(going).count() > 0);
            let running = match scaling.termination_protection {
                true if moves => members - 1,
                true if moved > 0 => members,
                _ => left.len(),
            };
            prop_assert!(is_within(busy + taken_up, running), "{}", name);
        }
    }

    #[test]
    fn every_displaced_task_finds_a_place(world in worlds(), seed: u64) {
        let witness = world.witness();
        let places = witness.find();
        prop_assert!(places.is_ok(), "{:?} has no place", places);
        if world.plan.remove.iter().all(|removal| removal.reason.is_certain()) {
            for seed in (0..8).map(|offset| seed.wrapping_add(offset)) {
                let placed = witness.random(seed);
                prop_assert!(placed.is_ok(), "{:?} finds no place by chance", placed);
            }
        }
    }

    #[test]
    fn the_headroom_is_left_whoever_places_the_tasks(world in worlds()) {
        let amounts = |resources: Resources| [resources.cpu, resources.memory_mib];
        let (mut all, mut free) = ([0; 2], [0; 2]);
        let add = |sums: &mut [i64; 2], amounts: [i64; 2], times: i64| {
            sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount * times);
        };
        for instance in world.usable(true) {
            add(&mut all, amounts(instance.registered.unwrap()), 1);
            add(&mut free, amounts(instance.remaining.unwrap()), 1);
        }
        for service in world.going().flat_map(services_of) {
            add(&mut free, amounts(world.inventory.services[service].demand), -1);
        }
        for service in world.inventory.services.iter().filter(|service| is_movable(service)) {
            let fits = |instance: &Instance| {
                let all = instance.registered.unwrap().to_array();
                let demand = service.demand.to_array();
                all.iter().zip(demand).all(|(all, demand)| demand <= *all)
            };
            // What fits on no usable instance, not even an empty one, is not on its way.
            if world.usable(false).any(|instance| fits(instance) && could_run(instance, service)) {
                add(&mut free, amounts(service.demand), -i64::try_from(service.in_flight).unwrap());
            }
        }
        let Policy { headroom_cpu_percent, headroom_memory_percent, .. } = world.policy;
        let percent = [headroom_cpu_percent, headroom_memory_percent].map(i64::from);
        for dimension in 0..2 {
            let is_left = free[dimension] * 100 >= percent[dimension] * all[dimension];
            prop_assert!(is_left || world.plan.remove.is_empty(), "{:?} free of {:?}", free, all);
        }
    }

    #[test]
    fn headroom_and_instances_are_left_where_a_service_may_run(world in worlds()) {
        let Policy { headroom_cpu_percent, headroom_memory_percent, min_instances, .. } =
            world.policy;
        let percent = [headroom_cpu_percent, headroom_memory_percent].map(i64::from);
        for reach in &world.inventory.services {
            let gone = world.going().filter(|going| is_within_reach(going, reach)).count();
            let left: Vec<_> =
                world.usable(true).filter(|left| is_within_reach(left, reach)).collect();
            prop_assert!(gone == 0 || left.len() >= min_instances, "for {}", reach.name);
            let moved: Vec<_> = world
                .going()
                .flat_map(services_of)
                .map(|service| &world.inventory.services[service])
                .filter(|service| left.iter().any(|left| could_run(left, service)))
                .map(|service| service.demand.to_array())
                .collect();
            for (dimension, percent) in percent.into_iter().enumerate() {
                let amount = |amounts: Option<Resources>| amounts.unwrap().to_array()[dimension];
                let all: i64 = left.iter().map(|left| amount(left.registered)).sum();
                let free: i64 = left.iter().map(|left| amount(left.remaining)).sum();
                let free = free - moved.iter().map(|moved| moved[dimension]).sum::<i64>();
                prop_assert!(
                    gone + moved.len() == 0 || free * 100 >= percent * all,
                    "{} of {} free for {}", free, all, reach.name
                );
            }
        }
    }

    #[test]
    fn zones_stay_as_balanced_as_they_were(world in worlds()) {
        let mut groups: BTreeMap<&GroupName, [BTreeMap<&str, i64>; 2]> = BTreeMap::new();
        let removed = world.removed();
        for instance in world.usable(false) {
            let Some(group) = &instance.group else { continue };
            let [before, after] = groups.entry(group).or_default();
            *before.entry(&instance.zone).or_default() += 1;
            let stays = !removed.contains(&instance.instance_id);
            *after.entry(&instance.zone).or_default() += i64::from(stays);
        }
        for (name, [before, after]) in &groups {
            let balanced = spread(after) <= spread(before).max(1);
            prop_assert!(
                balanced || !world.policy.keep_zone_balance,
                "{}: {:?} {:?}", name, before, after
            );
        }
    }

    #[test]
    fn no_plan_saves_more_than_the_bound(world in worlds()) {
        let saving = world.plan.saving;
        prop_assert!(saving.planned <= saving.bound + 1e-9, "{:?}", saving);
        prop_assert!(saving.bound <= 1.0 + 1e-9, "{:?}", saving);
        let price = |instance: &Instance| instance.price_microusd;
        let all: Option<Vec<u64>> = world.inventory.instances.iter().map(price).collect();
        let gone: u64 = world.going().filter_map(price).sum();
        prop_assert_eq!(saving.planned_microusd, all.is_some().then_some(gone));
        let (part, whole) = match all {
            Some(all) => (gone as f64, all.iter().sum::<u64>() as f64),
            None => (world.plan.remove.len() as f64, world.inventory.instances.len() as f64),
        };
        prop_assert!((saving.planned - part / whole).abs() < 1e-9);
    }

    // A search that is no proof may find more with less to choose from, but never more than was
    // possible before.
    #[test]
    fn stricter_limits_never_beat_the_bound(
        world in worlds(),
        which: prop::sample::Index,
        more_percent in 1_u32..20,
    ) {
        let (mut inventory, mut policy) = (world.inventory.clone(), world.policy.clone());
        match which.index(3) {
            0 => {
                policy.headroom_cpu_percent += more_percent;
                policy.headroom_memory_percent += more_percent;
            }
            1 => inventory.groups.values_mut().for_each(|group| group.min_size += 1),
            _ => {
                let position = which.index(inventory.instances.len());
                let tasks = &mut inventory.instances[position].tasks;
                tasks.iter_mut().flatten().for_each(|task| task.protected = true);
            }
        }
        let stricter = plan(&inventory, &policy, now());
        let bound = world.plan.saving.bound;
        // The bound is rounded to 24 bits.
        prop_assert!(stricter.saving.planned <= bound + 1e-6, "{:?}", stricter.saving);
    }

    #[test]
    fn the_order_of_the_inventory_does_not_matter(world in worlds(), seed: u64) {
        prop_assert_eq!(plan(&shuffled(&world.inventory, seed), &world.policy, now()), world.plan);
    }

    #[test]
    fn equal_input_gives_an_equal_plan(world in worlds()) {
        prop_assert_eq!(plan(&world.inventory.clone(), &world.policy, now()), world.plan);
    }

    #[test]
    fn the_planned_world_has_an_empty_plan(world in worlds()) {
        let again = plan_again(&world);
        prop_assert!(again.remove.is_empty(), "{:?} then {:?}", world.plan.remove, again.remove);
    }

    // Whether the empty one could go is for the planner to say: it is asked about a world in which
    // nothing else may.
    #[test]
    fn nothing_moves_off_an_instance_while_an_empty_one_of_its_price_could_go(
        (mut inventory, seed) in inventories(),
    ) {
        clear_some(&mut inventory, seed);
        let policy = some_policy(seed, inventory.instances.len());
        prop_assert_eq!(needless_move(&World::new(inventory, policy)), None);
    }

    #[test]
    fn every_reason_says_how_many_tasks_move(world in worlds()) {
        let going: BTreeMap<_, _> = world
            .going()
            .map(|instance| (&instance.instance_id, services_of(instance).count()))
            .collect();
        let certified = |reason: &RemoveReason| matches!(reason, RemoveReason::Certified { .. });
        let any_certified = world.plan.remove.iter().any(|removal| certified(&removal.reason));
        for removal in &world.plan.remove {
            let count = going[&removal.instance_id];
            let fits = match removal.reason {
                RemoveReason::Empty => count == 0,
                RemoveReason::Certified { tasks } => count == tasks && count > 0,
                RemoveReason::Replayed { tasks } => count == tasks && count > 0 && !any_certified,
            };
            prop_assert!(fits, "{:?}", removal);
        }
        for kept in &world.plan.keep {
            let is_kept_for_room = matches!(kept.reason, KeepReason::NoRoom(_));
            prop_assert!(!kept.reason.to_string().is_empty());
            prop_assert!(!is_kept_for_room || kept.reason.code() == "no_room");
        }
    }
}

/// Few worlds show it: these had a second plan while the certificate depended on what drained
/// (twice), on what was asked before, and on the limits of a try that failed.
#[test]
fn worlds_that_once_had_a_second_plan_have_none() {
    for (seed, size, policy_seed) in [
        (16_557_383_651_411_922_975, 23, 13_380_306_193_476_754_994),
        (8_428_634_635_630_824_739, 20, 13_336_233_637_517_127_613),
        (15_693_446_594_828_360_518, 17, 14_007_835_104_517_769_901),
        (5_257_937_237_007_020_110, 11, 12_529_117_714_887_140_805),
    ] {
        let world = World::new(wild(seed, size), some_policy(policy_seed, size));
        assert!(!world.plan.remove.is_empty(), "seed {seed}");
        assert_eq!(plan_again(&world).remove, [], "seed {seed}");
    }
}

#[test]
fn the_worlds_of_these_tests_are_worth_it() {
    let (mut removing, mut moving, mut codes) = (0, 0, BTreeSet::new());
    for seed in 0..150 {
        let size = 2 + seed as usize % 22;
        let world = World::new(wild(seed, size), some_policy(seed, size));
        removing += usize::from(!world.plan.remove.is_empty());
        moving += usize::from(world.going().flat_map(services_of).count() > 0);
        codes.extend(world.plan.keep.iter().map(|kept| kept.reason.code()));
        codes.extend(world.plan.remove.iter().map(|removal| removal.reason.code()));
    }
    assert!(
        removing >= 40 && moving >= 40,
        "{removing} plans remove something, {moving} move tasks"
    );
    assert!(codes.len() >= 20, "{codes:?}");
}

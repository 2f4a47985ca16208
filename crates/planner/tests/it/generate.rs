//! Inventories by chance, each the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::auto_scaling::LifecycleState;
use ebb_planner::ecs::ContainerInstanceStatus;
use ebb_planner::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_planner::{
    CAPACITY_PROVIDER, Group, HostPort, Instance, Inventory, ManagedScaling, Policy, Protocol,
    Resources, Service, Strategy, Task, TaskKind,
};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::filters::{is_within_reach, place, service_of, takes, task_count};

/// The moment of every test.
pub(crate) fn now() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

/// A policy that stops at nothing but at what is not safe.
pub(crate) fn boundless() -> Policy {
    Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        min_instances: 0,
        keep_zone_balance: false,
        ..Policy::default()
    }
}

/// Whether an instance counts as capacity: nobody knows how long the others stay.
pub(crate) fn is_usable(instance: &Instance, policy: &Policy) -> bool {
    let is_old = instance.registered_at.is_some_and(|registered_at| {
        now().duration_since(registered_at) >= policy.min_instance_age
    });
    instance.status == ContainerInstanceStatus::Active
        && instance.agent_connected
        && (instance.group.is_none() || instance.lifecycle_state == LifecycleState::InService)
        && is_old
}

/// Whether something happens that has this chance, in percent.
fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

fn pick<T: Clone>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(..list.len())].clone()
}

/// The name of a group.
pub(crate) fn group_name(number: usize) -> GroupName {
    GroupName::new(format!("g{number}"))
}

/// An empty instance, a day old.
pub(crate) fn instance(number: usize, group: usize, zone: usize, all: Resources) -> Instance {
    let id = InstanceId::parse(&format!("i-{number:017x}")).unwrap();
    Instance {
        group: Some(group_name(group)),
        lifecycle_state: LifecycleState::InService,
        zone: zone.to_string(),
        instance_type: format!("{}x{}", all.cpu, all.memory_mib),
        attributes: BTreeMap::from([
            ("zone".to_owned(), zone.to_string()),
            ("group".to_owned(), group.to_string()),
        ]),
        registered_at: Some(now() - SignedDuration::from_hours(24)),
        registered: Some(all),
        remaining: Some(all),
        tasks: Some(Vec::new()),
        ..Instance::new(id, ContainerInstanceArn::new(number.to_string()))
    }
}

/// A service that asks for nothing but room.
pub(crate) fn service(number: usize, demand: Resources) -> Service {
    Service::new(format!("s{number}"), demand)
}

/// A host port for tcp.
pub(crate) fn tcp(number: u16) -> HostPort {
    HostPort { protocol: Protocol::Tcp, number }
}

/// CPU and memory alone.
pub(crate) fn room(cpu: i64, memory_mib: i64) -> Resources {
    Resources { cpu, memory_mib, ..Resources::default() }
}

/// A cluster with no service and no instance.
pub(crate) fn empty() -> Inventory {
    Inventory {
        cluster: Cluster::new("cluster"),
        instances: Vec::new(),
        groups: BTreeMap::new(),
        services: Vec::new(),
        hold_until: None,
    }
}

/// Runs a task of a service on an instance, whether it fits or not.
pub(crate) fn run(inventory: &mut Inventory, position: usize, service: usize) {
    let number =
        inventory.instances.iter().flat_map(|instance| instance.tasks.iter().flatten()).count();
    let task =
        Task { id: format!("t{number}"), kind: TaskKind::Service(service), protected: false };
    place(inventory, position, service, task);
}

/// Two to four instances and one to three services of few units each: small enough to be played in
/// every order.
pub(crate) fn tiny(seed: u64) -> Inventory {
    tiny_with(seed, 2..=4, 2, 6)
}

/// Such a cluster of so many instances, in up to so many zones, and up to so many tasks.
fn tiny_with(
    seed: u64,
    instances: std::ops::RangeInclusive<usize>,
    zones: usize,
    tasks: usize,
) -> Inventory {
    let rng = &mut Rng::with_seed(seed);
    let mut inventory = empty();
    let (count, most) = (rng.usize(instances), rng.i64(5..=9));
    for number in 0..count {
        let all = room(rng.i64(4..=most), rng.i64(4..=most));
        let mut instance = instance(number, 0, rng.usize(..zones), all);
        if chance(rng, 4) {
            instance.registered_at = Some(now());
        }
        inventory.instances.push(instance);
    }
    let capacity = i64::try_from(count).unwrap();
    inventory
        .groups
        .insert(group_name(0), Group { desired_capacity: capacity, ..Group::default() });
    for number in 0..rng.usize(1..=3) {
        let mut service = service(number, room(rng.i64(0..=3), rng.i64(0..=3)));
        if chance(rng, 30) {
            service.host_ports.insert(tcp(80 + rng.u16(..2)));
        }
        service.distinct_instance = chance(rng, 15);
        if chance(rng, 15) {
            service.constraints.push(format!("attribute:zone in [{}]", rng.u8(..2)));
        }
        if chance(rng, 10) {
            service.in_flight = 1;
        }
        service.minimum_healthy_percent = pick(rng, &[0, 100]);
        inventory.services.push(service);
    }
    for _ in 0..rng.usize(1..=tasks) {
        let (position, service) = (rng.usize(..count), rng.usize(..inventory.services.len()));
        if takes(&inventory, position, service) {
            run(&mut inventory, position, service);
        }
    }
    inventory
}

/// A tiny cluster with two capacity providers. Services use none of them, one, or any of both.
pub(crate) fn with_capacity_providers(seed: u64) -> Inventory {
    let mut inventory = tiny(seed);
    let rng = &mut Rng::with_seed(seed);
    for instance in &mut inventory.instances {
        let provider = pick(rng, &["on-demand", "spot"]).to_owned();
        instance.attributes.insert(CAPACITY_PROVIDER.to_owned(), provider);
    }
    for service in &mut inventory.services {
        let providers: &[&str] = pick(rng, &[&[], &["spot"], &["on-demand", "spot"]]);
        service.capacity_providers = providers.iter().map(|&name| name.to_owned()).collect();
        // Which of several providers a task on its way waits for is not played.
        service.in_flight = u64::from(providers.len() < 2 && chance(rng, 30));
    }
    inventory
}

/// A cluster hardly larger, so that there is something to rebalance: it is on for most services, even
/// before a plan or not.
pub(crate) fn with_rebalancing(seed: u64) -> Inventory {
    let mut inventory = tiny_with(seed, 3..=5, 3, 10);
    let rng = &mut Rng::with_seed(seed);
    // Little room, so that what moves is in the way of others.
    for instance in &mut inventory.instances {
        let Resources { cpu, memory_mib, .. } = instance.remaining.unwrap();
        let taken =
            room(cpu - cpu.min(rng.i64(0..=4)), memory_mib - memory_mib.min(rng.i64(0..=4)));
        for amounts in [&mut instance.registered, &mut instance.remaining] {
            let amounts = amounts.as_mut().unwrap();
            amounts.cpu -= taken.cpu;
            amounts.memory_mib -= taken.memory_mib;
        }
    }
    for service in 0..inventory.services.len() {
        if chance(rng, 70) {
            inventory.services[service].tasks_to_rebalance =
                Some(uneven_tasks(&inventory, service));
        }
    }
    inventory
}

/// How many tasks of a service must move until its zones are even.
fn uneven_tasks(inventory: &Inventory, service: usize) -> u64 {
    let mut counts = BTreeMap::<&str, i64>::new();
    for instance in &inventory.instances {
        *counts.entry(&instance.zone).or_default() += task_count(instance, service);
    }
    let mut counts: Vec<i64> = counts.into_values().collect();
    let mut moves = 0;
    loop {
        counts.sort_unstable();
        let last = counts.len() - 1;
        if counts[last] - counts[0] < 2 {
            return moves;
        }
        counts[0] += 1;
        counts[last] -= 1;
        moves += 1;
    }
}

/// Instances of these sizes: CPU units and MiB, and what one costs an hour in millionths of a
/// dollar.
const TYPES: [(i64, i64, u64); 4] = [
    (2048, 4096, 80_000),
    (4096, 16_384, 190_000),
    (8192, 16_384, 310_000),
    (2048, 16_384, 120_000),
];
/// What tasks need: CPU units and MiB.
const DEMANDS: [(i64, i64); 7] =
    [(128, 256), (256, 512), (256, 2048), (512, 1024), (1024, 1024), (1024, 3072), (64, 1536)];

/// A cluster of up to four types in up to three groups and three zones, half empty, with nothing
/// wrong about any instance. Every service has the strategy.
pub(crate) fn mixed(seed: u64, size: usize, strategy: &[Strategy]) -> Inventory {
    let rng = &mut Rng::with_seed(seed);
    let mut inventory = empty();
    let (types, groups, zones) = (rng.usize(1..=4), rng.usize(1..=3), rng.usize(1..=3));
    let priced = rng.bool();
    for number in 0..size {
        let (cpu, memory_mib, price) = TYPES[rng.usize(..types)];
        let mut priced_instance =
            instance(number, rng.usize(..groups), rng.usize(..zones), room(cpu, memory_mib));
        priced_instance.price_microusd = priced.then_some(price);
        inventory.instances.push(priced_instance);
    }
    for number in 0..size / 3 + 1 {
        inventory.services.push(some_service(rng, number, groups, zones, strategy));
    }
    fill(rng, &mut inventory);
    size_groups(rng, &mut inventory, groups);
    inventory
}

fn some_service(
    rng: &mut Rng,
    number: usize,
    groups: usize,
    zones: usize,
    strategy: &[Strategy],
) -> Service {
    let (cpu, memory_mib) = pick(rng, &DEMANDS);
    let mut service = service(number, room(cpu, memory_mib));
    service.strategy = strategy.to_vec();
    if chance(rng, 10) {
        service.host_ports.insert(tcp(8000 + rng.u16(..3)));
    }
    service.distinct_instance = chance(rng, 8);
    if chance(rng, 10) {
        service.constraints.push(format!("attribute:zone in [0,{}]", rng.usize(..zones)));
    }
    if chance(rng, 10) {
        service.constraints.push(format!("attribute:group in [{}]", rng.usize(..groups)));
    }
    (service.minimum_healthy_percent, service.maximum_percent) =
        pick(rng, &[(100, 200), (100, 150), (50, 100), (50, 200), (0, 100)]);
    service
}

/// Runs tasks where they fit, until a share of the places that were tried is taken.
fn fill(rng: &mut Rng, inventory: &mut Inventory) {
    let tries = inventory.instances.len() * rng.usize(2..=6);
    for _ in 0..tries {
        let position = rng.usize(..inventory.instances.len());
        let service = rng.usize(..inventory.services.len());
        if takes(inventory, position, service) {
            run(inventory, position, service);
        }
    }
}

/// Gives each group what its instances weigh, and a minimum below that.
fn size_groups(rng: &mut Rng, inventory: &mut Inventory, groups: usize) {
    for number in 0..groups {
        let name = group_name(number);
        let members =
            inventory.instances.iter().filter(|instance| instance.group.as_ref() == Some(&name));
        let desired_capacity = members.map(|instance| instance.weight).sum();
        let min_size = rng.i64(0..=desired_capacity / 3);
        inventory.groups.insert(name, Group { min_size, desired_capacity, ..Group::default() });
    }
}

/// A cluster with everything that can keep an instance: see [`some_trouble`] and [`some_tasks`].
pub(crate) fn wild(seed: u64, size: usize) -> Inventory {
    let rng = &mut Rng::with_seed(seed);
    let strategy = pick(rng, &strategies());
    let mut inventory = mixed(rng.u64(..), size, &strategy);
    let groups = inventory.groups.len();
    let (weighted, with_gpus, with_interfaces) =
        (chance(rng, 25), chance(rng, 15), chance(rng, 15));
    for instance in &mut inventory.instances {
        if weighted {
            instance.weight = rng.i64(1..=3);
        }
        let set_amount =
            |instance: &mut Instance, pick: fn(&mut Resources) -> &mut i64, count: i64| {
                *pick(instance.registered.as_mut().unwrap()) = count;
                *pick(instance.remaining.as_mut().unwrap()) = count;
            };
        if with_gpus && rng.bool() {
            set_amount(instance, |resources| &mut resources.gpus, 2);
        }
        if with_interfaces {
            set_amount(instance, |resources| &mut resources.network_interfaces, 4);
        }
    }
    let before = inventory.services.len();
    for number in before..before + 2 {
        let mut service = some_service(rng, number, groups, 1, &strategy);
        service.demand.gpus = i64::from(with_gpus);
        service.demand.network_interfaces = i64::from(with_interfaces);
        inventory.services.push(service);
    }
    let is_calm = chance(rng, 70);
    for service in &mut inventory.services {
        some_doubt(rng, service);
        service.in_flight *= u64::from(!is_calm);
    }
    fill(rng, &mut inventory);
    for position in 0..size {
        some_tasks(rng, &mut inventory, position);
    }
    size_groups(rng, &mut inventory, groups);
    for position in 0..size {
        some_trouble(rng, &mut inventory, position);
    }
    for group in inventory.groups.values_mut() {
        if chance(rng, 40) {
            group.min_size = (group.desired_capacity - rng.i64(1..=3)).max(0);
        }
        group.managed_scaling = chance(rng, 20).then(|| ManagedScaling {
            target_capacity: pick(rng, &[100, 100, 90, 80, 50]),
            termination_protection: rng.bool(),
            scaling_out: false,
        });
        group.unavailable = chance(rng, 5).then(|| "an instance refresh runs".to_owned());
    }
    inventory
}

/// The same cluster, or one of two platforms whose services may need one, or zones of their subnets.
/// What would run where it may not is gone.
pub(crate) fn with_platforms(mut inventory: Inventory, seed: u64) -> Inventory {
    let rng = &mut Rng::with_seed(seed);
    if rng.bool() {
        return inventory;
    }
    let platform = |rng: &mut Rng| pick(rng, &["linux", "linux", "windows"]).to_owned();
    for instance in &mut inventory.instances {
        instance.attributes.insert("ecs.os-type".to_owned(), platform(rng));
    }
    for service in &mut inventory.services {
        service.os_type = chance(rng, 50).then(|| platform(rng));
        service.zones = chance(rng, 20)
            .then(|| [rng.usize(..3), rng.usize(..3)].map(|zone| zone.to_string()).into());
    }
    let Inventory { instances, services, .. } = &mut inventory;
    for instance in instances {
        let tasks = instance.tasks.take();
        let (stay, go): (Vec<Task>, Vec<Task>) =
            tasks.iter().flatten().cloned().partition(|task| {
                service_of(task).is_none_or(|service| is_within_reach(instance, &services[service]))
            });
        for service in go.iter().filter_map(service_of) {
            free(instance, &services[service]);
        }
        instance.tasks = tasks.map(|_| stay);
    }
    inventory
}

/// Gives back what a task held.
fn free(instance: &mut Instance, service: &Service) {
    let Some(remaining) = &mut instance.remaining else { return };
    let mut amounts = remaining.to_array();
    amounts.iter_mut().zip(service.demand.to_array()).for_each(|(free, held)| *free += held);
    *remaining = amounts.into();
    instance.host_ports.retain(|port| !service.host_ports.contains(port));
}

fn strategies() -> [Vec<Strategy>; 4] {
    let zone = || Strategy::Spread("attribute:zone".to_owned());
    let instance = || Strategy::Spread("instanceId".to_owned());
    [vec![], vec![zone(), instance()], vec![Strategy::BinpackMemory], vec![Strategy::Random]]
}

/// What makes a service's tasks immovable, or its placement unknown; and tasks of it that are on
/// their way.
fn some_doubt(rng: &mut Rng, service: &mut Service) {
    if chance(rng, 2) {
        service.constraints.push("runningTasksCount == 0".to_owned());
    }
    if chance(rng, 2) {
        (service.minimum_healthy_percent, service.maximum_percent) = (100, 100);
    }
    service.unclear = chance(rng, 2).then(|| "its task definition could not be read".to_owned());
    if chance(rng, 6) {
        service.in_flight = rng.u64(1..=2);
    }
}

/// Tasks that are no service's, and a protected one.
fn some_tasks(rng: &mut Rng, inventory: &mut Inventory, position: usize) {
    let kinds = [
        (30, TaskKind::Daemon),
        (2, TaskKind::Standalone),
        (4, TaskKind::Stopping),
        (1, TaskKind::UnknownService),
    ];
    let instance = &mut inventory.instances[position];
    let (free, tasks) = (instance.remaining.as_mut().unwrap(), instance.tasks.as_mut().unwrap());
    for (percent, kind) in kinds {
        if chance(rng, percent) {
            free.cpu -= free.cpu.min(64);
            free.memory_mib -= free.memory_mib.min(128);
            tasks.push(Task { id: format!("x{position}-{}", tasks.len()), kind, protected: false });
        }
    }
    if let Some(task) = tasks.first_mut().filter(|_| chance(rng, 2)) {
        task.protected = true;
    }
}

/// What keeps an instance, whatever runs on it.
fn some_trouble(rng: &mut Rng, inventory: &mut Inventory, position: usize) {
    let Inventory { instances, services, .. } = inventory;
    let instance = &mut instances[position];
    match rng.u32(..100) {
        0..4 => instance.protected_from_scale_in = true,
        4..7 => instance.registered_at = Some(now() - SignedDuration::from_secs(60)),
        7..9 => instance.agent_connected = false,
        9..11 => instance.status = ContainerInstanceStatus::Registering,
        11..13 => instance.lifecycle_state = LifecycleState::Standby,
        13..15 => instance.group = None,
        15..17 => instance.registered_at = None,
        17..21 => drain(instance, services),
        21..28 => {
            for task in instance.tasks.take().into_iter().flatten() {
                if let TaskKind::Service(service) = task.kind
                    && services[service].distinct_instance
                {
                    instance.distinct_services.insert(service);
                }
            }
        }
        _ => {}
    }
}

/// Sets an instance DRAINING: replacements of its tasks are on their way, and they hold their own
/// places until then.
pub(crate) fn drain(instance: &mut Instance, services: &mut [Service]) {
    instance.status = ContainerInstanceStatus::Draining;
    for task in instance.tasks.iter().flatten() {
        if let TaskKind::Service(service) = task.kind {
            services[service].in_flight += 1;
        }
    }
}

/// A policy by chance, for a cluster of this size.
pub(crate) fn some_policy(seed: u64, size: usize) -> Policy {
    let rng = &mut Rng::with_seed(seed);
    Policy {
        headroom_cpu_percent: pick(rng, &[0, 0, 10, 25]),
        headroom_memory_percent: pick(rng, &[0, 0, 10, 25]),
        max_removals_percent: pick(rng, &[10, 25, 50, 100]),
        min_instances: if chance(rng, 40) { rng.usize(..size) } else { 0 },
        groups: chance(rng, 10).then(|| BTreeSet::from([group_name(0)])),
        allow_managed_scaling: chance(rng, 70),
        allow_standalone_tasks: chance(rng, 30),
        keep_zone_balance: chance(rng, 60),
        steps_max: 100_000,
        ..Policy::default()
    }
}

//! Inventories by chance, each the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_core::scale_in::{
    Group, HostPort, Instance, Inventory, Policy, Protocol, Resources, Service, Task, TaskKind,
};
use ebb_core::spot::ContainerInstanceStatus;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::ecs::{place, takes};

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

/// Whether something happens that has this chance, in percent.
fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

fn one_of<T: Clone>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(..list.len())].clone()
}

/// The name of a group.
pub(crate) fn group_name(number: usize) -> GroupName {
    GroupName::new(format!("g{number}"))
}

/// An empty instance, a day old.
pub(crate) fn instance(number: usize, group: usize, zone: usize, all: Resources) -> Instance {
    Instance {
        instance_id: InstanceId::parse(&format!("i-{number:017x}")).unwrap(),
        arn: ContainerInstanceArn::new(number.to_string()),
        group: Some(group_name(group)),
        lifecycle_state: "InService".to_owned(),
        protected_from_scale_in: false,
        weight: 1,
        zone: zone.to_string(),
        instance_type: format!("{}x{}", all.cpu, all.memory_mib),
        attributes: BTreeMap::from([
            ("zone".to_owned(), zone.to_string()),
            ("group".to_owned(), group.to_string()),
        ]),
        status: ContainerInstanceStatus::Active,
        agent_connected: true,
        registered_at: Some(now() - SignedDuration::from_hours(24)),
        registered: Some(all),
        remaining: Some(all),
        unknown_resource: None,
        host_ports: BTreeSet::new(),
        tasks: Some(Vec::new()),
        distinct_services: BTreeSet::new(),
        price_microusd: None,
    }
}

/// A service that asks for nothing but room.
pub(crate) fn service(number: usize, demand: Resources) -> Service {
    Service {
        name: format!("s{number}"),
        demand,
        host_ports: BTreeSet::new(),
        distinct_instance: false,
        constraints: Vec::new(),
        strategy: Vec::new(),
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        in_flight: 0,
        unclear: None,
    }
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
    }
}

/// Runs a task of a service on an instance, whether it fits or not.
pub(crate) fn run(inventory: &mut Inventory, at: usize, service: usize) {
    let number = inventory.instances.iter().flat_map(|one| one.tasks.iter().flatten()).count();
    let task = Task { id: format!("t{number}"), kind: TaskKind::Service(service), protected: false };
    place(inventory, at, service, task);
}

/// Two to four instances and one to three services of few units each: small enough to be played in every order.
pub(crate) fn tiny(seed: u64) -> Inventory {
    let rng = &mut Rng::with_seed(seed);
    let mut inventory = empty();
    let (count, most) = (rng.usize(2..=4), rng.i64(5..=9));
    for number in 0..count {
        let all = room(rng.i64(4..=most), rng.i64(4..=most));
        let mut instance = instance(number, 0, rng.usize(..2), all);
        if chance(rng, 4) {
            instance.registered_at = Some(now());
        }
        inventory.instances.push(instance);
    }
    let capacity = i64::try_from(count).unwrap();
    inventory.groups.insert(group_name(0), Group { desired_capacity: capacity, ..Group::default() });
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
        service.minimum_healthy_percent = one_of(rng, &[0, 100]);
        inventory.services.push(service);
    }
    for _ in 0..rng.usize(1..=6) {
        let (at, service) = (rng.usize(..count), rng.usize(..inventory.services.len()));
        if takes(&inventory, at, service) {
            run(&mut inventory, at, service);
        }
    }
    inventory
}

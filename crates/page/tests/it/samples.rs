//! A made-up cluster with its plan, and a made-up run: for the tests and for `make pictures`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_core::prices::PriceBasis;
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::{ClusterReport, Potential};
use ebb_page::plan_page;
use ebb_planner::{
    Group, HostPort, Instance, Inventory, Policy, Protocol, Resources, Service, Strategy, Task,
    TaskKind, plan,
};
use jiff::{SignedDuration, Timestamp};

/// The moment of the plan, and the start of the run.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_741_064_400).unwrap()
}

fn resources(cpu: i64, memory_mib: i64) -> Resources {
    Resources { cpu, memory_mib, ..Resources::default() }
}

/// The services of the sample cluster: name, CPU, memory.
const SERVICES: [(&str, i64, i64); 6] = [
    ("web", 256, 512),
    ("checkout", 512, 1024),
    ("worker", 512, 2048),
    ("search", 1024, 3072),
    ("mail", 128, 256),
    ("proxy", 256, 256),
];

fn services() -> Vec<Service> {
    let services = SERVICES.iter().map(|&(name, cpu, memory_mib)| Service {
        name: name.to_owned(),
        demand: resources(cpu, memory_mib),
        host_ports: BTreeSet::new(),
        distinct_instance: name == "search",
        constraints: Vec::new(),
        os_type: None,
        cpu_architecture: None,
        zones: None,
        strategy: vec![Strategy::Spread("instanceId".to_owned())],
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        in_flight: 0,
        keep_tasks: false,
        unclear: None,
        capacity_providers: BTreeSet::new(),
        tasks_to_rebalance: None,
    });
    let mut services: Vec<_> = services.collect();
    services[5].host_ports = BTreeSet::from([HostPort { protocol: Protocol::Tcp, number: 8443 }]);
    services
}

/// What runs on each of the sample cluster's instances, by service.
const TASKS: [[usize; 6]; 18] = [
    [2, 0, 1, 0, 1, 1],
    [1, 1, 0, 0, 0, 1],
    [1, 0, 0, 0, 1, 0],
    [0, 1, 0, 0, 0, 0],
    [2, 1, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 1],
    [1, 0, 0, 0, 1, 0],
    [1, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0],
    [2, 2, 1, 1, 1, 0],
    [1, 1, 2, 1, 0, 0],
    [0, 2, 1, 0, 2, 0],
    [3, 0, 1, 1, 0, 0],
    [1, 1, 0, 0, 1, 0],
    [0, 0, 2, 0, 0, 0],
    [2, 1, 0, 1, 0, 0],
    [1, 0, 1, 0, 1, 0],
    [1, 1, 0, 0, 0, 0],
];

/// A cluster of eighteen instances of two types in two groups and three zones, a third of which is
/// used: one is protected, one runs a standalone task, one is young.
pub(crate) fn inventory() -> Inventory {
    let instances = TASKS.iter().enumerate().map(|(position, tasks)| instance(position + 1, tasks));
    let group =
        |desired_capacity, min_size| Group { desired_capacity, min_size, ..Group::default() };
    Inventory {
        cluster: Cluster::new("shop"),
        instances: instances.collect(),
        groups: BTreeMap::from([
            (GroupName::new("shop-on-demand"), group(9, 3)),
            (GroupName::new("shop-spot"), group(9, 2)),
        ]),
        services: services(),
        hold_until: None,
    }
}

fn instance(number: usize, counts: &[usize]) -> Instance {
    let is_spot = number > 9;
    let all = if is_spot { resources(4096, 15_616) } else { resources(2048, 7_680) };
    let id = InstanceId::parse(&format!("i-0a1b2c3d4e5f6{number:04}")).unwrap();
    let of_services = counts.iter().enumerate();
    let kinds = of_services
        .flat_map(|(service, &count)| std::iter::repeat_n(TaskKind::Service(service), count))
        .chain([TaskKind::Daemon])
        .chain((number == 8).then_some(TaskKind::Standalone));
    let tasks: Vec<_> = kinds
        .enumerate()
        .map(|(position, kind)| Task {
            id: format!("{number:04}{position:04}"),
            kind,
            protected: false,
        })
        .collect();
    let demands = counts.iter().zip(SERVICES);
    let (cpu, memory_mib) = demands.fold((64, 128), |(cpu, memory_mib), (&count, service)| {
        let count = i64::try_from(count).unwrap();
        (cpu + count * service.1, memory_mib + count * service.2)
    });
    let has_search = counts[3] > 0;
    let has_proxy = counts[5] > 0;
    let port = HostPort { protocol: Protocol::Tcp, number: 8443 };
    let age = SignedDuration::from_mins(if number == 18 { 4 } else { 9_000 });
    Instance {
        group: Some(GroupName::new(if is_spot { "shop-spot" } else { "shop-on-demand" })),
        lifecycle_state: LifecycleState::InService,
        protected_from_scale_in: number == 12,
        zone: format!("eu-west-1{}", ["a", "b", "c"][(number - 1) % 9 / 3]),
        instance_type: if is_spot { "m7g.xlarge" } else { "m7g.large" }.to_owned(),
        registered_at: Some(now() - age),
        registered: Some(all),
        remaining: Some(resources(all.cpu - cpu, all.memory_mib - memory_mib)),
        tasks: Some(tasks),
        distinct_services: has_search.then_some(3).into_iter().collect(),
        host_ports: has_proxy.then_some(port).into_iter().collect(),
        price_microusd: Some(if is_spot { 66_400 } else { 81_600 }),
        ..Instance::new(id, ContainerInstanceArn::new(format!("{number:032x}")))
    }
}

/// The page of a cluster, planned with what the sample's policy says.
pub(crate) fn page_of(inventory: &Inventory) -> String {
    let policy = Policy { max_removals_percent: 20, ..Policy::default() };
    plan_page(inventory, &report_of(inventory, &policy), &[], &policy, now())
}

/// What a sweep that only plans would report.
pub(crate) fn report_of(inventory: &Inventory, policy: &Policy) -> ClusterReport {
    let plan = plan(inventory, policy, now());
    ClusterReport {
        mode: ReaperMode::Plan,
        purpose: Purpose::Remove,
        potential: Potential::new(&plan, inventory, policy, now()),
        plan,
        prices: PriceBasis::default(),
        outcomes: Vec::new(),
        follow_ups: Vec::new(),
        replacements: Vec::new(),
        halt: None,
        stranded: Vec::new(),
        unregistered_members: Vec::new(),
        unclear_members: 0,
        container_instances: inventory.container_instances(),
    }
}

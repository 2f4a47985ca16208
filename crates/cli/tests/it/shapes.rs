//! Clusters of different shapes, each of which is recorded under `tests/recordings`.

use std::time::Duration;

use ebb_core::mark::DRAINED_BY;
use ebb_region::scenario::{self, CLUSTER, ON_DEMAND_GROUP, instance_id};
use ebb_region::world::autoscaling::{Group, LaunchSource};
use ebb_region::world::ecs::{
    Capacity, Machine, NewInstance, Placement, ServiceKind, Status, Strategy, TaskSpec,
};
use ebb_region::world::{REGION, World};

use crate::support::start_time;

/// A cluster of a shape, by the name of its recording.
pub(crate) fn shape(name: &str) -> World {
    match name {
        "idle" => scenario::idle_shop(start_time(), 1),
        "spread" => spread(),
        "held" => held(),
        "packed" => packed(),
        _ => panic!("there is no shape {name}"),
    }
}

/// The shop, half of it Spot Instances.
fn spread() -> World {
    let mut world = scenario::shop(start_time(), 1);
    let spot = world.groups.get_mut(scenario::SPOT_GROUP).unwrap();
    spot.source = LaunchSource::Mixed { on_demand_percentage: 0 };
    // A service that leaves its capacity to the default strategy of the cluster, which is empty.
    let services = &mut world.clusters.get_mut(CLUSTER).unwrap().services;
    services.get_mut("web").unwrap().capacity = Capacity::ClusterDefault;
    world
}

/// Six instances of which each is held by something else: a task that is protected, a standalone
/// task, a lost agent, scale-in protection, a drain; but for the last.
fn held() -> World {
    let mut world = World::new(start_time(), 1);
    for number in 1..=6 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(zone(number)));
    }
    let group = Group { min_size: 1, ..Group::with_instances(CLUSTER, (1..=6).map(instance_id)) };
    world.add_group(ON_DEMAND_GROUP, group);
    world.add_service(CLUSTER, "web", ServiceKind::replica(6), TaskSpec::default());
    hold(&mut world);
    world
}

fn hold(world: &mut World) {
    let container_instance = |world: &World, number| {
        let (_, found) = world.container_instance(&instance_id(number)).unwrap();
        found.id.clone()
    };
    let task = |world: &World, number| {
        let on = container_instance(world, number);
        world.clusters[CLUSTER].tasks_on(&on).next().unwrap().id.clone()
    };
    let protected = task(world, 1);
    world.protect_task(CLUSTER, &protected, Duration::from_secs(7_200));
    let second = container_instance(world, 2);
    world.run_task(CLUSTER, &second, "report", TaskSpec::default());
    world.disconnect_agent(&instance_id(3));
    let mut members = world.groups.get_mut(ON_DEMAND_GROUP).unwrap().instances.iter_mut();
    members.find(|it| it.instance_id == instance_id(4)).unwrap().protected_from_scale_in = true;
    drop(members);
    let fifth = container_instance(world, 5);
    let mark = "scale-in-reaper/2025-03-04T04:30:00Z";
    world.put_attribute(CLUSTER, &fifth, DRAINED_BY, mark);
    world.set_status(CLUSTER, &fifth, Status::Draining);
}

/// Twenty instances of two types, nearly full of tasks that are packed by memory.
fn packed() -> World {
    let mut world = World::new(start_time(), 1);
    let xlarge = Machine::new("m7g.xlarge", 4096, 15_616);
    for number in 1..=20 {
        let new = NewInstance::new(instance_id(number)).zone(zone(number));
        let new = if number > 10 { new.machine(xlarge.clone()) } else { new };
        world.add_instance(CLUSTER, new);
    }
    let group = Group { min_size: 2, ..Group::with_instances(CLUSTER, (1..=20).map(instance_id)) };
    world.add_group(ON_DEMAND_GROUP, group);
    let pack = Placement::with_strategies([Strategy::BinpackMemory]);
    let large = TaskSpec { cpu: 1024, memory_mib: 4096, ..TaskSpec::default() };
    let small = TaskSpec { cpu: 256, memory_mib: 512, ..TaskSpec::default() };
    world.add_placed_service(CLUSTER, "search", ServiceKind::replica(16), large, pack.clone());
    world.add_placed_service(CLUSTER, "mail", ServiceKind::replica(40), small, pack);
    world
}

/// Sixty instances, most of them with several tasks: a sweep reads the tasks of a third.
pub(crate) fn large() -> World {
    let mut world = World::new(start_time(), 1);
    for number in 1..=60 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(zone(number)));
    }
    let group = Group { min_size: 1, ..Group::with_instances(CLUSTER, (1..=60).map(instance_id)) };
    world.add_group(ON_DEMAND_GROUP, group);
    let placement = Placement::with_strategies([Strategy::Random]);
    let kind = ServiceKind::replica(120);
    world.add_placed_service(CLUSTER, "web", kind, TaskSpec::default(), placement);
    world
}

fn zone(number: usize) -> String {
    let zone = ["a", "b", "c"][number % 3];
    format!("{REGION}{zone}")
}

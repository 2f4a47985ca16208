//! Which room ECS would use: of the task's platform, in the zones of the service's subnets, and with a
//! network interface.

use ebb_core::reaper::ClusterReport;
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{
    Constraint, Machine, Network, NewInstance, Placement, Platform, ServiceKind, TaskSpec,
};
use ebb_region::world::{REGION, World};

use crate::support::{CLUSTER, GROUP, Sim, hooked, instance_id, reason, settings, start_time};

/// Two `x86_64` Linux instances with a task each that fits on one beside it nowhere, and two more
/// instances in a group that stays as it is: their room decides whether one of the first may go.
fn two_and_room(
    spec: TaskSpec,
    placement: Placement,
    room: impl Fn(NewInstance) -> NewInstance,
) -> World {
    let mut world = World::new(start_time(), 1);
    let machine = Machine::new("m7i.large", 2048, 7680);
    let instance = |number| NewInstance::new(instance_id(number)).machine(machine.clone());
    for number in [1, 2] {
        world.add_instance(CLUSTER, instance(number));
    }
    let spec = TaskSpec { cpu: 1500, ..spec };
    world.add_placed_service(CLUSTER, "web", ServiceKind::replica(2), spec, placement);
    for number in [3, 4] {
        world.add_instance(CLUSTER, room(instance(number)));
    }
    for (name, min_size, numbers) in [(GROUP, 0, [1, 2]), ("room", 2, [3, 4])] {
        let group = Group::with_instances(CLUSTER, numbers.map(instance_id));
        world.add_group(name, Group { min_size, max_size: 10, ..group });
    }
    hooked(world)
}

/// Why the first instances stay, by its code and in words; nothing if one of them goes.
fn why_all_stay(report: &ClusterReport) -> Option<String> {
    let reason = report.plan.remove.is_empty().then(|| reason(report, &instance_id(1)))?;
    Some(format!("{}: {reason}", reason.code()))
}

#[tokio::test(start_paused = true)]
async fn room_of_another_platform_is_no_room() {
    let x86 = |os_family| Machine::new("m7i.large", 2048, 7680).os_family(os_family);
    for (machine, is_room) in [
        (x86("LINUX"), true),
        (x86("WINDOWS_SERVER_2022_CORE"), false),
        (Machine::new("m7g.large", 2048, 7680), false),
    ] {
        let platform = Some(Platform { os_family: "LINUX", architecture: "X86_64" });
        let spec = TaskSpec { platform, ..TaskSpec::default() };
        let placement = Placement::default();
        let sim = Sim::start(
            two_and_room(spec, placement, |instance| instance.machine(machine.clone())),
            settings(),
        )
        .await;
        let report = sim.report().await;
        assert_eq!(why_all_stay(&report).is_none(), is_room, "{machine:?}: {report:?}");
    }
}

/// Candidates have a task each, and what stays has more room than for all of them.
#[tokio::test(start_paused = true)]
async fn where_all_must_differ_an_instance_has_room_for_a_single_task() {
    for (tasks, is_room) in [(2, true), (4, false)] {
        let placement = Placement::default().with_constraint(Constraint::DistinctInstance);
        let large = Machine::new("m7i.4xlarge", 16_384, 61_440);
        let mut world =
            two_and_room(TaskSpec::default(), placement, |room| room.machine(large.clone()));
        world.set_desired_count(CLUSTER, "web", tasks);
        let sim = Sim::start(world, settings()).await;
        sim.until_next().await;
        let report = sim.report().await;
        assert_eq!(why_all_stay(&report).is_none(), is_room, "{tasks} tasks: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_not_known_pins_its_tasks() {
    let platform = Some(Platform { os_family: "PLAN_9", architecture: "X86_64" });
    let spec = TaskSpec { platform, ..TaskSpec::default() };
    let sim = Sim::start(two_and_room(spec, Placement::default(), |instance| instance), settings());
    let why = why_all_stay(&sim.await.report().await);
    assert!(why.as_ref().is_some_and(|why| why.contains("runtime platform")), "{why:?}");
}

/// A cluster whose first instances are in zone a and whose room is in zone b.
fn in_two_zones(subnets: &[(&str, Option<&str>)]) -> World {
    let spec = TaskSpec { network: Network::Awsvpc, ..TaskSpec::default() };
    let subnets =
        subnets.iter().map(|(id, zone)| (*id, zone.map(|zone| format!("{REGION}{zone}"))));
    let placement = Placement::default().with_subnets(subnets);
    two_and_room(spec, placement, |instance| instance.zone(format!("{REGION}b")))
}

#[tokio::test(start_paused = true)]
async fn room_in_a_zone_without_a_subnet_of_the_service_is_no_room() {
    let (a, b, deleted) = (("subnet-1", Some("a")), ("subnet-2", Some("b")), ("subnet-3", None));
    for (subnets, why) in [
        (vec![a, b], None),
        (vec![a], Some("no_room")),
        (vec![a, b, deleted], Some("Availability Zones of its subnets are not known")),
    ] {
        let sim = Sim::start(in_two_zones(&subnets), settings()).await;
        let stays = why_all_stay(&sim.report().await);
        assert_eq!(stays.is_some(), why.is_some(), "{subnets:?}: {stays:?}");
        let stays = stays.unwrap_or_default();
        assert!(stays.contains(why.unwrap_or_default()), "{subnets:?}: {stays}");
        assert_eq!(sim.calls("DescribeSubnets"), 1, "each subnet is asked about once per sweep");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_ask_about_subnets_keeps_their_tasks_where_they_are() {
    let world = in_two_zones(&[("subnet-1", Some("a")), ("subnet-2", Some("b"))]);
    for fault in [Fault::Denied, Fault::ServerError, Fault::NullList] {
        let sim = Sim::start(world.clone(), settings()).await;
        sim.region.world().faults.plan("DescribeSubnets", fault, 100);
        let why = why_all_stay(&sim.report().await);
        assert!(why.as_ref().is_some_and(|why| why.contains("ec2:DescribeSubnets")), "{why:?}");
    }
}

/// Three instances of a type, each with a task of a service that runs in this network mode. But for
/// network interfaces, there is room for all tasks on one.
fn with_tasks_in(network: Network, instance_type: &str) -> World {
    let mut world = World::new(start_time(), 1);
    let machine = Machine::new(instance_type, 2048, 7680);
    for number in 1..=3 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).machine(machine.clone()));
    }
    let spec = TaskSpec { network, ..TaskSpec::default() };
    let placement = Placement::default().with_subnets([("subnet-1", Some(format!("{REGION}a")))]);
    world.add_placed_service(CLUSTER, "web", ServiceKind::replica(3), spec, placement);
    let group = Group::with_instances(CLUSTER, (1..=3).map(instance_id));
    world.add_group(GROUP, Group { min_size: 0, max_size: 3, ..group });
    hooked(world)
}

/// How many instances go.
async fn removals(sim: &Sim) -> usize {
    sim.report().await.plan.remove.len()
}

#[tokio::test(start_paused = true)]
async fn an_instance_takes_as_many_tasks_as_its_type_has_network_interfaces_for() {
    for (instance_type, expected) in [
        // One beside the primary one, two, three.
        ("m7g.medium", 0),
        ("m7g.large", 1),
        ("m7g.xlarge", 2),
        // Not known to EC2.
        ("m99.large", 0),
    ] {
        let sim = Sim::start(with_tasks_in(Network::Awsvpc, instance_type), settings()).await;
        assert_eq!(removals(&sim).await, expected, "{instance_type}");
        assert_eq!(sim.calls("DescribeInstanceTypes"), 1, "{instance_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_ask_about_instance_types_counts_on_the_fewest_network_interfaces() {
    for fault in [Fault::Denied, Fault::ServerError, Fault::NullList] {
        let mut world = with_tasks_in(Network::Awsvpc, "m7g.xlarge");
        world.faults.plan("DescribeInstanceTypes", fault, 100);
        let sim = Sim::start(world, settings()).await;
        assert_eq!(removals(&sim).await, 0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn instance_types_are_not_asked_about_without_a_task_that_needs_an_interface() {
    let sim = Sim::start(with_tasks_in(Network::Bridge, "m7g.medium"), settings()).await;
    assert_eq!(removals(&sim).await, 2);
    assert_eq!(sim.calls("DescribeInstanceTypes"), 0);
}

//! A Region to begin with, for the demonstration, the sample events and tests: the cluster of a
//! small shop, and of one that has far more than it needs.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::world::autoscaling::{Group, Hook};
use crate::world::delivery::{Function, Queue, Rule, Schedule, Target};
use crate::world::ecs::{
    CapacityProvider, Constraint, Machine, Network, NewInstance, Placement, Port, ServiceKind,
    Size, Strategy, TaskSpec,
};
use crate::world::spot::Action;
use crate::world::{REGION, World};

/// The cluster.
pub const CLUSTER: &str = "shop";
/// The Auto Scaling groups of its on-demand instances (the first six) and of its Spot Instances
/// (the last six).
pub const ON_DEMAND_GROUP: &str = "shop-on-demand";
/// See [`ON_DEMAND_GROUP`].
pub const SPOT_GROUP: &str = "shop-spot";
/// The function that gets interruption notices, by way of a queue of the same name.
pub const SPOT_DRAINER: &str = "spot-drainer";

/// The function that gets termination lifecycle actions, and the hook and the topic that it gets
/// them by.
pub const LIFECYCLE_DRAINER: &str = "lifecycle-drainer";
/// See [`LIFECYCLE_DRAINER`].
pub const HOOK: &str = "shop-drain";
/// See [`LIFECYCLE_DRAINER`].
pub const TERMINATION_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:shop-termination";

/// The topic that notices to people go to.
pub const PEOPLE_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// The function that sweeps the clusters, and the schedule that it runs by.
pub const SCALE_IN_REAPER: &str = "scale-in-reaper";

/// The EC2 instance with this number, from 1 to 12, as the sample events name them.
pub fn instance_id(number: usize) -> String {
    format!("i-0a1b2c3d4e5f6{number:04}")
}

/// Twelve container instances in three zones, half of them Spot Instances; a service behind a load
/// balancer, one without, and a daemon.
pub fn shop(now: Timestamp, seed: u64) -> World {
    let mut world = World::new(now, seed);
    for number in 1..=12 {
        let zone = ["a", "b", "c"][(number - 1) % 6 / 2];
        world.add_instance(
            CLUSTER,
            NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}")),
        );
    }
    let on_demand = group_of_numbers(1..=6);
    world.add_group(ON_DEMAND_GROUP, Group { min_size: 2, ..on_demand });
    // EC2 has no capacity for the interrupted Spot Instances: the group does not replace them.
    let spot = group_of_numbers(7..=12);
    world.add_group(SPOT_GROUP, Group { min_size: 2, ec2_has_capacity: false, ..spot });

    let web = TaskSpec {
        healthy_after: Duration::from_secs(20),
        deregistration_delay: Some(Duration::from_secs(30)),
        ..TaskSpec::default()
    };
    let worker = TaskSpec {
        cpu: 512,
        memory_mib: 1024,
        stops_after: Duration::from_secs(10),
        ..TaskSpec::default()
    };
    let logs = TaskSpec { cpu: 64, memory_mib: 128, ..TaskSpec::default() };
    world.add_service(CLUSTER, "web", ServiceKind::replica(12), web);
    world.add_service(CLUSTER, "worker", ServiceKind::replica(8), worker);
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, logs);
    world
}

/// Twelve container instances of three types in three zones and two groups, less than a quarter of
/// whose CPU and memory is used: by services of every placement strategy, with host ports,
/// constraints, network interfaces and a GPU of their own, and by a daemon.
pub fn idle_shop(now: Timestamp, seed: u64) -> World {
    let mut world = World::new(now, seed);
    let large = Machine::default();
    let xlarge = Machine::new("m7g.xlarge", 4096, 15_616);
    let gpu = Machine::new("g4dn.xlarge", 4096, 15_616).gpus(1);
    for number in 1..=12 {
        let zone = ["a", "b", "c"][(number - 1) % 6 / 2];
        let machine = match number {
            1..=6 => &large,
            12 => &gpu,
            _ => &xlarge,
        };
        let new_instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance(CLUSTER, new_instance.machine(machine.clone()));
    }
    let on_demand = group_of_numbers(1..=6);
    world.add_group(ON_DEMAND_GROUP, Group { min_size: 1, template: large, ..on_demand });
    let spot = group_of_numbers(7..=12);
    world.add_group(SPOT_GROUP, Group { min_size: 1, template: xlarge, ..spot });
    // After the group, from which the provider learns its instances.
    world.attach_capacity_provider(CLUSTER, SPOT_GROUP, CapacityProvider::for_group(SPOT_GROUP));
    add_idle_services(&mut world);
    world
}

/// A group of the instances with these numbers.
fn group_of_numbers(numbers: RangeInclusive<usize>) -> Group {
    Group { max_size: 10, ..Group::with_instances(CLUSTER, numbers.map(instance_id)) }
}

fn add_idle_services(world: &mut World) {
    let small = TaskSpec { healthy_after: Duration::from_secs(20), ..TaskSpec::default() };
    let web = TaskSpec { deregistration_delay: Some(Duration::from_secs(30)), ..small.clone() };
    let proxy = TaskSpec { ports: vec![Port::tcp(8443), Port::tcp(0)], ..small.clone() };
    let worker = TaskSpec { cpu: 512, memory_mib: 1024, size: Size::Container, ..small.clone() };
    let search = TaskSpec { network: Network::Awsvpc, ..worker.clone() };
    let render = TaskSpec { gpus: 1, size: Size::SoftContainer, ..small.clone() };
    let logs =
        TaskSpec { cpu: 64, memory_mib: 128, ports: vec![Port::udp(514)], ..TaskSpec::default() };
    let xlarge = "attribute:ecs.instance-type =~ .*xlarge".to_owned();

    let (zones, instances) = (Strategy::spread_zones(), Strategy::spread_instances());
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, logs);
    let services = [
        ("web", 6, web, Placement::with_strategies([zones.clone(), instances])),
        ("proxy", 3, proxy, Placement::with_strategies([zones, Strategy::BinpackMemory])),
        ("worker", 4, worker, Placement::with_strategies([Strategy::BinpackCpu])),
        (
            "search",
            2,
            search,
            Placement::default()
                .with_constraint(Constraint::DistinctInstance)
                .with_constraint(Constraint::MemberOf(xlarge)),
        ),
        ("mail", 2, small, Placement::with_strategies([Strategy::Random])),
        ("render", 1, render, Placement::default()),
    ];
    for (name, desired, spec, placement) in services {
        world.add_placed_service(CLUSTER, name, ServiceKind::replica(desired), spec, placement);
    }
}

/// A cluster of this many container instances, of which every one is interrupted at once.
pub fn mass_interruption(now: Timestamp, instances: u64, action: Action) -> World {
    let mut world = World::new(now, 1);
    let ids: Vec<_> = (0..instances).map(|number| format!("i-{number:017x}")).collect();
    for id in &ids {
        world.add_instance(CLUSTER, NewInstance::new(id));
    }
    for id in &ids {
        world.interrupt(id, action);
    }
    world
}

/// Sends EC2's notices to the Spot drainer by way of a queue.
pub fn route_notices(world: &mut World, queue: Queue, function: Function) {
    world.delivery.rules.push(notices_to(Target::Queue(SPOT_DRAINER.to_owned())));
    // The function comes before the queue, which refuses one that does not exist.
    world.delivery.functions.insert(SPOT_DRAINER.to_owned(), function);
    world.add_queue(SPOT_DRAINER, queue);
}

/// Sends the lifecycle actions of both groups' termination hooks to the lifecycle drainer by way of
/// a topic. The hooks are there already: no test notification is sent.
pub fn route_terminations(world: &mut World, hook: &Hook, function: Function) {
    world.delivery.functions.insert(LIFECYCLE_DRAINER.to_owned(), function);
    world.subscribe(TERMINATION_TOPIC, LIFECYCLE_DRAINER);
    for group in world.groups.values_mut() {
        group.hooks.push(Hook { topic_arn: Some(TERMINATION_TOPIC.to_owned()), ..hook.clone() });
    }
}

/// Lets the scale-in reaper sweep at an interval, one invocation at a time whatever `function`
/// says.
pub fn route_sweeps(world: &mut World, function: Function, interval: Duration) {
    world.delivery.functions.insert(SCALE_IN_REAPER.to_owned(), function.reserving(1));
    world.add_schedule(SCALE_IN_REAPER, Schedule::every(interval, SCALE_IN_REAPER, json!({})));
}

/// A rule for EC2's notices.
pub fn notices_to(target: Target) -> Rule {
    let detail_types = [
        "EC2 Spot Instance Interruption Warning",
        "EC2 Capacity Reservation Instance Interruption Warning",
        "EC2 Instance Rebalance Recommendation",
        "EC2 Instance State-change Notification",
    ];
    Rule {
        source: "aws.ec2".to_owned(),
        detail_types: detail_types.map(str::to_owned).to_vec(),
        target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_shop_is_at_rest_with_every_task_placed_and_most_of_its_room_free() {
        let world = idle_shop(Timestamp::UNIX_EPOCH, 1);
        let cluster = &world.clusters[CLUSTER];
        let held = cluster.resources_held();
        let used: i64 = held.values().map(|held| held.cpu).sum();
        let registered: i64 = cluster.instances.values().map(|instance| instance.machine.cpu).sum();

        assert_eq!(
            (world.history.len(), cluster.tasks.len()),
            (cluster.tasks.len(), 6 + 3 + 4 + 2 + 2 + 1 + 12)
        );
        assert!(used * 4 < registered, "{used} of {registered} CPU units");
    }
}

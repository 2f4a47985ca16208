//! A Region to begin with, for the demonstration, the sample events and tests: the cluster of a small shop.

use std::time::Duration;

use jiff::Timestamp;

use crate::world::autoscaling::Group;
use crate::world::autoscaling::lifecycle::Hook;
use crate::world::delivery::{Function, Queue, Rule, Target};
use crate::world::ecs::{NewInstance, ServiceKind};
use crate::world::spot::Action;
use crate::world::task::TaskSpec;
use crate::world::{REGION, World};

/// The cluster.
pub const CLUSTER: &str = "shop";
/// The Auto Scaling groups of its on-demand instances (the first six) and of its Spot Instances (the last six).
pub const ON_DEMAND_GROUP: &str = "shop-on-demand";
/// See [`ON_DEMAND_GROUP`].
pub const SPOT_GROUP: &str = "shop-spot";
/// The function that gets interruption notices, by way of a queue of the same name.
pub const SPOT_DRAINER: &str = "spot-drainer";

/// The function that gets termination lifecycle actions, and the hook and the topic that it gets them by.
pub const LIFECYCLE_DRAINER: &str = "lifecycle-drainer";
/// See [`LIFECYCLE_DRAINER`].
pub const HOOK: &str = "shop-drain";
/// See [`LIFECYCLE_DRAINER`].
pub const TERMINATION_TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:shop-termination";

/// The EC2 instance with this number, from 1 to 12, as the sample events name them.
pub fn instance_id(number: usize) -> String {
    format!("i-0a1b2c3d4e5f6{number:04}")
}

/// Twelve container instances in three zones, half of them Spot Instances; a service behind a load balancer, one
/// without, and a daemon.
pub fn shop(now: Timestamp, seed: u64) -> World {
    let mut world = World::new(now, seed);
    for number in 1..=12 {
        let zone = ["a", "b", "c"][(number - 1) % 6 / 2];
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}")));
    }
    let group = |numbers: std::ops::RangeInclusive<usize>, launches| Group {
        min_size: 2,
        max_size: 10,
        launches,
        ..Group::of(CLUSTER, numbers.map(instance_id))
    };
    world.add_group(ON_DEMAND_GROUP, group(1..=6, true));
    world.add_group(SPOT_GROUP, group(7..=12, false));

    let web = TaskSpec {
        healthy_after: Duration::from_secs(20),
        deregistration_delay: Some(Duration::from_secs(30)),
        ..TaskSpec::default()
    };
    let worker =
        TaskSpec { cpu: 512, memory_mib: 1024, stops_after: Duration::from_secs(10), ..TaskSpec::default() };
    let logs = TaskSpec { cpu: 64, memory_mib: 128, ..TaskSpec::default() };
    world.add_service(CLUSTER, "web", ServiceKind::replica(12), web);
    world.add_service(CLUSTER, "worker", ServiceKind::replica(8), worker);
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, logs);
    world
}

/// A cluster of this many container instances, of which every one is interrupted at once.
pub fn mass_interruption(now: Timestamp, instances: u64) -> World {
    let mut world = World::new(now, 1);
    let ids: Vec<_> = (0..instances).map(|number| format!("i-{number:017x}")).collect();
    for id in &ids {
        world.add_instance(CLUSTER, NewInstance::new(id));
    }
    for id in &ids {
        // A stopped instance stays registered, so that its status can be looked at afterwards.
        world.interrupt(id, Action::Stop);
    }
    world
}

/// Sends EC2's notices to the Spot drainer by way of a queue.
pub fn route_notices(world: &mut World, queue: Queue, function: Function) {
    world.delivery.rules.push(notices_to(Target::Queue(SPOT_DRAINER.to_owned())));
    world.delivery.functions.insert(SPOT_DRAINER.to_owned(), function);
    world.add_queue(SPOT_DRAINER, queue);
}

/// Sends the lifecycle actions of both groups' termination hooks to the lifecycle drainer by way of a topic. The hooks
/// are there already: no test notification is sent.
pub fn route_terminations(world: &mut World, hook: &Hook, function: Function) {
    world.delivery.functions.insert(LIFECYCLE_DRAINER.to_owned(), function);
    world.subscribe(TERMINATION_TOPIC, LIFECYCLE_DRAINER);
    for group in world.groups.values_mut() {
        group.hooks.push(Hook { topic_arn: Some(TERMINATION_TOPIC.to_owned()), ..hook.clone() });
    }
}

/// A rule for EC2's notices.
pub fn notices_to(target: Target) -> Rule {
    let detail_types = [
        "EC2 Spot Instance Interruption Warning",
        "EC2 Capacity Reservation Instance Interruption Warning",
        "EC2 Instance Rebalance Recommendation",
    ];
    Rule { source: "aws.ec2".to_owned(), detail_types: detail_types.map(str::to_owned).to_vec(), target }
}

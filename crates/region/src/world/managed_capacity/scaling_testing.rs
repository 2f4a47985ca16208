//! A cluster that ECS scales, for the tests of cluster auto scaling and what belongs to it.

use std::time::Duration;

use jiff::Timestamp;

use crate::world::autoscaling::Group;
use crate::world::ecs::{
    CapacityProvider, NewInstance, ServiceKind, Status, StrategyItem, TaskSpec,
};
use crate::world::state::World;

/// `i-1`, `i-2`, … in a group of one zone, with the provider `provider` and a service whose tasks
/// each fill an instance.
pub(super) fn scaled(instances: usize, tasks: usize, provider: CapacityProvider) -> World {
    let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
    world.add_cluster("shop");
    let ids: Vec<_> = (1..=instances).map(|number| format!("i-{number}")).collect();
    for id in &ids {
        world.add_instance("shop", NewInstance::new(id));
    }
    let mut group = Group { max_size: 20, ..Group::with_instances("shop", ids) };
    group.zones.truncate(1);
    world.add_group("group", group);
    world.attach_capacity_provider("shop", "provider", provider);
    add_service(&mut world, "web", tasks, TaskSpec { cpu: 2000, ..TaskSpec::default() });
    world
}

/// Adds a service of the provider.
pub(super) fn add_service(world: &mut World, name: &str, tasks: usize, spec: TaskSpec) {
    world.add_service("shop", name, ServiceKind::replica(tasks), spec);
    world.set_strategy("shop", name, [StrategyItem::new("provider", 0, 1)]);
    world.advance(world.now() + Duration::from_secs(5));
}

pub(super) fn pass_minutes(world: &mut World, minutes: u64) {
    world.advance(world.now() + Duration::from_secs(60 * minutes));
}

/// The desired capacity, and how many instances are registered.
pub(super) fn size(world: &World) -> (i32, usize) {
    let registered = world.clusters["shop"].instances.values();
    let registered = registered.filter(|instance| instance.status != Status::Inactive);
    (world.groups["group"].desired_capacity, registered.count())
}

pub(super) fn set_status(world: &mut World, instance_id: &str, status: Status) {
    let id = world.container_instance(instance_id).unwrap().1.id.clone();
    world.set_status("shop", &id, status);
}

/// The instances that scale-in passes over, in the order of their launch.
pub(super) fn protected(world: &World) -> Vec<&str> {
    let members = world.groups["group"].instances.iter();
    members
        .filter(|member| member.protected_from_scale_in)
        .map(|member| member.instance_id.as_str())
        .collect()
}

//! The second cluster of the demonstration: an office's, whose instances a capacity provider scales
//! and protects. Each holds one small task, so that cluster auto scaling alone takes none of them.

use std::time::Duration;

use crate::world::autoscaling::Group;
use crate::world::ecs::{
    CapacityProvider, NewInstance, Placement, ServiceKind, Status, Strategy, StrategyItem, TaskSpec,
};
use crate::world::{REGION, World};

/// The cluster.
pub const CLUSTER: &str = "office";
/// How many container instances it has.
pub const INSTANCES: usize = 6;
/// From one sweep to the next, in the world's time. By then cluster auto scaling has taken what is
/// empty: it measures once a minute, and takes nothing before the fifteenth time.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1_800);

const GROUP: &str = "office-instances";
const PROVIDER: &str = "office-provider";

/// Adds the cluster.
pub fn add(world: &mut World) {
    // In their last two digits unlike the shop's, as short ids are made of those.
    let numbers = 21..21 + INSTANCES;
    let ids: Vec<_> = numbers.map(|number| format!("i-0b2c3d4e5f6a7{number:04}")).collect();
    for (id, zone) in ids.iter().zip(["a", "b", "c"].into_iter().cycle()) {
        world.add_instance(CLUSTER, NewInstance::new(id).zone(format!("{REGION}{zone}")));
    }
    world.add_group(GROUP, Group::with_instances(CLUSTER, ids));
    // After the group, from which the provider learns its instances.
    world.attach_capacity_provider(CLUSTER, PROVIDER, CapacityProvider::protecting(GROUP, 100));
    let wiki = TaskSpec {
        cpu: 128,
        memory_mib: 256,
        healthy_after: Duration::from_secs(20),
        stops_after: Duration::from_secs(10),
        ..TaskSpec::default()
    };
    let spread =
        Placement::with_strategies([Strategy::spread_zones(), Strategy::spread_instances()]);
    world.add_placed_service(CLUSTER, "wiki", ServiceKind::replica(INSTANCES), wiki, spread);
    world.set_strategy(CLUSTER, "wiki", [StrategyItem::new(PROVIDER, 0, 1)]);
}

/// How many of its instances are left.
pub fn instances_left(world: &World) -> usize {
    let Some(cluster) = world.clusters.get(CLUSTER) else { return 0 };
    let registered = cluster.instances.values();
    registered.filter(|instance| instance.status != Status::Inactive).count()
}

/// How many of its tasks were cut off.
pub fn tasks_cut_off(world: &World) -> usize {
    let Some(cluster) = world.clusters.get(CLUSTER) else { return 0 };
    cluster.tasks.values().filter(|task| task.cut_off.is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demonstration::scenario;

    #[test]
    fn cluster_auto_scaling_alone_takes_none_of_its_instances_whatever_the_seed() {
        for seed in 1..=20 {
            let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), seed);
            add(&mut world);
            world.advance(world.now() + 8 * SWEEP_INTERVAL);

            assert_eq!(instances_left(&world), INSTANCES, "seed {seed}");
            assert_eq!(world.missing_tasks(), [], "seed {seed}");
        }
    }
}

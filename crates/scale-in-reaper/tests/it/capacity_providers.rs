//! Services with capacity provider strategies: whose instances ECS would place their tasks on.

use std::time::Duration;

use ebb_core::reaper::ClusterReport;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{
    Capacity, CapacityProvider, NewInstance, Placement, ServiceKind, StrategyItem, TaskSpec,
};

use crate::support::{CLUSTER, GROUP, Sim, hooked, instance_id, reason, settings, start_time};

/// Two providers, `spot` with three instances and `on-demand` with one that has this many tasks of
/// another service; three tasks of `web` run on spot.
fn two_providers(capacity: Capacity, on_demand_tasks: usize) -> World {
    let mut world = World::new(start_time(), 1);
    world.add_instance(CLUSTER, NewInstance::new(instance_id(4)));
    let spec = TaskSpec { cpu: 1024, ..TaskSpec::default() };
    let kind = ServiceKind::replica(on_demand_tasks);
    world.add_placed_service(CLUSTER, "db", kind, spec.clone(), Placement::default());
    for number in 1..=3 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
    }
    for (name, min_size, numbers) in [(GROUP, 0, vec![1, 2, 3]), ("on-demand", 1, vec![4])] {
        let group = Group::with_instances(CLUSTER, numbers.into_iter().map(instance_id));
        world.add_group(name, Group { min_size, max_size: 10, ..group });
    }
    world.attach_capacity_provider(CLUSTER, "spot", CapacityProvider::for_group(GROUP));
    world.attach_capacity_provider(CLUSTER, "on-demand", CapacityProvider::for_group("on-demand"));
    world.add_service(CLUSTER, "web", ServiceKind::replica(0), spec);
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.services.get_mut("web").unwrap().capacity = strategy(&[("spot", 1)]);
    world.set_desired_count(CLUSTER, "web", 3);
    world.advance(start_time() + Duration::from_secs(600));
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.services.get_mut("web").unwrap().capacity = capacity;
    hooked(world)
}

fn items(weights: &[(&str, usize)]) -> Vec<StrategyItem> {
    let items = weights.iter().map(|&(provider, weight)| StrategyItem {
        capacity_provider: provider.to_owned(),
        base: 0,
        weight,
    });
    items.collect()
}

fn strategy(weights: &[(&str, usize)]) -> Capacity {
    Capacity::Strategy(items(weights))
}

async fn sweep(world: World) -> (Sim, ClusterReport) {
    let sim = Sim::start(world, ReaperSettings { headroom_cpu_percent: 0, ..settings() }).await;
    let report = sim.report().await;
    (sim, report)
}

/// How many go, and why the first stays if it does.
fn outcome(report: &ClusterReport) -> (usize, String) {
    let removed = report.plan.remove.len();
    (removed, if removed > 0 { String::new() } else { reason(report, &instance_id(1)).to_string() })
}

#[tokio::test(start_paused = true)]
async fn room_counts_by_each_provider_that_ecs_may_choose() {
    let both = || strategy(&[("spot", 1), ("on-demand", 1)]);
    let (_, report) = sweep(two_providers(both(), 0)).await;
    assert_eq!(outcome(&report).0, 1, "each has room: {report:?}");
    let (_, report) = sweep(two_providers(both(), 2)).await;
    let (removed, why) = outcome(&report);
    assert!(removed == 0 && why.contains("might find no place"), "on-demand is full: {why}");
    let unused = strategy(&[("spot", 1), ("on-demand", 0)]);
    let (_, report) = sweep(two_providers(unused, 2)).await;
    assert_eq!(outcome(&report).0, 1, "on-demand is never used: {report:?}");
}

/// Neither a daemon that fits only where nothing else runs nor tasks of Fargate wait for room.
#[tokio::test(start_paused = true)]
async fn what_ecs_places_elsewhere_or_everywhere_takes_no_place() {
    let large = TaskSpec { cpu: 1536, ..TaskSpec::default() };
    for (kind, capacity, waits) in [
        (ServiceKind::replica(0), strategy(&[("spot", 1)]), true),
        (ServiceKind::replica(0), strategy(&[("FARGATE", 1)]), false),
        (ServiceKind::Daemon, Capacity::ClusterDefault, false),
    ] {
        let mut world = two_providers(strategy(&[("spot", 1)]), 2);
        world.add_service(CLUSTER, "batch", kind, large.clone());
        let cluster = world.clusters.get_mut(CLUSTER).unwrap();
        cluster.services.get_mut("batch").unwrap().capacity = capacity;
        if kind != ServiceKind::Daemon {
            world.set_desired_count(CLUSTER, "batch", 3);
        }
        let (_, report) = sweep(world).await;
        let waiting: Vec<_> = report.plan.reserved.iter().map(|kept| &kept.service).collect();
        assert_eq!(!waiting.is_empty(), waits, "{kind:?}: {waiting:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_names_no_capacity_has_its_clusters_strategy() {
    for (weights, goes) in
        [(vec![("spot", 1)], true), (vec![("spot", 1), ("on-demand", 1)], false), (vec![], true)]
    {
        let mut world = two_providers(Capacity::ClusterDefault, 2);
        world.clusters.get_mut(CLUSTER).unwrap().default_strategy = items(&weights);
        let (sim, report) = sweep(world).await;
        assert_eq!(outcome(&report).0 > 0, goes, "{weights:?}: {report:?}");
        assert!(sim.calls("DescribeClusters") > 0);
    }
}

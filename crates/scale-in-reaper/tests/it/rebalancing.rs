//! Availability Zone rebalancing: ECS moves tasks that no plan names.

use std::collections::BTreeMap;
use std::time::Duration;

use ebb_core::reaper::settings::ReaperSettings;
use ebb_planner::Motion;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{
    Constraint, Machine, NewInstance, Placement, ServiceKind, Status, TaskSpec,
};
use ebb_region::world::{REGION, World};
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, hooked, instance_id, reason, settings, small, start_time,
};

fn without_headroom() -> ReaperSettings {
    ReaperSettings { headroom_cpu_percent: 0, headroom_memory_percent: 0, ..settings() }
}

/// How many tasks of `web` are in each zone that has an ACTIVE instance.
fn tasks_by_zone(world: &World) -> BTreeMap<String, usize> {
    let cluster = &world.clusters[CLUSTER];
    let mut counts = BTreeMap::new();
    for instance in cluster.instances.values().filter(|instance| instance.status == Status::Active)
    {
        let tasks = cluster.tasks_on(&instance.id);
        let web = tasks.filter(|task| task.service.as_deref() == Some("web")).count();
        *counts.entry(instance.zone.clone()).or_default() += web;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_sweep_counts_what_rebalancing_moves_and_the_zones_end_even() {
    let mut world = hooked(small(3));
    world.set_desired_count(CLUSTER, "web", 6);
    world.enable_zone_rebalancing(CLUSTER, "web");
    world.advance(start_time() + Duration::from_secs(600));
    let sim = Sim::start(world, without_headroom()).await;
    let answer = sim.sweep().await;

    let Motion { displaced, rebalanced } = answer.clusters[0].plan.motion();
    assert!(displaced > 0 && rebalanced == displaced, "{answer:?}");
    let cluster = &answer.to_json()["clusters"][0];
    let motion = json!({"tasks": displaced, "rebalanced_tasks_max": rebalanced});
    assert_eq!(cluster["motion"], motion);
    let line = format!("and up to {rebalanced} more by Availability Zone rebalancing");
    assert!(cluster["text"].as_str().unwrap().contains(&line), "{}", cluster["text"]);

    sim.run(INTERVAL).await;
    sim.assert_unharmed();
    let counts: Vec<_> = tasks_by_zone(&sim.region.world()).into_values().collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() < 2, "{counts:?}");
}

/// Zone a has all four tasks of `web` on two full instances, and a third with a task of `api` that
/// has no other place than the instance in zone b. There is no room for `web` there.
fn uneven() -> World {
    let mut world = World::new(start_time(), 1);
    let instance = |number, zone| {
        let machine = Machine::new("t3.small", 1024, 4096);
        NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}")).machine(machine)
    };
    let spec = |cpu| TaskSpec { cpu, ..TaskSpec::default() };
    for number in [1, 2] {
        world.add_instance(CLUSTER, instance(number, "a"));
    }
    world.add_service(CLUSTER, "web", ServiceKind::replica(4), spec(500));
    world.add_instance(CLUSTER, instance(3, "a"));
    world.add_service(CLUSTER, "api", ServiceKind::replica(1), spec(300));
    world.add_instance(CLUSTER, instance(4, "b"));
    let in_b = format!("attribute:ecs.availability-zone == {REGION}b");
    let in_b = Placement::default().with_constraint(Constraint::MemberOf(in_b));
    world.add_placed_service(CLUSTER, "db", ServiceKind::replica(1), spec(624), in_b);
    for (name, min_size, numbers) in [(GROUP, 0, vec![3]), ("room", 3, vec![1, 2, 4])] {
        let group = Group::with_instances(CLUSTER, numbers.into_iter().map(instance_id));
        world.add_group(name, Group { min_size, max_size: 10, ..group });
    }
    hooked(world)
}

#[tokio::test(start_paused = true)]
async fn room_is_kept_for_what_rebalancing_has_yet_to_move() {
    let mut world = uneven();
    world.advance(start_time() + Duration::from_secs(600));
    let sim = Sim::start(world.clone(), without_headroom()).await;
    let report = sim.report().await;
    assert_eq!(report.plan.remove.len(), 1, "nothing is to be moved: {report:?}");

    world.enable_zone_rebalancing(CLUSTER, "web");
    world.advance(world.now() + Duration::from_secs(600));
    assert_eq!(tasks_by_zone(&world).values().copied().collect::<Vec<_>>(), [4, 0], "no room");
    let sim = Sim::start(world, without_headroom()).await;
    let report = sim.report().await;
    assert!(report.plan.remove.is_empty(), "{report:?}");
    let why = reason(&report, &instance_id(3));
    assert_eq!(why.code(), "no_room", "{why}");
}

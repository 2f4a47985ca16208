//! Room for whole tasks that the operator asks for: left by plans, and called back once it lacks.

use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::world::World;
use ebb_region::world::autoscaling::LifecycleState;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};

use crate::support::{
    CLUSTER, GROUP, Sim, add_small, hooked, outcomes, removed, settings, start_time,
};

/// Ten instances of 2,048 CPU units with a small service, and a large one of a single task.
fn with_large_task(cpu: i64) -> World {
    let mut world = World::new(start_time(), 1);
    add_small(&mut world, CLUSTER, GROUP, 1..=10, 1);
    let large = TaskSpec { cpu, memory_mib: 4_096, ..TaskSpec::default() };
    world.add_service(CLUSTER, "large", ServiceKind::replica(1), large);
    world
}

fn without_shares() -> ReaperSettings {
    ReaperSettings { headroom_cpu_percent: 0, headroom_memory_percent: 0, ..settings() }
}

/// The instances that have room for so much.
fn places(sim: &Sim, cpu: i64) -> usize {
    let world = sim.region.world();
    let cluster = &world.clusters[CLUSTER];
    let active = cluster.instances.values().filter(|instance| {
        let state = world.lifecycle_state(&instance.instance_id);
        state == Some(LifecycleState::InService)
    });
    active
        .filter(|instance| {
            let held = cluster.resources_held_on(&instance.id);
            instance.machine.cpu - held.cpu >= cpu
        })
        .count()
}

#[tokio::test(start_paused = true)]
async fn so_many_of_the_largest_task_fit_after_the_sweeps_of_a_day() {
    for (largest, named, least) in [(0, 0, 0), (3, 0, 3), (0, 4, 4)] {
        let headroom_tasks = match named {
            0 => [].into(),
            tasks => [("large".to_owned(), tasks)].into(),
        };
        let settings =
            ReaperSettings { headroom_largest_tasks: largest, headroom_tasks, ..without_shares() };
        let sim = Sim::start(hooked(with_large_task(2_000)), settings).await;
        let report = sim.report().await;
        assert!(!removed(&report).is_empty(), "{report:?}");
        for _ in 0..4 {
            sim.until_next().await;
            sim.sweep().await;
        }
        sim.until_next().await;

        assert_eq!(places(&sim, 2_000), least, "{largest} of the largest, {named} by name");
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn the_reason_names_the_room_that_would_be_lost() {
    let settings = ReaperSettings { headroom_largest_tasks: 3, ..without_shares() };
    let sim = Sim::start(hooked(with_large_task(2_000)), settings).await;
    let report = sim.report().await;
    let sentences: Vec<_> = report
        .plan
        .keep
        .iter()
        .filter(|kept| kept.reason.code() == "task_headroom")
        .map(|kept| kept.reason.to_string())
        .collect();
    assert!(!sentences.is_empty(), "{report:?}");
    for sentence in sentences {
        assert_eq!(
            sentence,
            "room for 3 more tasks of service large, the largest there is, would not be left \
             (HEADROOM_LARGEST_TASKS)"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_drained_comes_back_once_the_room_lacks() {
    // Without a hook a later sweep terminates what is drained with a task on it.
    let careless = Sim::start(with_large_task(1_600), without_shares()).await;
    careless.sweep().await;
    assert!(!careless.draining().is_empty());
    careless.until_next().await;
    let settings = ReaperSettings { headroom_largest_tasks: 1, ..without_shares() };
    let sim = careless.with(settings).await;
    let report = sim.report().await;

    let kinds = outcomes(&report.follow_ups);
    assert!(kinds.contains(&OutcomeKind::Reactivated), "{report:?}");
    let detail = report.follow_ups.iter().find_map(|it| it.detail.clone()).unwrap_or_default();
    assert!(detail.contains("HEADROOM_LARGEST_TASKS"), "{detail}");
    assert_eq!(places(&sim, 1_600), 1);
}

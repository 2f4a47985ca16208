//! How soon a cluster comes to rest that has many more instances than it needs.

use std::time::Duration;

use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};

use crate::support::{
    CLUSTER, GROUP, Sim, hooked, instance_id, outcomes, settings, small, start_time,
};

const TERMINATE: &str = "TerminateInstanceInAutoScalingGroup";

/// What a new user has.
fn default_settings() -> ReaperSettings {
    let defaults = ReaperSettings::default();
    ReaperSettings { max_removals_percent: defaults.max_removals_percent, ..settings() }
}

/// Twenty-six instances in three zones with a daemon on each, and a service that fits on two of
/// them with the headroom left.
fn twenty_six() -> World {
    let mut world = World::new(start_time(), 1);
    let numbers = 1..=26;
    for number in numbers.clone() {
        let zone = ["a", "b", "c"][number % 3];
        let zone = format!("{}{zone}", ebb_region::world::REGION);
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)).zone(zone));
    }
    world.add_group(GROUP, Group::with_instances(CLUSTER, numbers.map(instance_id)));
    let daemon = TaskSpec { cpu: 64, memory_mib: 128, ..TaskSpec::default() };
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, daemon);
    let large = TaskSpec { cpu: 1024, memory_mib: 1024, ..TaskSpec::default() };
    world.add_service(CLUSTER, "web", ServiceKind::replica(2), large);
    world
}

#[tokio::test(start_paused = true)]
async fn twenty_six_instances_of_which_two_are_needed_are_two_after_four_sweeps() {
    for world in [twenty_six(), hooked(twenty_six())] {
        let sim = Sim::start(world, default_settings()).await;
        let mut active = vec![sim.active()];
        for _ in 0..4 {
            let report = sim.report().await;
            assert!(
                outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Terminating),
                "{report:?}"
            );
            sim.until_next().await;
            sim.assert_at_rest();
            active.push(sim.active());
        }
        assert_eq!(active, [26, 10, 4, 2, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_instance_goes_in_the_sweep_that_drains_it_without_any_hook() {
    let sim = Sim::start(small(1), settings()).await;
    let report = sim.report().await;

    let empty: Vec<_> = report
        .plan
        .remove
        .iter()
        .zip(&report.outcomes)
        .filter(|(removal, _)| removal.reason.code() == "empty")
        .collect();
    assert_eq!(empty.len(), 3, "{report:?}");
    for (_, outcome) in empty {
        assert_eq!(outcome.outcome, OutcomeKind::Terminating, "{report:?}");
        assert_eq!(outcome.detail.as_deref(), Some("nothing is left on it"));
    }
    let others = report.outcomes.len() - 3;
    assert_eq!(sim.calls(TERMINATE), 3, "{others} others have tasks on them");
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn what_got_a_task_before_it_drained_is_not_terminated() {
    let sim = Sim::start(small(1), settings()).await;
    let report = sim
        .sweep_while("PutAttributes", 1, |world| {
            // Onto every instance, whatever is about to be drained.
            let ids: Vec<_> = world.clusters[CLUSTER].instances.keys().cloned().collect();
            for id in ids {
                world.run_task(CLUSTER, &id, "report", TaskSpec::default());
            }
        })
        .await;

    assert!(!report.outcomes.is_empty());
    assert!(
        outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Draining),
        "{report:?}"
    );
    assert_eq!(sim.calls(TERMINATE), 0);
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_leaves_an_empty_instance_to_a_later_sweep() {
    let sim = Sim::start(small(1), settings()).await;
    let fail = |world: &mut World| world.faults.plan("ListTasks", Fault::ServerError, 60);
    let report = sim.sweep_while("PutAttributes", 1, fail).await;

    assert!(
        outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Draining),
        "{report:?}"
    );
    sim.region.world().faults = ebb_region::fault::Faults::default();
    sim.until_next().await;
    sim.sweep().await;
    sim.run(Duration::from_secs(600)).await;
    assert_eq!(sim.with_status(Status::Draining), [""; 0]);
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_where_the_share_is_nought_empty_or_not() {
    let settings = ReaperSettings { max_removals_percent: 0, ..settings() };
    let sim = Sim::start(hooked(twenty_six()), settings.clone()).await;
    assert_eq!(sim.report().await.plan.remove, []);
    let planned = sim.with(ReaperSettings { mode: ReaperMode::Plan, ..settings }).await;
    assert_eq!(planned.report().await.plan.remove, []);
}

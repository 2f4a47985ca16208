//! Scaling down slowly, and not at all where something is wrong.

use std::time::Duration;

use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::sustained::{LOW_SINCE, TAKEN_BACK};
use ebb_core::reaper::{ClusterReport, OutcomeKind};
use ebb_region::world::World;
use ebb_region::world::ecs::{Deployments, ServiceKind, Status, TaskSpec};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{CLUSTER, INTERVAL, Sim, hooked, instance_id, removed, settings, small};

fn patient() -> ReaperSettings {
    ReaperSettings { low_for_sweeps: 2, ..settings() }
}

/// Which of the instances have an attribute.
fn with_attribute(sim: &Sim, name: &str) -> Vec<String> {
    let world = sim.region.world();
    let instances = world.clusters[CLUSTER].instances.values();
    let with = instances.filter(|it| it.status == Status::Active && it.attribute(name).is_some());
    with.map(|it| it.instance_id.clone()).collect()
}

/// How many stay for a reason.
fn kept(report: &ClusterReport, code: &str) -> usize {
    report.plan.keep.iter().filter(|kept| kept.reason.code() == code).count()
}

#[tokio::test(start_paused = true)]
async fn an_empty_instance_goes_at_once_and_one_with_tasks_in_the_second_sweep() {
    let sim = Sim::start(hooked(small(1)), patient()).await;
    let first = sim.report().await;
    assert_eq!(first.plan.remove.len(), 3, "{first:?}");
    assert!(first.plan.remove.iter().all(|removal| removal.reason.code() == "empty"));
    let waiting = kept(&first, "not_low_for_long");
    assert!(waiting > 0, "{first:?}");
    assert_eq!(with_attribute(&sim, LOW_SINCE).len(), waiting);

    sim.until_next().await;
    let second = sim.report().await;
    assert_eq!(second.plan.remove.len(), waiting, "{second:?}");
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn sweeps_of_persons_and_doubled_ones_bring_nothing_nearer() {
    let sim = Sim::start(hooked(small(1)), patient()).await;
    sim.sweep().await;
    for _ in 0..3 {
        sim.run(Duration::from_secs(300)).await;
        assert_eq!(removed(&sim.report().await), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_replaces_makes_nobody_begin_anew() {
    let sim = Sim::start(hooked(small(1)), patient()).await;
    let waiting = kept(&sim.report().await, "not_low_for_long");
    assert!(waiting > 0);
    sim.run(INTERVAL / 2).await;
    sim.invoke(&json!({"mode": "replace"})).await.unwrap();
    assert_eq!(with_attribute(&sim, LOW_SINCE).len(), waiting);
    sim.run(INTERVAL / 2).await;
    assert_eq!(removed(&sim.report().await).len(), waiting);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_go_any_more_begins_anew() {
    let sim = Sim::start(hooked(small(1)), patient()).await;
    sim.sweep().await;
    sim.region.world().set_desired_count(CLUSTER, "web", 12);
    sim.until_next().await;
    sim.sweep().await;
    assert_eq!(with_attribute(&sim, LOW_SINCE), [""; 0]);
    sim.region.world().set_desired_count(CLUSTER, "web", 3);
    sim.until_next().await;
    let report = sim.report().await;
    assert!(kept(&report, "not_low_for_long") > 0, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_meanwhile_keeps_no_other_from_beginning_anew() {
    let sim = Sim::start(hooked(small(1)), patient()).await;
    sim.sweep().await;
    let low = with_attribute(&sim, LOW_SINCE);
    assert!(low.len() > 1, "{low:?}");
    sim.region.world().set_desired_count(CLUSTER, "web", 20);
    sim.until_next().await;
    let leaves = |world: &mut World| {
        let mut instances = world.clusters[CLUSTER].instances.iter();
        let (id, _) = instances.find(|(_, it)| it.instance_id == low[0]).unwrap();
        let id = id.clone();
        world.set_status(CLUSTER, &id, Status::Inactive);
    };
    sim.sweep_while("DescribeTasks", 1, leaves).await;
    assert_eq!(with_attribute(&sim, LOW_SINCE), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_could_go_and_writes_nothing() {
    let settings = ReaperSettings { mode: ReaperMode::Plan, ..patient() };
    let sim = Sim::start(hooked(small(1)), settings).await;
    let report = sim.report().await;
    let details: Vec<_> =
        report.outcomes.iter().filter_map(|outcome| outcome.detail.as_deref()).collect();
    assert!(!details.is_empty() && report.outcomes.len() == details.len() + 3, "{report:?}");
    assert!(details.iter().all(|detail| *detail == "once it could go in 2 sweeps in a row"));
    assert_eq!((sim.calls("PutAttributes"), sim.calls("DeleteAttributes")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_group_rests_after_a_drain_of_it_was_taken_back() {
    let mut world = small(1);
    let slow = Some(Duration::from_secs(2_400));
    let spec = TaskSpec { deregistration_delay: slow, ..TaskSpec::default() };
    world.add_service(CLUSTER, "slow", ServiceKind::replica(6), spec);
    let hold_after_take_back = SignedDuration::from_hours(3);
    let sim = Sim::start(world, ReaperSettings { hold_after_take_back, ..settings() }).await;
    assert!(removed(&sim.report().await).len() >= 2);
    sim.region.world().set_desired_count(CLUSTER, "web", 26);
    sim.until_next().await;
    assert!(sim.report().await.follow_ups.iter().any(|outcome| outcome.reactivated));
    assert!(!with_attribute(&sim, TAKEN_BACK).is_empty());

    // The load goes as it came.
    sim.region.world().set_desired_count(CLUSTER, "web", 3);
    for _ in 0..5 {
        sim.until_next().await;
        let report = sim.report().await;
        assert_eq!(removed(&report), [""; 0], "{report:?}");
    }
    let report = sim.report().await;
    assert!(kept(&report, "taken_back") > 0, "{report:?}");
    sim.until_next().await;
    assert_ne!(removed(&sim.report().await), [""; 0]);
}

/// What goes in a small cluster to which something happens, and why nothing does.
async fn halted(happens: impl FnOnce(&mut World)) -> (usize, Option<String>) {
    let mut world = hooked(small(1));
    happens(&mut world);
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;
    let kept = report.plan.keep.iter().find(|kept| kept.reason.code() == "halted");
    (report.plan.remove.len(), kept.map(|kept| kept.reason.to_string()))
}

fn disconnect(world: &mut World, numbers: std::ops::RangeInclusive<usize>) {
    numbers.for_each(|number| world.disconnect_agent(&instance_id(number)));
}

fn deploy(world: &mut World, deployments: Deployments) {
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.services.get_mut("web").unwrap().deployments = deployments;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_many_agents_are_disconnected() {
    let (going, why) = halted(|world| disconnect(world, 1..=2)).await;
    assert_eq!(going, 0);
    assert_eq!(
        why.as_deref(),
        Some(
            "nothing goes in this cluster now: the agents of 2 of 6 ACTIVE instances are \
             disconnected, more than HALT_AT_DISCONNECTED_PERCENT (25 %)"
        )
    );
    let (going, why) = halted(|world| disconnect(world, 1..=1)).await;
    assert!(going > 0 && why.is_none(), "{why:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_a_deployment_fails() {
    for deployments in [Deployments::Failing, Deployments::Failed] {
        let (going, why) = halted(|world| deploy(world, deployments)).await;
        assert_eq!(going, 0, "{deployments:?}");
        assert_eq!(
            why.as_deref(),
            Some("nothing goes in this cluster now: the deployment of service web fails")
        );
    }
    let (going, why) = halted(|world| deploy(world, Deployments::FirstInProgress)).await;
    assert!(going > 0 && why.is_none(), "{why:?}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_after_the_plan_was_made_keeps_it_from_being_carried_out() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let fails = |world: &mut World| deploy(world, Deployments::Failed);
    let report = sim.sweep_while("DescribeTasks", 1, fails).await;
    assert!(!report.outcomes.is_empty() && sim.draining().is_empty(), "{report:?}");
    for outcome in &report.outcomes {
        assert_eq!(outcome.outcome, OutcomeKind::Postponed);
        assert_eq!(outcome.detail.as_deref(), Some("the deployment of service web fails"));
    }
}

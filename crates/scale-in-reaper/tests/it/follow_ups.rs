//! How a sweep goes on with what an earlier one drained.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, OutcomeKind};
use ebb_region::world::autoscaling::{Group, LifecycleState};
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::{REGION, World};
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, Sim, hooked, instance_id, outcomes, removed, settings, small, start_time,
};

/// A cluster whose group has no hook, with a service whose tasks take this long to leave, on every
/// instance.
fn slow(deregistration_delay: Duration) -> World {
    let mut world = small(1);
    let spec = TaskSpec { deregistration_delay: Some(deregistration_delay), ..TaskSpec::default() };
    world.add_service(CLUSTER, "slow", ServiceKind::replica(6), spec);
    world
}

/// Sets an instance to DRAINING with our mark, as if a sweep had done so this long ago.
pub(crate) fn drained_by_us(world: &mut World, instance_id: &str, ago: Duration) {
    mark(world, instance_id, ago);
    let id = world.container_instance(instance_id).unwrap().1.id.clone();
    world.set_status(CLUSTER, &id, Status::Draining);
}

fn mark(world: &mut World, instance_id: &str, ago: Duration) {
    let id = world.container_instance(instance_id).unwrap().1.id.clone();
    let mark = format!("scale-in-reaper/{}", world.now() - ago);
    world.put_attribute(CLUSTER, &id, DRAINED_BY, &mark);
}

/// Removes nothing more than was drained already.
fn no_more() -> ReaperSettings {
    ReaperSettings { max_removals_percent: 0, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn without_a_hook_a_later_sweep_terminates_once_the_instance_is_empty() {
    let sim = Sim::start(slow(Duration::from_secs(2_400)), settings()).await;
    let first = sim.report().await;
    let removed = removed(&first);
    assert!(
        !removed.is_empty()
            && outcomes(&first.outcomes).iter().all(|kind| *kind == OutcomeKind::Draining)
    );

    sim.until_next().await;
    let second = sim.report().await;
    assert!(
        outcomes(&second.follow_ups).iter().all(|kind| *kind == OutcomeKind::Waiting),
        "{second:?}"
    );
    for instance_id in &removed {
        assert_eq!(
            sim.state_of(instance_id),
            Some(LifecycleState::InService),
            "its task still deregisters"
        );
    }
    sim.until_next().await;
    let third = sim.report().await;
    assert!(
        outcomes(&third.follow_ups).iter().all(|kind| *kind == OutcomeKind::Terminating),
        "{third:?}"
    );
    sim.until_next().await;
    for instance_id in &removed {
        assert_eq!(sim.region.world().status_of(instance_id), None);
    }
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn an_emptied_instance_waits_while_its_group_would_be_balanced_by_one_that_drains() {
    let mut world = World::new(start_time(), 1);
    for number in 1..=6 {
        let zone = ["b", "a"][number % 2];
        let instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance(CLUSTER, instance);
    }
    let zones = ["a", "b"].map(|zone| format!("{REGION}{zone}"));
    let members = Group::with_instances(CLUSTER, (1..=6).map(instance_id));
    world.add_group(GROUP, Group { zones: zones.into(), ..members });
    // Those in zone a were empty; what is on those in zone b takes its time.
    let minute = Duration::from_secs(60);
    [1, 3].into_iter().for_each(|number| drained_by_us(&mut world, &instance_id(number), minute));
    let slow = Some(Duration::from_secs(2_400));
    let spec = TaskSpec { deregistration_delay: slow, ..TaskSpec::default() };
    world.add_service(CLUSTER, "slow", ServiceKind::replica(12), spec);
    [2, 4].into_iter().for_each(|number| drained_by_us(&mut world, &instance_id(number), minute));
    let settings =
        ReaperSettings { headroom_cpu_percent: 0, headroom_memory_percent: 0, ..no_more() };
    let sim = Sim::start(world, settings).await;

    let first = sim.report().await;
    let terminating = |report: &ClusterReport| {
        let of_kind = |kind: &&OutcomeKind| **kind == OutcomeKind::Terminating;
        outcomes(&report.follow_ups).iter().filter(of_kind).count()
    };
    assert_eq!((terminating(&first), first.follow_ups.len()), (1, 4), "{first:?}");
    let details = first.follow_ups.iter().filter_map(|outcome| outcome.detail.as_deref());
    assert_eq!(details.filter(|detail| detail.contains("out of balance")).count(), 1, "{first:?}");
    sim.until_next().await;
    sim.assert_unharmed();
    sim.report().await;
    sim.until_next().await;
    let third = sim.report().await;
    assert_eq!(terminating(&third), 3, "the tasks have stopped: {third:?}");
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn plan_mode_leaves_earlier_drains_as_they_are() {
    let sim = Sim::start(slow(Duration::from_secs(30)), settings()).await;
    let removed = removed(&sim.report().await);
    sim.until_next().await;
    let planned = sim.invoke(&json!({"mode": "plan"})).await.unwrap();

    assert!(
        outcomes(&planned.clusters[0].follow_ups)
            .iter()
            .all(|kind| *kind == OutcomeKind::WouldRemove)
    );
    assert_eq!(sim.draining().len(), removed.len());
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
}

#[tokio::test(start_paused = true)]
async fn load_that_comes_back_finds_its_instances_again() {
    let sim = Sim::start(slow(Duration::from_secs(2_400)), settings()).await;
    let removed = removed(&sim.report().await);
    assert!(removed.len() >= 2);
    // More than what is left takes at the chosen headroom.
    sim.region.world().set_desired_count(CLUSTER, "web", 26);
    sim.until_next().await;
    let before = sim.draining().len();
    let report = sim.report().await;

    let reactivated = report.follow_ups.iter().filter(|outcome| outcome.reactivated).count();
    assert!(reactivated > 0, "{report:?}");
    assert_eq!(sim.draining().len(), before - reactivated);
    assert!(
        report.outcomes.iter().all(|outcome| outcome.outcome == OutcomeKind::Postponed),
        "nothing more goes: {report:?}"
    );
    let mut details = report.follow_ups.iter().filter_map(|outcome| outcome.detail.as_deref());
    assert!(details.any(|detail| detail.contains("load has come back")), "{report:?}");
    for _ in 0..4 {
        sim.until_next().await;
        sim.sweep().await;
    }
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_finds_no_place_since_the_drain_gets_its_instance_back() {
    let mut world = small(1);
    // Only the drained instance is large enough for it.
    drained_by_us(&mut world, &instance_id(1), Duration::ZERO);
    for number in 2..=6 {
        let id = world.container_instance(&instance_id(number)).unwrap().1.id.clone();
        world.run_task(
            CLUSTER,
            &id,
            "report",
            TaskSpec { cpu: 900, memory_mib: 512, ..TaskSpec::default() },
        );
    }
    let sim = Sim::start(world, ReaperSettings { headroom_cpu_percent: 0, ..no_more() }).await;
    let large = TaskSpec { cpu: 1_500, memory_mib: 512, ..TaskSpec::default() };
    sim.region.world().add_service(CLUSTER, "large", ServiceKind::replica(0), large);
    sim.region.world().set_desired_count(CLUSTER, "large", 1);
    sim.until_next().await;
    let report = sim.report().await;

    assert_eq!(outcomes(&report.follow_ups), [OutcomeKind::Reactivated], "{report:?}");
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_has_stalled_is_taken_back() {
    let mut world = small(1);
    let on_it = |world: &World, number| {
        world.container_instance(&instance_id(number)).unwrap().1.id.clone()
    };
    let id = on_it(&world, 1);
    world.run_task(CLUSTER, &id, "report", TaskSpec::default());
    let sim = Sim::start(world, no_more()).await;
    drained_by_us(&mut sim.region.world(), &instance_id(1), Duration::ZERO);
    for _ in 0..3 {
        sim.until_next().await;
        assert_eq!(outcomes(&sim.report().await.follow_ups), [OutcomeKind::Waiting]);
    }
    sim.until_next().await;
    let report = sim.report().await;
    assert_eq!(outcomes(&report.follow_ups), [OutcomeKind::Reactivated], "{report:?}");
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_standalone_tasks_that_it_may_wait_for() {
    let mut world = small(1);
    let id = world.container_instance(&instance_id(1)).unwrap().1.id.clone();
    world.run_task(CLUSTER, &id, "report", TaskSpec::default());
    let sim = Sim::start(world, ReaperSettings { allow_standalone_tasks: true, ..no_more() }).await;
    drained_by_us(&mut sim.region.world(), &instance_id(1), Duration::ZERO);
    for _ in 0..6 {
        sim.until_next().await;
        assert_eq!(outcomes(&sim.report().await.follow_ups), [OutcomeKind::Waiting]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_group_says_no_by_now_is_taken_back() {
    let at_minimum = |world: &mut World| world.groups.get_mut(GROUP).unwrap().min_size = 6;
    let protected = |world: &mut World| {
        world.groups.get_mut(GROUP).unwrap().instances[0].protected_from_scale_in = true
    };
    let standby =
        |world: &mut World| world.set_lifecycle_state(&instance_id(1), LifecycleState::Standby);
    let detached = |world: &mut World| {
        world.groups.get_mut(GROUP).unwrap().instances.remove(0);
    };
    let changes: [&dyn Fn(&mut World); 4] = [&at_minimum, &protected, &standby, &detached];
    for change in changes {
        let mut world = small(1);
        drained_by_us(&mut world, &instance_id(1), Duration::from_secs(1_800));
        change(&mut world);
        let sim = Sim::start(world, no_more()).await;
        let report = sim.report().await;

        assert_eq!(outcomes(&report.follow_ups), [OutcomeKind::Reactivated], "{report:?}");
        assert_eq!((sim.draining().len(), sim.marked().len()), (0, 0), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_its_group_terminates_is_left_to_the_lifecycle_drainer() {
    let sim = Sim::start(hooked(slow(Duration::from_secs(3_000))), settings()).await;
    let removed = removed(&sim.report().await);
    let calls = sim.calls("TerminateInstanceInAutoScalingGroup");
    sim.run(Duration::from_secs(300)).await;
    let report = sim.with(no_more()).await.report().await;

    assert!(!removed.is_empty());
    assert!(
        outcomes(&report.follow_ups).iter().all(|kind| *kind == OutcomeKind::Waiting),
        "{report:?}"
    );
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), calls);
}

#[tokio::test(start_paused = true)]
async fn the_mark_on_an_active_instance_is_removed_once_no_sweep_can_be_at_it() {
    let sim = Sim::start(small(1), no_more()).await;
    mark(&mut sim.region.world(), &instance_id(1), Duration::from_secs(60));
    mark(&mut sim.region.world(), &instance_id(2), Duration::from_secs(1_000));
    let report = sim.report().await;

    assert_eq!(outcomes(&report.follow_ups), [OutcomeKind::Reactivated]);
    assert_eq!(sim.marked(), [instance_id(1)], "a sweep may be about to drain it");
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_not_ours_is_nobodys_business() {
    let mut world = small(1);
    // What drains here, and stays, counts into the balance of the group's zones.
    world.groups.get_mut(GROUP).unwrap().suspended.insert("AZRebalance".to_owned());
    let sim = Sim::start(world, settings()).await;
    {
        let mut world = sim.region.world();
        for (number, mark) in [(1, "somebody"), (2, "another-tool/2025-03-01T00:00:00Z")] {
            let id = world.container_instance(&instance_id(number)).unwrap().1.id.clone();
            world.put_attribute(CLUSTER, &id, DRAINED_BY, mark);
            world.set_status(CLUSTER, &id, Status::Draining);
        }
    }
    for _ in 0..6 {
        assert_eq!(
            sim.report()
                .await
                .follow_ups
                .iter()
                .filter(|outcome| outcome.instance_id.as_str() <= instance_id(2).as_str())
                .count(),
            0
        );
        sim.until_next().await;
    }
    let draining = sim.draining();
    assert!(
        draining.contains(&instance_id(1)) && draining.contains(&instance_id(2)),
        "{draining:?}"
    );
    assert!(sim.region.now() > start_time());
    assert_eq!(
        sim.with(ReaperSettings { mode: ReaperMode::Plan, ..settings() })
            .await
            .report()
            .await
            .follow_ups,
        []
    );
}

#[tokio::test(start_paused = true)]
async fn what_plan_mode_strands_is_told_with_the_command_that_takes_it_back() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:sweeps";
    let act = Sim::start(slow(Duration::from_secs(2_400)), settings()).await;
    act.sweep().await;
    let drained = act.draining();
    assert!(!drained.is_empty());
    act.until_next().await;
    let asked = act.invoke(&json!({"mode": "plan"})).await.unwrap();
    assert_eq!(asked.clusters[0].stranded, [], "the next sweep goes on");

    let settings = ReaperSettings {
        mode: ReaperMode::Plan,
        notification_topic: Some(TopicArn::new(topic)),
        ..settings()
    };
    act.region.world().create_topic(topic);
    let plan = act.with(settings).await;
    let report = plan.report().await;
    assert_eq!(report.stranded.len(), drained.len(), "{report:?}");
    let published = plan.region.world().published.clone();
    let notice = published.iter().find(|message| message.topic_arn == topic).expect("a notice");
    let subject = format!(
        "Ebb's sweep of container instances: {} left DRAINING, in cluster shop",
        drained.len()
    );
    assert_eq!(notice.subject.as_deref(), Some(subject.as_str()));

    // Who runs the command has them all back, and is told nothing more.
    let (_, command) = notice.message.split_once("--container-instances ").expect("a command");
    let ids: Vec<_> = command.lines().next().unwrap().split(' ').collect();
    assert_eq!(ids.len(), drained.len());
    for id in ids {
        plan.region.world().set_status(CLUSTER, id, Status::Active);
    }
    assert_eq!((plan.draining(), plan.report().await.stranded), (Vec::new(), Vec::new()));
    assert_eq!(plan.region.world().published.len(), published.len());
}

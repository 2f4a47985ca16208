//! Which hooks a sweep counts on to hold an instance until its tasks have stopped.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::scenario;
use ebb_region::world::World;
use ebb_region::world::autoscaling::{ActionResult, Hook};
use ebb_region::world::ecs::{ServiceKind, TaskSpec};

use crate::support::{CLUSTER, GROUP, INTERVAL, Sim, hooked, outcomes, removed, settings, small};

const TERMINATE: &str = "TerminateInstanceInAutoScalingGroup";

/// Six instances with a task of a service on each.
fn busy() -> World {
    let mut world = small(1);
    world.add_service(CLUSTER, "api", ServiceKind::replica(6), TaskSpec::default());
    world
}

/// Somebody's hook, whose consumer is done at once.
fn hook_of(name: &str, topic: Option<&str>) -> Hook {
    Hook {
        default_result: ActionResult::Continue,
        heartbeat_timeout: Duration::from_secs(30),
        topic_arn: topic.map(str::to_owned),
        ..Hook::new(name)
    }
}

fn with_hook(mut world: World, hook: Hook) -> World {
    world.groups.get_mut(GROUP).unwrap().hooks.push(hook);
    world
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_hook_holds_nothing_and_no_task_is_cut_off() {
    let dns = "arn:aws:sns:eu-west-1:111122223333:dns-records";
    let queue = "arn:aws:sqs:eu-west-1:111122223333:shop-termination";
    for (name, topic) in [("dns", Some(dns)), ("logs", Some(queue)), (scenario::HOOK, None)] {
        let sim = Sim::start(with_hook(busy(), hook_of(name, topic)), settings()).await;
        let report = sim.report().await;

        assert!(!report.outcomes.is_empty(), "{name}: {report:?}");
        assert!(
            outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Draining),
            "{name}: {report:?}"
        );
        assert_eq!(sim.calls(TERMINATE), 0, "{name}");
        sim.until_next().await;
        let next = sim.report().await;
        assert!(
            outcomes(&next.follow_ups).iter().all(|kind| *kind == OutcomeKind::Terminating),
            "{name}: {next:?}"
        );
        sim.run(INTERVAL).await;
        sim.assert_unharmed();
    }
}

#[tokio::test(start_paused = true)]
async fn the_drainers_hook_counts_only_where_its_topic_is_named() {
    let another = "arn:aws:sns:eu-west-1:111122223333:another-lifecycle";
    for (topic, kind) in [
        (Some(scenario::TERMINATION_TOPIC), OutcomeKind::Terminating),
        (Some(another), OutcomeKind::Draining),
        (None, OutcomeKind::Draining),
    ] {
        let lifecycle_topic = topic.map(TopicArn::new);
        let settings = ReaperSettings { lifecycle_topic, ..settings() };
        let sim = Sim::start(hooked(busy()), settings).await;
        let report = sim.report().await;

        assert!(!removed(&report).is_empty());
        assert!(
            outcomes(&report.outcomes).iter().all(|outcome| *outcome == kind),
            "{topic:?}: {report:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_hook_of_managed_draining_counts_whatever_is_named() {
    let hook = hook_of("ecs-managed-draining-termination-hook", None);
    let settings = ReaperSettings { lifecycle_topic: None, ..settings() };
    let report = Sim::start(with_hook(busy(), hook), settings).await.report().await;

    assert!(!report.outcomes.is_empty());
    assert!(
        outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Terminating),
        "{report:?}"
    );
}

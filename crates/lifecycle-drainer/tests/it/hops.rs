//! Stories of the loop: hops that follow each other, end, die, and are throttled.

use std::time::Duration;

use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{ActionResult, CompletedBy, Hook, LifecycleState};
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{
    FUNCTION, HOOK, Sim, TOPIC, instance_id, last_stop, over_sns, quiet_shop, settings, shop,
    shop_with_hook, since_start,
};

#[tokio::test(start_paused = true)]
async fn a_long_drain_takes_several_hops_and_the_action_is_kept_alive() {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(90),
        ..Hook::new(HOOK)
    });
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(3_000)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    let drain_timeout = SignedDuration::from_secs(7_200);
    let sim = Sim::start(world, LifecycleSettings { drain_timeout, ..settings() }).await;
    sim.terminate(&instance_id(9)).await;

    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(completed.time >= stopped);
    let outcomes = sim.outcomes();
    let hops = outcomes.iter().filter(|word| *word != "ignored").count();
    assert_eq!(hops, 4, "{outcomes:?}");
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn hops_shorter_than_a_pause_keep_the_action_alive() {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(120),
        ..Hook::new(HOOK)
    });
    world.delivery.functions.get_mut(FUNCTION).unwrap().recursive_loop_allowed = true;
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(300)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    let hop = SignedDuration::from_secs(10);
    let sim = Sim::start(world, LifecycleSettings { hop, ..settings() }).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_next_hop_gets_the_message_as_it_was_with_our_state_beside_it() {
    let mut world = shop();
    world.delivery.functions.clear();
    let sim =
        Sim::start(world, LifecycleSettings { hop: SignedDuration::from_secs(10), ..settings() })
            .await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let published = sim.region.world().published.clone();
    let mut sent: Value = serde_json::from_str(&published.last().unwrap().message).unwrap();
    sent["Unknown"] = json!({"kept": [1, null]});
    let answer = sim.invoke(&over_sns(std::slice::from_ref(&sent))).await.unwrap();
    assert_eq!(answer.outcomes[0].outcome.as_str(), "republished");

    let published = sim.region.world().published.clone();
    let last = published.last().unwrap();
    assert_eq!(last.topic_arn, TOPIC);
    let mut next: Value = serde_json::from_str(&last.message).unwrap();
    let state = next.as_object_mut().unwrap().remove("ebb").unwrap();
    assert_eq!(next, sent);
    assert_eq!(state["hop"], 1);
    assert!(state["cluster"].as_str().unwrap().ends_with("shop"), "{state}");
}

#[tokio::test(start_paused = true)]
async fn two_chains_for_one_action_end_at_the_first_completion() {
    let mut world = shop();
    world.delivery.mishaps.duplicate = 1.0;
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    assert!(completed.time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
    let outcomes = sim.outcomes();
    let ends = outcomes.iter().all(|word| ["completed", "ignored"].contains(&word.as_str()));
    assert!(ends, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_stops_when_its_instance_is_no_longer_waited_for() {
    let sim = Sim::shop().await;
    let end = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let mut world = sim.region.world();
        world.terminate(&instance_id(9), Duration::ZERO);
    };
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), end);

    let ended = sim.region.world().delivery.ended.last().unwrap().time;
    assert!(since_start(ended) < SignedDuration::from_secs(60), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_operators_choice_is_done() {
    for (on_timeout, result, state) in [
        (OnTimeout::Continue, Some(ActionResult::Continue), None),
        (OnTimeout::Abandon, Some(ActionResult::Abandon), None),
        (OnTimeout::Reactivate, None, Some(Status::Active)),
    ] {
        let mut world = shop();
        let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
        world.add_service("shop", "stuck", stuck, TaskSpec::default());
        let sim = Sim::start(world, LifecycleSettings { on_timeout, ..settings() }).await;
        sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
        sim.run(Duration::from_secs(1_000)).await;

        let world = sim.region.world();
        assert_eq!(
            world.completed_actions.first().map(|action| action.result),
            result,
            "{on_timeout:?}"
        );
        assert_eq!(world.status_of(&instance_id(9)), state, "{on_timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_may_retain_what_is_abandoned() {
    let mut world = shop();
    world.groups.get_mut(scenario::SPOT_GROUP).unwrap().retains_abandoned = true;
    world.disconnect_agent(&instance_id(9));
    let sim =
        Sim::start(world, LifecycleSettings { on_timeout: OnTimeout::Abandon, ..settings() }).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().result, ActionResult::Abandon);
    assert_eq!(
        sim.region.world().lifecycle_state(&instance_id(9)),
        Some(LifecycleState::TerminatingRetained)
    );
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
}

#[tokio::test(start_paused = true)]
async fn a_protected_task_is_waited_for_and_told_apart() {
    let mut world = shop();
    world.protection_holds_drain = true;
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    let task = world.clusters["shop"]
        .tasks_on(&id)
        .find(|task| task.name.starts_with("web"))
        .unwrap()
        .id
        .clone();
    world.protect_task("shop", &task, Duration::from_secs(300));
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    assert!(since_start(stopped) > SignedDuration::from_secs(300), "{stopped}");
    assert!(sim.completed().time >= stopped);
}

#[tokio::test(start_paused = true)]
async fn the_drain_ends_as_the_operator_chose_before_the_global_time_out_of_its_action() {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(30),
        ..Hook::new(HOOK)
    });
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let drain_timeout = SignedDuration::from_secs(7_200);
    let sim = Sim::start(world, LifecycleSettings { drain_timeout, ..settings() }).await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(since_start(completed.time) < SignedDuration::from_secs(3_000), "{}", completed.time);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_killed_anywhere_completes_nothing_early_and_forgets_nothing() {
    // Each call of the first second, and then every quarter of a second of a drain of some 80 s.
    let moments = (0..1_000).step_by(15).chain((1_000..90_000).step_by(250));
    for killed_after in moments.map(Duration::from_millis) {
        let sim = Sim::start(quiet_shop(), settings()).await;
        sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
        sim.run_killing_first(killed_after, Duration::from_secs(7_200)).await;

        let completed = sim.completed();
        assert_eq!(completed.cause, CompletedBy::Caller, "killed after {killed_after:?}");
        let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
        assert!(
            completed.time >= stopped,
            "killed after {killed_after:?}: {} before {stopped}",
            completed.time
        );
        assert_eq!(sim.tasks_cut_off(), [""; 0], "killed after {killed_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_published_again_at_once_is_not_lost() {
    let mut world = quiet_shop();
    world.faults.plan("Publish", Fault::ServerError, 7);
    let sim =
        Sim::start(world, LifecycleSettings { hop: SignedDuration::from_secs(30), ..settings() })
            .await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(completed.time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_a_pause() {
    let mut world = shop();
    for operation in [
        "DescribeAutoScalingInstances",
        "ListContainerInstances",
        "UpdateContainerInstancesState",
        "ListTasks",
    ] {
        world.faults.plan(operation, Fault::Throttle, 12);
    }
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
    assert_eq!(sim.region.world().delivery.functions[FUNCTION].dead_letters.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let sim = Sim::start(shop(), LifecycleSettings { dry_run: true, ..settings() }).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    sim.run(Duration::from_secs(60)).await;

    assert_eq!(sim.outcomes().last().map(String::as_str), Some("would_drain"));
    assert_eq!(sim.region.world().instances_with(Status::Draining), [""; 0]);
    assert_eq!(sim.region.world().completed_actions, []);
}

//! Stories of what makes several chains of hops of one action, of the completion of an action, and
//! of messages that come late.

use std::time::Duration;

use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::{CompletedBy, Hook};
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use jiff::SignedDuration;
use serde_json::Value;

use crate::support::{
    HOOK, Sim, TOPIC, instance_id, over_sns, quiet_shop, settings, shop, shop_with_hook,
    since_start,
};

#[tokio::test(start_paused = true)]
async fn chains_of_one_action_become_one_within_a_hop() {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    world.delivery.mishaps.duplicate = 1.0;
    let mut settings = settings();
    settings.drain_timeout = SignedDuration::from_secs(3_600);
    let sim = Sim::start(world, settings).await;
    sim.terminate(&instance_id(9)).await;

    // Every message comes twice. Without the marks there would be 2, 4, 8, … hops at a time.
    let world = sim.region.world();
    let mut published = [0; 10];
    for notification in &world.published {
        let message: Value = serde_json::from_str(&notification.message).unwrap();
        if let Some(hop) = message["ebb"]["hop"].as_u64() {
            published[usize::try_from(hop).unwrap()] += 1;
        }
    }
    assert_eq!(published, [0, 1, 1, 1, 1, 0, 0, 0, 0, 0], "publications of each hop");
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_fails_is_tried_again_within_the_invocation() {
    let mut world = shop();
    // Three times all five attempts of a call.
    world.faults.plan("CompleteLifecycleAction", Fault::ServerError, 15);
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("completed"));
    let invocations = sim.region.world().delivery.ended.len();
    assert_eq!(invocations, 3, "two test notifications, and the drain");
}

#[tokio::test(start_paused = true)]
async fn a_completion_at_the_deadline_that_fails_is_tried_again_within_the_invocation() {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    world.faults.plan("CompleteLifecycleAction", Fault::ServerError, 15);
    let mut settings = settings();
    settings.drain_timeout = SignedDuration::from_secs(120);
    let sim = Sim::start(world, settings).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    assert!(since_start(sim.completed().time) < SignedDuration::from_secs(240));
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
    assert_eq!(sim.region.world().delivery.ended.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_is_lost_is_told_as_completed() {
    for lost in [1, 5] {
        let mut world = shop();
        world.faults.plan("CompleteLifecycleAction", Fault::AnswerLost, lost);
        let sim = Sim::start(world, settings()).await;
        sim.terminate(&instance_id(9)).await;

        let world = sim.region.world();
        let last = world.delivery.ended.last().unwrap().result.clone().unwrap();
        assert_eq!(last["outcomes"][0]["outcome"], "completed", "{lost} lost: {last}");
        let reason = last["outcomes"][0]["reason"].as_str().unwrap();
        assert!(!reason.contains("over already"), "{lost} lost: {reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_message_keeps_the_action_alive_at_once() {
    let hook = Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(60),
        ..Hook::new(HOOK)
    };
    let mut world = shop_with_hook(hook);
    world.delivery.functions.clear();
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    let message = sim.message(&instance_id(9));
    sim.invoke(&over_sns(&[message])).await.unwrap();

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_after_its_deadline_still_drains_the_instance() {
    for hours in [1, 20] {
        let mut world = quiet_shop();
        for action_hook in world.groups.values_mut().flat_map(|group| &mut group.hooks) {
            action_hook.heartbeat_timeout = Duration::from_secs(7_200);
        }
        let sim = Sim::start(world, settings()).await;
        sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
        let mut message = sim.message(&instance_id(9));
        let sent = sim.region.now() - SignedDuration::from_hours(hours);
        message["Time"] = sent.to_string().into();
        sim.invoke(&over_sns(&[message])).await.unwrap();

        assert_eq!(sim.completed().cause, CompletedBy::Caller, "{hours} hours late");
        assert_eq!(sim.tasks_cut_off(), [""; 0], "{hours} hours late");
    }
}

//! Stories of heartbeats that fail and are made up for: the drain goes on, and people can hear of it.
//! Those that fail for too long are in `cut_off.rs`.

use std::env;
use std::process::Command;
use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_core::lifecycle::OutcomeKind;
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use jiff::SignedDuration;
use lifecycle_drainer::FUNCTION;
use serde_json::Value;
use tokio::time::sleep;

use crate::support::{HOOK, Sim, TOPIC, instance_id, over_sns, settings, shop_with_hook};

/// A drain whose tasks take 100 s to stop, with a heartbeat due every 40 s.
async fn slow_drain() -> Sim {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(120),
        ..Hook::new(HOOK)
    });
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(100)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    world.delivery.functions.clear();
    world.terminate_in_group(&instance_id(9), false).unwrap();
    Sim::start(world, settings()).await
}

/// One heartbeat fails: the first, by which the action is proven, or a later one.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_is_followed_by_another() {
    for fails_after in [0, 20] {
        let sim = slow_drain().await;
        let message = over_sns(&[sim.message(&instance_id(9))]);
        let fail = async {
            sleep(Duration::from_secs(fails_after)).await;
            // As often as the SDK tries, see `ATTEMPTS` in `ebb-aws`.
            sim.region.world().faults.plan("RecordLifecycleActionHeartbeat", Fault::ServerError, 5);
        };
        // The fault is planned before the first call.
        let ((), answer) = tokio::join!(fail, sim.invoke(&message));

        let outcome = &answer.unwrap().outcomes[0];
        assert_eq!(outcome.outcome, OutcomeKind::Completed, "{outcome:?}");
        assert_eq!(sim.tasks_cut_off().iter().filter(|name| name.starts_with("slow")).count(), 0);
    }
}

/// Metrics are what a process prints, so that the story runs in one of its own.
#[test]
fn each_heartbeat_that_fails_is_counted() {
    let story = "heartbeats::a_heartbeat_that_fails_is_followed_by_another";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", story, "--nocapture"])
        .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let printed = String::from_utf8(output.stdout).unwrap();
    let metrics = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed: Vec<_> = metrics.filter_map(|line| line.get("HeartbeatsFailed").cloned()).collect();
    assert_eq!(failed, [1.0, 1.0], "{printed}");
}

/// A permission that is taken away while tasks stop is told at once, while there is time to give it
/// back: no heartbeat that follows would keep the action alive.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_denied_ends_the_hop() {
    let sim = slow_drain().await;
    let (message, begun) = (over_sns(&[sim.message(&instance_id(9))]), sim.region.now());
    let deny = async {
        sleep(Duration::from_secs(20)).await;
        let mut world = sim.region.world();
        world.faults.plan("RecordLifecycleActionHeartbeat", Fault::Denied, u32::MAX);
    };
    let ((), answer) = tokio::join!(deny, sim.invoke(&message));

    let error = answer.expect_err("the function lacks a permission");
    assert_eq!(error.error_type, ErrorType::AwsDenied, "{error}");
    let took = sim.region.now().duration_since(begun);
    assert!(took < SignedDuration::from_secs(45), "{took}");
}

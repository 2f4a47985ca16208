//! Stories of heartbeats that fail and are made up for: the drain goes on, and people can hear of it.
//! Those that fail for too long are in `cut_off.rs`.

use std::env;
use std::process::Command;
use std::time::Duration;

use ebb_core::lifecycle::OutcomeKind;
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use lifecycle_drainer::FUNCTION;
use serde_json::Value;
use tokio::time::sleep;

use crate::support::{HOOK, Sim, TOPIC, instance_id, over_sns, settings, shop_with_hook};

/// Heartbeats are due every 40 s, and tasks take 100 s to stop. One heartbeat fails: the first, by
/// which the action is proven, or a later one.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_is_followed_by_another() {
    for fails_after in [0, 20] {
        let mut world = shop_with_hook(Hook {
            topic_arn: Some(TOPIC.to_owned()),
            heartbeat_timeout: Duration::from_secs(120),
            ..Hook::new(HOOK)
        });
        let slow = TaskSpec {
            deregistration_delay: Some(Duration::from_secs(100)),
            ..TaskSpec::default()
        };
        world.add_service("shop", "slow", ServiceKind::replica(12), slow);
        world.delivery.functions.clear();
        world.terminate_in_group(&instance_id(9), false).unwrap();
        let sim = Sim::start(world, settings()).await;
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

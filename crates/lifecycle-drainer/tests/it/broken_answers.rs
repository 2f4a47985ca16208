//! Every call of a drain, answered with an HTTP 200 that is no answer: no body, `{}`, a page of a
//! proxy, a list that is `null`, an answer that breaks off or never ends. No task is cut off,
//! nothing is completed while a task runs, and what passes costs a second or two.

use std::time::Duration;

use ebb_core::lifecycle::settings::{LifecycleSettings, StandaloneTasks};
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::{ActionResult, CompletedBy, Hook};
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use jiff::SignedDuration;

use crate::support::{
    HOOK, Sim, TOPIC, instance_id, last_stop, message, over_sns, quiet_shop, shop_with_hook,
};

/// Every call that the function makes.
const CALLS: [&str; 14] = [
    "CompleteLifecycleAction",
    "DescribeAutoScalingInstances",
    "DescribeContainerInstances",
    "DescribeLifecycleHooks",
    "DescribeServices",
    "DescribeTasks",
    "GetTaskProtection",
    "ListClusters",
    "ListContainerInstances",
    "ListTasks",
    "Publish",
    "RecordLifecycleActionHeartbeat",
    "StopTask",
    "UpdateContainerInstancesState",
];

/// Longer than a drain of [`shop`] takes.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(400);

/// A drain of more than 200 s, which makes every call: it passes a third of the hook's time-out,
/// half of its own time, so that it looks for what holds it, and the end of a hop.
fn shop() -> World {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(450),
        ..Hook::new(HOOK)
    });
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(200)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    world.run_task("shop", &id, "report", TaskSpec::default());
    world
}

fn settings() -> LifecycleSettings {
    LifecycleSettings {
        drain_timeout: DRAIN_TIMEOUT.try_into().unwrap(),
        hop: SignedDuration::from_secs(90),
        poll_interval: SignedDuration::from_secs(60),
        standalone_tasks: StandaloneTasks::Stop,
        ..LifecycleSettings::default()
    }
}

async fn sim_with(operation: &str, fault: Fault, calls: u32) -> Sim {
    let mut world = shop();
    // The test notifications that putting a hook sends are not what this is about.
    world.published.clear();
    world.faults.plan(operation, fault, calls);
    Sim::start(world, settings()).await
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_that_passes_costs_an_attempt_and_not_the_drain() {
    for operation in CALLS {
        for fault in Fault::BROKEN_ANSWERS {
            let sim = sim_with(operation, fault, 1).await;
            sim.terminate(&instance_id(9)).await;

            let case = format!("{operation}, {fault:?}");
            let made = sim.region.world().calls.clone();
            assert!(made.iter().any(|call| call.operation == operation), "not called: {case}");
            let completed = sim.completed();
            let result = (completed.cause, completed.result);
            assert_eq!(result, (CompletedBy::Caller, ActionResult::Continue), "{case}");
            let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
            let after = completed.time.duration_since(stopped);
            let in_time = SignedDuration::ZERO..SignedDuration::from_secs(60);
            assert!(in_time.contains(&after), "{case}: {after}");
            assert_eq!(sim.tasks_cut_off(), [""; 0], "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_stay_broken_complete_nothing_while_a_task_runs() {
    for operation in CALLS {
        for fault in Fault::BROKEN_ANSWERS {
            // Fifty attempts of 16 MiB are ten calls that failed; more would take the test minutes.
            let calls = if fault == Fault::EndlessAnswer { 50 } else { u32::MAX };
            let sim = sim_with(operation, fault, calls).await;
            sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
            // Until shortly before the deadline, at which `ON_TIMEOUT` decides.
            sim.run(DRAIN_TIMEOUT - Duration::from_secs(60)).await;

            let case = format!("{operation}, {fault:?}");
            assert_eq!(sim.tasks_cut_off(), [""; 0], "{case}");
            let completed = sim.region.world().completed_actions.clone();
            for action in &completed {
                let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
                assert!(action.time >= stopped, "{case}: {action:?}");
            }
            // What only tells people why a drain takes long must not hold it up.
            assert!(!completed.is_empty() || operation != "GetTaskProtection", "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_answer_is_the_reason_why_a_drain_goes_on() {
    for (fault, problem) in [
        (Fault::EmptyAnswer, "it is empty"),
        (Fault::EmptyObject, "it is no XML"),
        (Fault::HtmlPage, "it is a document of html"),
        (Fault::NullList, "it lacks AutoScalingInstances"),
        (Fault::TruncatedAnswer, "it breaks off"),
        (Fault::EndlessAnswer, "it is larger than 16 MiB"),
    ] {
        let sim = Sim::start(quiet_shop(), settings()).await;
        sim.region.world().faults.plan("DescribeAutoScalingInstances", fault, u32::MAX);
        let group = ebb_region::scenario::SPOT_GROUP;
        let answer = sim.invoke(&over_sns(&[message(&instance_id(9), group)])).await;

        let reason = answer.unwrap().outcomes[0].reason.clone().expect("it goes on, and why");
        let sentence = format!("the answer is no DescribeAutoScalingInstances answer: {problem}");
        assert!(reason.ends_with(&sentence), "{fault:?}: {reason}");
    }
}

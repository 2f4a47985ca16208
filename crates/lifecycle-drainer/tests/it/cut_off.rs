//! Stories of drains that their hook's own time-out ends: what is found of the tasks that it cuts
//! off, and that a second delivery does not count them again.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{Outcome, OutcomeKind};
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{ActionKey, ActionResult, CompletedBy, Hook};
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use jiff::SignedDuration;

use crate::support::{HOOK, Sim, TOPIC, instance_id, over_sns, settings, shop_with_hook};

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// After so long without a heartbeat the hook lets an instance go.
const HOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// Instance 9 is terminated, with tasks that need ten minutes to stop, and nobody hears of it but by
/// messages.
async fn terminating(settings: LifecycleSettings) -> Sim {
    let mut world = shop_with_hook(Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: HOOK_TIMEOUT,
        ..Hook::new(HOOK)
    });
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(600)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    world.delivery.functions.clear();
    world.terminate_in_group(&instance_id(9), false).unwrap();
    let notification_topic = Some(TopicArn::new(PEOPLE));
    Sim::start(world, LifecycleSettings { notification_topic, ..settings }).await
}

fn notices(sim: &Sim) -> Vec<String> {
    let world = sim.region.world();
    let notices = world.published.iter().filter(|sent| sent.topic_arn == PEOPLE);
    notices.map(|sent| sent.message.clone()).collect()
}

/// How many tasks were cut off that must be waited for.
fn tasks_cut_off(sim: &Sim) -> usize {
    sim.tasks_cut_off().iter().filter(|name| !name.starts_with("logs")).count()
}

fn assert_it_is_said(sim: &Sim, outcome: &Outcome) {
    assert_eq!(outcome.outcome, OutcomeKind::HookTimedOut, "{outcome:?}");
    assert!(tasks_cut_off(sim) > 0);
    assert_eq!(outcome.tasks_left.unwrap().service, tasks_cut_off(sim), "{outcome:?}");
    assert_eq!(sim.completed().cause, CompletedBy::HeartbeatTimeout);
    let notices = notices(sim);
    let told = notices.iter().filter(|notice| notice.contains("no heartbeat came in time"));
    assert_eq!(told.count(), 1, "{notices:?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_fail_for_too_long_are_said_to_have_cut_tasks_off() {
    for failing in ["RecordLifecycleActionHeartbeat", "every call"] {
        let sim = terminating(settings()).await;
        let message = over_sns(&[sim.message(&instance_id(9))]);
        let fail = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            // Three attempts each, every 40 s: they fail until the action has ended.
            let mut world = sim.region.world();
            world.faults.plan("RecordLifecycleActionHeartbeat", Fault::ServerError, 15);
            if failing == "every call" {
                for operation in ["DescribeTasks", "ListTasks", "DescribeContainerInstances"] {
                    world.faults.plan(operation, Fault::ServerError, 9);
                }
            }
        };
        let (answer, ()) = tokio::join!(sim.invoke(&message), fail);

        assert_it_is_said(&sim, &answer.unwrap().outcomes[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_after_the_hooks_time_out_says_what_it_finds_and_only_once() {
    let sim = terminating(settings()).await;
    let message = sim.message(&instance_id(9));
    // The group has let it go, and EC2 still shuts it down.
    tokio::time::sleep(HOOK_TIMEOUT + Duration::from_secs(1)).await;
    let answer = sim.invoke(&over_sns(std::slice::from_ref(&message))).await.unwrap();
    let again = sim.invoke(&over_sns(std::slice::from_ref(&message))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;

    assert_it_is_said(&sim, &answer.outcomes[0]);
    assert_eq!(again.outcomes[0].outcome, OutcomeKind::Ignored, "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_comes_after_the_hooks_time_out_finds_what_the_hop_before_has_known() {
    let hop = SignedDuration::from_secs(30);
    let sim = terminating(LifecycleSettings { hop, ..settings() }).await;
    let message = sim.message(&instance_id(9));
    let answer = sim.invoke(&over_sns(&[message])).await.unwrap();
    assert_eq!(answer.outcomes[0].outcome, OutcomeKind::Republished);
    let next = sim.region.world().published.last().unwrap().message.clone();
    tokio::time::sleep(HOOK_TIMEOUT * 3).await;
    let next = over_sns(&[serde_json::from_str(&next).unwrap()]);
    let answer = sim.invoke(&next).await.unwrap();

    assert_it_is_said(&sim, &answer.outcomes[0]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_completes_is_no_time_out_for_any_chain() {
    let sim = terminating(settings()).await;
    let message = over_sns(&[sim.message(&instance_id(9))]);
    let end = async {
        // Right before a heartbeat finds out, so that EC2 still shuts the instance down then.
        tokio::time::sleep(Duration::from_secs(318)).await;
        let mut world = sim.region.world();
        let token = world.lifecycle_actions[0].token.clone();
        let group = scenario::SPOT_GROUP;
        let key = ActionKey { group, hook: HOOK, token: Some(&token), instance_id: None };
        world.complete_action(key, ActionResult::Continue).unwrap();
    };
    let (first, second, ()) = tokio::join!(sim.invoke(&message), sim.invoke(&message), end);

    for answer in [first, second] {
        assert_eq!(answer.unwrap().outcomes[0].outcome, OutcomeKind::Ignored);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(tasks_cut_off(&sim) > 0, "it was for them to decide");
}

#[tokio::test(start_paused = true)]
async fn two_chains_that_reach_the_deadline_together_count_its_tasks_once() {
    // Before they would merge.
    let drain_timeout = SignedDuration::from_secs(100);
    let sim = terminating(LifecycleSettings { drain_timeout, ..settings() }).await;
    let message = over_sns(&[sim.message(&instance_id(9))]);
    let (first, second) = tokio::join!(sim.invoke(&message), sim.invoke(&message));
    let late = sim.invoke(&message).await.unwrap();

    let mut outcomes: Vec<_> =
        [first.unwrap(), second.unwrap(), late].map(|answer| answer.outcomes[0].outcome).into();
    outcomes.sort();
    let expected = [OutcomeKind::TimedOut, OutcomeKind::Ignored, OutcomeKind::Ignored];
    assert_eq!(outcomes, expected);
    assert_eq!(sim.completed().cause, CompletedBy::Caller);
}

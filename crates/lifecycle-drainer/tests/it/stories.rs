//! What the lifecycle drainer does, told as stories: one for each rule that peers broke, under the
//! headings of the loop.

use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout, StandaloneTasks};
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{ActionResult, CompletedBy, Hook, LifecycleState};
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use ebb_region::world::{Happening, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{
    FUNCTION, HOOK, Sim, TOPIC, instance_id, quiet_shop, shop, shop_with_hook, start_time,
};

const POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(15);

fn settings() -> LifecycleSettings {
    LifecycleSettings::default()
}

/// When the last task that must be waited for stopped on an instance: any but those of a daemon.
fn last_stop(world: &World, wanted_id: &str, daemon: &str) -> Timestamp {
    let stops = world.history.iter().filter(|entry| match &entry.happening {
        Happening::Task { name, instance_id, status: TaskStatus::Stopped, .. } => {
            instance_id == wanted_id && !name.starts_with(daemon)
        }
        _ => false,
    });
    stops.map(|entry| entry.time).max().expect("tasks have stopped")
}

fn since_start(moment: Timestamp) -> SignedDuration {
    moment.duration_since(start_time())
}

/// The message that Auto Scaling publishes about an instance, as it comes over SNS.
fn message(instance_id: &str, group: &str) -> Value {
    json!({
        "LifecycleHookName": HOOK,
        "AccountId": "111122223333",
        "RequestId": "f3e0c4a1-0c1f-4b5e-8d59-7d0f7d3f0f11",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": group,
        "Service": "AWS Auto Scaling",
        "Time": start_time(),
        "EC2InstanceId": instance_id,
        "LifecycleActionToken": "0a6c8c0e-3a3c-4d25-9c2e-0f6f8f0b9f10",
    })
}

fn over_sns(messages: &[Value]) -> Value {
    let records: Vec<_> = messages
        .iter()
        .map(|message| {
            let notification = json!({"TopicArn": TOPIC, "Message": message.to_string()});
            json!({"EventSource": "aws:sns", "Sns": notification})
        })
        .collect();
    json!({"Records": records})
}

// Draining

#[tokio::test(start_paused = true)]
async fn an_action_is_completed_once_the_last_task_has_stopped_and_within_one_poll_interval() {
    let sim = Sim::shop().await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    assert_eq!(completed.result, ActionResult::Continue);
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(
        completed.time >= stopped,
        "completed at {}, the last task stopped at {stopped}",
        completed.time
    );
    assert!(
        completed.time.duration_since(stopped) <= POLL_INTERVAL + SignedDuration::from_secs(1),
        "{stopped} {}",
        completed.time
    );
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("completed"));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_the_drainer_tasks_are_cut_off_or_the_story_above_would_prove_nothing() {
    let mut world = shop();
    world.delivery.functions.clear();
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::HeartbeatTimeout);
    assert_ne!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_still_deregister_are_waited_for() {
    let mut world = shop();
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(300)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    assert!(since_start(stopped) > SignedDuration::from_secs(300), "{stopped}");
    assert!(sim.completed().time >= stopped);
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_draining_already_is_waited_for_all_the_same() {
    let sim = Sim::shop().await;
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
        world.set_status("shop", &id, Status::Draining);
    }
    sim.terminate(&instance_id(9)).await;

    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    assert!(sim.completed().time >= stopped);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_leave_ends_by_the_deadline() {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    let took = since_start(completed.time);
    assert_eq!(completed.result, ActionResult::Continue);
    assert!(
        took >= SignedDuration::from_secs(900) && took < SignedDuration::from_secs(920),
        "{took}"
    );
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
}

#[tokio::test(start_paused = true)]
async fn a_standalone_task_is_waited_for_stopped_or_left_as_the_operator_chose() {
    for (policy, waits_for_deadline, cut_off) in [
        (StandaloneTasks::Wait, true, true),
        (StandaloneTasks::Stop, false, false),
        (StandaloneTasks::Ignore, false, true),
    ] {
        let mut world = shop();
        let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
        world.run_task("shop", &id, "report", TaskSpec::default());
        let settings = LifecycleSettings { standalone_tasks: policy, ..settings() };
        let sim = Sim::start(world, settings).await;
        sim.terminate(&instance_id(9)).await;

        let took = since_start(sim.completed().time);
        assert_eq!(
            took >= SignedDuration::from_secs(900),
            waits_for_deadline,
            "{policy:?}: {took}"
        );
        assert_eq!(
            sim.tasks_cut_off().iter().any(|name| name.starts_with("report")),
            cut_off,
            "{policy:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_standalone_tasks_that_were_not_told_to_stop_are_stopped() {
    let mut world = shop();
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    let running = world.run_task("shop", &id, "report", TaskSpec::default());
    let slow = TaskSpec { stops_after: Duration::from_secs(900), ..TaskSpec::default() };
    let stopping = world.run_task("shop", &id, "report", slow);
    world.stop_task("shop", &stopping);
    // ECS stops no task of this service, as it may not start another one first.
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let settings = LifecycleSettings {
        standalone_tasks: StandaloneTasks::Stop,
        ..LifecycleSettings::default()
    };
    let sim = Sim::start(world, settings).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    sim.run(Duration::from_secs(300)).await;

    let world = sim.region.world();
    let service_task =
        world.clusters["shop"].tasks_on(&id).find(|task| task.service.as_deref() == Some("stuck"));
    assert!(!service_task.expect("it cannot leave").stop_requested);
    assert!(world.clusters["shop"].tasks[&running].stop_requested);
    let stops = world.calls.iter().filter(|call| call.operation == "StopTask").count();
    assert_eq!(stops, 1, "the task that stops already is left alone");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_gone_ends_by_the_deadline() {
    let mut world = shop();
    world.disconnect_agent(&instance_id(9));
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert!(since_start(sim.completed().time) >= SignedDuration::from_secs(900));
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_holds_a_drain_at_half_of_its_time_and_at_its_end() {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    world.run_task("shop", &id, "report", TaskSpec::default());
    let people = "arn:aws:sns:eu-west-1:111122223333:drains";
    let settings =
        LifecycleSettings { notification_topic: Some(TopicArn::new(people)), ..settings() };
    let sim = Sim::start(world, settings).await;
    sim.terminate(&instance_id(9)).await;

    let world = sim.region.world();
    let notices: Vec<_> = world.published.iter().filter(|sent| sent.topic_arn == people).collect();
    let subjects: Vec<_> = notices.iter().map(|sent| sent.subject.as_deref().unwrap()).collect();
    let still_drains = format!("Ebb still drains {}", instance_id(9));
    let gives_up = format!("Ebb gives up draining {}", instance_id(9));
    assert_eq!(subjects, [still_drains, gives_up]);
    for notice in notices {
        let text = &notice.message;
        assert!(
            text.contains("1 standalone task: DRAINING leaves standalone tasks alone"),
            "{text}"
        );
        assert!(
            text.contains("1 task of stuck: minimumHealthyPercent 100 and maximumPercent 100"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ecs_own_words_say_why_a_replacement_finds_no_place() {
    let mut world = shop();
    let huge = TaskSpec { cpu: 1_400, ..TaskSpec::default() };
    world.add_service("shop", "huge", ServiceKind::replica(12), huge);
    let people = "arn:aws:sns:eu-west-1:111122223333:drains";
    let settings =
        LifecycleSettings { notification_topic: Some(TopicArn::new(people)), ..settings() };
    let holder = {
        let cluster = &world.clusters["shop"];
        let mut tasks = cluster.tasks.values();
        let task = tasks.find(|task| task.name.starts_with("huge")).expect("one is placed");
        cluster.instances[&task.container_instance].instance_id.clone()
    };
    let sim = Sim::start(world, settings).await;
    sim.terminate(&holder).await;

    let world = sim.region.world();
    let mut published = world.published.iter();
    let notice = published.find(|sent| sent.topic_arn == people).expect("people are told");
    let text = &notice.message;
    assert!(text.contains("1 task of huge: ECS finds no place for a replacement"), "{text}");
}

// Finding

#[tokio::test(start_paused = true)]
async fn an_instance_of_no_cluster_is_let_go_at_once() {
    let mut world = shop();
    let cluster = world.clusters.get_mut("shop").unwrap();
    cluster.instances.retain(|_, instance| instance.instance_id != instance_id(9));
    cluster.tasks.retain(|_, task| cluster.instances.contains_key(&task.container_instance));
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(since_start(completed.time) < SignedDuration::from_secs(10), "{}", completed.time);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_never_completes_an_action() {
    for operation in
        ["ListContainerInstances", "ListTasks", "DescribeTasks", "DescribeAutoScalingInstances"]
    {
        for fault in [Fault::Throttle, Fault::ServerError, Fault::Timeout, Fault::Denied] {
            let mut world = shop();
            world.faults.plan(operation, fault, u32::MAX);
            let sim = Sim::start(world, settings()).await;
            sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
            sim.run(Duration::from_secs(850)).await;

            assert_eq!(sim.region.world().completed_actions, [], "{operation}, {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_ends_the_hop_at_once() {
    for operation in [
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "ListContainerInstances",
        "UpdateContainerInstancesState",
        "ListTasks",
        "DescribeTasks",
        "DescribeServices",
    ] {
        let sim = Sim::start(quiet_shop(), settings()).await;
        {
            let mut world = sim.region.world();
            world.terminate_in_group(&instance_id(9), false).unwrap();
            world.faults.plan(operation, Fault::Denied, u32::MAX);
        }
        let answer = sim.invoke(&over_sns(&[message(&instance_id(9), scenario::SPOT_GROUP)])).await;

        let error = answer.expect_err("the function lacks a permission");
        assert_eq!(error.error_type, ErrorType::AwsDenied, "{operation}: {error}");
        let took = since_start(sim.region.now());
        assert!(took < SignedDuration::from_secs(5), "{operation}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_registering_is_looked_at_again() {
    let mut world = shop();
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    world.set_status("shop", &id, Status::Registering);
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let activate = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(sim.region.world().completed_actions, []);
        sim.region.world().set_status("shop", &id, Status::Active);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), activate);

    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_about_to_wait_is_looked_at_again_and_nothing_is_completed_meanwhile() {
    let sim = Sim::start(quiet_shop(), settings()).await;
    {
        let mut world = sim.region.world();
        world.terminate_in_group(&instance_id(9), false).unwrap();
        world.set_lifecycle_state(&instance_id(9), LifecycleState::Terminating);
    }
    let wait = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut world = sim.region.world();
        assert_eq!(world.completed_actions, []);
        world.set_lifecycle_state(&instance_id(9), LifecycleState::TerminatingWait);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), wait);

    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}

#[tokio::test(start_paused = true)]
async fn the_hooks_metadata_says_where_to_look_first() {
    let hook = Hook {
        topic_arn: Some(TOPIC.to_owned()),
        metadata: Some("{\"cluster\":\"shop\"}".to_owned()),
        ..Hook::new(HOOK)
    };
    let mut world = shop_with_hook(hook);
    for number in 0..30 {
        world.add_cluster(&format!("cluster-{number:02}"));
    }
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let lists = sim
        .region
        .world()
        .calls
        .iter()
        .filter(|call| call.operation == "ListContainerInstances")
        .count();
    assert_eq!(lists, 1);
}

// Events

#[tokio::test(start_paused = true)]
async fn a_test_notification_succeeds_without_a_call() {
    let sim = Sim::shop().await;
    sim.run(Duration::from_secs(60)).await;

    assert_eq!(sim.outcomes(), ["ignored", "ignored"], "one for each hook that was put");
    assert_eq!(sim.region.world().calls, []);
}

#[tokio::test(start_paused = true)]
async fn a_message_about_an_instance_that_is_not_terminating_changes_nothing() {
    let sim = Sim::shop().await;
    let forged = [
        message(&instance_id(9), scenario::SPOT_GROUP),
        message(&instance_id(9), scenario::ON_DEMAND_GROUP),
        message("i-0fedcba9876543210", scenario::SPOT_GROUP),
    ];
    let answer = sim.invoke(&over_sns(&forged)).await.unwrap();

    let words: Vec<_> = answer.outcomes.iter().map(|outcome| outcome.outcome.as_str()).collect();
    assert_eq!(words, ["ignored"; 3]);
    assert_eq!(sim.region.world().instances_with(Status::Draining), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn forged_state_that_names_another_container_instance_does_not_drain_it() {
    let sim = Sim::start(quiet_shop(), settings()).await;
    let healthy_arn =
        sim.region.world().container_instance(&instance_id(10)).unwrap().1.arn("shop");
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let mut forged = message(&instance_id(9), scenario::SPOT_GROUP);
    forged["ebb"] = json!({
        "hop": 1,
        "first_seen": start_time(),
        "deadline": start_time() + SignedDuration::from_secs(600),
        "cluster": "shop",
        "container_instance_arn": healthy_arn,
    });
    sim.invoke(&over_sns(&[forged])).await.unwrap();

    let world = sim.region.world();
    let drained: Vec<_> = world
        .history
        .iter()
        .filter_map(|entry| match &entry.happening {
            Happening::ContainerInstance { instance_id, status: Status::Draining } => {
                Some(instance_id.clone())
            }
            _ => None,
        })
        .collect();
    assert_eq!(drained, [instance_id(9)]);
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_completes_nothing() {
    let sim = Sim::shop().await;
    {
        let mut world = sim.region.world();
        world.delivery.functions.clear();
        let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
        world.clusters.get_mut("shop").unwrap().instances.remove(&id);
        world
            .clusters
            .get_mut("shop")
            .unwrap()
            .tasks
            .retain(|_, task| task.container_instance != id);
        world.terminate_in_group(&instance_id(9), false).unwrap();
    }
    sim.invoke(&over_sns(&[message(&instance_id(9), scenario::SPOT_GROUP)])).await.unwrap();

    assert_eq!(sim.region.world().completed_actions, []);
    assert_eq!(
        sim.region.world().lifecycle_state(&instance_id(9)),
        Some(LifecycleState::TerminatingWait)
    );
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_does_not_hide_the_others_and_fails_at_the_end() {
    let sim = Sim::shop().await;
    let mut malformed = message(&instance_id(9), scenario::SPOT_GROUP);
    malformed["EC2InstanceId"] = json!("web-1");
    sim.region.world().terminate_in_group(&instance_id(10), false).unwrap();
    let error = sim
        .invoke(&over_sns(&[malformed, message(&instance_id(10), scenario::SPOT_GROUP)]))
        .await
        .unwrap_err();

    assert!(error.to_string().contains("EC2InstanceId"), "{error}");
    assert!(!sim.region.world().instances_with(Status::Draining).is_empty());
}

// The loop

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

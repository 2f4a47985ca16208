//! Stories of drains: what is waited for, how long, and what people are told.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::{LifecycleSettings, StandaloneTasks};
use ebb_core::notification::NotificationFormat;
use ebb_region::world::autoscaling::{ActionResult, CompletedBy};
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use jiff::SignedDuration;
use serde_json::Value;

use crate::support::{Sim, instance_id, last_stop, settings, shop, since_start};

const POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(15);

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
        let place = "Cluster: shop\nAccount: 111122223333\nRegion: eu-west-1\n\
            Tasks: 1 service task, 1 standalone task and 1 daemon task left\n";
        assert!(text.contains(place), "{text}");
        assert!(text.contains("the instance is let go, with what still runs on it"), "{text}");
        assert!(text.contains("\n- Stop the standalone tasks"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_chains_of_hops_tell_people_once_and_chat_in_one_thread() {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let people = "arn:aws:sns:eu-west-1:111122223333:drains";
    // Too short for the chains to have become one.
    let settings = LifecycleSettings {
        drain_timeout: SignedDuration::from_secs(100),
        notification_topic: Some(TopicArn::new(people)),
        notification_format: NotificationFormat::Chat,
        ..settings()
    };
    world.delivery.mishaps.duplicate = 1.0;
    let sim = Sim::start(world, settings).await;
    sim.terminate(&instance_id(9)).await;

    let world = sim.region.world();
    let invocations = world.delivery.ended.len();
    assert!(invocations >= 2, "{invocations}");
    let sent = world.published.iter().filter(|sent| sent.topic_arn == people);
    let notices: Vec<Value> =
        sent.map(|sent| serde_json::from_str(&sent.message).unwrap()).collect();
    let kinds: Vec<_> = notices.iter().map(|chat| chat["metadata"]["eventType"].clone()).collect();
    assert_eq!(kinds, ["still_drains", "gives_up"]);
    for chat in &notices {
        assert_eq!(chat["metadata"]["threadId"], instance_id(9));
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

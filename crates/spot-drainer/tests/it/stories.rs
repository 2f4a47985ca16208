//! What the Spot drainer does, told as stories: one for each outcome, and for each rule that peers
//! broke.

use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::notification::NotificationFormat;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{NOTICE_AGE_MAX, OutcomeKind};
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::delivery::{Function, Target};
use ebb_region::world::ecs::{NewInstance, Status};
use ebb_region::world::spot::Action;
use ebb_region::{RunEnd, scenario};
use serde_json::{Value, json};

use crate::support::{
    Sim, TIMEOUT, failed, instance_id, kinds, notice, notice_at, shop_settings, sqs, start_time,
};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

#[tokio::test(start_paused = true)]
async fn an_interrupted_instance_is_drained_and_no_task_is_cut_off() {
    for action in [Action::Terminate, Action::Stop] {
        let sim = Sim::shop_with_queue(shop_settings()).await;
        sim.region.world().interrupt(&instance_id(9), action);
        assert_eq!(sim.run(HALF_AN_HOUR).await, RunEnd::Quiet);

        let world = sim.region.world();
        assert!(world.tasks_cut_off().is_empty(), "{action:?}: {:?}", world.tasks_cut_off());
        assert_eq!(
            world.clusters["shop"].tasks.values().filter(|task| task.is_desired_running()).count(),
            12 + 8 + 11
        );
        assert_eq!(world.delivery.ended.len(), 1);
        assert_eq!(world.delivery.queues["spot-drainer"].messages, []);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_drainer_tasks_are_cut_off() {
    let sim = Sim::start(scenario::shop(start_time(), 1), shop_settings()).await;
    sim.region.world().interrupt(&instance_id(9), Action::Terminate);
    sim.run(HALF_AN_HOUR).await;

    assert!(
        !sim.region.world().tasks_cut_off().is_empty(),
        "or the story above would prove nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn one_notice_with_one_configured_cluster_costs_exactly_two_calls() {
    let sim = Sim::shop().await;
    let outcome = sim.outcome(&notice(&instance_id(7))).await;

    assert_eq!(outcome.outcome, OutcomeKind::Draining);
    assert_eq!(outcome.cluster.as_deref(), Some("shop"));
    assert!(outcome.container_instance_arn.unwrap().as_str().contains(":container-instance/shop/"));
    assert_eq!(sim.draining(), [instance_id(7)]);
    assert_eq!(sim.calls(), ["ListContainerInstances", "UpdateContainerInstancesState"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_delivered_again_changes_nothing() {
    let sim = Sim::shop().await;
    sim.outcome(&notice(&instance_id(7))).await;
    let outcome = sim.outcome(&notice(&instance_id(7))).await;

    assert_eq!(outcome.outcome, OutcomeKind::AlreadyDraining);
    assert_eq!(outcome.cluster.as_deref(), Some("shop"));
    assert_eq!(sim.draining(), [instance_id(7)]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_no_cluster_is_normal() {
    let sim = Sim::shop().await;
    for stranger in ["i-0fedcba9876543210", "i-1a2b3c4d"] {
        assert_eq!(sim.outcome(&notice(stranger)).await.outcome, OutcomeKind::NotInCluster);
    }
    assert_eq!(sim.draining(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_leaves_while_it_is_handled_is_gone() {
    let sim = Sim::shop().await;
    // After the list, before the update.
    sim.region.world().terminate(&instance_id(7), Duration::from_millis(50));
    let outcome = sim.outcome(&notice(&instance_id(7))).await;

    assert_eq!((outcome.outcome, outcome.reason.as_deref()), (OutcomeKind::Gone, Some("INACTIVE")));
}

#[tokio::test(start_paused = true)]
async fn one_instance_that_ecs_objects_to_does_not_hide_the_others_of_its_call() {
    let sim = Sim::shop().await;
    let events = sqs(&[notice(&instance_id(7)), notice(&instance_id(8)), notice(&instance_id(9))]);
    let deregister = async {
        // After the list and the description, before the update.
        tokio::time::sleep(Duration::from_millis(90)).await;
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(8)).unwrap().1.id.clone();
        world.set_status("shop", &id, Status::Deregistering);
    };
    let (answer, ()) = tokio::join!(sim.invoke(&events), deregister);
    let answer = answer.unwrap();

    assert_eq!(sim.draining(), [instance_id(7), instance_id(9)]);
    assert_eq!(kinds(&answer), [OutcomeKind::Draining, OutcomeKind::Gone, OutcomeKind::Draining]);
    assert_eq!(failed(&answer), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_deregistering_is_gone() {
    let mut world = World::new(start_time(), 1);
    world.add_instance("shop", NewInstance::new("i-1a2b3c4d").status(Status::Deregistering));
    let sim = Sim::start(world, shop_settings()).await;

    assert_eq!(sim.outcome(&notice("i-1a2b3c4d")).await.outcome, OutcomeKind::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let sim = Sim::start(
        scenario::shop(start_time(), 1),
        SpotSettings {
            dry_run: true,
            fallback_group: Some(ebb_core::ids::GroupName::new(scenario::ON_DEMAND_GROUP)),
            ..shop_settings()
        },
    )
    .await;
    let outcome = sim.outcome(&notice(&instance_id(7))).await;

    assert_eq!(outcome.outcome, OutcomeKind::WouldDrain);
    assert_eq!(outcome.cluster.as_deref(), Some("shop"));
    assert_eq!(sim.draining(), [""; 0]);
    assert_eq!(sim.calls(), ["ListContainerInstances"]);
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_recommendation_drains_only_if_that_is_wanted() {
    let mut recommendation = notice(&instance_id(7));
    recommendation["detail-type"] = json!("EC2 Instance Rebalance Recommendation");
    recommendation["detail"] = json!({"instance-id": instance_id(7)});

    let sim = Sim::shop().await;
    let outcome = sim.outcome(&recommendation).await;
    assert_eq!(outcome.outcome, OutcomeKind::Ignored);
    assert_eq!(outcome.instance_id.unwrap().as_str(), instance_id(7));
    assert_eq!(sim.calls(), [""; 0]);

    let settings = SpotSettings { drain_on_rebalance: true, ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    assert_eq!(sim.outcome(&recommendation).await.outcome, OutcomeKind::Draining);
}

#[tokio::test(start_paused = true)]
async fn every_cluster_of_the_region_is_looked_through_if_none_is_configured() {
    let mut world = scenario::shop(start_time(), 1);
    for number in 0..120 {
        world.add_cluster(&format!("cluster-{number:03}"));
    }
    world.add_instance("zoo", NewInstance::new("i-1a2b3c4d"));
    let sim = Sim::start(world, SpotSettings::default()).await;
    let outcome = sim.outcome(&notice("i-1a2b3c4d")).await;

    assert_eq!((outcome.outcome, outcome.cluster.as_deref()), (OutcomeKind::Draining, Some("zoo")));
    assert_eq!(sim.draining(), ["i-1a2b3c4d"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_ignored_drains_only_the_instance_that_was_meant() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("ListContainerInstances", Fault::FilterIgnored, 100);

    assert_eq!(sim.outcome(&notice(&instance_id(7))).await.outcome, OutcomeKind::Draining);
    assert_eq!(
        sim.outcome(&notice("i-0fedcba9876543210")).await.outcome,
        OutcomeKind::NotInCluster
    );
    assert_eq!(sim.draining(), [instance_id(7)]);
}

#[tokio::test(start_paused = true)]
async fn a_page_without_results_does_not_end_a_list() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("ListContainerInstances", Fault::EmptyPage, 2);

    assert_eq!(sim.outcome(&notice(&instance_id(7))).await.outcome, OutcomeKind::Draining);
    let list = "ListContainerInstances";
    assert_eq!(
        sim.calls(),
        [list, list, list, "UpdateContainerInstancesState"],
        "two empty pages and a full one"
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_registering_is_drained_once_it_is_active() {
    let mut world = World::new(start_time(), 1);
    let arn =
        world.add_instance("shop", NewInstance::new("i-1a2b3c4d").status(Status::Registering));
    let sim = Sim::start(world, shop_settings()).await;
    let activate = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        sim.region.world().set_status("shop", arn.rsplit('/').next().unwrap(), Status::Active);
    };
    let event = notice("i-1a2b3c4d");
    let (outcome, ()) = tokio::join!(sim.outcome(&event), activate);

    assert_eq!(outcome.outcome, OutcomeKind::Draining);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_stays_registering_is_delivered_again() {
    let mut world = World::new(start_time(), 1);
    world.add_instance("shop", NewInstance::new("i-1a2b3c4d").status(Status::Registering));
    let sim = Sim::start(world, shop_settings()).await;
    let error = sim.invoke(&notice("i-1a2b3c4d")).await.unwrap_err();

    assert_eq!(error.error_type, ErrorType::AwsOther);
    assert!(error.to_string().contains("REGISTERING"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_configured_cluster_that_does_not_exist_loses_no_notice() {
    let settings = SpotSettings {
        clusters: Some(["shop", "typo"].map(Cluster::new).to_vec()),
        ..SpotSettings::default()
    };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;

    assert_eq!(sim.outcome(&notice(&instance_id(7))).await.outcome, OutcomeKind::Draining);
    let error = sim.invoke(&notice("i-0fedcba9876543210")).await.unwrap_err();
    assert!(error.to_string().contains("cluster typo"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_never_counts_as_not_there() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("ListContainerInstances", Fault::Throttle, 1000);
    let error = sim.invoke(&notice("i-0fedcba9876543210")).await.unwrap_err();

    assert_eq!(error.error_type, ErrorType::AwsThrottled);
}

#[tokio::test(start_paused = true)]
async fn a_late_notice_is_still_acted_on_and_an_old_one_is_not() {
    let sim = Sim::shop().await;
    let old = start_time() - NOTICE_AGE_MAX - Duration::from_secs(1);
    let outcome = sim.outcome(&notice_at(&instance_id(7), old)).await;
    assert_eq!(outcome.outcome, OutcomeKind::Ignored);
    assert!(outcome.reason.unwrap().contains("901 s ago"));
    assert_eq!(sim.calls(), [""; 0]);

    let late = start_time() - NOTICE_AGE_MAX;
    assert_eq!(sim.outcome(&notice_at(&instance_id(7), late)).await.outcome, OutcomeKind::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_notice_from_another_account_or_region_is_ignored() {
    let sim = Sim::shop().await;
    for (key, value) in [("account", "444455556666"), ("region", "us-east-1")] {
        let mut foreign = notice(&instance_id(7));
        foreign[key] = json!(value);
        let outcome = sim.outcome(&foreign).await;

        assert_eq!(outcome.outcome, OutcomeKind::Ignored);
        assert!(outcome.reason.unwrap().contains(value));
    }
    assert_eq!(sim.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn trying_again_ends_with_the_two_minutes_of_the_notice() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("ListContainerInstances", Fault::Throttle, 1000);
    let given = start_time() - Duration::from_secs(100);
    sim.invoke(&notice_at(&instance_id(7), given)).await.unwrap_err();

    let last_call = sim.region.world().calls.last().unwrap().time;
    assert!(
        last_call <= given + Duration::from_secs(120) + ebb_aws::clients::OPERATION_TIMEOUT,
        "{last_call}"
    );
    assert!(last_call >= start_time() + Duration::from_secs(3), "it did try again");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_reported_at_once() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("UpdateContainerInstancesState", Fault::Denied, 1000);
    let error = sim.invoke(&notice(&instance_id(7))).await.unwrap_err();

    assert_eq!(error.error_type, ErrorType::AwsDenied);
    assert!(error.to_string().contains("not authorized"), "{error}");
    assert_eq!(sim.calls(), ["ListContainerInstances", "UpdateContainerInstancesState"]);
}

/// Only its id could name it to the queue: without one it would be taken for done.
#[tokio::test(start_paused = true)]
async fn what_fails_and_has_no_message_id_is_run_again_with_its_whole_batch() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("UpdateContainerInstancesState", Fault::Denied, 1000);
    let mut batch = sqs(&[notice(&instance_id(7)), notice(&instance_id(8))]);
    assert_eq!(failed(&sim.invoke(&batch).await.unwrap()), ["m-0", "m-1"]);

    batch["Records"][1].as_object_mut().unwrap().remove("messageId");
    let error = sim.invoke(&batch).await.unwrap_err();
    assert_eq!(error.error_type, ErrorType::AwsDenied);
}

#[tokio::test(start_paused = true)]
async fn one_bad_message_of_a_batch_does_not_hide_the_others() {
    let sim = Sim::shop().await;
    let mut malformed = notice(&instance_id(8));
    malformed["detail"].as_object_mut().unwrap().remove("instance-id");
    let answer = sim
        .invoke(&sqs(&[
            malformed,
            notice(&instance_id(9)),
            json!("not JSON"),
            notice(&instance_id(9)),
            notice("i-1a2b3c4d"),
        ]))
        .await
        .unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining, OutcomeKind::NotInCluster]);
    assert_eq!(failed(&answer), ["m-0", "m-2"]);
    assert_eq!(sim.draining(), [instance_id(9)]);
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_of_a_topic_does_not_hide_the_others_and_fails_at_the_end() {
    let sim = Sim::shop().await;
    let record = |message: &Value| json!({"EventSource": "aws:sns", "Sns": {"Message": message.to_string()}});
    let mut malformed = notice("i-1a2b3c4d");
    malformed["detail"]["instance-id"] = json!("web-1");
    let error = sim
        .invoke(&json!({"Records": [record(&malformed), record(&notice(&instance_id(9)))]}))
        .await
        .unwrap_err();

    assert_eq!(error.error_type, ErrorType::InvalidEvent);
    assert!(error.to_string().contains("detail.instance-id"), "{error}");
    assert_eq!(sim.draining(), [instance_id(9)]);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_notice_ends_in_the_dead_letter_queue() {
    let sim = Sim::shop_with_queue(shop_settings()).await;
    let mut malformed = notice("i-1a2b3c4d");
    malformed["detail"] = json!(null);
    sim.region.world().put_event(malformed);
    assert_eq!(sim.run(HALF_AN_HOUR).await, RunEnd::Quiet);

    let world = sim.region.world();
    let queue = &world.delivery.queues["spot-drainer"];
    assert_eq!((queue.messages.len(), queue.dead_letters.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn straight_from_the_rule_a_failed_notice_is_run_again_by_lambda() {
    let mut world = scenario::shop(start_time(), 1);
    world
        .delivery
        .rules
        .push(scenario::notices_to(Target::Function(scenario::SPOT_DRAINER.to_owned())));
    world.delivery.functions.insert(scenario::SPOT_DRAINER.to_owned(), Function::new(TIMEOUT));
    world.faults.plan("UpdateContainerInstancesState", Fault::Denied, 1);
    let sim = Sim::start(world, shop_settings()).await;
    sim.region.world().put_event(notice(&instance_id(7)));
    sim.run(HALF_AN_HOUR).await;

    assert_eq!(sim.region.world().delivery.ended.len(), 2);
    assert_eq!(sim.draining(), [instance_id(7)]);
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_is_drained_and_a_topic_that_fails_harms_nothing() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:drains";
    let settings =
        SpotSettings { notification_topic: Some(TopicArn::new(topic)), ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    sim.outcome(&notice(&instance_id(7))).await;
    sim.region.world().faults.plan("Publish", Fault::Timeout, 2);
    assert_eq!(sim.outcome(&notice(&instance_id(8))).await.outcome, OutcomeKind::Draining);
    sim.outcome(&notice(&instance_id(8))).await;

    let published = sim.region.world().published.clone();
    assert_eq!(published.len(), 1, "nothing to tell about an instance that was DRAINING already");
    assert_eq!(published[0].topic_arn, topic);
    assert_eq!(published[0].subject.as_deref(), Some("Ebb drains 1 container instance"));
    let line = format!("{} in cluster shop: Spot interruption notice (terminate)", instance_id(7));
    assert!(published[0].message.contains(&line), "{:?}", published[0]);
}

/// As after minutes in which the function was frozen.
#[tokio::test(start_paused = true)]
async fn one_connection_that_is_silent_costs_no_notice() {
    let notification_topic = Some(TopicArn::new("arn:aws:sns:eu-west-1:111122223333:drains"));
    let settings = SpotSettings { notification_topic, ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    sim.region.world().faults.plan("Publish", Fault::Timeout, 1);
    sim.outcome(&notice(&instance_id(7))).await;

    assert_eq!(sim.region.world().published.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn chat_shows_the_interruption_of_an_instance_in_a_thread_of_its_own() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:drains";
    let settings = SpotSettings {
        notification_topic: Some(TopicArn::new(topic)),
        notification_format: NotificationFormat::Chat,
        ..shop_settings()
    };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    sim.outcome(&notice(&instance_id(7))).await;

    let published = sim.region.world().published.clone();
    let chat: Value = serde_json::from_str(&published[0].message).unwrap();
    assert_eq!((&chat["version"], &chat["source"]), (&json!("1.0"), &json!("custom")));
    assert_eq!(chat["content"]["title"], "Ebb drains 1 container instance");
    assert_eq!(chat["metadata"]["threadId"], instance_id(7));
    assert_eq!(chat["metadata"]["additionalContext"]["account"], "111122223333");
}

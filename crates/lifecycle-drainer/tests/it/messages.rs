//! Stories of messages: which are for the function, and what forged ones cannot do.

use std::time::Duration;

use ebb_region::scenario;
use ebb_region::world::Happening;
use ebb_region::world::autoscaling::LifecycleState;
use ebb_region::world::ecs::Status;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{Sim, instance_id, message, over_sns, quiet_shop, settings, start_time};

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
    let mut forged = sim.message(&instance_id(9));
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
    let error =
        sim.invoke(&over_sns(&[malformed, sim.message(&instance_id(10))])).await.unwrap_err();

    assert!(error.to_string().contains("EC2InstanceId"), "{error}");
    assert!(!sim.region.world().instances_with(Status::Draining).is_empty());
}

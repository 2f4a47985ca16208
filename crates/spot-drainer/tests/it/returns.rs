//! What was drained on a notice that the instance outlives is ACTIVE again when it runs again, and
//! nothing else is.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::mark::DRAINED_BY;
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::ecs::{NewInstance, Status};
use ebb_region::world::spot::Action;
use ebb_region::{RunEnd, scenario};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Sim, failed, instance_id, kinds, notice, shop_settings, sqs, start_time};

/// A notice that EC2 stops the instance.
fn stop(instance_id: &str) -> Value {
    let mut stop = notice(instance_id);
    stop["detail"]["instance-action"] = json!("stop");
    stop
}

fn rebalance(instance_id: &str) -> Value {
    let mut rebalance = notice(instance_id);
    rebalance["detail-type"] = json!("EC2 Instance Rebalance Recommendation");
    rebalance["detail"] = json!({"instance-id": instance_id});
    rebalance
}

/// The event that the instance runs since then.
fn running(instance_id: &str, since: Timestamp) -> Value {
    let mut running = notice(instance_id);
    running["detail-type"] = json!("EC2 Instance State-change Notification");
    running["detail"] = json!({"instance-id": instance_id, "state": "running"});
    running["time"] = json!(since);
    running
}

fn mark_of(sim: &Sim, instance_id: &str) -> Option<String> {
    let world = sim.region.world();
    let (_, instance) = world.container_instance(instance_id).unwrap();
    instance.attribute(DRAINED_BY).map(str::to_owned)
}

fn set_status(sim: &Sim, instance_id: &str, status: Status) {
    let mut world = sim.region.world();
    let (cluster, id) = world.registrations(instance_id).pop().unwrap();
    world.set_status(&cluster, &id, status);
}

/// Gives an instance as many attributes as it may have.
fn fill(world: &mut World, instance_id: &str) {
    let (cluster, id) = world.registrations(instance_id).pop().unwrap();
    (0..10).for_each(|number| world.put_attribute(&cluster, &id, &format!("own-{number}"), "x"));
}

/// Some minutes go by.
async fn later(sim: &Sim) -> Timestamp {
    sleep(Duration::from_secs(600)).await;
    sim.region.now()
}

/// The calls since there were this many.
fn calls_since(sim: &Sim, begun: usize) -> Vec<String> {
    sim.calls().split_off(begun)
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_is_active_again_once_it_is_back_and_gets_tasks() {
    for action in [Action::Stop, Action::Hibernate] {
        let sim = Sim::shop_with_queue(shop_settings()).await;
        // Nothing runs on it when it hibernates, which begins at once.
        let id = instance_id(9);
        sim.region.world().interrupt(&id, action);
        sim.region.world().return_instance(&id, Duration::from_secs(1_800));
        sim.run(Duration::from_secs(1_500)).await;
        assert_eq!(sim.region.world().status_of(&id), Some(Status::Draining), "{action:?}");
        let mark = format!("spot-drainer/{}/{}", start_time(), action.as_str());
        assert_eq!(mark_of(&sim, &id), Some(mark));

        assert_eq!(sim.run(Duration::from_secs(1_800)).await, RunEnd::Quiet);
        let world = sim.region.world().clone();
        assert_eq!(world.status_of(&id), Some(Status::Active), "{action:?}");
        assert_eq!(mark_of(&sim, &id), None);
        assert_eq!(world.delivery.queues["spot-drainer"].dead_letters, []);
        let (cluster, instance) = world.container_instance(&id).unwrap();
        assert!(
            world.clusters[cluster].tasks_on(&instance.id).any(|task| task.is_desired_running()),
            "its daemon runs again"
        );
        assert_eq!(world.missing_tasks(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_to_stop_costs_one_call_more_after_the_drain_and_a_return_four() {
    let sim = Sim::shop().await;
    let id = instance_id(7);
    assert_eq!(sim.outcome(&stop(&id)).await.outcome, OutcomeKind::Draining);
    assert_eq!(
        sim.calls(),
        ["ListContainerInstances", "UpdateContainerInstancesState", "PutAttributes"]
    );

    let begun = sim.calls().len();
    let outcome = sim.outcome(&running(&id, later(&sim).await)).await;
    assert_eq!(outcome.outcome, OutcomeKind::Reactivated);
    assert_eq!(outcome.cluster.as_deref(), Some("shop"));
    assert!(outcome.container_instance_arn.is_some());
    assert_eq!(
        calls_since(&sim, begun),
        [
            "ListContainerInstances",
            "DescribeContainerInstances",
            "UpdateContainerInstancesState",
            "DeleteAttributes"
        ]
    );
    assert_eq!((sim.draining(), mark_of(&sim, &id)), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_is_active_again() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:drains";
    let settings =
        SpotSettings { notification_topic: Some(TopicArn::new(topic)), ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    let id = instance_id(7);
    sim.outcome(&stop(&id)).await;
    let since = later(&sim).await;
    sim.outcome(&running(&id, since)).await;
    sim.outcome(&running(&id, since)).await;

    let published = sim.region.world().published.clone();
    let subjects: Vec<_> = published.iter().filter_map(|it| it.subject.as_deref()).collect();
    assert_eq!(
        subjects,
        ["Ebb drains 1 container instance", "Ebb sets 1 container instance to ACTIVE again"]
    );
    let message = &published[1].message;
    assert!(message.contains(&format!("\n{id} in cluster shop: it runs again\n")), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_return_that_is_delivered_again_and_a_launch_change_nothing() {
    let sim = Sim::shop().await;
    let id = instance_id(7);
    sim.outcome(&stop(&id)).await;
    let event = running(&id, later(&sim).await);
    sim.outcome(&event).await;
    let begun = sim.calls().len();
    assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::Ignored);
    assert_eq!(calls_since(&sim, begun), ["ListContainerInstances", "DescribeContainerInstances"]);

    // An instance that was launched is in no cluster yet.
    let begun = sim.calls().len();
    let launched = running("i-0fedcba9876543210", sim.region.now());
    assert_eq!(sim.outcome(&launched).await.outcome, OutcomeKind::Ignored);
    assert_eq!(calls_since(&sim, begun), ["ListContainerInstances"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_drained_stays_draining() {
    for mark in [None, Some("scale-in-reaper/2025-03-04T04:00:00Z"), Some("a person")] {
        let sim = Sim::shop().await;
        let id = instance_id(7);
        set_status(&sim, &id, Status::Draining);
        if let Some(mark) = mark {
            let mut world = sim.region.world();
            let (cluster, container_instance) = world.registrations(&id).pop().unwrap();
            world.put_attribute(&cluster, &container_instance, DRAINED_BY, mark);
        }
        assert_eq!(sim.outcome(&stop(&id)).await.outcome, OutcomeKind::AlreadyDraining);
        let event = running(&id, later(&sim).await);
        assert_eq!(sim.outcome(&event).await.outcome, OutcomeKind::Ignored);

        assert_eq!(sim.draining(), [id.as_str()], "{mark:?}");
        assert_eq!(mark_of(&sim, &id).as_deref(), mark);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_event_of_the_time_before_the_drain_does_not_take_it_back() {
    let sim = Sim::shop().await;
    let id = instance_id(7);
    sim.outcome(&stop(&id)).await;
    let launched = start_time() - Duration::from_secs(60);
    assert_eq!(sim.outcome(&running(&id, launched)).await.outcome, OutcomeKind::Ignored);

    assert_eq!(sim.draining(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_neither_marks_nor_takes_back() {
    let sim = Sim::shop().await;
    let id = instance_id(7);
    sim.outcome(&stop(&id)).await;
    let dry_run = sim.with(SpotSettings { dry_run: true, ..shop_settings() }).await;
    let event = running(&id, later(&sim).await);
    assert_eq!(dry_run.outcome(&event).await.outcome, OutcomeKind::WouldReactivate);
    assert_eq!(dry_run.outcome(&stop(&instance_id(8))).await.outcome, OutcomeKind::WouldDrain);

    assert_eq!(sim.draining(), [id.as_str()]);
    assert!(mark_of(&sim, &id).is_some());
    assert_eq!(mark_of(&sim, &instance_id(8)), None);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_cannot_be_written_is_no_failure() {
    let sim = Sim::shop().await;
    sim.region.world().faults.plan("PutAttributes", Fault::Denied, 100);
    let answer = sim.invoke(&sqs(&[stop(&instance_id(7)), stop(&instance_id(8))])).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2]);
    assert_eq!(failed(&answer), [""; 0]);
    assert_eq!(sim.draining(), [instance_id(7), instance_id(8)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_can_bear_no_mark_keeps_no_other_from_it() {
    let sim = Sim::shop().await;
    let [full, marked] = [7, 8].map(instance_id);
    fill(&mut sim.region.world(), &full);
    let answer = sim.invoke(&sqs(&[stop(&full), stop(&marked)])).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2]);
    assert_eq!((mark_of(&sim, &full), mark_of(&sim, &marked).is_some()), (None, true));
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_answer_was_lost_is_marked_all_the_same() {
    let sim = Sim::shop().await;
    // More often than the SDK tries: the next round finds it DRAINING.
    sim.region.world().faults.plan("UpdateContainerInstancesState", Fault::AnswerLost, 5);
    let outcome = sim.outcome(&stop(&instance_id(7))).await;

    assert_eq!(outcome.outcome, OutcomeKind::AlreadyDraining);
    assert!(mark_of(&sim, &instance_id(7)).is_some(), "nobody else drained it");
}

#[tokio::test(start_paused = true)]
async fn an_interruption_after_a_recommendation_lets_it_stay_draining() {
    let settings = SpotSettings { drain_on_rebalance: true, ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    let id = instance_id(7);
    sim.outcome(&rebalance(&id)).await;
    let recommended = format!("spot-drainer/{}/rebalance", start_time());
    assert_eq!(mark_of(&sim, &id), Some(recommended.clone()));
    sim.outcome(&rebalance(&id)).await;
    assert_eq!(mark_of(&sim, &id), Some(recommended), "delivered twice");

    let mut terminate = notice(&id);
    terminate["time"] = json!(later(&sim).await);
    assert_eq!(sim.outcome(&terminate).await.outcome, OutcomeKind::AlreadyDraining);
    assert_eq!(mark_of(&sim, &id), None, "no sweep sets it to ACTIVE in its last two minutes");
    assert_eq!(sim.draining(), [id]);
}

#[tokio::test(start_paused = true)]
async fn the_notice_that_says_more_decides_in_a_batch() {
    let settings = SpotSettings { drain_on_rebalance: true, ..shop_settings() };
    let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
    let [id, stopped] = [7, 8].map(instance_id);
    let notices = [rebalance(&id), notice(&id), stop(&stopped), rebalance(&stopped)];
    let answer = sim.invoke(&sqs(&notices)).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2]);
    assert_eq!(mark_of(&sim, &id), None);
    assert_eq!(mark_of(&sim, &stopped), Some(format!("spot-drainer/{}/stop", start_time())));
}

#[tokio::test(start_paused = true)]
async fn a_notice_and_the_return_in_one_batch_end_active() {
    let sim = Sim::shop().await;
    let id = instance_id(7);
    let events = sqs(&[running(&id, later(&sim).await), stop(&id)]);
    let answer = sim.invoke(&events).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Reactivated, OutcomeKind::Draining]);
    assert_eq!((sim.draining(), mark_of(&sim, &id)), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_connect_is_said_and_no_dead_letter() {
    let sim = Sim::shop_with_queue(shop_settings()).await;
    let id = instance_id(9);
    sim.region.world().interrupt(&id, Action::Stop);
    sim.run(Duration::from_secs(300)).await;
    let event = running(&id, sim.region.now());
    sim.region.world().put_event(event);
    sim.run(Duration::from_secs(300)).await;

    let world = sim.region.world();
    assert_eq!(world.status_of(&id), Some(Status::Draining));
    assert_eq!(world.delivery.queues["spot-drainer"].dead_letters, []);
    let last = world.delivery.ended.last().unwrap().result.clone().unwrap();
    assert_eq!(last["outcomes"][0]["outcome"], "not_reactivated", "{last}");
}

#[tokio::test(start_paused = true)]
async fn of_two_container_instances_the_one_with_the_agent_comes_back() {
    let mut world = World::new(start_time(), 1);
    let ghost = NewInstance::new("i-1a2b3c4d").age(Duration::from_secs(86_400));
    world.add_instance("old", ghost.agent_disconnected());
    world.add_instance("shop", NewInstance::new("i-1a2b3c4d"));
    let sim = Sim::start(world, SpotSettings::default()).await;
    let answer = sim.invoke(&stop("i-1a2b3c4d")).await.unwrap();
    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2]);

    let since = later(&sim).await;
    let event = running("i-1a2b3c4d", since);
    let error = sim.invoke(&event).await.unwrap_err();
    assert!(error.to_string().contains("agent is not connected"), "{error}");
    assert_eq!(sim.draining(), ["i-1a2b3c4d"], "the other one is ACTIVE at once");
    sleep(Duration::from_secs(90)).await;
    let answer = sim.invoke(&event).await.unwrap();
    assert_eq!(kinds(&answer), [OutcomeKind::NotReactivated, OutcomeKind::Ignored]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_on_the_way_back_leaves_nothing_half_done() {
    for operation in [
        "ListContainerInstances",
        "DescribeContainerInstances",
        "UpdateContainerInstancesState",
        "DeleteAttributes",
    ] {
        for fault in Fault::TRANSIENT.into_iter().chain([Fault::Denied]) {
            for calls in [1, 3, 8] {
                let sim = Sim::shop().await;
                let id = instance_id(7);
                sim.outcome(&stop(&id)).await;
                let event = running(&id, later(&sim).await);
                sim.region.world().faults.plan(operation, fault, calls);
                for _ in 0..=calls {
                    if sim.invoke(&event).await.is_ok() {
                        break;
                    }
                }
                let case = format!("{operation}, {fault:?} × {calls}");
                assert_eq!((sim.draining(), mark_of(&sim, &id)), (vec![], None), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_killed_anywhere_on_the_way_back_forgets_nothing() {
    for killed_after in (0..170).step_by(5) {
        let sim = Sim::shop().await;
        let id = instance_id(7);
        sim.outcome(&stop(&id)).await;
        let event = running(&id, later(&sim).await);
        let killed_after = Duration::from_millis(killed_after);
        let _ = tokio::time::timeout(killed_after, sim.invoke(&event)).await;
        sleep(Duration::from_secs(30)).await;
        sim.invoke(&event).await.unwrap();

        let state = (sim.draining(), mark_of(&sim, &id));
        assert_eq!(state, (vec![], None), "killed after {killed_after:?}");
    }
}

//! Every fault at every call: the instance ends DRAINING, or the invocation ends as something that
//! is run again.

use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_core::ids::{GroupName, TopicArn};
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::LaunchSource;
use ebb_region::{RunEnd, scenario};

use crate::support::{Sim, TIMEOUT, failed, instance_id, notice, sqs, start_time};

/// With no cluster configured and a fallback group, every call that the function knows is made.
fn settings() -> SpotSettings {
    SpotSettings {
        fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)),
        ..SpotSettings::default()
    }
}

const CALLS: [&str; 8] = [
    "ListClusters",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DescribeAutoScalingGroups",
    "LaunchInstances",
    "SetDesiredCapacity",
];

/// The calls for a group that does not allow launches.
const CLAIM_CALLS: [&str; 3] =
    ["DescribeContainerInstances", "PutAttributes", "SetDesiredCapacity"];

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:drains";

/// With a fallback group for which this call is made.
async fn sim_with(operation: &str, fault: Fault, calls: u32) -> Sim {
    let mut world = scenario::shop(start_time(), 1);
    world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().source = source(operation);
    world.faults.plan(operation, fault, calls);
    Sim::start(world, settings()).await
}

fn source(operation: &str) -> LaunchSource {
    if CLAIM_CALLS.contains(&operation) {
        LaunchSource::Configuration
    } else {
        LaunchSource::Template
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_is_tried_again_within_the_invocation() {
    for operation in CALLS {
        for fault in Fault::TRANSIENT {
            for calls in [1, 3, 8] {
                let sim = sim_with(operation, fault, calls).await;
                let answer = sim.invoke(&notice(&instance_id(7))).await;

                let case = format!("{operation}, {fault:?} × {calls}: {answer:?}");
                assert!(answer.is_ok() || calls == 8, "{case}");
                let drained = sim.draining() == [instance_id(7)];
                assert!(drained || answer.is_err(), "silently neither: {case}");
                assert!(
                    sim.calls().iter().any(|call| call == operation) || answer.is_err(),
                    "not called: {case}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_stays_ends_as_a_message_to_be_delivered_again() {
    for operation in CALLS {
        for fault in Fault::TRANSIENT.into_iter().chain([Fault::Denied]) {
            let sim = sim_with(operation, fault, u32::MAX).await;
            let answer = sim
                .invoke(&sqs(&[notice(&instance_id(7))]))
                .await
                .expect("a batch reports its items");

            // These take effect all the same, and the next look shows it. What may not be launched is
            // counted by a claim.
            let shows =
                ["UpdateContainerInstancesState", "SetDesiredCapacity"].contains(&operation);
            let claims = (operation, fault) == ("LaunchInstances", Fault::Denied);
            if fault.takes_effect() && shows || claims {
                assert_eq!((failed(&answer), sim.draining()), (vec![], vec![instance_id(7)]));
                let desired = sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity;
                assert!((7..=8).contains(&desired), "{operation}, {fault:?}: {desired}");
            } else {
                assert_eq!(failed(&answer), ["m-0"], "{operation}, {fault:?}");
            }
            let took = Duration::try_from(sim.region.now().duration_since(start_time())).unwrap();
            assert!(took < TIMEOUT, "{operation}, {fault:?}: answered after {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_within_the_notice_period_cuts_no_task_off() {
    for operation in CALLS {
        for fault in Fault::TRANSIENT {
            let sim = Sim::shop_with_queue(settings()).await;
            {
                let mut world = sim.region.world();
                world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().source = source(operation);
                world.faults.plan(operation, fault, 4);
            }
            sim.region
                .world()
                .interrupt(&instance_id(9), ebb_region::world::spot::Action::Terminate);
            assert_eq!(sim.run(Duration::from_secs(1800)).await, RunEnd::Quiet);

            let world = sim.region.world();
            assert!(
                world.tasks_cut_off().is_empty(),
                "{operation}, {fault:?}: {:?}",
                world.tasks_cut_off()
            );
            assert_eq!(world.delivery.queues["spot-drainer"].dead_letters, []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_an_answer_confirms_it_and_no_drain_waits_for_that() {
    for fault in Fault::BROKEN_ANSWERS {
        for calls in [1, u32::MAX] {
            let notification_topic = Some(TopicArn::new(PEOPLE));
            let settings = SpotSettings { notification_topic, ..settings() };
            let sim = Sim::start(scenario::shop(start_time(), 1), settings).await;
            sim.region.world().faults.plan("Publish", fault, calls);
            let answer = sim.invoke(&notice(&instance_id(7))).await.expect("it is drained");

            let case = format!("{fault:?} × {calls}: {answer:?}");
            assert_eq!(sim.draining(), [instance_id(7)], "{case}");
            let told = sim.region.world().published.iter().any(|sent| sent.topic_arn == PEOPLE);
            assert!(told || calls > 1, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_answer_is_the_functions_error() {
    for (fault, problem) in [
        (Fault::EmptyAnswer, "it is empty"),
        (Fault::EmptyObject, "it lacks containerInstanceArns"),
        (Fault::HtmlPage, "it is no JSON"),
        (Fault::NullList, "its containerInstanceArns is no list"),
        (Fault::TruncatedAnswer, "it breaks off"),
        (Fault::EndlessAnswer, "it is larger than 16 MiB"),
    ] {
        let sim = sim_with("ListContainerInstances", fault, u32::MAX).await;
        let error = sim.invoke(&notice(&instance_id(7))).await.expect_err("it is not found");

        let sentence = format!("the answer is no ListContainerInstances answer: {problem}");
        assert_eq!(error.error_type, ErrorType::AwsOther);
        assert!(error.to_string().contains(&sentence), "{fault:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_outage_takes_the_time_is_the_functions_error() {
    for (fault, cause) in [
        (Fault::Timeout, "timeout ("),
        (Fault::ConnectionReset, "connection"),
        (Fault::ServerError, "ServerException"),
        (Fault::Throttle, "ThrottlingException"),
    ] {
        for operation in ["ListClusters", "ListContainerInstances"] {
            // Some of these end in the middle of a call, and some in a pause.
            for seconds in 7..=30 {
                let sim = sim_with(operation, fault, u32::MAX).await;
                let error = sim
                    .invoke_for(Duration::from_secs(seconds), &notice(&instance_id(7)))
                    .await
                    .unwrap_err();
                let case = format!("{operation}, {fault:?}, {seconds} s: {error}");
                assert!(error.to_string().contains(cause), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_killed_anywhere_forgets_nothing() {
    for operation in ["LaunchInstances", "SetDesiredCapacity"] {
        let clean = sim_with(operation, Fault::Throttle, 0).await;
        clean.invoke(&notice(&instance_id(7))).await.unwrap();
        let takes = clean.region.now().duration_since(start_time()).as_millis();
        assert!(takes > 150, "four calls and more: {takes} ms");

        for killed_after in (0..takes).step_by(5) {
            let sim = sim_with(operation, Fault::Throttle, 0).await;
            let killed_after = Duration::from_millis(u64::try_from(killed_after).unwrap());
            let event = notice(&instance_id(7));
            tokio::time::timeout(killed_after, sim.invoke(&event)).await.unwrap_err();
            // Delivered again after the queue's visibility time-out.
            tokio::time::sleep(Duration::from_secs(30)).await;
            sim.invoke(&notice(&instance_id(7))).await.unwrap();

            assert_eq!(sim.draining(), [instance_id(7)]);
            let desired = sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity;
            // By claims, a death may count it twice.
            let most = if operation == "LaunchInstances" { 7 } else { 8 };
            assert!((7..=most).contains(&desired), "{operation} {killed_after:?}: {desired}");
        }
    }
}

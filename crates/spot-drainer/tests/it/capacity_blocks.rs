//! A Capacity Block ends: EC2 names the reservation, and its instances are drained.

use std::time::Duration;

use ebb_core::spot::OutcomeKind;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use serde_json::{Value, json};

use crate::support::{Sim, failed, instance_id, kinds, notice, shop_settings, sqs, start_time};

const RESERVATION: &str = "cr-0a1b2c3d4e5f60001";

fn warning(reservation: &str) -> Value {
    json!({
        "version": "0",
        "detail-type": "Capacity Block Reservation Expiration Warning",
        "source": "aws.ec2",
        "time": start_time(),
        "detail": {"capacity-reservation-id": reservation, "end-date": "2025-03-04T05:40:00Z"},
    })
}

/// The shop with a Capacity Block of three of its instances and one of no cluster.
async fn sim() -> Sim {
    let mut world = scenario::shop(start_time(), 1);
    let mut instances: Vec<_> = (7..=9).map(instance_id).collect();
    instances.push("i-0fedcba9876543210".to_owned());
    world.capacity_reservations.insert(RESERVATION.to_owned(), instances);
    world.capacity_reservations.insert("cr-0b".to_owned(), vec![instance_id(1)]);
    Sim::start(world, shop_settings()).await
}

#[tokio::test(start_paused = true)]
async fn every_instance_in_the_block_is_drained_and_no_other() {
    let sim = sim().await;
    let answer = sim.invoke(&warning(RESERVATION)).await.unwrap();

    assert_eq!(sim.draining(), [7, 8, 9].map(instance_id));
    let took = sim.region.now().duration_since(start_time());
    assert!(took.as_millis() < 400, "without a pause: {took}");
    use OutcomeKind::{Draining, NotInCluster};
    assert_eq!(kinds(&answer), [Draining, Draining, Draining, NotInCluster]);
    let reasons: Vec<_> = answer.outcomes.iter().map(|outcome| outcome.reason.as_deref()).collect();
    assert_eq!(reasons[0], Some("the Capacity Block ends"));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_and_a_block_without_instances_ask_for_nothing() {
    let sim = sim().await;
    sim.region.world().terminate_in_ec2(&instance_id(7), Duration::ZERO);
    sim.run(Duration::from_secs(1)).await;
    sim.invoke(&warning(RESERVATION)).await.unwrap();
    assert!(!sim.draining().contains(&instance_id(7)));

    let answer = sim.invoke(&warning("cr-0c")).await.unwrap();
    assert_eq!(kinds(&answer), [OutcomeKind::NotInCluster]);
    let reason = answer.outcomes[0].reason.as_deref();
    assert_eq!(reason, Some("no instance runs in Capacity Reservation cr-0c"));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_is_tried_again_and_one_that_stays_is_a_message_to_be_delivered_again()
{
    for fault in Fault::TRANSIENT.into_iter().chain([Fault::Denied]) {
        for calls in [1, 3, u32::MAX] {
            let sim = sim().await;
            sim.region.world().faults.plan("DescribeInstances", fault, calls);
            let event = sqs(&[notice(&instance_id(12)), warning(RESERVATION)]);
            let answer = sim.invoke(&event).await.expect("a batch reports its items");

            let case = format!("{fault:?} × {calls}: {answer:?}");
            let first = |operation: &str| sim.calls().iter().position(|call| call == operation);
            let drained_at = first("UpdateContainerInstancesState");
            let other_first =
                first("DescribeInstances").is_none_or(|asked| drained_at < Some(asked));
            assert!(other_first, "the other notice waits: {case}");
            let drained = sim.draining().len() == 4;
            let expected = if drained { vec![] } else { vec!["m-1"] };
            assert_eq!(failed(&answer), expected, "{case}");
            assert_eq!(drained, calls < u32::MAX && fault != Fault::Denied, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_again_while_any_instance_of_its_block_is_open() {
    let sim = sim().await;
    sim.region.world().faults.plan("UpdateContainerInstancesState", Fault::Denied, u32::MAX);
    let answer = sim.invoke(&sqs(&[warning(RESERVATION)])).await.unwrap();
    assert_eq!(failed(&answer), ["m-0"]);
}

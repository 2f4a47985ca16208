//! The on-demand fallback group: one more instance for each interrupted container instance.

use std::time::Duration;

use ebb_core::ids::GroupName;
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::scenario;

use crate::support::{Sim, instance_id, kinds, notice, shop_settings, sqs, start_time};

async fn sim() -> Sim {
    let settings = SpotSettings {
        fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)),
        ..shop_settings()
    };
    Sim::start(scenario::shop(start_time(), 1), settings).await
}

fn desired_capacity(sim: &Sim) -> i32 {
    sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity
}

#[tokio::test(start_paused = true)]
async fn each_interrupted_container_instance_raises_the_group_by_one() {
    let sim = sim().await;
    sim.invoke(&notice(&instance_id(7))).await.unwrap();
    assert_eq!(desired_capacity(&sim), 7);

    sim.invoke(&sqs(&[notice(&instance_id(8)), notice(&instance_id(9)), notice("i-1a2b3c4d")]))
        .await
        .unwrap();
    assert_eq!(desired_capacity(&sim), 9, "an instance of no cluster is not counted");

    sim.run(Duration::from_secs(120)).await;
    let active = sim.region.world().instances_with(ebb_region::world::ecs::Status::Active).len();
    assert_eq!(active, 12 - 3 + 3, "and the new instances join the cluster");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_delivered_again_counts_once() {
    let sim = sim().await;
    sim.invoke(&notice(&instance_id(7))).await.unwrap();
    sim.invoke(&notice(&instance_id(7))).await.unwrap();
    sim.invoke(&sqs(&[notice(&instance_id(7)), notice(&instance_id(7))])).await.unwrap();

    assert_eq!(desired_capacity(&sim), 7);
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_at_the_same_time_count_once() {
    for apart_ms in (0..400).step_by(10) {
        let sim = sim().await;
        let event = notice(&instance_id(7));
        let later = async {
            tokio::time::sleep(Duration::from_millis(apart_ms)).await;
            sim.invoke(&event).await
        };
        let (first, second) = tokio::join!(sim.invoke(&event), later);

        assert!(first.is_ok() && second.is_ok(), "{apart_ms} ms apart: {first:?}, {second:?}");
        assert_eq!(desired_capacity(&sim), 7, "{apart_ms} ms apart");
    }
}

#[tokio::test(start_paused = true)]
async fn the_group_is_never_raised_above_its_maximum() {
    let sim = sim().await;
    let notices: Vec<_> = (7..=12).map(|number| notice(&instance_id(number))).collect();
    let answer = sim.invoke(&sqs(&notices)).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 6]);
    assert_eq!(desired_capacity(&sim), 10);
    sim.invoke(&notice(&instance_id(1))).await.unwrap();
    assert_eq!(desired_capacity(&sim), 10);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_its_agent_drained_first_is_counted_too() {
    let sim = sim().await;
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(7)).unwrap().1.id.clone();
        world.set_status("shop", &id, ebb_region::world::ecs::Status::Draining);
    }
    assert_eq!(sim.outcome(&notice(&instance_id(7))).await.outcome, OutcomeKind::AlreadyDraining);
    assert_eq!(desired_capacity(&sim), 7);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_raises_the_group_once() {
    for fault in Fault::TRANSIENT {
        let sim = sim().await;
        sim.region.world().faults.plan("SetDesiredCapacity", fault, 1);
        sim.invoke(&notice(&instance_id(7))).await.unwrap();
        assert_eq!(desired_capacity(&sim), 7, "{fault:?}");
    }
}

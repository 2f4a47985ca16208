//! A mass interruption under the real request rates of ECS.

use std::time::Duration;

use ebb_core::spot::OutcomeKind;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::spot::Action;
use ebb_region::{RunEnd, scenario};

use crate::support::{Sim, TIMEOUT, shop_settings, start_time};

async fn interrupted(instances: u64) -> Sim {
    // A stopped instance stays registered, so that its status can be looked at afterwards.
    let mut world = scenario::mass_interruption(start_time(), instances, Action::Stop);
    scenario::route_notices(
        &mut world,
        Queue::for_function(scenario::SPOT_DRAINER),
        Function::new(TIMEOUT),
    );
    let sim = Sim::start(world, shop_settings()).await;
    assert_eq!(sim.run(Duration::from_secs(600)).await, RunEnd::Quiet);
    sim
}

#[tokio::test(start_paused = true)]
async fn five_hundred_interrupted_instances_are_drained_in_time_under_the_real_rates() {
    let sim = interrupted(500).await;

    assert_eq!(sim.draining().len(), 500);
    let world = sim.region.world();
    let drained = world.history.iter().filter(|entry| {
        matches!(entry.happening, ebb_region::world::Happening::ContainerInstance { .. })
    });
    let last = drained.map(|entry| entry.time).max().unwrap();
    assert!(last.duration_since(start_time()).as_secs() < 120, "the last is DRAINING at {last}");
    assert!(world.delivery.ended.iter().all(|ended| ended.result.is_ok()));
    let draining: usize = world
        .delivery
        .ended
        .iter()
        .flat_map(|ended| ended.result.as_ref().unwrap()["outcomes"].as_array().unwrap())
        .filter(|outcome| outcome["outcome"] == OutcomeKind::Draining.as_str())
        .count();
    assert_eq!(draining, 500, "each by exactly one invocation");
}

#[tokio::test(start_paused = true)]
async fn a_run_repeats_exactly() {
    // Enough to be throttled, so that pauses and their jitter count.
    let (first, second) = (interrupted(1_500).await, interrupted(1_500).await);

    let (first, second) = (first.region.world().clone(), second.region.world().clone());
    assert!(first.calls.iter().any(|call| call.error.is_some()));
    assert_eq!(first.calls, second.calls);
    assert_eq!(first.history, second.history);
}

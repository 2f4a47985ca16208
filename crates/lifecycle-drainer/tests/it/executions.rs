//! Stories of more terminations at once than the function has executions: each instance still gets
//! its turn of DRAINING, and no task is cut off.

use std::time::Duration;

use ebb_region::world::autoscaling::{CompletedBy, Group, Hook};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::{Happening, World};
use ebb_region::{Region, RunEnd, scenario};
use fastrand::Rng;

use crate::support::{FUNCTION, HOOK, Sim, TIMEOUT, settings, start_time};

/// Stories of each load.
const SEEDS: u64 = 3;

fn instance_ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("i-{number:017x}")).collect()
}

/// A group of twice as many instances as are terminated, with the default hook, which waits for an
/// hour, and three tasks of a service on each; and a function with so many executions.
fn world(seed: u64, drains: usize, executions: usize) -> World {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(start_time(), seed);
    let ids = instance_ids(2 * drains);
    for id in &ids {
        world.add_instance(scenario::CLUSTER, NewInstance::new(id));
    }
    let spec = TaskSpec {
        // The default of a load balancer is five minutes. Drains that are over sooner make room for
        // the others by themselves.
        deregistration_delay: Some(Duration::from_secs(rng.u64(200..=300))),
        stops_after: Duration::from_secs(rng.u64(0..=30)),
        ..TaskSpec::default()
    };
    world.add_service(scenario::CLUSTER, "web", ServiceKind::replica(6 * drains), spec);
    // A group that balances its zones would terminate more.
    let group = Group::with_instances(scenario::CLUSTER, ids.clone()).suspending(&["AZRebalance"]);
    world.add_group("group", group);
    let mut function = Function::new(TIMEOUT).reserving(executions);
    // As Terraform sets it.
    function.recursive_loop_allowed = true;
    scenario::route_terminations(&mut world, &Hook::new(HOOK), function);
    for id in &ids[..drains] {
        world.terminate_in_group_later(Duration::from_secs(rng.u64(0..=5)), id, true);
    }
    world
}

async fn start(world: World, seed: u64) -> Sim {
    fastrand::seed(seed);
    Sim::on(Region::start(world, 1.0), settings()).await
}

fn was_draining(world: &World, wanted_id: &str) -> bool {
    world.history.iter().any(|entry| {
        matches!(
            &entry.happening,
            Happening::ContainerInstance { instance_id, status: Status::Draining }
                if instance_id == wanted_id
        )
    })
}

/// Lets the story end. Returns how many instances were never DRAINING, how many tasks were cut off,
/// and how many actions ended by their own time-out.
async fn harm(sim: &Sim, drains: usize) -> (usize, usize, usize) {
    assert_eq!(sim.run(Duration::from_secs(49 * 3600)).await, RunEnd::Quiet);
    let world = sim.region.world();
    assert_eq!(world.completed_actions.len(), drains);
    let never_draining = instance_ids(drains).iter().filter(|id| !was_draining(&world, id)).count();
    let timed_out =
        world.completed_actions.iter().filter(|action| action.cause != CompletedBy::Caller);
    (never_draining, world.tasks_cut_off().len(), timed_out.count())
}

async fn every_drain_gets_its_turn(drains: usize, executions: usize) {
    for seed in 0..SEEDS {
        let sim = start(world(seed, drains, executions), seed).await;
        assert_eq!(harm(&sim, drains).await, (0, 0, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_executions_as_terminations_are_enough() {
    every_drain_gets_its_turn(30, 30).await;
}

#[tokio::test(start_paused = true)]
async fn thirty_terminations_get_their_turn_at_ten_executions() {
    every_drain_gets_its_turn(30, 10).await;
}

#[tokio::test(start_paused = true)]
async fn forty_terminations_get_their_turn_at_ten_executions() {
    every_drain_gets_its_turn(40, 10).await;
}

#[tokio::test(start_paused = true)]
async fn forty_terminations_get_their_turn_at_five_executions() {
    every_drain_gets_its_turn(40, 5).await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_a_quarter_of_an_hour_still_drain_their_instances() {
    for seed in 0..SEEDS {
        let mut world = world(seed, 10, 10);
        // As if others had taken all executions of the account.
        world.delivery.functions.get_mut(FUNCTION).unwrap().concurrency = 0;
        let sim = start(world, seed).await;
        let come_free = async {
            tokio::time::sleep(Duration::from_secs(900)).await;
            let mut world = sim.region.world();
            world.delivery.functions.get_mut(FUNCTION).unwrap().concurrency = 10;
        };
        let (harm, ()) = tokio::join!(harm(&sim, 10), come_free);
        assert_eq!(harm, (0, 0, 0), "seed {seed}");
    }
}

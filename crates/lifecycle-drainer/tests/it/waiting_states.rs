//! Stories of the states in which a group waits, and of what becomes of an instance that stays.

use std::time::Duration;

use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::{ActionResult, LifecycleState};
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use ebb_region::{RunEnd, scenario};
use jiff::SignedDuration;
use tokio::time::sleep;

use crate::support::{Sim, instance_id, last_stop, over_sns, settings, shop, since_start};

const LIMIT: Duration = Duration::from_secs(49 * 3600);

#[tokio::test(start_paused = true)]
async fn an_instance_of_the_warm_pool_is_drained_before_it_goes() {
    let sim = Sim::shop().await;
    {
        let mut world = sim.region.world();
        world.terminate_in_group(&instance_id(9), false).unwrap();
        world.set_lifecycle_state(&instance_id(9), LifecycleState::WarmedTerminatingWait);
    }
    assert_eq!(sim.run(LIMIT).await, RunEnd::Quiet);

    let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
    assert!(sim.completed().time >= stopped);
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_gets_a_new_root_volume_is_drained_and_comes_back() {
    let sim = Sim::shop().await;
    sim.region.world().replace_root_volume(&instance_id(9));
    assert_eq!(sim.run(LIMIT).await, RunEnd::Quiet);

    let completed = sim.completed();
    assert_eq!(completed.result, ActionResult::Continue);
    let tasks_cut_off = sim.tasks_cut_off();
    assert!(tasks_cut_off.iter().all(|name| name.starts_with("logs")), "{tasks_cut_off:?}");
    let world = sim.region.world();
    assert_eq!(world.lifecycle_state(&instance_id(9)), Some(LifecycleState::InService));
    assert_eq!(world.status_of(&instance_id(9)), Some(Status::Active), "it takes tasks again");
    drop(world);
    let outcomes = sim.outcomes();
    assert_eq!(outcomes[outcomes.len() - 2..], ["completed", "reactivated"], "{outcomes:?}");
}

/// Nothing of a reboot takes a quarter of a minute to be told that a permission is missing.
#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_when_an_instance_comes_back_is_told_at_once() {
    let sim = Sim::shop().await;
    sim.region.world().replace_root_volume(&instance_id(9));
    let deny = async {
        while sim.region.world().completed_actions.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        let mut world = sim.region.world();
        world.faults.plan("DescribeAutoScalingInstances", Fault::Denied, u32::MAX);
    };
    tokio::join!(sim.run(LIMIT), deny);

    let completed = sim.completed().time;
    let world = sim.region.world();
    let denied = world.delivery.ended.iter().find(|ended| ended.result.is_err());
    let took = denied.expect("an invocation fails").time.duration_since(completed);
    assert!(took < SignedDuration::from_secs(30), "{took}");
}

/// A cluster in which the tasks of a service cannot leave their instances.
async fn stuck(settings: LifecycleSettings, retains: bool) -> Sim {
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    let group = world.groups.get_mut(scenario::SPOT_GROUP).unwrap();
    group.retains_abandoned = retains;
    let sim = Sim::start(world, settings).await;
    sim.terminate(&instance_id(9)).await;
    sim
}

#[tokio::test(start_paused = true)]
async fn a_group_that_retains_keeps_an_instance_that_is_given_up() {
    let settings = LifecycleSettings { on_timeout: OnTimeout::Retain, ..settings() };
    let sim = stuck(settings.clone(), true).await;
    assert_eq!(sim.completed().result, ActionResult::Abandon);
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("retained"));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
    let state = sim.region.world().lifecycle_state(&instance_id(9));
    assert_eq!(state, Some(LifecycleState::TerminatingRetained));

    let sim = stuck(settings, false).await;
    assert_eq!(sim.completed().result, ActionResult::Continue, "its group would not keep it");
    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
    let answers = sim.region.world().delivery.ended.clone();
    let last = answers.last().unwrap().result.clone().unwrap().to_string();
    assert!(last.contains("TerminateHookAbandon"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_retained_instance_is_left_alone() {
    let settings = LifecycleSettings { on_timeout: OnTimeout::Retain, ..settings() };
    let sim = stuck(settings, true).await;
    let token = sim.completed().token;
    let mut message = crate::support::message(&instance_id(9), scenario::SPOT_GROUP);
    message["LifecycleActionToken"] = token.into();
    let calls = sim.region.world().calls.len();
    let answer = sim.invoke(&over_sns(&[message])).await.unwrap();

    let reason = answer.outcomes[0].reason.clone().unwrap();
    assert!(reason.contains("Terminating:Retained"), "{reason}");
    assert_eq!(sim.region.world().calls.len(), calls + 1, "it only looks");
}

fn set_active(sim: &Sim) {
    let mut world = sim.region.world();
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    assert_eq!(world.status_of(&instance_id(9)), Some(Status::Draining));
    world.set_status("shop", &id, Status::Active);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_somebody_sets_active_meanwhile_is_drained_again_within_two_looks() {
    let mut world = shop();
    let slow =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(300)), ..TaskSpec::default() };
    world.add_service("shop", "slow", ServiceKind::replica(12), slow);
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let interfere = async {
        // While tasks are not told to stop, and while their targets deregister.
        for after in [25, 118] {
            sleep(Duration::from_secs(after)).await;
            set_active(&sim);
            sleep(Duration::from_secs(32)).await;
            let status = sim.region.world().status_of(&instance_id(9));
            assert_eq!(status, Some(Status::Draining), "{after} s later");
        }
    };
    tokio::join!(sim.run(LIMIT), interfere);

    assert!(since_start(sim.completed().time) > SignedDuration::from_secs(300));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

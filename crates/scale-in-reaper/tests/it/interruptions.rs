//! What a sweep makes of instances that the Spot drainer drained on a notice: what has outlived it is
//! ACTIVE again, and nothing else is.

use std::time::Duration;

use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::world::World;
use ebb_region::world::autoscaling::LifecycleState;
use ebb_region::world::ecs::{NewInstance, Status};
use ebb_region::world::spot::Action;

use crate::support::{CLUSTER, Sim, hooked, instance_id, outcomes, settings, small};

/// Removes nothing.
fn no_removals() -> ReaperSettings {
    ReaperSettings { max_removals_percent: 0, ..settings() }
}

/// Sets every container instance of an instance to DRAINING, marked as the Spot drainer does on a
/// notice of this kind, this long ago.
fn drain(world: &mut World, instance_id: &str, cause: &str, ago: Duration) {
    let mark = format!("spot-drainer/{:.0}/{cause}", world.now() - ago);
    for (cluster, id) in world.registrations(instance_id) {
        world.set_status(&cluster, &id, Status::Draining);
        world.put_attribute(&cluster, &id, DRAINED_BY, &mark);
    }
}

/// What one sweep makes of an instance that was drained so.
async fn after_a_sweep(
    cause: &str,
    minutes: u64,
    change: impl Fn(&mut World, &str),
) -> (Vec<OutcomeKind>, Option<Status>) {
    let id = instance_id(1);
    let mut world = hooked(small(1));
    drain(&mut world, &id, cause, Duration::from_secs(60 * minutes));
    change(&mut world, &id);
    let sim = Sim::start(world, no_removals()).await;
    let report = sim.report().await;
    let status = sim.region.world().status_of(&id);
    let is_marked = sim.marked().contains(&id);
    assert_eq!(is_marked, status == Some(Status::Draining), "{cause}, {minutes} min: {report:?}");
    sim.assert_unharmed();
    (outcomes(&report.follow_ups), status)
}

#[tokio::test(start_paused = true)]
async fn a_recommendation_after_which_nothing_comes_is_taken_back_after_a_quarter_of_an_hour() {
    let young = after_a_sweep("rebalance", 14, |_, _| {}).await;
    assert_eq!(young, (vec![OutcomeKind::Waiting], Some(Status::Draining)));
    let old = after_a_sweep("rebalance", 15, |_, _| {}).await;
    assert_eq!(old, (vec![OutcomeKind::Reactivated], Some(Status::Active)));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_comes_back_with_its_agent_and_not_before() {
    let gone = |world: &mut World, id: &str| world.disconnect_agent(id);
    for cause in ["stop", "hibernate"] {
        let young = after_a_sweep(cause, 4, |_, _| {}).await;
        assert_eq!(young, (vec![OutcomeKind::Waiting], Some(Status::Draining)), "{cause}");
        let back = after_a_sweep(cause, 5, |_, _| {}).await;
        assert_eq!(back, (vec![OutcomeKind::Reactivated], Some(Status::Active)), "{cause}");
        let away = after_a_sweep(cause, 5_000, gone).await;
        assert_eq!(away, (vec![OutcomeKind::Waiting], Some(Status::Draining)), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_group_takes_away_or_does_not_hold_in_service_stays_draining() {
    let standby = |world: &mut World, id: &str| {
        world.set_lifecycle_state(id, LifecycleState::Standby);
    };
    let waits = after_a_sweep("rebalance", 60, standby).await;
    assert_eq!(waits, (vec![OutcomeKind::Waiting], Some(Status::Draining)));

    // The interruption came after all, and the group holds the instance with its hook.
    let terminating = |world: &mut World, id: &str| {
        world.set_lifecycle_state(id, LifecycleState::TerminatingWait);
    };
    let goes = after_a_sweep("rebalance", 60, terminating).await;
    assert_eq!(goes, (vec![OutcomeKind::Waiting], Some(Status::Draining)));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_terminates_while_it_is_looked_at_is_not_taken_back() {
    let id = instance_id(1);
    let mut world = small(1);
    drain(&mut world, &id, "rebalance", Duration::from_secs(3_600));
    let sim = Sim::start(world, no_removals()).await;
    let report = sim
        .sweep_while("ListServices", 1, |world| {
            world.set_lifecycle_state(&id, LifecycleState::TerminatingWait);
        })
        .await;

    assert_eq!(outcomes(&report.follow_ups), [OutcomeKind::Waiting], "{report:?}");
    assert_eq!(sim.draining(), [id]);
}

#[tokio::test(start_paused = true)]
async fn what_others_drained_without_a_mark_stays_draining() {
    let mut world = small(1);
    let (_, instance) = world.container_instance(&instance_id(1)).unwrap();
    let id = instance.id.clone();
    world.set_status(CLUSTER, &id, Status::Draining);
    let sim = Sim::start(world, no_removals()).await;
    for _ in 0..4 {
        assert_eq!(sim.report().await.follow_ups, []);
        sim.until_next().await;
    }
    assert_eq!(sim.draining(), [instance_id(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_would_come_back_and_changes_nothing() {
    let mut world = small(1);
    drain(&mut world, &instance_id(1), "stop", Duration::from_secs(3_600));
    let sim = Sim::start(world, ReaperSettings { mode: ReaperMode::Plan, ..settings() }).await;

    assert_eq!(outcomes(&sim.report().await.follow_ups), [OutcomeKind::WouldReactivate]);
    assert_eq!((sim.draining(), sim.marked()), (vec![instance_id(1)], vec![instance_id(1)]));
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_and_returns_outside_of_a_group_comes_back_by_a_sweep() {
    let id = "i-1a2b3c4d";
    let mut world = small(1);
    let forgotten = NewInstance::new(id).age(Duration::from_secs(86_400));
    world.add_instance(CLUSTER, forgotten.agent_disconnected());
    world.add_instance(CLUSTER, NewInstance::new(id));
    drain(&mut world, id, "stop", Duration::ZERO);
    world.interrupt(id, Action::Stop);
    world.return_instance(id, Duration::from_secs(2_700));
    let sim = Sim::start(world, no_removals()).await;

    sim.until_next().await;
    assert_eq!(outcomes(&sim.report().await.follow_ups), [OutcomeKind::Waiting; 2], "it is away");
    sim.until_next().await;
    let report = sim.report().await;
    let mut kinds = outcomes(&report.follow_ups);
    kinds.sort_unstable_by_key(|kind| kind.as_str());
    assert_eq!(kinds, [OutcomeKind::Reactivated, OutcomeKind::Waiting], "{report:?}");
    assert_eq!(sim.draining(), [id], "nobody speaks for the forgotten one");
}

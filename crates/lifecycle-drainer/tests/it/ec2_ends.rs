//! Stories of instances that EC2 ends first: their group notices later, and its hook holds what is
//! going or gone. Nobody can save the tasks on them, but no hook may hang, and ECS should replace
//! them soon. And stories of instances that go before their agents have registered them.

use std::time::Duration;

use ebb_core::lifecycle::READ_LAG_MAX;
use ebb_region::world::autoscaling::{CompletedBy, Group, Hook};
use ebb_region::world::delivery::Function;
use ebb_region::world::ec2::EndedBy;
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use ebb_region::world::spot::{Action, NOTICE_PERIOD};
use ebb_region::world::{Happening, World};
use ebb_region::{RunEnd, scenario};
use jiff::{SignedDuration, Timestamp};

use crate::support::{
    FUNCTION, HOOK, Sim, TIMEOUT, instance_id, last_stop, settings, since_start, start_time,
};

pub(crate) const SEEDS: u64 = 12;

/// A drain looks again after this long at the latest, its calls take a moment, and a look that shows
/// nothing is confirmed by another one.
pub(crate) const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(17 + 5);

/// The shop with a hook on both of its groups; `seed` says how long everything takes.
pub(crate) fn shop(seed: u64) -> World {
    let mut world = scenario::shop(start_time(), seed);
    scenario::route_terminations(&mut world, &Hook::new(HOOK), Function::new(TIMEOUT));
    world
}

/// Plays a story on the shop for each seed until nothing more happens, and tells what must always
/// hold: the action of the instance is completed by the function, once, and no invocation fails.
pub(crate) async fn play(seed: u64, change: impl Fn(&mut World), instance_id: &str) -> Sim {
    let mut world = shop(seed);
    change(&mut world);
    let sim = Sim::start(world, settings()).await;
    assert_eq!(sim.run(Duration::from_secs(49 * 3600)).await, RunEnd::Quiet, "seed {seed}");
    {
        let world = sim.region.world();
        let completed = completions_of(&world, instance_id);
        assert_eq!(completed.len(), 1, "seed {seed}: {completed:?}");
        assert_eq!(completed[0].1, CompletedBy::Caller, "seed {seed}");
        assert!(world.lifecycle_actions.is_empty(), "seed {seed}: a hook hangs");
        assert_eq!(world.lifecycle_state(instance_id), None, "seed {seed}");
        assert!(world.delivery.functions[FUNCTION].dead_letters.is_empty(), "seed {seed}");
        assert!(world.delivery.ended.iter().all(|ended| ended.result.is_ok()), "seed {seed}");
    }
    sim
}

fn completions_of(world: &World, instance_id: &str) -> Vec<(Timestamp, CompletedBy)> {
    let actions = world.completed_actions.iter();
    actions
        .filter(|action| action.instance_id == instance_id)
        .map(|action| (action.time, action.cause))
        .collect()
}

pub(crate) fn completed_at(sim: &Sim, instance_id: &str) -> Timestamp {
    completions_of(&sim.region.world(), instance_id)[0].0
}

/// When a container instance first got a status.
fn reached(world: &World, wanted_id: &str, wanted: Status) -> Option<Timestamp> {
    let mut entries = world.history.iter();
    let entry = entries.find(|entry| {
        matches!(&entry.happening, Happening::ContainerInstance { instance_id, status }
            if instance_id == wanted_id && *status == wanted)
    });
    entry.map(|entry| entry.time)
}

/// When the group of an instance began to wait for its hook.
fn held_since(world: &World, wanted_id: &str) -> Timestamp {
    let mut entries = world.history.iter();
    let entry = entries.find(|entry| {
        matches!(&entry.happening, Happening::LifecycleState { instance_id, .. }
            if instance_id == wanted_id)
    });
    entry.expect("its group terminates it").time
}

/// The action is completed with the look that follows what it waited for: the group's notice or
/// ECS's deregistration, whichever is later.
fn assert_completed_when_ecs_knows(sim: &Sim, seed: u64, id: &str) {
    let completed = completed_at(sim, id);
    let world = sim.region.world();
    let deregistered = reached(&world, id, Status::Inactive).expect("ECS deregisters it");
    let known = deregistered.max(held_since(&world, id));
    assert!(completed >= known, "seed {seed}: {completed}, known at {known}");
    assert!(completed.duration_since(known) <= NEXT_LOOK, "seed {seed}: {completed}, {known}");
    assert!(world.tasks_cut_off_by(EndedBy::Group).is_empty(), "seed {seed}");
    // The Spot group gets no other instance, but its tasks find room.
    assert!(world.missing_tasks().is_empty(), "seed {seed}: {:?}", world.missing_tasks());
}

#[tokio::test(start_paused = true)]
async fn a_spot_interruption_that_nobody_drains_does_not_leave_the_hook_hanging() {
    for seed in 0..SEEDS {
        let id = instance_id(9);
        let sim = play(seed, |world| world.interrupt(&id, Action::Terminate), &id).await;

        assert!(
            since_start(completed_at(&sim, &id)) > SignedDuration::try_from(NOTICE_PERIOD).unwrap()
        );
        assert!(!sim.region.world().tasks_cut_off_by(EndedBy::Ec2).is_empty());
        assert_completed_when_ecs_knows(&sim, seed, &id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_spot_interruption_that_was_drained_in_time_is_over_at_the_first_look() {
    for seed in 0..SEEDS {
        let id = instance_id(9);
        let interrupt = |world: &mut World| {
            let container_instance = world.container_instance(&id).unwrap().1.id.clone();
            world.interrupt(&id, Action::Terminate);
            // As the Spot drainer does upon the notice.
            world.set_status("shop", &container_instance, Status::Draining);
        };
        let sim = play(seed, interrupt, &id).await;

        let completed = completed_at(&sim, &id);
        let world = sim.region.world();
        let took = completed.duration_since(held_since(&world, &id));
        // A single look that shows nothing is confirmed by another one.
        let confirmed = READ_LAG_MAX + SignedDuration::from_secs(2);
        assert!(took < confirmed, "seed {seed}: {took}");
        assert!(world.tasks_cut_off().is_empty(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_a_person_terminates_at_ec2_does_not_leave_the_hook_hanging() {
    for seed in 0..SEEDS {
        let id = instance_id(3);
        let sim = play(seed, |world| world.terminate_in_ec2(&id, Duration::ZERO), &id).await;

        assert_completed_when_ecs_knows(&sim, seed, &id);
    }
}

/// Until it is drained or deregistered, ECS takes the tasks on a dead instance for running.
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_is_drained_all_the_same_as_ecs_replaces_its_tasks_sooner_then() {
    let mut drained = 0;
    for seed in 0..SEEDS {
        let id = instance_id(3);
        let sim = play(seed, |world| world.terminate_in_ec2(&id, Duration::ZERO), &id).await;

        let world = sim.region.world();
        let held = held_since(&world, &id);
        let deregistered = reached(&world, &id, Status::Inactive).unwrap();
        if deregistered.duration_since(held) > SignedDuration::from_secs(5) {
            let draining = reached(&world, &id, Status::Draining).expect("it is drained");
            assert!(draining.duration_since(held) < SignedDuration::from_secs(5), "seed {seed}");
            drained += 1;
        }
    }
    assert!(drained > 0, "or nothing was shown");
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_instance_that_still_runs_is_drained_like_any_other() {
    for seed in 0..SEEDS {
        let id = instance_id(3);
        let sim = play(seed, |world| world.mark_unhealthy(&id, Duration::ZERO), &id).await;

        let completed = completed_at(&sim, &id);
        let world = sim.region.world();
        let stopped = last_stop(&world, &id, "logs");
        assert!(completed >= stopped, "seed {seed}");
        assert!(completed.duration_since(stopped) <= NEXT_LOOK, "seed {seed}");
        assert!(world.tasks_cut_off().is_empty(), "seed {seed}");
        assert_eq!(world.groups[scenario::ON_DEMAND_GROUP].instances.len(), 6, "it is replaced");
    }
}

/// Its agent failed before the instance did, so that ECS never deregisters it and says for ever that
/// its tasks run.
#[tokio::test(start_paused = true)]
async fn an_instance_that_ecs_never_deregisters_is_let_go_at_the_deadline() {
    for seed in 0..SEEDS {
        let id = instance_id(3);
        let end = |world: &mut World| {
            world.disconnect_agent(&id);
            world.terminate_in_ec2(&id, Duration::from_secs(60));
        };
        let sim = play(seed, end, &id).await;

        let completed = completed_at(&sim, &id);
        let world = sim.region.world();
        let took = completed.duration_since(held_since(&world, &id));
        assert!((895..=930).contains(&took.as_secs()), "seed {seed}: {took}");
        assert!(world.tasks_cut_off_by(EndedBy::Group).is_empty(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_instance_ec2_ends_meanwhile_is_over_when_ecs_knows() {
    for seed in 0..SEEDS {
        let id = instance_id(9);
        let begin = |world: &mut World| {
            let slow = TaskSpec {
                deregistration_delay: Some(Duration::from_secs(600)),
                ..TaskSpec::default()
            };
            world.add_service("shop", "slow", ServiceKind::replica(12), slow);
            world.terminate_in_group(&id, true).unwrap();
            world.terminate_in_ec2(&id, Duration::from_secs(100));
        };
        let sim = play(seed, begin, &id).await;

        assert!(!sim.region.world().tasks_cut_off_by(EndedBy::Ec2).is_empty());
        assert_completed_when_ecs_knows(&sim, seed, &id);
    }
}

/// A service with a task that finds room on a new instance only, from which it may go without a
/// replacement, and a group that launches one.
pub(crate) fn launching(world: &mut World) -> String {
    let whole_instance = TaskSpec {
        cpu: 1900,
        memory_mib: 4096,
        pull: Duration::from_secs(1),
        ..TaskSpec::default()
    };
    let kind = ServiceKind::Replica { desired: 1, min_percent: 0, max_percent: 100 };
    world.add_service("shop", "big", kind, whole_instance);
    world.set_desired_capacity(scenario::ON_DEMAND_GROUP, 7).unwrap();
    let Group { instances, .. } = &world.groups[scenario::ON_DEMAND_GROUP];
    instances[6].instance_id.clone()
}

/// Terminates a new instance so long after its launch, and returns which it was.
async fn terminate_new_instance(seed: u64, after: Duration) -> (Sim, String) {
    let id = launching(&mut shop(seed));
    let begin = |world: &mut World| {
        assert_eq!(launching(world), id, "a seed launches the same");
        world.terminate_in_group_later(after, &id, true);
    };
    let sim = play(seed, begin, &id).await;
    (sim, id)
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_goes_long_before_its_agent_has_registered_it_is_let_go() {
    for seed in 0..SEEDS {
        let (sim, id) = terminate_new_instance(seed, Duration::from_secs(20)).await;

        let took = since_start(completed_at(&sim, &id));
        assert!(took < SignedDuration::from_secs(20 + 60), "seed {seed}: {took}");
        assert!(sim.tasks_cut_off().is_empty(), "seed {seed}");
    }
}

/// How long after its launch the agent of a new instance registers it.
pub(crate) fn registered_after(seed: u64) -> Duration {
    let mut world = shop(seed);
    let id = launching(&mut world);
    world.advance(start_time() + Duration::from_secs(100));
    let registered = reached(&world, &id, Status::Active).expect("it has booted by then");
    Duration::try_from(since_start(registered)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_goes_as_soon_as_its_agent_has_registered_it_loses_no_task() {
    for seed in 0..4 {
        for milliseconds in [50, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 20_000] {
            let after = registered_after(seed) + Duration::from_millis(milliseconds);
            let (sim, id) = terminate_new_instance(seed, after).await;

            assert!(sim.tasks_cut_off().is_empty(), "seed {seed}, {milliseconds} ms later");
            let draining = reached(&sim.region.world(), &id, Status::Draining);
            assert!(draining.is_some(), "seed {seed}, {milliseconds} ms later");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_goes_shortly_before_its_agent_registers_it_loses_no_task() {
    // Until the second look. An instance that no cluster has by then is let go.
    let seconds_max = READ_LAG_MAX.as_secs() - 1;
    for seed in 0..4 {
        for seconds in 1..=u64::try_from(seconds_max).unwrap() {
            let after = registered_after(seed) - Duration::from_secs(seconds);
            let (sim, _) = terminate_new_instance(seed, after).await;

            assert!(sim.tasks_cut_off().is_empty(), "seed {seed}, {seconds} s before");
        }
    }
}

//! The crash and fault matrix: whatever befalls a sweep at whatever call or pause, the next ones find
//! the cluster as they would have left it, nothing is terminated or launched twice, and people are
//! told.

use std::sync::Arc;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::notification::NotificationFormat;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::fault::Fault;
use ebb_region::matrix::harm::{Harm, HarmKind};
use ebb_region::matrix::{AwaitPoint, Mishap, Service, Story, Trial, run};
use ebb_region::world::World;
use ebb_region::world::delivery::{Function, Schedule};
use ebb_region::world::ecs::{CapacityProvider, ServiceKind, StrategyItem, TaskSpec};
use ebb_region::{Region, scenario};
use lifecycle_drainer::LifecycleDrainer;
use scale_in_reaper::ScaleInReaper;
use serde_json::{Value, json};

use crate::fallback::{coming_back, interrupted, recover};
use crate::follow_ups::drained_by_us;
use crate::replacing::{halves, renew};
use crate::support::{
    CLUSTER, GROUP, INTERVAL, TIMEOUT, add_small, hooked, instance_id, settings, start_time,
};

/// How many cases of a story each test plays.
const SAMPLE: usize = 4;

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// How many sweeps mend what those before were disturbed in: a drain that has stalled is taken back
/// after two hours.
const MENDING_SWEEPS: u32 = 5;

/// A story of which so many sweeps are disturbed.
fn story(
    name: &'static str,
    world: fn() -> World,
    settings: ReaperSettings,
    request: Value,
    sweeps: u32,
) -> Story {
    let settings = ReaperSettings {
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        ..settings
    };
    let swept = move || {
        let mut world = world();
        world.create_topic(PEOPLE);
        // As Terraform sets it.
        let mut function = Function::new(TIMEOUT).reserving(1);
        function.retries = 0;
        world.delivery.functions.insert(scenario::SCALE_IN_REAPER.to_owned(), function);
        let schedule = Schedule::every(INTERVAL, scenario::SCALE_IN_REAPER, request.clone());
        world.add_schedule(scenario::SCALE_IN_REAPER, schedule);
        // Whoever replaces by a schedule has ordinary sweeps as well: what is one too many is for them.
        if request != json!({}) {
            let sweep = Schedule::every(2 * INTERVAL, scenario::SCALE_IN_REAPER, json!({}));
            world.add_schedule("sweep", sweep);
        }
        world
    };
    // Hours of reads that lag take too long to play: `simulation.rs` has some.
    let anywhere = Mishap::ANYWHERE.into_iter().filter(|it| !matches!(it, Mishap::Lag(_)));
    Story {
        function: scenario::SCALE_IN_REAPER,
        name,
        play: Box::new(move |trial| play(&trial, swept(), settings.clone(), sweeps)),
        disturbed_for: INTERVAL * sweeps + INTERVAL / 2,
        mishaps: anywhere.chain(Mishap::TAKEN_AWAY).collect(),
        sample: SAMPLE,
        people: PEOPLE,
        documented,
    }
}

/// What a sweep does that people are told of.
const ACTS: [&str; 3] =
    ["SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateContainerInstancesState"];

/// What was done and is left to be told of it is known to the sweep alone. A publication has no token
/// by which SNS would know a second one.
fn documented(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let publishes = point.operation == "Publish";
    match (mishap, harm.kind) {
        (Mishap::Killed, HarmKind::Untold) => ACTS.iter().any(|act| point.is_after(act)),
        (Mishap::Fault(Fault::Throttle, _), HarmKind::Untold) => publishes,
        (Mishap::Throttled(Service::Sns, _), HarmKind::Untold) => publishes,
        (Mishap::Fault(Fault::AnswerLost, _), HarmKind::ToldTwice) => publishes,
        // An agent that is gone stops nothing: the lifecycle drainer gives up at its deadline.
        (Mishap::Gone("agent lost", _), HarmKind::CutOff) => true,
        _ => false,
    }
}

/// And of what is terminated at once: one that its group refuses to, while it takes another of the
/// same plan, leaves its zones out of balance, which the group mends by an instance more that goes.
fn documented_of_terminations(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let is_refused = matches!(mishap, Mishap::Fault(Fault::Throttle, _))
        && point.operation == "TerminateInstanceInAutoScalingGroup";
    let gone = |text: &str| text.matches("Continue Caller").count();
    let (went, goes_otherwise) = harm.details.split_once("and not").unwrap_or_default();
    is_refused && gone(went) == gone(goes_otherwise) + 1 || documented(point, mishap, harm)
}

/// And of a group that cannot be raised for two hours: it is left alone for a day.
fn documented_of_replacements(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let is_refused = matches!(mishap, Mishap::Fault(Fault::Throttle, _))
        && point.operation == "SetDesiredCapacity";
    is_refused && harm.details.contains(r#"("Active", ["ebb.replacing"]): 2"#)
        || documented(point, mishap, harm)
}

/// A group that lacks an instance, or has lost its cluster, is made whole by sweeps of days.
fn without_what_is_gone() -> Vec<Mishap> {
    let mishaps = [&Mishap::ANYWHERE[..], &Mishap::TAKEN_AWAY].concat();
    let stays = |it: &Mishap| !matches!(it, Mishap::Gone(..) | Mishap::Lag(_));
    mishaps.into_iter().filter(stays).collect()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn play(
    trial: &Trial,
    world: World,
    settings: ReaperSettings,
    sweeps: u32,
) -> (World, World) {
    fastrand::seed(7);
    let region = Region::start(world.clone(), 1.0);
    let config = region.connect(config_loader()).await;
    let clients = Clients::new(&config);
    let drainer = Arc::new(LifecycleDrainer::new(clients, LifecycleSettings::default()));
    let drain = |drainer: Arc<LifecycleDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, now, deadline).await
    };
    let make = move || ScaleInReaper::new(Clients::new(&config), settings.clone());
    let sweep = |reaper: Arc<ScaleInReaper>, payload, now, deadline| async move {
        reaper.handle(&payload, now, deadline).await
    };
    let lambda = trial.function(&region, scenario::SCALE_IN_REAPER, make, sweep).handling(
        scenario::LIFECYCLE_DRAINER,
        &region,
        &drainer,
        drain,
    );
    trial.run(&region, &lambda, INTERVAL * (sweeps + MENDING_SWEEPS) + INTERVAL / 2).await;
    let after = region.world().clone();
    (world, after)
}

/// Four instances of a group, two of which nobody needs.
fn four(min_size: i32) -> World {
    let mut world = World::new(start_time(), 1);
    add_small(&mut world, CLUSTER, GROUP, 1..=4, min_size);
    world
}

fn outdated() -> World {
    let mut world = hooked(four(4));
    renew(&mut world);
    world
}

/// A group at its minimum by now, of which a sweep has set an instance to DRAINING before.
fn begun() -> World {
    let mut world = four(4);
    drained_by_us(&mut world, &instance_id(1), INTERVAL);
    world
}

/// Cluster auto scaling decides the size of the group.
fn managed() -> World {
    let mut world = hooked(four(1));
    let small = TaskSpec { cpu: 128, memory_mib: 256, ..TaskSpec::default() };
    world.add_service(CLUSTER, "small", ServiceKind::replica(4), small);
    world.attach_capacity_provider(CLUSTER, "provider", CapacityProvider::protecting(GROUP, 100));
    for service in ["web", "small"] {
        world.set_strategy(CLUSTER, service, [StrategyItem::new("provider", 0, 1)]);
    }
    world
}

/// The fallback group of a Spot group that is whole again.
fn comes_back() -> World {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    world
}

#[test]
fn whatever_befalls_a_sweep_the_next_ones_mend() {
    let act = || json!({});
    run(&[
        Story {
            documented: documented_of_terminations,
            ..story("a hook holds what goes", || hooked(four(1)), settings(), act(), 1)
        },
        story("no hook holds what goes", || four(1), settings(), act(), 2),
        story("ECS takes what is emptied", managed, settings(), act(), 1),
        story("an earlier drain is taken back", begun, settings(), act(), 1),
        Story {
            mishaps: without_what_is_gone(),
            documented: documented_of_replacements,
            ..story("old instances are replaced", outdated, halves(), json!({"mode": "replace"}), 2)
        },
        Story {
            documented: documented_of_terminations,
            ..story("a fallback group comes back", comes_back, coming_back(), act(), 3)
        },
    ]);
}

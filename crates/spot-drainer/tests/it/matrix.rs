//! The crash and fault matrix: whatever befalls the function at whatever call or pause, every
//! interrupted instance is drained and replaced once, and people are told.

use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::{GroupName, TopicArn};
use ebb_core::notification::NotificationFormat;
use ebb_core::spot::settings::SpotSettings;
use ebb_region::fault::Fault;
use ebb_region::matrix::harm::{Harm, HarmKind};
use ebb_region::matrix::{AwaitPoint, Mishap, Service, Stage, Story, Trial, run};
use ebb_region::world::World;
use ebb_region::world::autoscaling::LaunchSource;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::lag::Lag;
use ebb_region::world::spot::Action;
use ebb_region::{Region, scenario};
use spot_drainer::SpotDrainer;

use crate::support::{TIMEOUT, home, instance_id, shop_settings, start_time};

/// How many cases of a story each test plays.
const SAMPLE: usize = 30;

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// Long enough for an instance that was stopped to come back.
const LIMIT: Duration = Duration::from_secs(1_200);

fn settings() -> SpotSettings {
    SpotSettings {
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        ..SpotSettings::default()
    }
}

fn with_fallback() -> SpotSettings {
    SpotSettings { fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)), ..settings() }
}

/// Two Spot Instances are interrupted at once.
fn interrupted(source: LaunchSource, action: Action) -> World {
    let mut world = scenario::shop(start_time(), 1);
    world.groups.get_mut(scenario::ON_DEMAND_GROUP).unwrap().source = source;
    let queue = Queue::for_function(scenario::SPOT_DRAINER);
    scenario::route_notices(&mut world, queue, Function::new(TIMEOUT));
    world.create_topic(PEOPLE);
    for number in 8..=9 {
        world.interrupt(&instance_id(number), action);
    }
    world
}

fn terminated() -> World {
    interrupted(LaunchSource::Template, Action::Terminate)
}

fn story(
    name: &'static str,
    world: impl Fn() -> World + Sync + 'static,
    settings: SpotSettings,
) -> Story {
    Story {
        function: scenario::SPOT_DRAINER,
        name,
        play: Box::new(move |trial| play(&trial, world(), settings.clone())),
        disturbed_for: LIMIT,
        mishaps: [&Mishap::ANYWHERE[..], &Mishap::TAKEN_AWAY].concat(),
        sample: SAMPLE,
        people: PEOPLE,
        documented,
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn play(trial: &Trial, world: World, settings: SpotSettings) -> (World, World) {
    fastrand::seed(7);
    let region = Region::start(world.clone(), 1.0);
    let config = region.connect(config_loader()).await;
    let make = move || SpotDrainer::new(Clients::new(&config), settings.clone());
    let handle = |drainer: std::sync::Arc<SpotDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, &home(), now, deadline).await
    };
    let lambda = trial.function(&region, scenario::SPOT_DRAINER, make, handle);
    trial.run(&region, &lambda, LIMIT).await;
    let after = region.world().clone();
    (world, after)
}

const DRAIN: &str = "UpdateContainerInstancesState";

/// What is documented of all stories: see `docs/answers.md`, notices to people.
fn documented(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let publishes = point.operation == "Publish";
    match (mishap, harm.kind) {
        // Only the invocation that changes the status tells it.
        (Mishap::Killed, HarmKind::Untold) => point.is_after(DRAIN),
        (Mishap::Fault(Fault::Throttle, _), HarmKind::Untold) => publishes,
        (Mishap::Throttled(Service::Sns, _), HarmKind::Untold) => publishes,
        // A publication has no token by which SNS would know a second one.
        (Mishap::Fault(Fault::AnswerLost, _), HarmKind::ToldTwice) => publishes,
        // Two deliveries within the same moment both find it ACTIVE.
        (Mishap::Doubled | Mishap::OutOfOrder, HarmKind::ToldTwice) => !point.is_after(DRAIN),
        _ => false,
    }
}

/// And of a cluster that is configured, and is not there: its notices are errors.
fn documented_of_a_cluster(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let is_deleted = matches!(mishap, Mishap::Gone("cluster deleted", _));
    is_deleted && harm.details == "2 dead letters" || documented(point, mishap, harm)
}

/// And of a fallback group that is configured, and is not there: the notices that it is to be raised
/// for are errors.
fn documented_of_a_fallback(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let is_deleted = matches!(mishap, Mishap::Gone("group deleted", _));
    is_deleted && !point.is_after(DRAIN) && harm.details == "2 dead letters"
        || documented(point, mishap, harm)
}

/// And of one that stops and comes back: see `docs/behaviour.md`.
fn documented_of_returns(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let (operation, sent) = (point.operation.as_str(), point.stage == Stage::Sent);
    let stays_without_mark = harm.details.contains(r#"("Draining", []): 2"#);
    let stays_with_mark = harm.details.contains(r#"("Draining", ["ebb.drained-by"]): 2"#);
    match (mishap, harm.kind) {
        // Between the drain and its mark: it stays DRAINING when it is back.
        (Mishap::Killed, HarmKind::Lost) => {
            let between = if sent { "PutAttributes" } else { DRAIN };
            stays_without_mark && operation == between
        }
        (Mishap::Fault(Fault::Throttle, _), HarmKind::Lost) => {
            stays_without_mark && operation == "PutAttributes"
        }
        // A notice to stop comes again once the instance is back: by its mark the next sweep takes it
        // back.
        (Mishap::OutOfOrder, HarmKind::Lost) => stays_with_mark,
        _ => documented(point, mishap, harm),
    }
}

/// And of what is counted by claims: see decision 007.
fn documented_of_claims(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    const RAISE: &str = "SetDesiredCapacity";
    let is_raise = point.operation == RAISE;
    match (mishap, harm.kind) {
        // Between the raise and the mark that it is counted.
        (Mishap::Killed, HarmKind::Doubled) => {
            let marks = point.operation == "PutAttributes" && point.stage == Stage::Sent;
            point.is_after(RAISE) && (is_raise || marks)
        }
        // The capacity is set once in each round.
        (Mishap::Fault(Fault::Throttle, _), HarmKind::Lost) => is_raise,
        _ => documented_of_a_fallback(point, mishap, harm),
    }
}

/// And of reads that lag: as long as a read finds it ACTIVE, another delivery drains and tells it.
fn documented_of_lag(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    matches!((mishap, harm.kind), (Mishap::Doubled | Mishap::OutOfOrder, HarmKind::ToldTwice))
        || documented_of_a_fallback(point, mishap, harm)
}

#[test]
fn whatever_befalls_it_an_interrupted_instance_is_drained_and_replaced_once() {
    let lagging = || {
        let mut world = terminated();
        world.lag = Lag::up_to(Duration::from_secs(5), 3);
        world
    };
    let stopped = || {
        let mut world = interrupted(LaunchSource::Template, Action::Stop);
        world.return_instance(&instance_id(9), Duration::from_secs(400));
        world
    };
    let claimed = || interrupted(LaunchSource::Configuration, Action::Terminate);
    let one_cluster = SpotSettings { clusters: shop_settings().clusters, ..settings() };
    run(&[
        Story {
            documented: documented_of_a_cluster,
            ..story("two interruptions in one cluster", terminated, one_cluster)
        },
        Story {
            documented: documented_of_returns,
            ..story("one stops and comes back", stopped, settings())
        },
        Story {
            documented: documented_of_a_fallback,
            ..story("replaced by launches", terminated, with_fallback())
        },
        Story {
            documented: documented_of_claims,
            ..story("replaced by claims", claimed, with_fallback())
        },
        Story { documented: documented_of_lag, ..story("reads lag", lagging, with_fallback()) },
    ]);
}

//! The crash and fault matrix: whatever befalls the function at whatever call or pause, each action is
//! completed once, when its tasks have stopped, and people are told what holds a drain.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout, StandaloneTasks};
use ebb_core::notification::NotificationFormat;
use ebb_region::fault::Fault;
use ebb_region::matrix::harm::{Harm, HarmKind};
use ebb_region::matrix::{AwaitPoint, Mishap, Service, Story, Trial, run};
use ebb_region::world::World;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use ebb_region::{Region, scenario};
use jiff::SignedDuration;
use lifecycle_drainer::LifecycleDrainer;

use crate::support::{FUNCTION, instance_id, quiet_shop};

/// How many cases of a story each test plays.
const SAMPLE: usize = 20;

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// Long enough for a drain whose function dies and is run again.
const LIMIT: Duration = Duration::from_secs(1_200);

fn settings() -> LifecycleSettings {
    LifecycleSettings {
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        ..LifecycleSettings::default()
    }
}

/// An instance is terminated that holds a standalone task as well.
fn terminated(change: impl FnOnce(&mut World)) -> World {
    let mut world = quiet_shop();
    world.create_topic(PEOPLE);
    world.delivery.functions.get_mut(FUNCTION).unwrap().recursive_loop_allowed = true;
    change(&mut world);
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    let report = TaskSpec { stops_after: Duration::from_secs(20), ..TaskSpec::default() };
    world.run_task(scenario::CLUSTER, &id, "report", report);
    world.terminate_in_group(&instance_id(9), false).unwrap();
    world
}

/// No task of a service is ever replaced, so that the drain is given up.
fn stuck(world: &mut World) {
    let kind = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service(scenario::CLUSTER, "stuck", kind, TaskSpec::default());
}

/// The function has little time, and its drain takes several hops.
fn in_short_time(world: &mut World) {
    world.delivery.functions.get_mut(FUNCTION).unwrap().timeout = Duration::from_secs(40);
}

/// Its group may be neither smaller nor larger, and launches another one.
fn at_its_bounds(world: &mut World) {
    for group in world.groups.values_mut() {
        let size = group.desired_capacity;
        (group.min_size, group.max_size, group.ec2_has_capacity) = (size, size, true);
    }
}

/// No task is ever replaced, and the group retains what is abandoned.
fn retaining(world: &mut World) {
    stuck(world);
    world.groups.values_mut().for_each(|group| group.retains_abandoned = true);
}

fn story(name: &'static str, change: fn(&mut World), settings: LifecycleSettings) -> Story {
    Story {
        function: FUNCTION,
        name,
        play: Box::new(move |trial| play(&trial, terminated(change), settings.clone())),
        disturbed_for: LIMIT,
        mishaps: [&Mishap::ANYWHERE[..], &Mishap::TAKEN_AWAY].concat(),
        sample: SAMPLE,
        people: PEOPLE,
        documented,
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn play(trial: &Trial, world: World, settings: LifecycleSettings) -> (World, World) {
    fastrand::seed(7);
    let region = Region::start(world.clone(), 1.0);
    let config = region.connect(config_loader()).await;
    let make = move || LifecycleDrainer::new(Clients::new(&config), settings.clone());
    let handle = |drainer: Arc<LifecycleDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, now, deadline).await
    };
    let lambda = trial.function(&region, FUNCTION, make, handle);
    trial.run(&region, &lambda, LIMIT).await;
    let after = region.world().clone();
    (world, after)
}

/// A publication has no token by which SNS would know a second one.
fn documented(point: &AwaitPoint, mishap: Mishap, harm: &Harm) -> bool {
    let publishes = point.operation == "Publish";
    match (mishap, harm.kind) {
        (Mishap::Fault(Fault::Throttle, _), HarmKind::Untold) => publishes,
        (Mishap::Throttled(Service::Sns, _), HarmKind::Untold) => publishes,
        // An agent that is gone stops nothing: the drain is given up at its deadline.
        (Mishap::Gone("agent lost", _), HarmKind::CutOff) => true,
        (Mishap::Fault(Fault::AnswerLost, _), HarmKind::ToldTwice) => publishes,
        // Between the notice and the note that it is told.
        (Mishap::Killed, HarmKind::ToldTwice) => {
            let notes = ["DescribeContainerInstances", "PutAttributes"];
            point.is_after("Publish") && (publishes || notes.contains(&point.operation.as_str()))
        }
        _ => false,
    }
}

#[test]
fn whatever_befalls_it_an_action_is_completed_once_when_its_tasks_have_stopped() {
    let stopping = LifecycleSettings { standalone_tasks: StandaloneTasks::Stop, ..settings() };
    let gives_up =
        LifecycleSettings { drain_timeout: SignedDuration::from_secs(240), ..settings() };
    let retains = LifecycleSettings { on_timeout: OnTimeout::Retain, ..gives_up.clone() };
    run(&[
        story("one hop that stops a standalone task", |_| {}, stopping.clone()),
        story("hops of 20 s, as its time is short", in_short_time, stopping.clone()),
        story("a drain that is given up", stuck, gives_up),
        story("a group at its minimum and maximum", at_its_bounds, stopping),
        story("a given-up instance is retained", retaining, retains),
    ]);
}

//! What draining terminated instances costs, in API calls and in virtual seconds: single drains,
//! and a scale-in of many instances at once under the real request rates of ECS.
#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::expect_used, reason = "a benchmark that fails may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, clients::config_loader};
use ebb_core::lifecycle::Answer;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::{CompletedBy, Group, Hook};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::ecs::{NewInstance, ServiceKind, TaskSpec};
use ebb_region::world::{Happening, World};
use ebb_region::{Region, scenario};
use jiff::Timestamp;
use lifecycle_drainer::LifecycleDrainer;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(900);

/// The head of the table. Its columns are as wide as those of `report`.
const HEAD: &str = "\
drains at once  deregistration  calls a drain  throttled  seconds a drain  last stop -> completed
                                                                median     median      worst";

fn main() {
    println!("{HEAD}");
    for (drains, deregistration_seconds) in [(1, 30), (1, 300), (10, 30), (150, 30), (150, 300)] {
        let world = play(drains, deregistration_seconds);
        report(&world, drains, deregistration_seconds);
    }
}

/// A cluster of twice as many instances as are terminated, with three tasks of a service on each.
///
/// The instances take turns in the group's zones, as Auto Scaling would launch them, and so do
/// those that are terminated: a group whose zones drift apart moves instances between them, and
/// each move is one more drain.
fn cluster(drains: usize, deregistration_seconds: u64) -> World {
    let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
    let ids: Vec<_> = (0..2 * drains).map(|number| format!("i-{number:017x}")).collect();
    let group = Group::with_instances(scenario::CLUSTER, ids.clone());
    for (id, zone) in ids.iter().zip(group.zones.iter().cycle()) {
        world.add_instance(scenario::CLUSTER, NewInstance::new(id).zone(zone));
    }
    let spec = TaskSpec {
        deregistration_delay: Some(Duration::from_secs(deregistration_seconds)),
        ..TaskSpec::default()
    };
    world.add_service(scenario::CLUSTER, "web", ServiceKind::replica(6 * drains), spec);
    world.add_group("group", group);
    scenario::route_terminations(&mut world, &Hook::new(scenario::HOOK), Function::new(TIMEOUT));
    for id in ids.iter().take(drains) {
        world.terminate_in_group(id, true).expect("the group is above its minimum");
    }
    world
}

fn play(drains: usize, deregistration_seconds: u64) -> World {
    fastrand::seed(7);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without a thread can be built").block_on(async {
        let region = Region::start(cluster(drains, deregistration_seconds), 1.0);
        let clients = Clients::new(&region.connect(config_loader()).await);
        let drainer = Arc::new(LifecycleDrainer::new(clients, LifecycleSettings::default()));
        let lambda =
            InProcess::default().handling(scenario::LIFECYCLE_DRAINER, &region, &drainer, handle);
        region.run(&lambda, Duration::from_secs(3_600)).await;
        region.world().clone()
    })
}

async fn handle(
    drainer: Arc<LifecycleDrainer>,
    payload: Value,
    now: Timestamp,
    deadline: Timestamp,
) -> Result<Answer, HandlerError> {
    drainer.handle(&payload, now, deadline).await
}

fn report(world: &World, drains: usize, deregistration_seconds: u64) {
    assert_eq!(world.completed_actions.len(), drains, "every action is completed");
    assert!(
        world.completed_actions.iter().all(|action| action.cause == CompletedBy::Caller),
        "none timed out"
    );
    assert!(world.tasks_cut_off().is_empty(), "no task was cut off");
    assert!(
        world.delivery.ended.iter().all(|ended| ended.result.is_ok()),
        "no throttle became an error"
    );

    let mut last_stop = BTreeMap::<&str, Timestamp>::new();
    for entry in &world.history {
        if let Happening::Task { instance_id, status: TaskStatus::Stopped, .. } = &entry.happening {
            last_stop.insert(instance_id, entry.time);
        }
    }
    let mut seconds_since_last_stop: Vec<_> = world
        .completed_actions
        .iter()
        .filter_map(|action| {
            let stopped = *last_stop.get(action.instance_id.as_str())?;
            Some(action.time.duration_since(stopped).as_secs_f64())
        })
        .collect();
    let mut drain_seconds: Vec<_> = world
        .completed_actions
        .iter()
        .map(|action| action.time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64())
        .collect();
    let throttled = world
        .calls
        .iter()
        .filter(|call| call.error.as_deref() == Some("ThrottlingException"))
        .count();
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let calls = world.calls.len() as f64 / drains as f64;
    print!("{drains:>14}  {deregistration_seconds:>12} s  {calls:>13.1}  {throttled:>9}");
    println!(
        "  {:>15.0}  {:>9.1}  {:>9.1}",
        median(&mut drain_seconds),
        median(&mut seconds_since_last_stop),
        seconds_since_last_stop.last().copied().unwrap_or_default(),
    );
}

/// The upper median. The values are sorted afterwards.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! Seeded simulation: random clusters, terminations, deliveries, faults and deaths of the function,
//! and what must hold in each of them. The history of the world is complete, so that checking it
//! afterwards checks every step.
//!
//! `SEEDS=n` runs the first n seeds, `SEED=n` runs one. A seed that failed is printed, and kept in
//! [`KEPT`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::lifecycle::settings::{LifecycleSettings, StandaloneTasks};
use ebb_region::fault::Fault;
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::{CompletedBy, Hook};
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use ebb_region::world::{Happening, World};
use ebb_region::{Region, RunEnd, seeds};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use lifecycle_drainer::LifecycleDrainer;
use serde_json::{Value, json};

use crate::support::{
    FUNCTION, HOOK, TIMEOUT, TOPIC, handle_until_killed, instance_id, shop_with_hook, start_time,
};

/// How many seeds `cargo test` runs.
const SEEDS: u64 = 300;

/// Seeds that failed once. What they found is mended; they are run every time.
const KEPT: [u64; 0] = [];

const CALLS: [&str; 10] = [
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "UpdateContainerInstancesState",
    "ListTasks",
    "DescribeTasks",
    "DescribeServices",
    "CompleteLifecycleAction",
    "Publish",
];

/// A story drawn from a seed.
struct Story {
    settings: LifecycleSettings,
    world: World,
    /// Which instances are terminated, and when.
    terminations: Vec<(Duration, String)>,
    /// The chance that an invocation is killed, somewhere.
    killed: f64,
    /// Whether nothing goes wrong.
    calm: bool,
    /// Whether the calls are counted. A hook with a time-out of less than two minutes needs more
    /// heartbeats.
    counts_calls: bool,
    rng: Rng,
}

fn seconds(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_secs(rng.u64(range))
}

fn draw(seed: u64) -> Story {
    let mut rng = Rng::with_seed(seed);
    let calm = rng.u8(..4) == 0;
    let heartbeat_timeout = seconds(&mut rng, 60..3_600);
    let hook = Hook { topic_arn: Some(TOPIC.to_owned()), heartbeat_timeout, ..Hook::new(HOOK) };
    let mut world = shop_with_hook(hook);
    for number in 0..rng.usize(0..3) {
        let spec = TaskSpec {
            deregistration_delay: rng.bool().then(|| seconds(&mut rng, 0..400)),
            stops_after: seconds(&mut rng, 0..60),
            ..TaskSpec::default()
        };
        let (min_percent, max_percent) =
            [(100, 200), (50, 100), (50, 200), (0, 100), (100, 100)][rng.usize(..5)];
        let kind = ServiceKind::Replica { desired: rng.usize(1..10), min_percent, max_percent };
        world.add_service("shop", &format!("service{number}"), kind, spec);
    }
    let mut numbers: Vec<usize> = (1..=12).collect();
    rng.shuffle(&mut numbers);
    let terminations =
        (0..rng.usize(1..4)).map(|index| (seconds(&mut rng, 0..600), instance_id(numbers[index])));
    let terminations: Vec<_> = terminations.collect();
    for (_, instance_id) in &terminations {
        let id = world.container_instance(instance_id).unwrap().1.id.clone();
        for _ in 0..rng.usize(0..2) {
            world.run_task("shop", &id, "report", TaskSpec::default());
        }
        if rng.u8(..10) == 0 {
            world.disconnect_agent(instance_id);
        }
    }
    if rng.bool() {
        // A message that somebody made up, about an instance that nobody terminates.
        let healthy = instance_id(numbers[11]);
        let group = world.group_of(&healthy).expect("it is in a group").0.to_owned();
        world.publish(TOPIC, None, &forged(&healthy, &group).to_string());
    }
    let mut killed = 0.0;
    if !calm {
        for _ in 0..rng.usize(0..8) {
            let fault = Fault::TRANSIENT[rng.usize(..Fault::TRANSIENT.len())];
            world.faults.plan(CALLS[rng.usize(..CALLS.len())], fault, rng.u32(1..12));
        }
        world.delivery.mishaps.duplicate = rng.f64() / 2.0;
        world.delivery.mishaps.late = rng.f64() / 2.0;
        world.delivery.mishaps.lost = if rng.u8(..5) == 0 { 0.2 } else { 0.0 };
        killed = if rng.bool() { rng.f64() / 2.0 } else { 0.0 };
    }
    let settings = LifecycleSettings {
        drain_timeout: SignedDuration::from_secs(rng.i64(120..2_400)),
        standalone_tasks: [StandaloneTasks::Wait, StandaloneTasks::Stop, StandaloneTasks::Ignore]
            [rng.usize(..3)],
        ..LifecycleSettings::default()
    };
    let counts_calls = calm && heartbeat_timeout >= Duration::from_secs(120);
    Story { settings, world, terminations, killed, calm, counts_calls, rng }
}

fn forged(instance_id: &str, group: &str) -> Value {
    json!({
        "LifecycleHookName": HOOK,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": group,
        "Time": start_time(),
        "EC2InstanceId": instance_id,
        "LifecycleActionToken": "00000000-0000-4000-a000-000000000000",
    })
}

/// Plays a story to its end and returns the world as it is then.
async fn play(story: &mut Story) -> (World, RunEnd) {
    fastrand::seed(story.rng.u64(..));
    for (after, instance_id) in &story.terminations {
        story.world.terminate_in_group_later(*after, instance_id, false);
    }
    let region = Region::start(story.world.clone(), 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    let drainer = Arc::new(LifecycleDrainer::new(clients, story.settings.clone()));
    let killed = story.killed;
    let handle = move |drainer: Arc<LifecycleDrainer>, payload: Value, now, deadline| {
        // Most die early, where most of the steps are.
        let lifetime = if fastrand::f64() < killed {
            TIMEOUT.mul_f64(fastrand::f64().powi(4))
        } else {
            TIMEOUT
        };
        handle_until_killed(drainer, payload, now, deadline, lifetime)
    };
    let lambda = InProcess::default().handling(FUNCTION, &region, &drainer, handle);
    let run_end = region.run(&lambda, Duration::from_secs(60 * 3600)).await;
    let world = region.world().clone();
    (world, run_end)
}

/// The tasks that ran on an instance and had not stopped at a moment.
fn tasks_not_stopped(world: &World, wanted_id: &str, moment: Timestamp) -> BTreeSet<String> {
    let mut running = BTreeSet::new();
    for entry in world.history.iter().filter(|entry| entry.time <= moment) {
        if let Happening::Task { name, instance_id, status, .. } = &entry.happening
            && instance_id == wanted_id
        {
            match status {
                TaskStatus::Stopped => running.remove(name),
                _ => running.insert(name.clone()),
            };
        }
    }
    running
}

fn must(holds: bool, rule: &str, details: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{rule}: {details}")) }
}

fn check(story: &Story, world: &World, run_end: RunEnd) -> Result<(), String> {
    must(run_end == RunEnd::Quiet, "every drain ends", format!("{run_end:?}"))?;
    for (after, instance_id) in &story.terminations {
        check_completion(story, world, *after, instance_id)?;
    }
    check_drained_instances(story, world)?;
    if story.killed == 0.0 {
        let dead_letters = world.delivery.functions[FUNCTION].dead_letters.len();
        must(
            dead_letters == 0,
            "no message ends in the dead-letter queue",
            dead_letters.to_string(),
        )?;
    }
    check_hops(world)?;
    if story.counts_calls { check_calls(story, world) } else { Ok(()) }
}

/// What must hold of the action of an instance that was terminated after a while.
fn check_completion(
    story: &Story,
    world: &World,
    after: Duration,
    instance_id: &str,
) -> Result<(), String> {
    let completed: Vec<_> =
        world.completed_actions.iter().filter(|action| action.instance_id == instance_id).collect();
    must(
        completed.len() == 1,
        "an action is completed once",
        format!("{instance_id}: {completed:?}"),
    )?;
    let completed = completed[0];
    if completed.cause != CompletedBy::Caller {
        let excused = !story.calm;
        return must(excused, "no action times out by itself", format!("{completed:?}"));
    }
    let deadline = start_time() + after + story.settings.drain_timeout;
    let mut running = tasks_not_stopped(world, instance_id, completed.time);
    running.retain(|name| must_be_waited_for(story, name));
    must(
        running.is_empty() || completed.time >= deadline,
        "no action is completed while a task that must be waited for runs",
        format!("{instance_id} at {}, deadline {deadline}: {running:?}", completed.time),
    )?;
    let late = completed.time.duration_since(deadline);
    must(
        late <= SignedDuration::from_secs(30) || !story.calm,
        "no drain outlasts its deadline",
        format!("{instance_id}: {late} after it"),
    )
}

/// Daemon tasks run until the end, and standalone tasks may be ignored.
fn must_be_waited_for(story: &Story, task_name: &str) -> bool {
    let is_daemon = task_name.starts_with("logs");
    let is_standalone = task_name.starts_with("report");
    let waits_for_standalone = story.settings.standalone_tasks != StandaloneTasks::Ignore;
    !is_daemon && (waits_for_standalone || !is_standalone)
}

fn check_drained_instances(story: &Story, world: &World) -> Result<(), String> {
    let terminated: BTreeSet<_> =
        story.terminations.iter().map(|(_, instance_id)| instance_id.as_str()).collect();
    for entry in &world.history {
        if let Happening::ContainerInstance { instance_id, status: Status::Draining } =
            &entry.happening
        {
            must(
                terminated.contains(instance_id.as_str()),
                "no healthy instance is drained",
                instance_id.clone(),
            )?;
        }
    }
    Ok(())
}

fn check_hops(world: &World) -> Result<(), String> {
    let hops = world.published.iter().filter_map(|notification| {
        let message: Value = serde_json::from_str(&notification.message).ok()?;
        message["ebb"]["hop"].as_u64()
    });
    let hops = hops.max().unwrap_or(0) + 1;
    must(hops <= 15, "a drain takes 15 hops at most", hops.to_string())
}

/// Some thirty calls begin and end a drain, and one call in ten seconds follows it.
fn check_calls(story: &Story, world: &World) -> Result<(), String> {
    let lasted: i64 = world
        .completed_actions
        .iter()
        .filter_map(|action| {
            let (after, _) = story.terminations.iter().find(|(_, id)| *id == action.instance_id)?;
            Some(action.time.duration_since(start_time() + *after).as_secs())
        })
        .sum();
    let drains = i64::try_from(story.terminations.len()).unwrap_or(i64::MAX);
    let calls = i64::try_from(world.calls.len()).unwrap_or(i64::MAX);
    must(
        calls <= lasted / 10 + 30 * drains,
        "few calls",
        format!("{calls} in {lasted} s, {drains} drains"),
    )
}

fn simulate(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut story = draw(seed);
    let (world, run_end) = runtime.block_on(play(&mut story));
    check(&story, &world, run_end)
}

#[test]
fn what_must_hold_holds_for_every_seed() {
    seeds::run(SEEDS, &KEPT, simulate);
}

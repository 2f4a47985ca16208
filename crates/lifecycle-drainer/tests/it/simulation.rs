//! Seeded simulation: random clusters, terminations, deliveries, faults and deaths of the function,
//! and what must hold in each of them. The history of the world is complete, so that checking it
//! afterwards checks every step.
//!
//! `SEEDS=n` runs the first n seeds, `SEED=n` runs one. A seed that failed is printed, and kept in
//! [`KEPT`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::{LifecycleSettings, StandaloneTasks};
use ebb_core::notification::NotificationFormat;
use ebb_region::fault::Fault;
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::{CompletedBy, Hook, LifecycleState};
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::lag::Lag;
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
const KEPT: [u64; 1] = [282];

/// How many chains of one action may come to the end of the same hop: the one that all merge into, and
/// others that began too late to have merged.
const CHAINS_MAX: usize = 3;

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

const CALLS: [&str; 11] = [
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "UpdateContainerInstancesState",
    "ListTasks",
    "DescribeTasks",
    "DescribeServices",
    "RecordLifecycleActionHeartbeat",
    "CompleteLifecycleAction",
    "Publish",
];

/// A story drawn from a seed.
struct Story {
    settings: LifecycleSettings,
    world: World,
    /// Which instances are terminated, and when.
    terminations: Vec<(Duration, String)>,
    /// An instance that nobody terminates, and that somebody else may have drained.
    drained: String,
    /// Which messages somebody makes up, and when.
    forgeries: Vec<(Duration, Value)>,
    /// The instances that EC2 ends, whatever their group does.
    ended_in_ec2: BTreeSet<String>,
    /// When somebody sets each terminated instance ACTIVE again that is DRAINING then.
    activated_after: Option<Duration>,
    /// The chance that an invocation is killed, somewhere.
    killed: f64,
    /// Whether nothing goes wrong.
    calm: bool,
    /// Whether what people were told can be noted, and read again at once.
    notes_hold: bool,
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
    let mut has_registrations = false;
    for (_, instance_id) in &terminations {
        if rng.u8(..6) == 0 {
            add_registration(&mut world, &mut rng, instance_id);
            // Each has looks of its own.
            has_registrations = true;
        }
    }
    // Somebody drained an instance that nobody terminates.
    let drained = instance_id(numbers[10]);
    if rng.u8(..4) == 0 {
        let id = world.container_instance(&drained).unwrap().1.id.clone();
        world.set_status("shop", &id, Status::Draining);
    }
    // Messages that somebody made up, about instances that are terminated and others.
    let forgeries: Vec<_> = (0..rng.usize(0..4))
        .map(|_| {
            let about = instance_id(numbers[[0, 1, 10, 11][rng.usize(..4)]]);
            (seconds(&mut rng, 0..900), forged(&world, &mut rng, &about))
        })
        .collect();
    let (mut killed, mut ended_in_ec2, mut activated_after) = (0.0, BTreeSet::new(), None);
    let mut notes_hold = true;
    if !calm {
        if rng.u8(..4) == 0 {
            let function = world.delivery.functions.get_mut(FUNCTION).unwrap();
            function.concurrency = rng.usize(1..=2);
        }
        if rng.u8(..5) == 0 {
            world.lag = Lag::up_to(seconds(&mut rng, 1..5), rng.u64(..));
            notes_hold = false;
        }
        if rng.u8(..5) == 0 {
            let (after, instance_id) = &terminations[0];
            ended_in_ec2.insert(instance_id.clone());
            world.terminate_in_ec2(instance_id, *after + seconds(&mut rng, 0..200));
        }
        if rng.u8(..5) == 0 {
            activated_after = Some(seconds(&mut rng, 10..40));
        }
        for _ in 0..rng.usize(0..8) {
            let fault = Fault::TRANSIENT[rng.usize(..Fault::TRANSIENT.len())];
            let operation = CALLS[rng.usize(..CALLS.len())];
            // A publication whose answer is lost is made again.
            notes_hold &= !["DescribeContainerInstances", "Publish"].contains(&operation);
            world.faults.plan(operation, fault, rng.u32(1..12));
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
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        ..LifecycleSettings::default()
    };
    world.create_topic(PEOPLE);
    let counts_calls = calm
        && !has_registrations
        && forgeries.len() <= 1
        && heartbeat_timeout >= Duration::from_secs(120);
    Story {
        settings,
        world,
        terminations,
        drained,
        forgeries,
        ended_in_ec2,
        activated_after,
        killed,
        calm,
        notes_hold,
        counts_calls,
        rng,
    }
}

/// The agent of an instance has lost its state: it has a registration that it has forgotten, in some
/// cluster, in some status.
fn add_registration(world: &mut World, rng: &mut Rng, instance_id: &str) {
    let cluster = ["shop", "old-shop"][rng.usize(..2)];
    world.add_cluster(cluster);
    let status = [Status::Active, Status::Draining][rng.usize(..2)];
    let forgotten = NewInstance::new(instance_id).status(status);
    let with_task = rng.bool();
    let forgotten = if with_task { forgotten } else { forgotten.agent_disconnected() };
    let id = world.add_instance(cluster, forgotten);
    if with_task {
        world.run_task(cluster, &id, "report", TaskSpec::default());
    }
}

/// Somebody sets the instances ACTIVE that drain, each a while after it was terminated.
async fn set_active_again(story: &Story, region: &Region) {
    let Some(after_termination) = story.activated_after else { return };
    for (after, instance_id) in &story.terminations {
        let moment = start_time() + *after + after_termination;
        let pause = moment.duration_since(region.now());
        tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
        let mut world = region.world();
        let found = world.container_instance(instance_id);
        let draining = found
            .filter(|(_, instance)| instance.status == Status::Draining)
            .map(|(cluster, instance)| (cluster.to_owned(), instance.id.clone()));
        if let Some((cluster, id)) = draining {
            world.set_status(&cluster, &id, Status::Active);
        }
    }
}

/// A message about an instance in which the token is made up, and more may be.
fn forged(world: &World, rng: &mut Rng, instance_id: &str) -> Value {
    let group = world.group_of(instance_id).expect("it is in a group").0;
    let ages = [0, 0, 600, -600, 86_400, -86_400, 1_000_000_000, -100_000_000_000];
    let time = start_time() - SignedDuration::from_secs(ages[rng.usize(..ages.len())]);
    let hook = if rng.u8(..3) == 0 { "nobody" } else { HOOK };
    let mut message = json!({
        "LifecycleHookName": hook,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": group,
        "Time": time,
        "EC2InstanceId": instance_id,
        "LifecycleActionToken": "00000000-0000-4000-a000-000000000000",
    });
    if rng.bool() {
        let arn = world.container_instance(instance_id).unwrap().1.arn("shop");
        let hop = rng.u64(1..5);
        message["ebb"] = json!({
            "hop": hop,
            "first_seen": time,
            "deadline": time,
            "container_instances": [{"cluster": "shop", "arn": arn}],
        });
        if rng.bool() {
            message["ebb"]["returning_since"] = json!(time);
        }
    }
    message
}

/// Somebody publishes made-up messages.
async fn publish_forgeries(story: &Story, region: &Region) {
    let mut forgeries = story.forgeries.clone();
    forgeries.sort_by_key(|(after, _)| *after);
    for (after, message) in forgeries {
        let pause = (start_time() + after).duration_since(region.now());
        tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
        region.world().publish(TOPIC, None, &message.to_string());
    }
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
    let run = region.run(&lambda, Duration::from_secs(60 * 3600));
    let publish = publish_forgeries(story, &region);
    let (run_end, (), ()) = tokio::join!(run, set_active_again(story, &region), publish);
    let world = region.world().clone();
    (world, run_end)
}

/// The tasks that ran on an instance and had not stopped at a moment.
fn tasks_not_stopped(world: &World, wanted_id: &str, moment: Timestamp) -> BTreeSet<String> {
    let mut running = BTreeSet::new();
    for entry in world.history.iter().filter(|entry| entry.time <= moment) {
        if let Happening::TaskCutOff { name, instance_id, .. } = &entry.happening
            && instance_id == wanted_id
        {
            running.remove(name);
        }
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
        // EC2 may end an instance before its group terminates it, and then nothing is completed.
        if !story.ended_in_ec2.contains(instance_id) {
            check_completion(story, world, *after, instance_id)?;
        }
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
    check_chains(world)?;
    // Where reads lag or fail, two chains may both find that nobody has told it.
    if story.notes_hold {
        seeds::check_notices(world, PEOPLE)?;
    }
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
    // Somebody drained the forgotten registrations before.
    let mut terminated: BTreeSet<_> =
        story.terminations.iter().map(|(_, instance_id)| instance_id.as_str()).collect();
    for entry in &world.history {
        // A group that lost an instance to EC2 may terminate others to balance its zones.
        if let Happening::LifecycleState { instance_id, state: LifecycleState::TerminatingWait } =
            &entry.happening
        {
            terminated.insert(instance_id);
        }
        if let Happening::ContainerInstance { instance_id, status: Status::Active } =
            &entry.happening
            && *instance_id == story.drained
        {
            must(false, "what somebody drained is not set to ACTIVE", instance_id.clone())?;
        }
        if let Happening::ContainerInstance { instance_id, status: Status::Draining } =
            &entry.happening
            && entry.time > start_time()
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

/// However many chains of hops begin for an action, few come to the end of a hop.
fn check_chains(world: &World) -> Result<(), String> {
    let mut ends = BTreeMap::<(String, u64), usize>::new();
    let answers = world.delivery.ended.iter().filter_map(|ended| ended.result.as_ref().ok());
    for outcome in answers.filter_map(|answer| answer["outcomes"].as_array()).flatten() {
        if outcome["outcome"] == "republished"
            && let (Some(id), Some(hop)) =
                (outcome["instance_id"].as_str(), outcome["hop"].as_u64())
        {
            *ends.entry((id.to_owned(), hop)).or_default() += 1;
        }
    }
    let most = ends.into_iter().max_by_key(|(_, count)| *count);
    must(
        most.as_ref().is_none_or(|(_, count)| *count <= CHAINS_MAX),
        "chains become one within a hop",
        format!("{most:?}"),
    )
}

/// Some forty calls begin and end a drain, and one call in ten seconds follows it.
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
        calls <= lasted / 10 + 40 * drains,
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
    seeds::write_page("lifecycle-drainer", &story.world, &world);
    check(&story, &world, run_end)
}

#[test]
fn what_must_hold_holds_for_every_seed() {
    seeds::run(SEEDS, &KEPT, simulate);
}

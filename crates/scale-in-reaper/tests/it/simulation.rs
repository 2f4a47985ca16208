//! Seeded simulation: random clusters, loads that change while they are swept, deliveries, faults,
//! deaths and instances that vanish, and what must hold in each of them.
//!
//! `SEEDS=n` runs the first n seeds, `SEED=n` runs one. A seed that failed is printed, and kept in
//! [`KEPT`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::TopicArn;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::fault::{Fault, Faults};
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::{
    Constraint, Machine, NewInstance, Placement, ServiceKind, Status, Strategy,
};
use ebb_region::world::ecs::{Port, TaskSpec};
use ebb_region::world::{Happening, REGION, World};
use ebb_region::{Region, scenario, seeds};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use lifecycle_drainer::LifecycleDrainer;
use scale_in_reaper::ScaleInReaper;
use serde_json::Value;
use tokio::time::sleep;

use crate::support::{CLUSTER, INTERVAL, TIMEOUT, start_time};

/// How many seeds `cargo test` runs.
const SEEDS: u64 = 30;

/// Seeds that failed once. What they found is mended; they are run every time.
const KEPT: [u64; 3] = [70, 238, 321];

/// How many sweeps see a world that changes, and how many see it come to rest afterwards.
const RESTLESS_SWEEPS: usize = 6;
const RESTFUL_SWEEPS: usize = 14;

const CALLS: [&str; 14] = [
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeCapacityProviders",
    "DescribeLifecycleHooks",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "ListTasks",
    "DescribeTasks",
    "DescribeServices",
    "DescribeTaskDefinition",
    "PutAttributes",
    "DeleteAttributes",
    "UpdateContainerInstancesState",
    "TerminateInstanceInAutoScalingGroup",
];

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

/// What changes beside the sweeps.
#[derive(Debug, Clone)]
enum Change {
    Desired { service: String, count: usize },
    Vanish { instance_id: String },
    Fault { operation: &'static str, fault: Fault, calls: u32 },
    Standalone { instance_id: String },
}

/// A story drawn from a seed.
struct Story {
    settings: ReaperSettings,
    world: World,
    changes: Vec<(Duration, Change)>,
    /// The chance that an invocation is killed, somewhere.
    killed: f64,
    /// Whether nothing goes wrong and no load changes.
    calm: bool,
    rng: Rng,
}

fn id(number: usize) -> String {
    format!("i-0a1b2c3d4e5f6{number:04}")
}

fn draw(seed: u64) -> Story {
    let mut rng = Rng::with_seed(seed);
    let calm = rng.u8(..3) == 0;
    let (mut world, instances) = draw_cluster(&mut rng);
    let services = draw_services(&mut rng, &mut world, instances);
    let mut changes = Vec::new();
    let time = |rng: &mut Rng| INTERVAL.mul_f64(rng.f64() * RESTLESS_SWEEPS as f64);
    let (mut killed, hooks) = (0.0, rng.u8(..3) > 0);
    if !calm {
        for _ in 0..rng.usize(..5) {
            let (service, desired) = services[rng.usize(..services.len())].clone();
            let count = rng.usize(..=desired * 3 / 2 + 1);
            changes.push((time(&mut rng), Change::Desired { service, count }));
        }
        if rng.u8(..4) == 0 {
            changes.push((
                time(&mut rng),
                Change::Vanish { instance_id: id(rng.usize(1..=instances)) },
            ));
        }
        for _ in 0..rng.usize(..6) {
            let fault = Fault::TRANSIENT[rng.usize(..Fault::TRANSIENT.len())];
            let operation = CALLS[rng.usize(..CALLS.len())];
            changes
                .push((time(&mut rng), Change::Fault { operation, fault, calls: rng.u32(1..9) }));
        }
        for _ in 0..rng.usize(..3) {
            let instance_id = id(rng.usize(1..=instances));
            changes.push((time(&mut rng), Change::Standalone { instance_id }));
        }
        world.delivery.mishaps.duplicate = rng.f64() / 2.0;
        world.delivery.mishaps.late = rng.f64() / 2.0;
        killed = if rng.bool() { rng.f64() / 2.0 } else { 0.0 };
    }
    changes.sort_by_key(|(after, _)| *after);
    if hooks {
        scenario::route_terminations(
            &mut world,
            &Hook::new(scenario::HOOK),
            Function::new(TIMEOUT),
        );
    }
    scenario::route_sweeps(&mut world, Function::new(TIMEOUT), INTERVAL);
    let settings = ReaperSettings {
        clusters: rng.bool().then(|| vec![ebb_core::ids::Cluster::new(CLUSTER)]),
        mode: ReaperMode::Act,
        headroom_cpu_percent: rng.u32(..40),
        headroom_memory_percent: rng.u32(..40),
        max_removals_percent: [10, 25, 50, 100][rng.usize(..4)],
        low_for_sweeps: 1,
        hold_after_take_back: SignedDuration::ZERO,
        min_instances: rng.usize(..3),
        min_instance_age: SignedDuration::from_secs(rng.i64(0..1_800)),
        lifecycle_topic: Some(TopicArn::new(scenario::TERMINATION_TOPIC)),
        notification_topic: Some(TopicArn::new(PEOPLE)),
        ..ReaperSettings::default()
    };
    world.create_topic(PEOPLE);
    Story { settings, world, changes, killed, calm, rng }
}

fn draw_cluster(rng: &mut Rng) -> (World, usize) {
    let mut world = World::new(start_time(), rng.u64(..));
    let machines = [
        Machine::default(),
        Machine::new("m7g.xlarge", 4_096, 15_616).attribute("disk", "ssd"),
        Machine::new("c7g.large", 2_048, 3_840),
    ];
    let mut number = 0;
    for group in 0..rng.usize(1..4) {
        let machine = &machines[rng.usize(..machines.len())];
        let size = rng.usize(1..9);
        let ids: Vec<_> = (number + 1..=number + size).map(id).collect();
        for id in &ids {
            let zone = ["a", "b", "c"][rng.usize(..3)];
            let new = NewInstance::new(id).zone(format!("{REGION}{zone}")).machine(machine.clone());
            world.add_instance(CLUSTER, new);
        }
        number += size;
        let min_size = i32::try_from(rng.usize(..=size.min(3))).unwrap();
        let group_of =
            Group { min_size, template: machine.clone(), ..Group::with_instances(CLUSTER, ids) };
        world.add_group(&format!("group-{group}"), group_of);
    }
    (world, number)
}

/// Adds services of every strategy, with as many tasks as find a place. Returns their names and
/// counts.
fn draw_services(rng: &mut Rng, world: &mut World, instances: usize) -> Vec<(String, usize)> {
    let strategies = [
        vec![],
        vec![Strategy::Random],
        vec![Strategy::BinpackCpu],
        vec![Strategy::BinpackMemory],
        vec![Strategy::spread_zones(), Strategy::spread_instances()],
        vec![Strategy::spread_zones(), Strategy::BinpackMemory],
        vec![Strategy::spread_instances()],
    ];
    let mut services = Vec::new();
    for number in 0..rng.usize(1..5) {
        let mut spec = TaskSpec {
            cpu: [64, 256, 512, 1_024][rng.usize(..4)],
            memory_mib: [128, 512, 1_024, 2_048][rng.usize(..4)],
            deregistration_delay: rng.bool().then(|| Duration::from_secs(rng.u64(..600))),
            stops_after: Duration::from_secs(rng.u64(..60)),
            ..TaskSpec::default()
        };
        if rng.u8(..5) == 0 {
            spec.ports = vec![Port::tcp(8_080)];
        }
        let mut placement =
            Placement::with_strategies(strategies[rng.usize(..strategies.len())].clone());
        if rng.u8(..5) == 0 {
            placement = placement.with_constraint(Constraint::DistinctInstance);
        }
        if rng.u8(..6) == 0 {
            placement =
                placement.with_constraint(Constraint::MemberOf("attribute:disk == ssd".to_owned()));
        }
        let (min_percent, max_percent) =
            [(100, 200), (50, 100), (50, 200), (0, 100), (100, 150)][rng.usize(..5)];
        let name = format!("service{number}");
        let desired = rng.usize(..=instances);
        let kind = ServiceKind::Replica { desired, min_percent, max_percent };
        world.add_placed_service(CLUSTER, &name, kind, spec, placement);
        // What finds no place to begin with would never find one: the service wants what it has.
        let placed = world.clusters[CLUSTER].tasks.values();
        let placed = placed.filter(|task| task.service.as_deref() == Some(name.as_str())).count();
        world.set_desired_count(CLUSTER, &name, placed);
        services.push((name, placed));
    }
    if rng.bool() {
        let logs = TaskSpec { cpu: 32, memory_mib: 64, ..TaskSpec::default() };
        world.add_service(CLUSTER, "logs", ServiceKind::Daemon, logs);
    }
    // From a source of its own, so that all else of a seed stays as it was.
    let rng = &mut Rng::with_seed(rng.get_seed());
    for (name, _) in services.iter().filter(|_| rng.bool()) {
        world.enable_zone_rebalancing(CLUSTER, name);
    }
    services
}

/// Plays a story to its end and returns the world as it is then, and how it was when it had come to
/// rest.
async fn play(story: &mut Story) -> (World, Vec<usize>) {
    fastrand::seed(story.rng.u64(..));
    let region = Region::start(story.world.clone(), 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    let drainer = Arc::new(LifecycleDrainer::new(clients.clone(), LifecycleSettings::default()));
    let reaper = Arc::new(ScaleInReaper::new(clients, story.settings.clone()));
    let drain = |drainer: Arc<LifecycleDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, now, deadline).await
    };
    let killed = story.killed;
    let calm_from = start_time() + INTERVAL.mul_f64(RESTLESS_SWEEPS as f64 + 0.5);
    let sweep = move |reaper: Arc<ScaleInReaper>, payload: Value, now: Timestamp, deadline| {
        // A sweep takes seconds: to be killed within it, it must be killed soon.
        let dies = now < calm_from && fastrand::f64() < killed;
        let lives = if dies { Duration::from_secs_f64(fastrand::f64() * 3.0) } else { TIMEOUT };
        async move {
            let handled = tokio::time::timeout(lives, reaper.handle(&payload, now, deadline)).await;
            handled.map_err(|_| "killed".to_owned())?.map_err(|error| error.to_string())
        }
    };
    let lambda = InProcess::default()
        .handling(scenario::LIFECYCLE_DRAINER, &region, &drainer, drain)
        .handling(scenario::SCALE_IN_REAPER, &region, &reaper, sweep);
    let changes = async {
        for (after, change) in story.changes.clone() {
            let change_time = start_time() + after;
            sleep(Duration::try_from(change_time.duration_since(region.now())).unwrap_or_default())
                .await;
            apply(&region, change);
        }
        sleep(Duration::try_from(calm_from.duration_since(region.now())).unwrap_or_default()).await;
        region.world().faults = Faults::default();
        region.world().delivery.mishaps = ebb_region::world::delivery::Mishaps::default();
    };
    let sweeps = u32::try_from(RESTLESS_SWEEPS + RESTFUL_SWEEPS).unwrap();
    let watch = async {
        let mut active = Vec::new();
        for _ in 0..sweeps {
            sleep(INTERVAL).await;
            active.push(region.world().instances_with(Status::Active).len());
        }
        active
    };
    let limit = INTERVAL * sweeps + Duration::from_secs(120);
    let (_, (), active) = tokio::join!(region.run(&lambda, limit), changes, watch);
    let world = region.world().clone();
    (world, active)
}

fn apply(region: &Region, change: Change) {
    let mut world = region.world();
    match change {
        Change::Desired { service, count } => world.set_desired_count(CLUSTER, &service, count),
        Change::Vanish { instance_id } => {
            if world.container_instance(&instance_id).is_some() {
                world.terminate(&instance_id, Duration::ZERO);
            }
        }
        Change::Fault { operation, fault, calls } => world.faults.plan(operation, fault, calls),
        Change::Standalone { instance_id } => {
            let active = world
                .container_instance(&instance_id)
                .filter(|(_, instance)| instance.status == Status::Active);
            let Some(id) = active.map(|(_, instance)| instance.id.clone()) else { return };
            world.run_task(CLUSTER, &id, "report", TaskSpec::default());
        }
    }
    drop(world);
    region.notify();
}

fn check(story: &Story, world: &World, active: &[usize]) -> Result<(), String> {
    let must = |holds: bool, rule: &str, detail: String| {
        if holds { Ok(()) } else { Err(format!("{rule}: {detail}")) }
    };
    // What somebody else took away is not our doing: groups balance their zones, instances vanish.
    let instances = world.clusters[CLUSTER].instances.values();
    let ours: BTreeSet<_> = instances
        .filter(|instance| instance.attribute(DRAINED_BY).is_some())
        .map(|instance| instance.instance_id.as_str())
        .collect();
    let vanished: BTreeSet<_> = story
        .changes
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Vanish { instance_id } => Some(instance_id.as_str()),
            _ => None,
        })
        .collect();
    let removed_by_us = |id: &str| ours.contains(id) && !vanished.contains(id);
    for entry in &world.history {
        match &entry.happening {
            Happening::TaskCutOff { name, instance_id, .. } => {
                let daemon = name.starts_with("logs");
                must(
                    daemon || !removed_by_us(instance_id),
                    "no task is cut off",
                    format!("{name} on {instance_id} at {}", entry.time),
                )?;
            }
            Happening::DesiredCapacity { group, desired_capacity } => {
                let min_size = world.groups[group].min_size;
                must(
                    *desired_capacity >= min_size,
                    "no group goes below its minimum",
                    format!("{group}: {desired_capacity} of {min_size} at {}", entry.time),
                )?;
            }
            _ => {}
        }
    }
    must(
        world.instances_with(Status::Draining).is_empty(),
        "nothing is DRAINING for ever",
        format!("{:?}", world.instances_with(Status::Draining)),
    )?;
    let stuck = world.missing_tasks();
    if story.calm {
        must(stuck.is_empty(), "no task ends without a place", format!("{stuck:?}"))?;
        let stuck = world.history.iter().find(|entry| {
            entry.time > start_time() && matches!(entry.happening, Happening::NotPlaced { .. })
        });
        must(stuck.is_none(), "no task looks for a place in vain", format!("{stuck:?}"))?;
    }
    let last = &active[active.len() - 4..];
    must(
        last.iter().all(|count| count == &last[0]),
        "repeated sweeps come to rest",
        format!("{active:?}"),
    )?;
    if story.killed == 0.0 && story.calm {
        let failed = world.delivery.ended.iter().find(|ended| ended.result.is_err());
        must(failed.is_none(), "no sweep fails", format!("{failed:?}"))?;
    }
    Ok(())
}

fn simulate(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut story = draw(seed);
    let (world, active) = runtime.block_on(play(&mut story));
    seeds::write_page("scale-in-reaper", &story.world, &world);
    check(&story, &world, &active)
}

#[test]
fn what_must_hold_holds_for_every_seed() {
    seeds::run(SEEDS, &KEPT, simulate);
}

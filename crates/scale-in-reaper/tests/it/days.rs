//! Seeded days beside cluster auto scaling: two capacity providers with managed scaling and managed
//! termination protection, as in the example of the most used public Terraform module, under a load
//! that changes all day. What Ebb drains, ECS must not launch again for the same load, no task that
//! moves may wait for a place, and none of a service that grows within the headroom may wait for
//! longer than without Ebb.
//!
//! Time is compressed: the load of a day passes in eight hours. `SEEDS=n` plays the first n days,
//! `SEED=n` one; `SEEDS=n cargo test --package scale-in-reaper --test it days -- --nocapture` says
//! the figures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::{
    CapacityProvider, ManagedScaling, NewInstance, Placement, ServiceKind, Status, Strategy,
    StrategyItem, TaskSpec,
};
use ebb_region::world::{Happening, REGION, World};
use ebb_region::{Region, scenario, seeds};
use fastrand::Rng;
use jiff::Timestamp;
use scale_in_reaper::ScaleInReaper;
use tokio::time::sleep;

use crate::support::{CLUSTER, INTERVAL, TIMEOUT, start_time};

/// How many days `cargo test` plays.
const SEEDS: u64 = 4;

/// Days on which ECS once launched what Ebb had drained an hour before, one as which begins a task has
/// waited for minutes, and two on which ECS sends all that grows to the one provider that is behind.
/// They are played every time.
const KEPT: [u64; 9] = [36, 59, 80, 90, 102, 115, 659, 994, 9_529];

/// How many clusters it sheds instances of.
const SHED_SEEDS: u64 = 3;

const DAY: Duration = Duration::from_secs(8 * 3_600);

/// How far apart the load changes.
const STEP: Duration = Duration::from_secs(600);

/// How far apart the looks at what waits are: a wait between two of a minute would not be seen.
const LOOK: Duration = Duration::from_secs(10);

const LOOKS_PER_MINUTE: u32 = 6;

/// For how long nothing is launched again after a drain, unless the load has grown.
const FLAPPING: Duration = Duration::from_secs(3_600);

/// For how long after a load has grown ECS may still launch for it: it measures once a minute,
/// nothing is added while an instance warms up, and what it adds may not be enough at once.
const SCALING_LAG: Duration = Duration::from_secs(1_800);

const GROUPS: [&str; 2] = ["on-demand", "spot"];

/// How many services there are.
const SERVICES: usize = 5;

/// What a task of each holds of CPU and memory.
const SIZES: [[i64; 2]; SERVICES] =
    [[256, 512], [512, 1_024], [256, 1_536], [128, 256], [768, 2_048]];

/// `targetCapacity` of the groups' providers.
type Targets = [usize; 2];

const TARGETS: Targets = [100, 80];

/// The number of tasks that each service wants from a moment on.
type Load = Vec<(Timestamp, Vec<usize>)>;

/// A cluster drawn from a seed, and the load that it has over the day.
struct Day {
    world: World,
    load: Load,
}

/// What came of a day.
#[derive(Debug, Clone, Default)]
struct Figures {
    days: usize,
    drains: usize,
    scale_outs: usize,
    flapped: Vec<String>,
    /// Minutes that instances were there, and that tasks waited for a place.
    instance_minutes: usize,
    waiting_minutes: usize,
    /// For how many minutes the longest waiting task had waited, at most.
    longest_wait: usize,
    /// The wait that was the longest of a cause.
    waits: BTreeMap<Cause, Wait>,
    /// The steps of the load at which it grew by no more than the headroom covered.
    covered: Vec<usize>,
}

/// Why a task of a service, by its number, needed a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Its service had grown, at a step of the load; at the first one, the day began with it.
    Growth { number: usize, step: usize },
    /// It had to move.
    Move { number: usize },
}

/// How a task waited for a place.
#[derive(Debug, Clone)]
struct Wait {
    minutes: usize,
    since: Timestamp,
    capacity_provider: String,
    /// What drained when it was first seen to wait, and since when.
    draining: Vec<String>,
}

/// The sums of all days, without Ebb and with it.
static SUMS: Mutex<[Option<Figures>; 2]> = Mutex::new([None, None]);

fn draw(seed: u64) -> Day {
    let mut rng = Rng::with_seed(seed);
    let peaks: Vec<_> = (0..SERVICES).map(|_| rng.usize(4..24)).collect();
    let steps = usize::try_from(DAY.as_secs() / STEP.as_secs()).unwrap();
    let phase = rng.usize(..steps);
    let mut wanted: Vec<_> = peaks.iter().map(|peak| peak / 2 + 1).collect();
    let mut load = Load::new();
    let mut time = start_time();
    for step in 0..steps {
        // From 100 % down to 30 % and up again.
        let level = 30 + 140 * ((step + phase) % steps).abs_diff(steps / 2) / steps;
        for (count, &peak) in wanted.iter_mut().zip(&peaks) {
            // A service is scaled now and then, a little off the mark, and seldom by a surge.
            if rng.u8(..5) == 0 {
                let surge = if rng.u8(..12) == 0 { 160 } else { 100 };
                *count = (peak * level * rng.usize(90..=110) * surge / 1_000_000).max(1);
            }
        }
        load.push((time, wanted.clone()));
        time += STEP;
    }
    let world = draw_cluster(&mut rng, &load[0].1, Some(TARGETS));
    Day { world, load }
}

/// Two groups of three zones, as large as they once had to be, with as many tasks as are wanted; with
/// targets, under capacity providers.
fn draw_cluster(rng: &mut Rng, wanted: &[usize], targets: Option<Targets>) -> World {
    let mut world = World::new(start_time() - Duration::from_secs(300), rng.u64(..));
    let mut number = 0;
    for group in GROUPS {
        let size = rng.usize(8..16);
        let ids: Vec<_> = (number..number + size).map(scenario::instance_id).collect();
        for (index, id) in ids.iter().enumerate() {
            let zone = ["a", "b", "c"][index % 3];
            world.add_instance(CLUSTER, NewInstance::new(id).zone(format!("{REGION}{zone}")));
        }
        number += size;
        let of_ids = Group::with_instances(CLUSTER, ids);
        world.add_group(group, Group { min_size: 1, max_size: 60, ..of_ids });
    }
    if let Some(targets) = targets {
        attach_providers(&mut world, targets);
    }
    let strategies = [
        vec![],
        vec![Strategy::BinpackMemory],
        vec![Strategy::spread_zones(), Strategy::BinpackCpu],
        vec![],
        vec![Strategy::spread_zones(), Strategy::spread_instances()],
    ];
    for (number, strategies) in strategies.into_iter().enumerate() {
        let [cpu, memory_mib] = SIZES[number];
        let spec = TaskSpec { cpu, memory_mib, ..TaskSpec::default() };
        let (kind, placement) = (ServiceKind::replica(0), Placement::with_strategies(strategies));
        world.add_placed_service(CLUSTER, &service(number), kind, spec, placement);
        if targets.is_some() {
            world.set_strategy(CLUSTER, &service(number), strategy(number));
        }
        world.set_desired_count(CLUSTER, &service(number), wanted[number]);
    }
    let logs = TaskSpec { cpu: 32, memory_mib: 64, ..TaskSpec::default() };
    world.add_service(CLUSTER, "logs", ServiceKind::Daemon, logs);
    // Every task is placed as its service says before the day begins.
    world.advance(start_time());
    world
}

/// One service in each group, and the others over both, in the proportions of the module's example.
fn strategy(number: usize) -> Vec<StrategyItem> {
    let weights = match number {
        0 => [1, 0],
        1 => [0, 1],
        _ => [60, 40],
    };
    let items = GROUPS.into_iter().zip(weights).filter(|(_, weight)| *weight > 0);
    items.map(|(group, weight)| StrategyItem::new(group, 0, weight)).collect()
}

fn service(number: usize) -> String {
    format!("service{number}")
}

/// Puts both groups under capacity providers with the steps of the module's example.
fn attach_providers(world: &mut World, targets: Targets) {
    let steps = [(1, 5), (5, 15)];
    for ((group, target_capacity), (minimum_step, maximum_step)) in
        GROUPS.into_iter().zip(targets).zip(steps)
    {
        let scaling =
            ManagedScaling { target_capacity, minimum_step, maximum_step, ..Default::default() };
        let provider = CapacityProvider::protecting(group, target_capacity);
        let provider = CapacityProvider { managed_scaling: Some(scaling), ..provider };
        world.attach_capacity_provider(CLUSTER, group, provider);
    }
}

/// Plays a world for a while without Ebb, with a load that changes. Returns what there is then, and
/// what came of it. The world alone needs no clock, and nobody who calls it.
fn play_alone(mut world: World, load: &Load, time: Duration) -> (World, Figures) {
    let mut figures = Figures { days: 1, ..Figures::default() };
    let end = world.now() + time;
    let mut changes = load.iter().peekable();
    while world.now() < end {
        while let Some((_, wanted)) = changes.next_if(|(at, _)| *at <= world.now()) {
            change_load(&mut world, wanted);
        }
        for _ in 0..LOOKS_PER_MINUTE {
            world.advance(world.now() + LOOK);
            note_waits(&world, load, &mut figures);
        }
        count_minute(&world, &mut figures);
    }
    (world, figures)
}

/// The same with sweeps.
async fn play(mut world: World, load: &Load, time: Duration) -> (World, Figures) {
    fastrand::seed(7);
    scenario::route_sweeps(&mut world, Function::new(TIMEOUT), INTERVAL);
    let region = Region::start(world, 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    let settings = ReaperSettings { mode: ReaperMode::Act, ..ReaperSettings::default() };
    let reaper = Arc::new(ScaleInReaper::new(clients, settings));
    let sweep = |reaper: Arc<ScaleInReaper>, payload, now, deadline| async move {
        reaper.handle(&payload, now, deadline).await
    };
    let lambda = InProcess::default().handling(scenario::SCALE_IN_REAPER, &region, &reaper, sweep);
    let changes = async {
        let mut covered = Vec::new();
        for (step, (time, wanted)) in load.iter().enumerate() {
            sleep(Duration::try_from(time.duration_since(region.now())).unwrap_or_default()).await;
            let mut world = region.world();
            if step > 0 && headroom_covers(&world, &load[step - 1].1, wanted) {
                covered.push(step);
            }
            change_load(&mut world, wanted);
            drop(world);
            region.notify();
        }
        covered
    };
    let watch = async {
        let mut figures = Figures { days: 1, ..Figures::default() };
        for _ in 0..time.as_secs() / 60 {
            for _ in 0..LOOKS_PER_MINUTE {
                sleep(LOOK).await;
                note_waits(&region.world(), load, &mut figures);
            }
            count_minute(&region.world(), &mut figures);
        }
        figures
    };
    let (_, covered, figures) = tokio::join!(region.run(&lambda, time), changes, watch);
    let world = region.world().clone();
    (world, Figures { covered, ..figures })
}

fn change_load(world: &mut World, wanted: &[usize]) {
    for (number, &count) in wanted.iter().enumerate() {
        world.set_desired_count(CLUSTER, &service(number), count);
    }
}

/// Counts what there is, once a minute.
fn count_minute(world: &World, figures: &mut Figures) {
    let cluster = &world.clusters[CLUSTER];
    let registered = cluster.instances.values();
    figures.instance_minutes +=
        registered.filter(|instance| instance.status != Status::Inactive).count();
    figures.waiting_minutes += cluster.waiting_tasks().len();
}

/// Notes for how long tasks wait.
fn note_waits(world: &World, load: &Load, figures: &mut Figures) {
    for task in world.clusters[CLUSTER].waiting_tasks() {
        let minutes = world.now().duration_since(task.created_at).as_mins();
        let minutes = usize::try_from(minutes).unwrap();
        figures.longest_wait = minutes.max(figures.longest_wait);
        let service = task.service.as_deref().unwrap_or_default();
        let number = service.trim_start_matches("service").parse().unwrap();
        let grown = last_growth(load, number, task.created_at - SCALING_LAG, task.created_at);
        let cause = match grown {
            Some(step) => Cause::Growth { number, step },
            // It waited as the day began.
            None if task.created_at < load[0].0 => Cause::Growth { number, step: 0 },
            None => Cause::Move { number },
        };
        let wait = figures.waits.get_mut(&cause);
        if wait.as_ref().is_some_and(|wait| wait.minutes >= minutes) {
            continue;
        }
        match wait.filter(|wait| wait.since == task.created_at) {
            Some(wait) => wait.minutes = minutes,
            None => {
                let capacity_provider = task.capacity_provider.clone().unwrap_or_default();
                let (since, draining) = (task.created_at, draining(world));
                let wait = Wait { minutes, since, capacity_provider, draining };
                figures.waits.insert(cause, wait);
            }
        }
    }
}

/// The instances that drain, by their ids, and since when.
fn draining(world: &World) -> Vec<String> {
    let drains = |id: &str| {
        let entry = world.history.iter().rfind(|entry| {
            matches!(&entry.happening, Happening::ContainerInstance { instance_id, status }
                if instance_id == id && *status == Status::Draining)
        })?;
        Some(format!("{id} since {}", entry.time))
    };
    world.instances_with(Status::Draining).into_iter().filter_map(drains).collect()
}

/// The step of the load at which a service grew last, after a time and until another one.
fn last_growth(load: &Load, number: usize, from: Timestamp, until: Timestamp) -> Option<usize> {
    (1..load.len()).rev().find(|&step| {
        let time = load[step].0;
        let (before, after) = (load[step - 1].1[number], load[step].1[number]);
        from < time && time <= until && before < after
    })
}

/// Whether a load grows while no task waits, and the headroom is there by every capacity provider,
/// covers the growth and has a place for each of its tasks, whatever the order they are placed in:
/// room in pieces that are too small for one is none for it.
fn headroom_covers(world: &World, before: &[usize], after: &[usize]) -> bool {
    let grows = before.iter().zip(after).any(|(before, after)| before < after);
    let ReaperSettings { headroom_cpu_percent, headroom_memory_percent, .. } =
        ReaperSettings::default();
    let percents = [headroom_cpu_percent, headroom_memory_percent].map(i64::from);
    let is_covered_by = |group: &str| {
        let (all, free) = room(world, group);
        let more: Vec<_> =
            (0..SERVICES).map(|number| more_by(world, group, number, before, after)).collect();
        let has_headroom = (0..2).all(|dimension| {
            let grown = more.iter().zip(SIZES).map(|(more, size)| more * size[dimension]);
            let free = free.iter().map(|free| free[dimension]);
            let headroom = percents[dimension] * all[dimension];
            100 * free.sum::<i64>() >= headroom && 100 * grown.sum::<i64>() <= headroom
        });
        let has_places = more.iter().zip(SIZES).enumerate().all(|(number, (more_of_it, size))| {
            let places = free.iter().map(|free| (free[0] / size[0]).min(free[1] / size[1]));
            // Those of the other services may be placed first, and take so many places each at most.
            let others = more.iter().zip(SIZES).enumerate().filter(|(other, _)| *other != number);
            let taken = others.map(|(_, (more, other))| {
                let most = (0..2).map(|dimension| (other[dimension] - 1) / size[dimension] + 1);
                more * most.max().unwrap_or_default()
            });
            places.sum::<i64>() - taken.sum::<i64>() >= *more_of_it
        });
        has_headroom && has_places
    };
    grows
        && world.clusters[CLUSTER].waiting_tasks().is_empty()
        && GROUPS.into_iter().all(is_covered_by)
}

/// How many more tasks of a service a provider gets. ECS sends each to the provider that has the fewest
/// of the service's tasks for its weight, the first among equals; those that have to move count no more.
fn more_by(world: &World, group: &str, number: usize, before: &[usize], after: &[usize]) -> i64 {
    let cluster = &world.clusters[CLUSTER];
    let mut tasks = BTreeMap::<_, usize>::new();
    for instance in cluster.instances.values().filter(|it| it.status == Status::Active) {
        let of_service = cluster.tasks_on(&instance.id).filter(|task| {
            task.service.as_deref() == Some(&service(number)) && task.is_desired_running()
        });
        *tasks.entry(instance.capacity_provider.clone()).or_default() += of_service.count();
    }
    let items = strategy(number);
    let mut more = 0;
    for _ in before[number]..after[number] {
        let fewest = items.iter().min_by(|a, b| {
            let [of_a, of_b] = [a, b]
                .map(|it| tasks.get(&Some(it.capacity_provider.clone())).map_or(1, |it| it + 1));
            (of_a * b.weight).cmp(&(of_b * a.weight))
        });
        let provider = fewest.map(|item| item.capacity_provider.clone());
        more += i64::from(provider.as_deref() == Some(group));
        *tasks.entry(provider).or_default() += 1;
    }
    more
}

/// What the ACTIVE instances of a provider have of CPU and memory in all, and what is free on each.
fn room(world: &World, group: &str) -> ([i64; 2], Vec<[i64; 2]>) {
    let cluster = &world.clusters[CLUSTER];
    let (mut all, mut free) = ([0; 2], Vec::new());
    for instance in cluster.instances.values() {
        let is_of_group = instance.capacity_provider.as_deref() == Some(group);
        if is_of_group && instance.status == Status::Active {
            let amounts = [instance.machine.cpu, instance.machine.memory_mib];
            let held = cluster.tasks_on(&instance.id).map(|task| &task.spec);
            free.push(held.fold(amounts, |[cpu, memory_mib], held| {
                [cpu - held.cpu, memory_mib - held.memory_mib]
            }));
            all = [all[0] + amounts[0], all[1] + amounts[1]];
        }
    }
    (all, free)
}

/// Counts what was drained and launched, and names what was launched within an hour of a drain for the
/// same load: although since then no service has grown whose tasks the group runs. What another group
/// launches may still be for what grew shortly before the drain.
fn count(world: &World, load: &Load, figures: &mut Figures) {
    let providers: BTreeMap<_, _> = world.clusters[CLUSTER]
        .instances
        .values()
        .filter_map(|it| Some((it.instance_id.as_str(), it.capacity_provider.as_deref()?)))
        .collect();
    let mut drains = Vec::new();
    let mut sizes = GROUPS.map(|_| None);
    for entry in &world.history {
        match &entry.happening {
            Happening::Attribute { instance_id, name, value: Some(_) } if name == DRAINED_BY => {
                drains.push((entry.time, instance_id));
                figures.drains += 1;
            }
            Happening::DesiredCapacity { group, desired_capacity } => {
                let index = usize::from(group == GROUPS[1]);
                let before = sizes[index].replace(*desired_capacity);
                if before.is_none_or(|before| before >= *desired_capacity) {
                    continue;
                }
                figures.scale_outs += 1;
                for (time, instance_id) in &drains {
                    if *time + FLAPPING < entry.time {
                        continue;
                    }
                    let is_of_group = providers.get(instance_id.as_str()) == Some(&group.as_str());
                    let lag = if is_of_group { Duration::ZERO } else { SCALING_LAG };
                    let grown = (0..SERVICES)
                        .filter(|number| runs_by(group, *number))
                        .any(|number| last_growth(load, number, *time - lag, entry.time).is_some());
                    if !grown {
                        figures.flapped.push(format!(
                            "{instance_id} was drained at {time}, and {group} grew to \
                             {desired_capacity} at {}",
                            entry.time
                        ));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a service's tasks may run by a provider.
fn runs_by(group: &str, number: usize) -> bool {
    strategy(number).iter().any(|item| item.capacity_provider == group)
}

impl Figures {
    fn add(&mut self, day: &Self) {
        self.days += day.days;
        self.drains += day.drains;
        self.scale_outs += day.scale_outs;
        self.instance_minutes += day.instance_minutes;
        self.waiting_minutes += day.waiting_minutes;
        self.longest_wait = self.longest_wait.max(day.longest_wait);
        self.covered.extend(&day.covered);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Names all that was amiss on a day: a wait hides no flapping.
fn simulate(seed: u64) -> Result<(), String> {
    let Day { world, load } = draw(seed);
    let alone = play_alone(world.clone(), &load, DAY);
    let beside = block_on(play(world, &load, DAY));
    let mut problems = unexpected_waits(&load, &alone.1, &beside.1);
    for (with_ebb, (world, mut figures)) in [(false, alone), (true, beside)] {
        count(&world, &load, &mut figures);
        let run = if with_ebb { "with Ebb" } else { "without Ebb" };
        let cut_off =
            world.tasks_cut_off().into_iter().map(|task| format!("{} was cut off", task.name));
        let ended = world.delivery.ended.iter().filter(|ended| ended.result.is_err());
        let failed = ended.map(|ended| format!("a sweep failed: {ended:?}"));
        let of_run = figures.flapped.drain(..).chain(cut_off).chain(failed);
        problems.extend(of_run.map(|problem| format!("{run}: {problem}")));
        let mut sums = SUMS.lock().unwrap_or_else(PoisonError::into_inner);
        sums[usize::from(with_ebb)].get_or_insert_default().add(&figures);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n    ")) }
}

/// The waits that none should be: of tasks that had to move, and those that were longer beside Ebb
/// than without it although the headroom covers what the load grew by. Beyond the headroom there is
/// no such promise: who keeps no room waits for a launch.
fn unexpected_waits(load: &Load, alone: &Figures, beside: &Figures) -> Vec<String> {
    let mut problems = Vec::new();
    for (figures, run) in [(alone, "without Ebb"), (beside, "with Ebb")] {
        for (cause, wait) in &figures.waits {
            let without = alone.waits.get(cause).map_or(0, |wait| wait.minutes);
            let (number, why) = match *cause {
                Cause::Move { number } => (number, "had to move".to_owned()),
                // Who waits as the day begins waits in both runs.
                Cause::Growth { number, step }
                    if (step == 0 || figures.covered.contains(&step)) && wait.minutes > without =>
                {
                    let grown_at = load[step].0;
                    (number, format!("was needed since {grown_at} by a growth within the headroom"))
                }
                Cause::Growth { .. } => continue,
            };
            let Wait { minutes, since, capacity_provider, draining } = wait;
            problems.push(format!(
                "{run}: a task of {} that {why} waited for {capacity_provider} from {since} for \
                 {minutes} min ({without} min without Ebb); DRAINING then: {draining:?}",
                service(number),
            ));
        }
    }
    problems
}

#[test]
fn nothing_is_drained_and_launched_again_for_the_same_load() {
    seeds::run(SEEDS, &KEPT, simulate);
    let sums = SUMS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (sums, name) in sums.iter().flatten().zip(["without Ebb", "with Ebb"]) {
        println!(
            "{name}: {} days, {} instance hours, {} drained, {} scale-outs; tasks waited for {} min \
             in all and {} at most, each after its service had grown",
            sums.days,
            sums.instance_minutes / 60,
            sums.drains,
            sums.scale_outs,
            sums.waiting_minutes,
            sums.longest_wait,
        );
    }
    let covered = sums[1].as_ref().map_or(0, |sums| sums.covered.len());
    println!("{covered} times the load grew within the headroom");
}

/// How many instances went in the end, after a load had fallen to 40 %: with or without capacity
/// providers, with or without Ebb.
fn shed(seed: u64, targets: Option<Targets>, with_ebb: bool) -> usize {
    let mut rng = Rng::with_seed(seed);
    let peaks: Vec<_> = (0..SERVICES).map(|_| rng.usize(10..30)).collect();
    let world = draw_cluster(&mut rng, &peaks, targets);
    let before = world.instances_with(Status::Active).len();
    let fallen = peaks.iter().map(|peak| (peak * 2).div_ceil(5)).collect();
    let load = vec![(start_time() + Duration::from_secs(60), fallen)];
    let (world, _) = if with_ebb {
        block_on(play(world, &load, DAY * 2))
    } else {
        play_alone(world, &load, DAY * 2)
    };
    assert_eq!(world.missing_tasks(), []);
    assert!(world.tasks_cut_off().is_empty());
    before.saturating_sub(world.instances_with(Status::Active).len())
}

#[test]
fn beside_capacity_providers_it_sheds_as_much_as_without_them() {
    let seeds = std::env::var("SEEDS").map_or(SHED_SEEDS, |text| text.parse().unwrap());
    let sum =
        |targets, with_ebb| -> usize { (0..seeds).map(|seed| shed(seed, targets, with_ebb)).sum() };
    let plain = sum(None, true);
    for targets in [[100, 100], TARGETS] {
        let (alone, both) = (sum(Some(targets), false), sum(Some(targets), true));
        println!(
            "{targets:?}: {both} instances by Ebb and ECS, {alone} by ECS alone, {plain} without \
             capacity providers"
        );
        assert!(both * 100 >= plain * 95, "{both} of {plain}, to the targets {targets:?}");
    }
}

//! The first chapter, when and how much: a night in which clocks go forward, and the day after it.

use std::time::Duration;

use clap::Parser;
use ebb::Caller;
use ebb::account::Account;
use ebb::options::Options;
use ebb::progress::Progress;
use ebb_aws::clients::config_loader;
use ebb_aws::{Clients, Clock};
use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::demonstration::scenario::{CLUSTER, instance_id};
use ebb_region::demonstration::story::Actor;
use ebb_region::world::autoscaling::{Group, LaunchSource, Override};
use ebb_region::world::ecs::{NewInstance, Placement, ServiceKind, Status, Strategy, TaskSpec};
use ebb_region::world::{Happening, REGION, World};
use jiff::Timestamp;

use crate::chapter::{Chapter, common_problems, unless};
use crate::stage::{INTERVAL, Stage, berlin, time};

const INSTANCES: usize = 16;
const GROUP: &str = "shop-on-demand";
/// Kept by its operator.
const KEPT: usize = 7;
/// For how many more of the largest task room is asked for.
const ROOM: usize = 2;
/// When the budget lets anything go, on the clock on the wall.
const NIGHT: [std::ops::Range<i8>; 2] = [0..6, 22..24];

const SETTINGS: [(&str, &str); 4] = [
    (
        "BUDGETS",
        r#"[{"count": 0, "schedule": "0 6 * * *", "time_zone": "Europe/Berlin", "duration": "16h"}]"#,
    ),
    ("LOW_FOR_SWEEPS", "2"),
    ("HEADROOM_LARGEST_TASKS", "2"),
    ("HALT_AT_DISCONNECTED_PERCENT", "25"),
];

/// Plays it.
///
/// # Errors
/// What ended it early.
pub(crate) async fn play(seed: u64) -> Result<Chapter, String> {
    // A Saturday, 22:00 in Berlin. Clocks go forward at two.
    let start = time("2025-03-29T21:00:00Z")?;
    let mut stage =
        Stage::set(shop(start, seed), 1, "When, and how much: a night and a day", &SETTINGS)
            .await?;
    // Between which times nothing may be drained, whatever the clock says.
    let mut pauses = Vec::new();

    stage.act("By night, and only what could go in two sweeps in a row");
    stage.sweep().await?;
    stage.sweep().await?;

    stage.act("Half of the agents lose their connection");
    let agents: Vec<_> = active(&stage).into_iter().take(4).collect();
    pauses.push(
        pause(&mut stage, Actor::Aws, "the agents of 4 instances are disconnected", |world| {
            agents.iter().for_each(|id| world.disconnect_agent(id));
        })
        .await?,
    );
    stage.change(Actor::Aws, "they are connected again", |world| {
        agents.iter().for_each(|id| world.reconnect_agent(id));
    });
    stage.sweep().await?;

    stage.act("Somebody holds the cluster for a while, and then stops the reaper in it");
    let until = tag("2025-03-30T00:30:00Z");
    pauses.push(
        pause(&mut stage, Actor::Person, "tag ebb:hold-until=2025-03-30T00:30:00Z", until).await?,
    );
    pauses.push(
        pause(&mut stage, Actor::Person, "tag ebb:hold-until=forever", tag("forever")).await?,
    );
    stage.change(Actor::Person, "take the tag off", |world| {
        if let Some(cluster) = world.clusters.get_mut(CLUSTER) {
            cluster.tags.clear();
        }
    });
    // Clocks have gone forward: it is six by then.
    while stage.region().now() < time("2025-03-30T04:00:00Z")? {
        stage.sweep().await?;
    }

    stage.act("By day nothing goes, although an hour of the night is missing");
    stage.change(Actor::Person, "scale search in from 4 tasks to 3, web from 6 to 4", |world| {
        world.set_desired_count(CLUSTER, "search", 3);
        world.set_desired_count(CLUSTER, "web", 4);
    });
    let evening = time("2025-03-30T20:00:00Z")?;
    while stage.region().now() < evening + 2 * INTERVAL {
        stage.sweep().await?;
    }

    stage.act("Another instance type would be cheaper");
    let cheaper = cheaper_shape(&stage).await?;
    stage.show("ebb", "ebb plan", &cheaper);

    stage.act("What is left is kept for a reason");
    let before = active(&stage).len();
    stage.change(Actor::Person, "start 2 more of the largest task", |world| {
        world.set_desired_count(CLUSTER, "search", 3 + ROOM);
    });
    stage.play(Duration::from_secs(300)).await;
    let no_room = stage.region().world().missing_tasks().len();

    let world = stage.region().world().clone();
    let drains = drains(&world, start);
    let outside = drains.iter().filter(|time| !is_night(**time)).count();
    let paused = drains.iter().filter(|time| pauses.iter().any(|it| it.contains(time))).count();
    let mut problems = common_problems(&world);
    let is_by_night = drains.iter().any(|time| *time >= evening);
    problems.extend(unless(is_by_night, || "Nothing went in the second night.".to_owned()));
    problems.extend(unless(outside == 0, || format!("{outside} drains by day.")));
    problems.extend(unless(paused == 0, || format!("{paused} drains while it was held.")));
    problems.extend(unless(no_room == 0, || "The largest tasks found no room.".to_owned()));
    let is_kept = world.status_of(&instance_id(KEPT)) == Some(Status::Active);
    problems.extend(unless(is_kept, || "The kept instance went.".to_owned()));
    problems.extend(unless(ledger_moves(&world) == 0, || "A pinned task moved.".to_owned()));
    problems.extend(unless(cheaper.contains("would carry"), || "No cheaper shape.".to_owned()));
    let result = format!(
        "{} of {INSTANCES} instances went (without Ebb: 0), {outside} of them by day and {paused} \
         while the cluster was held. {} of {} that had to move. {before} stay, with room for {ROOM} \
         more of the largest task.",
        drains.len(),
        cut_off_sentence(world.tasks_cut_off().len()).trim_end_matches('.'),
        stage.displaced(),
    );
    Ok(Chapter::of(stage.run("When, and how much", &result, &problems)))
}

/// Twelve instances with far more room than they need, on the evening that load has gone down.
fn shop(start: Timestamp, seed: u64) -> World {
    let mut world = World::new(start, seed);
    for number in 1..=INSTANCES {
        let zone = ["a", "b", "c"][number % 3];
        let mut instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        if number == KEPT {
            instance = instance.attribute("ebb.keep", "");
        }
        world.add_instance(CLUSTER, instance);
    }
    let members = Group::with_instances(CLUSTER, (1..=INSTANCES).map(instance_id));
    let types = ["m7g.large", "c7g.large", "m7g.xlarge"].map(Override::InstanceType);
    let source = LaunchSource::Mixed { on_demand_percentage: 100 };
    let group = Group { min_size: 2, source, overrides: types.to_vec(), ..members };
    world.add_group(GROUP, group);
    let task = TaskSpec { cpu: 256, memory_mib: 512, ..TaskSpec::default() };
    let web = TaskSpec { deregistration_delay: Some(Duration::from_secs(30)), ..task.clone() };
    let search = TaskSpec { cpu: 1_100, memory_mib: 2_048, ..task.clone() };
    for (name, tasks, spec) in [("web", 6, web), ("search", 4, search), ("ledger", 1, task)] {
        let spread = [Strategy::spread_zones(), Strategy::spread_instances()];
        let placement = Placement::with_strategies(spread);
        world.add_placed_service(CLUSTER, name, ServiceKind::replica(tasks), spec, placement);
    }
    let services = world.clusters.get_mut(CLUSTER).map(|cluster| &mut cluster.services);
    if let Some(ledger) = services.and_then(|services| services.get_mut("ledger")) {
        ledger.tags.insert("ebb:keep-tasks".to_owned(), String::new());
    }
    world
}

/// Something changes that lets nothing go in a sweep. Returns from when to when.
async fn pause(
    stage: &mut Stage,
    actor: Actor,
    what: &str,
    change: impl FnOnce(&mut World),
) -> Result<std::ops::Range<Timestamp>, String> {
    stage.change(actor, what, change);
    let begin = stage.region().now();
    stage.sweep().await?;
    Ok(begin..begin + INTERVAL)
}

/// Tags the cluster.
fn tag(until: &str) -> impl FnOnce(&mut World) {
    let until = until.to_owned();
    move |world| {
        if let Some(cluster) = world.clusters.get_mut(CLUSTER) {
            cluster.tags.insert("ebb:hold-until".to_owned(), until);
        }
    }
}

fn active(stage: &Stage) -> Vec<String> {
    let world = stage.region().world();
    world.instances_with(Status::Active).into_iter().map(str::to_owned).collect()
}

/// When instances were drained.
fn drains(world: &World, start: Timestamp) -> Vec<Timestamp> {
    let since = world.history.iter().filter(|entry| entry.time >= start);
    let drained = since.filter(|entry| {
        let status = Status::Draining;
        matches!(&entry.happening, Happening::ContainerInstance { status: new, .. } if *new == status)
    });
    drained.map(|entry| entry.time).collect()
}

/// Whether the budget lets anything go, by a clock that has nothing to do with Ebb's.
fn is_night(time: Timestamp) -> bool {
    let hour = berlin().map(|zone| time.to_zoned(zone).hour());
    hour.is_ok_and(|hour| NIGHT.iter().any(|night| night.contains(&hour)))
}

/// How many tasks of the service that keeps its tasks were begun after its first.
fn ledger_moves(world: &World) -> usize {
    let tasks = world.clusters[CLUSTER].tasks.values();
    tasks.filter(|task| task.service.as_deref() == Some("ledger")).count() - 1
}

/// What `ebb plan` says of the group's instance types.
async fn cheaper_shape(stage: &Stage) -> Result<String, String> {
    let region = stage.region();
    let clients = Clients::read_only(&region.connect(config_loader()).await);
    let clock = Clock::start(region.now());
    let account = Account { clients, region: REGION.to_owned(), clock };
    let options = Options::try_parse_from(["ebb", "plan", "--headroom-largest-tasks", "2"]);
    let options = options.map_err(|error| error.to_string())?;
    let progress = Progress { is_shown: false };
    let caller = Caller { environment: &|_| None, account: Some(account), progress };
    let printed = ebb::run(&options, &caller).await.map_err(|failure| failure.text)?;
    let sentence = printed.text.lines().find(|line| line.contains("would carry"));
    Ok(sentence.unwrap_or(&printed.text).trim().to_owned())
}

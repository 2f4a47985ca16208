//! The second chapter, old instances: a new version of the launch template, and every instance is
//! replaced, its replacement first.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::demonstration::scenario::{CLUSTER, instance_id};
use ebb_region::demonstration::story::Actor;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::ecs::{NewInstance, Placement, ServiceKind, Status, Strategy, TaskSpec};
use ebb_region::world::{Entry, Happening, REGION, World};
use jiff::Timestamp;

use crate::chapter::{Chapter, common_problems, unless};
use crate::stage::{INTERVAL, Stage, time};

const INSTANCES: usize = 6;
const GROUP: &str = "shop-on-demand";
/// By then all are replaced.
const SWEEPS_MAX: usize = 16;

const SETTINGS: [(&str, &str); 1] = [("BUDGETS", r#"[{"count": 2, "reasons": ["replace"]}]"#)];

/// Plays it.
///
/// # Errors
/// What ended it early.
pub(crate) async fn play(seed: u64) -> Result<Chapter, String> {
    let start = time("2025-03-31T20:00:00Z")?;
    let without_ebb = cut_off_without_ebb(shop(start, seed))?;
    let title = "Old instances: two at a time, the replacement first";
    let mut stage = Stage::set(shop(start, seed), 2, title, &SETTINGS).await?;

    stage.act("The launch template has a new version");
    stage.change(Actor::Person, "make version 2 the default of the launch template", |world| {
        if let Some(group) = world.groups.get_mut(GROUP) {
            (group.launch_template.default, group.launch_template.latest) = (2, 2);
        }
    });
    let mut sweeps = 0;
    // Every other sweep begins with more of them, and any goes on with what was begun.
    while !stage.replace().await?.replacements.is_empty() || is_raised(&stage) {
        stage.sweep().await?;
        sweeps += 2;
        if sweeps > SWEEPS_MAX {
            return Err(format!("not replaced in {SWEEPS_MAX} sweeps"));
        }
    }

    let world = stage.region().world().clone();
    let old: BTreeSet<_> = (1..=INSTANCES).map(instance_id).collect();
    let group = &world.groups[GROUP];
    let versions = group.instances.iter().filter(|instance| instance.template_version == Some(2));
    let replaced = versions.count();
    let twice = moved_onto(&world, &old, start);
    let least = fewest_active(&world, start);
    let mut problems = common_problems(&world);
    problems.extend(unless(replaced == INSTANCES && group.instances.len() == INSTANCES, || {
        format!("{replaced} of {INSTANCES} instances have the new version.")
    }));
    problems.extend(unless(twice == 0, || format!("{twice} tasks had to move twice.")));
    problems.extend(unless(least >= INSTANCES, || format!("Only {least} were ACTIVE at a time.")));
    let result = format!(
        "{replaced} of {INSTANCES} instances were replaced, in {sweeps} sweeps, with {least} ACTIVE \
         or more at any time. {} of {} that had to move (terminated without Ebb: {without_ebb}), \
         and {twice} had to move twice.",
        cut_off_sentence(world.tasks_cut_off().len()).trim_end_matches('.'),
        stage.displaced(),
    );
    Ok(Chapter::of(stage.run("Old instances", &result, &problems)))
}

/// Six instances in three zones, of different ages, with tasks of two services.
fn shop(start: Timestamp, seed: u64) -> World {
    let mut world = World::new(start, seed);
    for number in 1..=INSTANCES {
        let zone = ["a", "b", "c"][number % 3];
        let age = Duration::from_secs(86_400 * (100 - u64::try_from(number).unwrap_or_default()));
        let instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance(CLUSTER, instance.age(age));
    }
    let members = Group::with_instances(CLUSTER, (1..=INSTANCES).map(instance_id));
    world.add_group(GROUP, Group { min_size: 6, max_size: 10, ..members });
    let web =
        TaskSpec { deregistration_delay: Some(Duration::from_secs(30)), ..TaskSpec::default() };
    for (name, tasks, spec) in [("web", 12, web), ("worker", 6, TaskSpec::default())] {
        // New instances, which are empty, come first.
        let placement = Placement::with_strategies([Strategy::spread_instances()]);
        world.add_placed_service(CLUSTER, name, ServiceKind::replica(tasks), spec, placement);
    }
    world
}

fn is_raised(stage: &Stage) -> bool {
    stage.region().world().groups[GROUP].instances.len() > INSTANCES
}

/// How many tasks are cut off if somebody terminates the same instances in their group, without
/// hooks.
fn cut_off_without_ebb(mut world: World) -> Result<usize, String> {
    for number in 1..=INSTANCES {
        let terminated = world.terminate_in_group(&instance_id(number), false);
        terminated.map_err(|refused| refused.message)?;
        world.advance(world.now() + INTERVAL);
    }
    Ok(world.tasks_cut_off().len())
}

/// How many tasks came to run on one of these instances.
fn moved_onto(world: &World, instance_ids: &BTreeSet<String>, start: Timestamp) -> usize {
    let running = since(world, start).filter(|entry| match &entry.happening {
        Happening::Task { instance_id, status: TaskStatus::Running, .. } => {
            instance_ids.contains(instance_id)
        }
        _ => false,
    });
    running.count()
}

/// The fewest container instances that were ACTIVE at any time.
fn fewest_active(world: &World, start: Timestamp) -> usize {
    let mut active: BTreeSet<_> = (1..=INSTANCES).map(instance_id).collect();
    let mut least = active.len();
    for entry in since(world, start) {
        if let Happening::ContainerInstance { instance_id, status } = &entry.happening {
            match status {
                Status::Active => active.insert(instance_id.clone()),
                _ => active.remove(instance_id),
            };
        }
        least = least.min(active.len());
    }
    least
}

fn since(world: &World, start: Timestamp) -> impl Iterator<Item = &Entry> {
    // What the world began with is in the history at its first moment.
    world.history.iter().filter(move |entry| entry.time > start)
}

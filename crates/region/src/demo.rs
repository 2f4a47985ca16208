//! Plays the demonstration: three acts on the shop's cluster, told while they happen, and what came
//! of them.

use std::process::ExitCode;

use ebb_region::Region;
use ebb_region::demonstration::shortage::shortages;
use ebb_region::demonstration::{scenario, script};
use ebb_region::invoke_api::InvokeApi;
use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;

use crate::arguments::Arguments;
use crate::stage::Stage;
use crate::start_functions;

/// Plays the story with Ebb. Fails if a task was cut off, or anything was not done that must be.
///
/// # Errors
/// What ended the story.
pub(crate) async fn with_ebb(
    region: &Region,
    lambda: &InvokeApi,
    arguments: &Arguments,
) -> Result<ExitCode, String> {
    start_functions(region, lambda).await?;
    let mut stage = Stage::set(region, lambda);
    let cut_off_without_ebb = script::cut_off_without_ebb(&region.world())?;
    let whose = "Ebb's functions run by yours.";
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, whose));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    let removed = stage.sweep().await?;

    let world = region.world();
    let problems = problems(&world, removed.instances);
    let cut_off = world.tasks_cut_off().len();
    let short: Vec<_> =
        shortages(&world, stage.start).iter().map(|shortage| format!("{shortage}.")).collect();
    let short = match short.as_slice() {
        [] => "No service ran a task short.".to_owned(),
        short => short.join("\n"),
    };
    let result = format!(
        "{cut_off} of {} tasks that had to move were cut off (without Ebb: {cut_off_without_ebb}). \
         {short}\n{}",
        stage.story.displaced(),
        removed.sentence(),
    );
    let is_bad = !problems.is_empty();
    let result = problems.iter().fold(result, |result, problem| format!("{result}\n{problem}"));
    let mut next =
        stage.write_page(arguments.page.as_deref(), &world, "with Ebb", &result, is_bad)?;
    next.push_str(
        "make demo WITHOUT_EBB=1      the same story without Ebb\n\
         make serve                   the cluster, to try things on\n\
         docs/deploy.md               on a cluster of your own",
    );
    stage.end(&result, is_bad, &next);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Plays the same story in a Region without Ebb.
///
/// # Errors
/// What ended the story.
pub(crate) async fn without_ebb(
    region: &Region,
    lambda: &InvokeApi,
    arguments: &Arguments,
) -> Result<ExitCode, String> {
    script::remove_ebb(&mut region.world());
    let mut stage = Stage::set(region, lambda);
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, "No Ebb is there."));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    let world = region.world();
    stage.terminal.paragraph(&format!("   {}", idle(&world)));

    let cut_off = world.tasks_cut_off().len();
    let short = shortages(&world, stage.start);
    let mut result = format!("{cut_off} tasks were cut off.");
    for shortage in &short {
        result.push_str(&format!("\n{shortage}."));
    }
    let next = stage.write_page(arguments.page.as_deref(), &world, "without Ebb", &result, true)?;
    stage.end(
        &result,
        true,
        &format!("{next}make demo                    the same story with Ebb"),
    );
    Ok(ExitCode::SUCCESS)
}

/// The cluster, and whose clock is shown. `ebb` says where Ebb is.
fn opening(world: &World, speed: f64, ebb: &str) -> String {
    let cluster = &world.clusters[scenario::CLUSTER];
    let daemons = cluster.tasks.values().filter(|task| cluster.is_daemon(task)).count();
    format!(
        "Cluster {}: {} container instances, {} service tasks. The clock is the simulated Region's, \
         {speed} times as fast as yours: minutes and seconds. {ebb}",
        scenario::CLUSTER,
        cluster.instances.len(),
        cluster.tasks.len() - daemons,
    )
}

/// What nobody looks at without Ebb.
#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn idle(world: &World) -> String {
    let cluster = &world.clusters[scenario::CLUSTER];
    let held = cluster.resources_held();
    let (mut used, mut all, mut instances) = (0, 0, 0);
    for instance in cluster.instances.values() {
        if cluster.registered_instance(&instance.instance_id).is_some() {
            instances += 1;
            all += instance.machine.cpu;
            used += held.get(instance.id.as_str()).map_or(0, |held| held.cpu);
        }
    }
    let free = 100.0 * (1.0 - used as f64 / all as f64);
    format!("{instances} instances stay, and {free:.0} % of their CPU is free. Nothing looks.")
}

/// What is wrong at the end of a story with Ebb, in sentences.
fn problems(world: &World, removed: usize) -> Vec<String> {
    let mut problems: Vec<String> = world
        .delivery
        .ended
        .iter()
        .filter_map(|ended| ended.result.as_ref().err())
        .map(|failure| format!("An invocation failed: {failure}"))
        .collect();
    let mut instance_ids = script::scaled_in().to_vec();
    instance_ids.push(script::interrupted());
    for instance_id in &instance_ids {
        if world.container_instance(instance_id).is_some() {
            problems.push(format!("{instance_id} is still in the cluster."));
        }
    }
    // Every removal must have ended its action by now, that of the interrupted instance too: one
    // that still waits is missing in this count.
    let completed = &world.completed_actions;
    let expected = instance_ids.len() + removed;
    if completed.len() != expected
        || completed.iter().any(|action| action.cause != CompletedBy::Caller)
    {
        problems.push(format!("Not each of {expected} lifecycle actions was completed by Ebb."));
    }
    for (service, missing) in world.missing_tasks() {
        problems.push(format!("Service {service} is {missing} tasks short at the end."));
    }
    if !world.tasks_cut_off().is_empty() {
        problems.push("Tasks were cut off.".to_owned());
    }
    if removed == 0 {
        problems.push("The reaper removed nothing.".to_owned());
    }
    problems
}

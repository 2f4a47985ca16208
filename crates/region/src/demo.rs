//! Plays the demonstration: three acts on the shop's cluster, told while they happen, and what came
//! of them. The last acts, on another cluster, are in `office_acts`.

use std::path::Path;
use std::process::ExitCode;

use ebb_page::{Run, run_page};
use ebb_region::Region;
use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::demonstration::shortage::shortages;
use ebb_region::demonstration::{scenario, script};
use ebb_region::invoke_api::InvokeApi;
use ebb_region::world::World;

use crate::arguments::Arguments;
use crate::problems::shop_problems;
use crate::stage::{Removed, Scene, Stage, size};
use crate::{office_acts, start_functions};

const SHOP: Scene = Scene {
    cluster: scenario::CLUSTER,
    acts_before: 0,
    drain_limit: script::DRAIN_LIMIT,
    lapse: 1.0,
};

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
    let mut stage = Stage::set(region, lambda, SHOP, arguments.speed);
    let cut_off_without_ebb = script::cut_off_without_ebb(&region.world())?;
    let whose = "Ebb's functions run by yours.";
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, whose));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    let removed = stage.sweep().await?;
    let shop = shop_with_ebb(&stage, &region.world(), &removed, cut_off_without_ebb);

    let office = office_acts::with_ebb(region, lambda, arguments.speed).await?;

    let runs = [shop, office];
    let mut next = write_page(arguments.page.as_deref(), &runs)?;
    next.push_str(
        "make demo WITHOUT_EBB=1      the same story without Ebb\n\
         make serve                   the cluster, to try things on\n\
         docs/deploy.md               on a cluster of your own",
    );
    stage.end(&runs, &next);
    let is_bad = runs.iter().any(|run| run.is_bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What came of the shop's acts.
fn shop_with_ebb(
    stage: &Stage<'_>,
    world: &World,
    removed: &Removed,
    cut_off_without_ebb: usize,
) -> Run {
    let cut_off = world.tasks_cut_off().len();
    let short: Vec<_> =
        shortages(world, stage.start).iter().map(|shortage| format!("{shortage}.")).collect();
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
    stage.run(world, "with Ebb", &result, &shop_problems(world, removed.instances))
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
    let mut stage = Stage::set(region, lambda, SHOP, arguments.speed);
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, "No Ebb is there."));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    stage.terminal.paragraph(&format!("   {}", idle(&region.world())));
    let shop = shop_without_ebb(&stage, &region.world());

    let office = office_acts::without_ebb(region, lambda, arguments.speed).await;

    let runs = [shop, office];
    let next = write_page(arguments.page.as_deref(), &runs)?;
    stage.end(&runs, &format!("{next}make demo                    the same story with Ebb"));
    Ok(ExitCode::SUCCESS)
}

fn shop_without_ebb(stage: &Stage<'_>, world: &World) -> Run {
    let mut result = cut_off_sentence(world.tasks_cut_off().len());
    for shortage in &shortages(world, stage.start) {
        result.push_str(&format!("\n{shortage}."));
    }
    Run { is_bad: true, ..stage.run(world, "without Ebb", &result, &[]) }
}

/// Writes the page, if one is asked for. Returns the line that says where it is.
fn write_page(file: Option<&Path>, runs: &[Run]) -> Result<String, String> {
    let Some(file) = file else { return Ok(String::new()) };
    let shown = file.display().to_string();
    std::fs::write(file, run_page(runs)).map_err(|error| format!("{shown}: {error}"))?;
    Ok(format!("{shown:27}  what happened, to look at in a browser\n"))
}

/// The cluster, and whose clock is shown. `ebb` says where Ebb is.
fn opening(world: &World, speed: f64, ebb: &str) -> String {
    format!(
        "{} The clock is the simulated Region's, {speed} times as fast as yours: minutes and \
         seconds. {ebb}",
        size(world, scenario::CLUSTER),
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

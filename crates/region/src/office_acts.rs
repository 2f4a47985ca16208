//! Plays the demonstration's last acts, on a second cluster, beside cluster auto scaling, and says
//! what came of them.

use ebb_page::Run;
use ebb_region::Region;
use ebb_region::demonstration::office;
use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::invoke_api::InvokeApi;
use ebb_region::world::World;

use crate::problems::office_problems;
use crate::stage::{Scene, Stage, size};

const SCENE: Scene = Scene {
    cluster: office::CLUSTER,
    acts_before: 3,
    drain_limit: office::SWEEP_INTERVAL,
    // No function has to keep up from one sweep to the next.
    lapse: 30.0,
};

/// Lets Ebb sweep the cluster, and ECS take what is empty after each sweep.
///
/// # Errors
/// What ended the story.
pub(crate) async fn with_ebb(
    region: &Region,
    lambda: &InvokeApi,
    speed: f64,
) -> Result<Run, String> {
    let mut stage = set(region, lambda, speed);
    let removed = stage.sweep().await?;

    let world = region.world();
    let result = format!(
        "{}, by cluster auto scaling, which alone takes none of them (without Ebb: {} stay). {}\n{}",
        before_and_after(&world),
        office::INSTANCES,
        cut_off(&world),
        removed.sentence(),
    );
    Ok(stage.run(&world, "with Ebb", &result, &office_problems(&world, removed.instances)))
}

/// Lets ECS do what it does alone, for as long.
pub(crate) async fn without_ebb(region: &Region, lambda: &InvokeApi, speed: f64) -> Run {
    let mut stage = set(region, lambda, speed);
    stage.play(4 * office::SWEEP_INTERVAL).await;

    let world = region.world();
    let result = format!(
        "{}: cluster auto scaling takes none that holds a task. {}",
        before_and_after(&world),
        cut_off(&world),
    );
    stage.terminal.paragraph(&format!("   {result}"));
    Run { is_bad: true, ..stage.run(&world, "without Ebb", &result, &[]) }
}

/// Adds the cluster to the Region, and begins.
fn set<'a>(region: &'a Region, lambda: &'a InvokeApi, speed: f64) -> Stage<'a> {
    office::add(&mut region.world());
    let mut stage = Stage::set(region, lambda, SCENE, speed);
    stage.act("Cluster auto scaling keeps what holds one small task");
    let size = size(&region.world(), office::CLUSTER);
    stage.terminal.paragraph(&format!(
        "{size} A capacity provider scales and protects them. The clock starts anew, and runs {} \
         times as fast as yours from one sweep to the next.",
        speed * SCENE.lapse
    ));
    stage
}

fn before_and_after(world: &World) -> String {
    let (before, after) = (office::INSTANCES, office::instances_left(world));
    format!("Cluster {}: {before} instances before, {after} after", office::CLUSTER)
}

fn cut_off(world: &World) -> String {
    cut_off_sentence(office::tasks_cut_off(world))
}

//! The third chapter, Spot: EC2 takes instances that it cannot replace, on-demand ones stand in, and
//! go again once the Spot group is whole.

use std::time::Duration;

use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::demonstration::scenario::{CLUSTER, instance_id};
use ebb_region::demonstration::story::Actor;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::spot::Action;
use ebb_region::world::{Happening, REGION, World};
use jiff::Timestamp;

use crate::chapter::{Chapter, common_problems, unless};
use crate::stage::{INTERVAL, Stage, time};

const SPOT_GROUP: &str = "shop-spot";
const ON_DEMAND_GROUP: &str = "shop-on-demand";
const SPOT_INSTANCES: usize = 4;
const ON_DEMAND_INSTANCES: usize = 2;
/// EC2 takes these, and recommends that the third be rebalanced.
const INTERRUPTED: [usize; 2] = [1, 2];
const RECOMMENDED: usize = 3;
/// The fallback group has come back by then.
const SWEEPS_MAX: usize = 8;

const SETTINGS: [(&str, &str); 5] = [
    ("FALLBACK_AUTO_SCALING_GROUPS", r#"{"shop-spot": "shop-on-demand"}"#),
    ("FALLBACK_WHOLE_SWEEPS", "2"),
    ("DRAIN_ON_REBALANCE", "true"),
    ("MAX_REMOVALS_PERCENT", "20"),
    ("HEADROOM_CPU_PERCENT", "30"),
];

/// Plays it.
///
/// # Errors
/// What ended it early.
pub(crate) async fn play(seed: u64) -> Result<Chapter, String> {
    let start = time("2025-04-01T08:00:00Z")?;
    let without_ebb = cut_off_without_ebb(shop(start, seed));
    let title = "Spot: on-demand stands in, and goes again";
    let mut stage = Stage::set(shop(start, seed), 3, title, &SETTINGS).await?;

    stage.act("EC2 takes two Spot Instances, and has no others");
    interrupt(&mut stage.region().world());
    stage.play(Duration::from_secs(600)).await;
    let raised = desired(&stage, ON_DEMAND_GROUP);
    stage.sweep().await?;

    stage.act("EC2 has capacity again: the Spot group first, then back");
    stage.change(Actor::Aws, "EC2 has Spot capacity again", |world| {
        if let Some(group) = world.groups.get_mut(SPOT_GROUP) {
            group.ec2_has_capacity = true;
        }
        // The group tries again.
        let wanted = i32::try_from(SPOT_INSTANCES).unwrap_or(i32::MAX);
        let _ = world.set_desired_capacity(SPOT_GROUP, wanted);
    });
    for _ in 0..SWEEPS_MAX {
        stage.sweep().await?;
    }
    let came_back = desired(&stage, ON_DEMAND_GROUP);
    let spot = desired(&stage, SPOT_GROUP);

    stage.act("EC2 recommends to move off an instance, and then leaves it");
    let recommended = instance_id(RECOMMENDED);
    stage.change(Actor::Aws, "rebalance recommendation for a Spot Instance", |world| {
        world.recommend_rebalance(&recommended);
    });
    stage.play(INTERVAL).await;
    for _ in 0..SWEEPS_MAX {
        stage.sweep().await?;
    }
    let came_back_again = desired(&stage, ON_DEMAND_GROUP);

    let world = stage.region().world().clone();
    let was_drained = world.history.iter().any(|entry| {
        let drained = Status::Draining;
        matches!(&entry.happening, Happening::ContainerInstance { instance_id, status }
            if *instance_id == recommended && *status == drained)
    });
    let is_active = world.status_of(&recommended) == Some(Status::Active);
    let interrupted = INTERRUPTED.len();
    let mut problems = common_problems(&world);
    problems.extend(unless(raised == ON_DEMAND_INSTANCES + interrupted, || {
        format!("{ON_DEMAND_GROUP} was raised to {raised}.")
    }));
    let is_back = [came_back, came_back_again] == [ON_DEMAND_INSTANCES; 2];
    problems.extend(unless(is_back && spot == SPOT_INSTANCES, || {
        format!(
            "{ON_DEMAND_GROUP} came back to {came_back} and {came_back_again}, with {spot} Spot."
        )
    }));
    problems.extend(unless(was_drained && is_active, || {
        "The instance that was recommended to be rebalanced is not back.".to_owned()
    }));
    let result = format!(
        "{interrupted} Spot Instances were lost: on-demand went from {ON_DEMAND_INSTANCES} to {raised} \
         and back to {came_back} once Spot had {spot} again. {} of {} that had to move (without Ebb: \
         {without_ebb}).",
        cut_off_sentence(world.tasks_cut_off().len()).trim_end_matches('.'),
        stage.displaced(),
    );
    Ok(Chapter::of(stage.run("Spot", &result, &problems)))
}

/// Four Spot Instances and two on-demand ones.
fn shop(start: Timestamp, seed: u64) -> World {
    let mut world = World::new(start, seed);
    let all = SPOT_INSTANCES + ON_DEMAND_INSTANCES;
    for number in 1..=all {
        let zone = ["a", "b", "c"][number % 3];
        let instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance(CLUSTER, instance);
    }
    let spot = Group::with_instances(CLUSTER, (1..=SPOT_INSTANCES).map(instance_id));
    world.add_group(SPOT_GROUP, Group { min_size: 2, ec2_has_capacity: false, ..spot });
    let on_demand = Group::with_instances(CLUSTER, (SPOT_INSTANCES + 1..=all).map(instance_id));
    world.add_group(ON_DEMAND_GROUP, Group { min_size: 2, max_size: 8, ..on_demand });
    let web = TaskSpec {
        cpu: 512,
        deregistration_delay: Some(Duration::from_secs(30)),
        ..TaskSpec::default()
    };
    world.add_service(CLUSTER, "web", ServiceKind::replica(15), web);
    world
}

fn interrupt(world: &mut World) {
    INTERRUPTED.iter().for_each(|&number| world.interrupt(&instance_id(number), Action::Terminate));
}

fn cut_off_without_ebb(mut world: World) -> usize {
    interrupt(&mut world);
    world.advance(world.now() + Duration::from_secs(600));
    world.tasks_cut_off().len()
}

fn desired(stage: &Stage, group: &str) -> usize {
    let desired = stage.region().world().groups[group].desired_capacity;
    usize::try_from(desired).unwrap_or_default()
}

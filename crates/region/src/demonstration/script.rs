//! What the demonstration does to the shop's cluster, and what would come of it without Ebb.

use std::time::Duration;

use crate::demonstration::scenario;
use crate::world::World;
use crate::world::delivery::Delivery;
use crate::world::ecs::TaskSpec;
use crate::world::spot::Action;

/// How much of the world's time an interruption gets: its two minutes, and up to five until its
/// group and ECS have noticed.
pub const SPOT_STORY: Duration = Duration::from_secs(420);
/// A scale-in, and what a sweep removes, is over by then, in the world's time.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(600);

/// The Spot Instance that EC2 takes.
pub fn interrupted() -> String {
    scenario::instance_id(9)
}

/// The on-demand instances that Auto Scaling takes.
pub fn scaled_in() -> [String; 2] {
    [scenario::instance_id(1), scenario::instance_id(4)]
}

/// EC2 takes a Spot Instance.
pub fn interrupt(world: &mut World) {
    world.interrupt(&interrupted(), Action::Terminate);
}

/// Scales the on-demand group in by two instances, one of which also runs a standalone task.
///
/// # Errors
/// Why the group refuses.
pub fn scale_in(world: &mut World) -> Result<(), String> {
    let [first, second] = scaled_in();
    // Nothing replaces a standalone task, so the drainer has to wait for it or stop it: the
    // demonstration should show that too.
    let standalone_on = world.container_instance(&first).map(|(_, instance)| instance.id.clone());
    if let Some(container_instance) = standalone_on {
        world.run_task(scenario::CLUSTER, &container_instance, "report", TaskSpec::default());
    }
    for instance_id in [first, second] {
        world.terminate_in_group(&instance_id, true).map_err(|refused| refused.message)?;
    }
    Ok(())
}

/// Takes away all that Ebb brings: its functions with what reaches them, and its hooks.
pub fn remove_ebb(world: &mut World) {
    world.delivery = Delivery::default();
    for group in world.groups.values_mut() {
        group.hooks.clear();
    }
}

/// How many tasks an interruption and a scale-in cut off in this world if it had no Ebb.
///
/// # Errors
/// Why the group refuses to scale in.
pub fn cut_off_without_ebb(world: &World) -> Result<usize, String> {
    let mut world = world.clone();
    remove_ebb(&mut world);
    interrupt(&mut world);
    world.advance(world.now() + SPOT_STORY);
    scale_in(&mut world)?;
    world.advance(world.now() + DRAIN_LIMIT);
    Ok(world.tasks_cut_off().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ebb_every_seed_loses_tasks_and_the_world_is_left_as_it_was() {
        for seed in 1..=20 {
            let world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), seed);
            let cut_off = cut_off_without_ebb(&world).unwrap();
            assert!(cut_off >= 4, "seed {seed}: {cut_off}");
            assert_eq!(world.tasks_cut_off().len(), 0);
        }
    }
}

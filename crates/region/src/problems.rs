//! What is wrong at the end of the demonstration's acts with Ebb, in sentences.

use ebb_region::demonstration::{office, script};
use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;

/// What is wrong at the end of the shop's acts with Ebb, in sentences.
pub(crate) fn shop_problems(world: &World, removed: usize) -> Vec<String> {
    let mut problems = any_problems(world, removed);
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
    problems
}

/// What is wrong at the end of the office's acts with Ebb, in sentences.
pub(crate) fn office_problems(world: &World, removed: usize) -> Vec<String> {
    let mut problems = any_problems(world, removed);
    let gone = office::INSTANCES - office::instances_left(world);
    if gone != removed {
        problems.push(format!("ECS has taken {gone} of {removed} emptied instances."));
    }
    problems
}

/// What is wrong in whatever cluster.
fn any_problems(world: &World, removed: usize) -> Vec<String> {
    let failures = world.delivery.ended.iter().filter_map(|ended| ended.result.as_ref().err());
    let mut problems: Vec<String> =
        failures.map(|failure| format!("An invocation failed: {failure}")).collect();
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

//! What may be taken away from under a function in the middle of its work: by somebody else, or by
//! EC2. It is always about the instance that the function deals with, where it has begun.

use std::time::Duration;

use super::await_point::Mishap;
use crate::world::World;
use crate::world::autoscaling::LifecycleState;
use crate::world::ecs::Status;

/// A function's time-out from then on: an operator has changed it.
const SHORT_TIME: Duration = Duration::from_secs(20);

impl Mishap {
    /// What may be taken away.
    pub const TAKEN_AWAY: [Self; 6] = [
        Self::Gone("hooks deleted", delete_hooks),
        Self::Gone("group deleted", delete_group),
        Self::Gone("cluster deleted", delete_cluster),
        Self::Gone("ended by EC2", end_instance),
        Self::Gone("agent lost", disconnect_agent),
        Self::Changed("time-out of 20 s", shorten_time),
    ];
}

/// The instance that is dealt with: one that drains, or that its group terminates; else any.
fn going(world: &World) -> Option<String> {
    let draining = world.instances_with(Status::Draining);
    let members = world.groups.values().flat_map(|group| &group.instances);
    let mut held = members.filter(|member| member.state == LifecycleState::TerminatingWait);
    let held = held.next().map(|member| member.instance_id.as_str());
    let chosen = draining.first().copied().or(held);
    chosen.or_else(|| world.instances_with(Status::Active).first().copied()).map(str::to_owned)
}

fn delete_hooks(world: &mut World) {
    let hooks: Vec<_> = world
        .groups
        .iter()
        .flat_map(|(name, group)| group.hooks.iter().map(|hook| (name.clone(), hook.name.clone())))
        .collect();
    for (group, hook) in hooks {
        world.delete_hook(&group, &hook);
    }
}

fn delete_group(world: &mut World) {
    let Some(instance_id) = going(world) else { return };
    let name = world.group_of(&instance_id).map(|(name, _)| name.to_owned());
    if let Some(name) = name {
        world.delete_group(&name);
    }
}

fn delete_cluster(world: &mut World) {
    let Some(instance_id) = going(world) else { return };
    for (cluster, _) in world.registrations(&instance_id) {
        world.delete_cluster(&cluster);
    }
}

fn end_instance(world: &mut World) {
    if let Some(instance_id) = going(world) {
        world.terminate_in_ec2(&instance_id, Duration::ZERO);
    }
}

fn disconnect_agent(world: &mut World) {
    if let Some(instance_id) = going(world) {
        world.disconnect_agent(&instance_id);
    }
}

fn shorten_time(world: &mut World) {
    for function in world.delivery.functions.values_mut() {
        function.timeout = function.timeout.min(SHORT_TIME);
    }
}

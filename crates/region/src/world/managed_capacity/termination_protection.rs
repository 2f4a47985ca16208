//! Managed termination protection: ECS protects an instance from scale-in before it places a task
//! on it, and takes the protection back once all tasks but those of daemons have stopped.
//!
//! Source: ECS Developer Guide, managed-termination-protection.

use crate::world::autoscaling::LifecycleState;
use crate::world::ecs::CapacityProvider;
use crate::world::state::World;

impl World {
    /// Protects the instances of a new provider's group and what it launches, as AWS demands of a
    /// group before it allows managed termination protection.
    pub(in crate::world) fn protect_group(&mut self, group: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        group.protects_new_instances = true;
        for member in &mut group.instances {
            member.protected_from_scale_in = true;
        }
    }

    /// Protects an instance that gets a task, if that is its provider's business.
    pub(in crate::world) fn protect_for_task(&mut self, provider: Option<&str>, instance_id: &str) {
        let provider = provider.and_then(|name| self.capacity_providers.get(name));
        let Some(provider) = provider.filter(|provider| provider.managed_termination_protection)
        else {
            return;
        };
        let Some(group) = self.groups.get_mut(&provider.group) else { return };
        for member in &mut group.instances {
            // Auto Scaling protects only what is in service (Auto Scaling API,
            // `SetInstanceProtection`).
            if member.instance_id == instance_id && member.state == LifecycleState::InService {
                member.protected_from_scale_in = true;
            }
        }
    }

    /// Takes the protection of a provider's instances back that hold no task but daemons'.
    pub(super) fn release_empty_instances(&mut self, provider: &CapacityProvider) {
        if !provider.managed_termination_protection {
            return;
        }
        let empty: Vec<_> = {
            let (used, registered) = (self.instances_in_use(provider), self.instances_of(provider));
            registered.difference(&used).map(|&instance_id| instance_id.to_owned()).collect()
        };
        let Some(group) = self.groups.get_mut(&provider.group) else { return };
        for member in &mut group.instances {
            if empty.contains(&member.instance_id) && member.state == LifecycleState::InService {
                member.protected_from_scale_in = false;
            }
        }
    }
}

//! Capacity providers: what ECS knows about an Auto Scaling group. What managed scaling and managed draining would do
//! is not simulated; the providers only say whether they are on.

use super::super::World;

/// A capacity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProvider {
    /// The Auto Scaling group, by name.
    pub group: String,
    /// `managedScaling.status`: whether ECS sets the group's desired capacity.
    pub managed_scaling: bool,
    /// `managedTerminationProtection`.
    pub managed_termination_protection: bool,
    /// `managedDraining`.
    pub managed_draining: bool,
}

impl CapacityProvider {
    /// A provider for a group, with everything that ECS could manage switched off.
    pub fn of(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            managed_scaling: false,
            managed_termination_protection: false,
            managed_draining: false,
        }
    }
}

impl World {
    /// Adds a capacity provider to a cluster, as if it had been there before the instances of its group.
    pub fn attach_capacity_provider(
        &mut self,
        cluster: &str,
        name: &str,
        provider: CapacityProvider,
    ) {
        self.add_cluster(cluster);
        let group = self.groups.get(&provider.group);
        let in_group = |id: &str| group.is_some_and(|group| group.instance(id).is_some());
        if let Some(here) = self.clusters.get_mut(cluster) {
            here.capacity_providers.push(name.to_owned());
            for instance in here.instances.values_mut().filter(|one| in_group(&one.instance_id)) {
                instance.capacity_provider = Some(name.to_owned());
            }
        }
        self.capacity_providers.insert(name.to_owned(), provider);
    }

    /// The capacity provider of the group that an instance belongs to.
    pub(in crate::world) fn capacity_provider_of(&self, instance_id: &str) -> Option<String> {
        let (group, _) = self.group_of(instance_id)?;
        let provider = self.capacity_providers.iter().find(|(_, provider)| provider.group == group);
        provider.map(|(name, _)| name.clone())
    }
}

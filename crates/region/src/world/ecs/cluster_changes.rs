//! What changes clusters: instances that register, capacity providers, statuses and attributes.

use super::capacity_provider::CapacityProvider;
use super::container_instance::{ContainerInstance, NewInstance, Status};
use crate::world::history::Happening;
use crate::world::state::World;

impl World {
    /// Adds a cluster.
    pub fn add_cluster(&mut self, name: &str) {
        self.clusters.entry(name.to_owned()).or_default();
    }

    /// Adds a container instance to a cluster, and returns its ARN.
    pub fn add_instance(&mut self, cluster: &str, new_instance: NewInstance) -> String {
        let capacity_provider = self.capacity_provider_of(&new_instance.instance_id);
        // The machine's attributes come first, so that those given for this instance win.
        let mut attributes = new_instance.machine.attributes.clone();
        attributes.extend(new_instance.attributes);
        let instance = ContainerInstance {
            id: self.hex_id(),
            instance_id: new_instance.instance_id,
            zone: new_instance.zone,
            status: new_instance.status,
            agent_connected: new_instance.agent_connected,
            machine: new_instance.machine,
            attributes,
            capacity_provider,
            version: 1,
            registered_at: self.now - new_instance.age,
            left_at: (new_instance.status == Status::Inactive).then_some(self.now),
        };
        let arn = instance.arn(cluster);
        // An id may be registered again, and the new instance must be able to go as the old one
        // did.
        self.ended.remove(&instance.instance_id);
        self.add_cluster(cluster);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.instances.insert(instance.id.clone(), instance);
        }
        self.reconcile_soon(cluster);
        arn
    }

    /// Adds a capacity provider to a cluster, as if it had been there before the instances of its
    /// group. ECS tags the group (ECS Developer Guide, asg-capacity-providers), and begins what it
    /// is to manage.
    pub fn attach_capacity_provider(
        &mut self,
        cluster: &str,
        name: &str,
        provider: CapacityProvider,
    ) {
        self.add_cluster(cluster);
        let group = self.groups.get(&provider.group);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.capacity_providers.push(name.to_owned());
            for instance in cluster.instances.values_mut() {
                if group.is_some_and(|group| group.instance(&instance.instance_id).is_some()) {
                    instance.capacity_provider = Some(name.to_owned());
                }
            }
        }
        let group = provider.group.clone();
        if let Some(group) = self.groups.get_mut(&group) {
            group.tags.insert("AmazonECSManaged".to_owned(), String::new());
        }
        let (scales, protects, drains) = (
            provider.managed_scaling.is_some(),
            provider.managed_termination_protection,
            provider.managed_draining,
        );
        self.capacity_providers.insert(name.to_owned(), provider);
        if scales {
            self.start_managed_scaling(name);
        }
        if protects {
            self.protect_group(&group);
        }
        if drains {
            self.put_managed_draining_hook(&group);
        }
    }

    /// The capacity provider of the group that an instance belongs to.
    fn capacity_provider_of(&self, instance_id: &str) -> Option<String> {
        let (group, _) = self.group_of(instance_id)?;
        let provider = self.capacity_providers.iter().find(|(_, provider)| provider.group == group);
        provider.map(|(name, _)| name.clone())
    }

    /// Gives a container instance another status. The services look at what that means for their
    /// tasks.
    pub fn set_status(&mut self, cluster: &str, container_instance: &str, status: Status) {
        let now = self.now;
        let instance = self
            .clusters
            .get_mut(cluster)
            .and_then(|cluster| cluster.instances.get_mut(container_instance));
        let Some(instance) = instance.filter(|instance| instance.status != status) else { return };
        instance.status = status;
        instance.left_at = (status == Status::Inactive).then_some(now);
        instance.version += 1;
        let instance_id = instance.instance_id.clone();
        self.record(Happening::ContainerInstance { instance_id, status });
        self.reconcile_soon(cluster);
    }

    /// Puts a custom attribute onto a container instance.
    pub fn put_attribute(
        &mut self,
        cluster: &str,
        container_instance: &str,
        name: &str,
        value: &str,
    ) {
        self.change_attribute(cluster, container_instance, name, Some(value.to_owned()));
    }

    /// Deletes a custom attribute of a container instance, if it has it.
    pub fn delete_attribute(&mut self, cluster: &str, container_instance: &str, name: &str) {
        self.change_attribute(cluster, container_instance, name, None);
    }

    fn change_attribute(&mut self, cluster: &str, id: &str, name: &str, value: Option<String>) {
        let instance =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.instances.get_mut(id));
        let Some(instance) = instance else { return };
        let previous_value = match value.clone() {
            Some(value) => instance.attributes.insert(name.to_owned(), value),
            None => instance.attributes.remove(name),
        };
        if previous_value != value {
            let (instance_id, name) = (instance.instance_id.clone(), name.to_owned());
            self.record(Happening::Attribute { instance_id, name, value });
            // A changed attribute can open a place only to tasks whose placement asks for
            // attributes.
            if self.clusters[cluster].has_constraints() {
                self.reconcile_soon(cluster);
            }
        }
    }
}

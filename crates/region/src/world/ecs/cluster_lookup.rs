//! What can be asked about all clusters at once.

use super::cluster::Cluster;
use super::container_instance::{ContainerInstance, Status};
use super::task::Task;
use crate::world::ec2::EndedBy;
use crate::world::state::World;

impl World {
    /// The container instance on an EC2 instance, in whichever cluster has it.
    pub fn container_instance(&self, instance_id: &str) -> Option<(&str, &ContainerInstance)> {
        self.clusters.iter().find_map(|(name, cluster)| {
            Some((name.as_str(), cluster.registered_instance(instance_id)?))
        })
    }

    /// Every container instance on an EC2 instance, by cluster and id, the oldest first.
    pub fn registrations(&self, instance_id: &str) -> Vec<(String, String)> {
        let mut registrations: Vec<_> = self
            .clusters
            .iter()
            .flat_map(|(name, cluster)| {
                cluster.instances.values().map(move |instance| (name, instance))
            })
            .filter(|(_, instance)| {
                instance.instance_id == instance_id && instance.status != Status::Inactive
            })
            .collect();
        registrations.sort_by_key(|(name, instance)| (instance.registered_at, *name, &instance.id));
        registrations
            .into_iter()
            .map(|(name, instance)| (name.clone(), instance.id.clone()))
            .collect()
    }

    /// The status of the container instance on an EC2 instance; `None` if no cluster has one.
    pub fn status_of(&self, instance_id: &str) -> Option<Status> {
        self.container_instance(instance_id).map(|(_, instance)| instance.status)
    }

    /// The EC2 instances whose container instances have this status.
    pub fn instances_with(&self, status: Status) -> Vec<&str> {
        let instances = self.clusters.values().flat_map(|cluster| cluster.instances.values());
        let mut ids: Vec<_> = instances
            .filter(|instance| instance.status == status)
            .map(|instance| instance.instance_id.as_str())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The tasks that were still executing when their instance was taken away, but for those of
    /// daemon services: they stop last and are waited for by nobody.
    pub fn tasks_cut_off(&self) -> Vec<&Task> {
        self.clusters.values().flat_map(Cluster::tasks_cut_off).collect()
    }

    /// Those of them whose instance was taken away by `ended_by`. What EC2 ends at a moment of its
    /// own no drainer of termination hooks could have saved.
    pub fn tasks_cut_off_by(&self, ended_by: EndedBy) -> Vec<&Task> {
        let mut tasks = self.tasks_cut_off();
        tasks.retain(|task| task.cut_off == Some(ended_by));
        tasks
    }

    /// The replica services that have fewer RUNNING tasks than they want, with how many they miss.
    /// Those that are told to stop do not count.
    pub fn missing_tasks(&self) -> Vec<(&str, usize)> {
        self.clusters.values().flat_map(Cluster::missing_tasks).collect()
    }
}

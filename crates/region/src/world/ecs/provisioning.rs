//! Tasks that wait for capacity: ECS keeps a task of a capacity provider with managed scaling in
//! PROVISIONING until there is room for it, instead of giving up.
//!
//! Sources: ECS Developer Guide, managed-scaling-behavior and service-quotas. For how long a task
//! waits at most is not documented, as a service would start another one anyway: here, for ever.
//! Standalone tasks do not wait here.

use std::collections::BTreeSet;

use super::cluster::Cluster;
use super::placement::Place;
use super::placement_search::Search;
use super::task::Task;
use crate::world::state::World;

/// Tasks in the PROVISIONING state per cluster: a service quota.
const PROVISIONING_MAX: usize = 500;

impl Cluster {
    /// The tasks that wait for capacity, the longest waiting first.
    pub fn waiting_tasks(&self) -> Vec<&Task> {
        let tasks = self.tasks.values();
        let mut waiting: Vec<_> =
            tasks.filter(|task| task.is_desired_running() && !task.is_placed()).collect();
        waiting.sort_by_key(|task| (task.created_at, &task.id));
        waiting
    }
}

impl World {
    /// The provider for which a task waits that has found no place, if it waits.
    pub(super) fn waits_for(&self, cluster: &str, place: &Place) -> Option<String> {
        let provider = place.provider.as_ref()?;
        self.capacity_providers.get(provider)?.managed_scaling?;
        let has_quota = self.clusters[cluster].waiting_tasks().len() < PROVISIONING_MAX;
        has_quota.then(|| provider.clone())
    }

    /// Gives a place to the tasks of a service that wait for one, as far as there is room.
    pub(super) fn place_waiting_tasks(&mut self, cluster_name: &str, service_name: &str) {
        let cluster = &self.clusters[cluster_name];
        let waiting: Vec<_> = cluster
            .waiting_tasks()
            .into_iter()
            .filter(|task| task.service.as_deref() == Some(service_name))
            .map(|task| (task.id.clone(), task.capacity_provider.clone()))
            .collect();
        let mut full = BTreeSet::new();
        for (id, provider) in waiting {
            // All tasks of a service need the same: what one does not find no other will.
            if full.contains(&provider) {
                continue;
            }
            let cluster = &self.clusters[cluster_name];
            let service = &cluster.services[service_name];
            let search =
                Search::new(cluster, Some(service_name), &service.spec, &service.placement);
            match search.choose(provider.as_deref(), &mut self.rng).map(str::to_owned) {
                Ok(container_instance) => self.place_waiting(cluster_name, &id, container_instance),
                Err(_) => {
                    full.insert(provider);
                }
            }
        }
    }

    fn place_waiting(&mut self, cluster: &str, id: &str, container_instance: String) {
        let waiting = self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.remove(id));
        let Some(task) = waiting else { return };
        self.put_task(cluster, Task { container_instance, ..task });
        self.plan_step(cluster, id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::world::autoscaling::Group;
    use crate::world::ecs::task::TaskStatus;
    use crate::world::ecs::{CapacityProvider, NewInstance, ServiceKind, StrategyItem, TaskSpec};

    /// An instance in a group that ECS scales, with room for eight tasks of a service.
    fn world(provider: CapacityProvider, tasks: usize) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_instance("shop", NewInstance::new("i-1"));
        world.add_group("group", Group::with_instances("shop", ["i-1".to_owned()]));
        world.attach_capacity_provider("shop", "provider", provider);
        world.add_service("shop", "web", ServiceKind::replica(tasks), TaskSpec::default());
        world.set_strategy("shop", "web", [StrategyItem::new("provider", 0, 1)]);
        pass(&mut world, 5);
        world
    }

    fn waiting(world: &World) -> usize {
        world.clusters["shop"].waiting_tasks().len()
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    #[test]
    fn a_task_waits_for_the_capacity_that_its_provider_may_add_and_keeps_its_id() {
        let mut world = world(CapacityProvider::scaling("group", 100), 10);
        world.groups.get_mut("group").unwrap().max_size = 1;
        assert_eq!(waiting(&world), 2);
        let id = world.clusters["shop"].waiting_tasks()[0].id.clone();
        pass(&mut world, 3600);
        assert_eq!(world.clusters["shop"].tasks[&id].status, TaskStatus::Provisioning);
        assert!(world.missing_tasks() == [("web", 2)]);

        world.groups.get_mut("group").unwrap().max_size = 2;
        pass(&mut world, 600);
        assert_eq!(waiting(&world), 0);
        assert_eq!(world.clusters["shop"].tasks[&id].status, TaskStatus::Running);
    }

    #[test]
    fn a_task_of_a_provider_without_managed_scaling_does_not_wait() {
        let world = world(CapacityProvider::for_group("group"), 10);
        assert_eq!((waiting(&world), world.missing_tasks()), (0, vec![("web", 2)]));
    }

    #[test]
    fn what_waits_goes_first_when_the_load_falls_and_no_more_than_the_quota_waits() {
        let mut world = world(CapacityProvider::scaling("group", 100), 10);
        world.groups.get_mut("group").unwrap().max_size = 1;
        world.set_desired_count("shop", "web", 9);
        pass(&mut world, 30);
        assert_eq!((waiting(&world), world.missing_tasks()), (1, vec![("web", 1)]));

        world.set_desired_count("shop", "web", 1_000);
        pass(&mut world, 300);
        assert_eq!(waiting(&world), PROVISIONING_MAX);
    }
}

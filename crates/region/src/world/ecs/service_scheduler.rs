//! The ECS service scheduler: what DRAINING does to the tasks of services, and where their
//! replacements go.
//!
//! Sources: ECS Developer Guide, container-instance-draining (a draining instance gets no new
//! tasks; its PENDING service tasks stop at once; its RUNNING ones are replaced within
//! minimumHealthyPercent and maximumPercent; standalone tasks are untouched) and
//! managed-instance-draining (daemon tasks stop last). amazon-ecs-agent#3829: daemon tasks wait
//! only until the replicas have left RUNNING.

use jiff::Timestamp;

use super::cluster::Cluster;
use super::container_instance::{ContainerInstance, Status};
use super::placement::Place;
use super::service::ServiceKind;
use super::task::{StopCause, Task, TaskStatus};
use crate::world::history::Happening;
use crate::world::state::World;

impl World {
    /// Lets a service's scheduler look at its tasks once.
    pub(in crate::world) fn reconcile(&mut self, cluster_name: &str, service_name: &str) {
        let cluster = self.clusters.get_mut(cluster_name);
        let Some(service) = cluster.and_then(|cluster| cluster.services.get_mut(service_name))
        else {
            return;
        };
        // The flag is cleared before the scheduler acts, so that whatever happens from now on plans
        // another look.
        service.reconcile_planned = false;
        match service.kind {
            ServiceKind::Replica { desired, min_percent, max_percent } => {
                // ECS rounds the lower bound up and the upper one down
                // (ECS API, `DeploymentConfiguration`).
                let min_healthy = (desired * min_percent).div_ceil(100);
                let max_running = desired * max_percent / 100;
                let (cluster, service) = (cluster_name, service_name);
                self.place_waiting_tasks(cluster, service);
                self.reconcile_replicas(cluster, service, desired, min_healthy, max_running);
            }
            ServiceKind::Daemon => self.reconcile_daemon(cluster_name, service_name),
        }
    }

    /// Stops the tasks on draining instances and the surplus ones as far as the service stays
    /// healthy, and starts as many as are missing and allowed.
    fn reconcile_replicas(
        &mut self,
        cluster_name: &str,
        service: &str,
        desired: usize,
        min_healthy: usize,
        max_running: usize,
    ) {
        let now = self.now;
        let cluster = &self.clusters[cluster_name];
        let (desired_running, waiting): (Vec<&Task>, Vec<&Task>) = cluster
            .tasks_of_service(service)
            .filter(|task| task.is_desired_running())
            .partition(|task| task.is_placed());
        let (leaving, staying): (Vec<&Task>, Vec<&Task>) =
            desired_running.iter().copied().partition(|task| {
                cluster.instances[&task.container_instance].status == Status::Draining
            });

        // Tasks on draining instances count as healthy until they are told to stop: they still
        // serve.
        let mut healthy = desired_running.iter().filter(|task| is_healthy(task, now)).count();
        let mut to_stop = Vec::new();
        for task in leaving {
            // The documentation promises task protection against scale-in and deployments only (ECS
            // Developer Guide, task-scale-in-protection), so by default it does not hold up a
            // drain.
            if self.protection_holds_drain && task.protection(now).is_some() {
                continue;
            }
            // A task that does not count as healthy can go without making the service any less so.
            let healthy_after = healthy - usize::from(is_healthy(task, now));
            if task.status < TaskStatus::Running || healthy_after >= min_healthy {
                healthy = healthy_after;
                to_stop.push(task.id.clone());
            }
        }
        // Draining comes before scale-in: both draw on the tasks above the minimum, and what is on
        // a draining instance has to go in any case.
        // What rebalancing has started must be healthy before it stops anything (ECS Developer
        // Guide, service-rebalancing).
        let awaits_rebalanced = cluster.services[service].rebalances()
            && staying.iter().any(|task| !is_healthy(task, now));
        let surplus =
            if awaits_rebalanced { Vec::new() } else { surplus(cluster, &staying, desired, now) };
        for task in surplus {
            let healthy_after = healthy - usize::from(is_healthy(task, now));
            if !is_healthy(task, now) || healthy_after >= min_healthy {
                healthy = healthy_after;
                to_stop.push(task.id.clone());
            }
        }
        // What only waits for capacity serves nobody, so it is the first to be too much.
        let excess = (staying.len() + waiting.len()).saturating_sub(desired);
        let excess = excess.min(waiting.len());
        to_stop.extend(waiting.iter().take(excess).map(|task| task.id.clone()));
        // A leaving task counts as missing even while it runs: its replacement may start beside it,
        // as far as the maximum allows.
        let missing = desired.saturating_sub(staying.len() + waiting.len());
        let running = desired_running.len() + waiting.len();
        let startable = max_running.saturating_sub(running - to_stop.len());
        for task in to_stop {
            self.stop_task_for(cluster_name, &task, StopCause::Scheduler);
        }
        // All tasks of a service need the same, so once one finds no place the next would not find
        // any either.
        for _ in 0..missing.min(startable) {
            if self.start_task(cluster_name, service, None).is_none() {
                break;
            }
        }
        self.rebalance_zones(cluster_name, service, desired, max_running);
    }

    /// Starts a daemon task wherever it is missing, may be and fits, and stops it where an instance
    /// drains and no other task runs.
    fn reconcile_daemon(&mut self, cluster_name: &str, service: &str) {
        let cluster = &self.clusters[cluster_name];
        let suitable_instances = self.daemon_places(cluster_name, service);
        let (mut to_stop, mut to_start) = (Vec::new(), Vec::new());
        for instance in cluster.instances.values() {
            let daemon = cluster
                .tasks_on(&instance.id)
                .find(|task| task.service.as_deref() == Some(service) && task.is_desired_running());
            match (instance.status, daemon) {
                (Status::Active, None) if suitable_instances.contains(&instance.id) => {
                    to_start.push(instance.id.clone())
                }
                (Status::Draining, Some(daemon)) if !replicas_run_on(cluster, instance) => {
                    to_stop.push(daemon.id.clone())
                }
                _ => {}
            }
        }
        for task in to_stop {
            self.stop_task_for(cluster_name, &task, StopCause::Scheduler);
        }
        for instance in to_start {
            self.start_task(cluster_name, service, Some(&instance));
        }
    }

    /// Starts tasks that are RUNNING and healthy at once, for the world to begin with.
    pub(super) fn start_running_tasks(&mut self, cluster: &str, service: &str) {
        let places = match self.clusters[cluster].services[service].kind {
            ServiceKind::Replica { desired, .. } => self.place_all(cluster, service, desired),
            ServiceKind::Daemon => {
                self.daemon_places(cluster, service).into_iter().map(place_of_daemon).collect()
            }
        };
        let now = self.now;
        for place in places {
            // Why there is no place has been recorded by `create_task`; the service begins with one
            // task fewer.
            let Some(task_id) = self.create_task(cluster, service, place) else { continue };
            let task =
                self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(&task_id));
            if let Some(task) = task.filter(|task| task.is_placed()) {
                task.status = TaskStatus::Running;
                task.started_at = Some(now);
                task.healthy_at = Some(now);
                self.record_task(cluster, &task_id);
            }
        }
    }

    /// Starts a task of a service on the given container instance, or where its placement says.
    /// Returns its id, or `None` if there is no place for it.
    pub(super) fn start_task(
        &mut self,
        cluster: &str,
        service_name: &str,
        container_instance: Option<&str>,
    ) -> Option<String> {
        let place = match container_instance {
            Some(container_instance) => place_of_daemon(container_instance.to_owned()),
            None => {
                let service = &self.clusters.get(cluster)?.services.get(service_name)?;
                let (spec, placement) = (service.spec.clone(), service.placement.clone());
                self.place(cluster, Some(service_name), &spec, &placement)
            }
        };
        let task_id = self.create_task(cluster, service_name, place)?;
        // Only the first step is planned here: each step plans the next.
        self.plan_step(cluster, &task_id);
        Some(task_id)
    }

    /// Creates a task that does not take its first step yet, if it has a place or waits for one.
    fn create_task(&mut self, cluster: &str, service: &str, place: Place) -> Option<String> {
        let waits_for = self.waits_for(cluster, &place);
        let container_instance = match place.container_instance {
            Ok(container_instance) => container_instance,
            Err(_) if waits_for.is_some() => String::new(),
            Err(reason) => {
                self.record(Happening::NotPlaced { service: service.to_owned(), reason });
                return None;
            }
        };
        let spec = self.clusters.get(cluster)?.services.get(service)?.spec.clone();
        let (id, now) = (self.hex_id(), self.now);
        let number = &mut self.clusters.get_mut(cluster)?.services.get_mut(service)?.started;
        *number += 1;
        let name = format!("{service}-{number}");
        let task = Task::new(id.clone(), name, &container_instance, spec, now);
        let capacity_provider = place.provider;
        self.put_task(
            cluster,
            Task { service: Some(service.to_owned()), capacity_provider, ..task },
        );
        Some(id)
    }
}

/// A daemon task goes to its container instance, whatever provider that has.
fn place_of_daemon(container_instance: String) -> Place {
    Place { provider: None, container_instance: Ok(container_instance) }
}

/// Whether a task counts as healthy.
pub(super) fn is_healthy(task: &Task, now: Timestamp) -> bool {
    task.healthy_at.is_some_and(|healthy_at| healthy_at <= now)
}

/// Whether a task that is no daemon has not left RUNNING on a container instance. Daemon tasks wait
/// for that and no longer.
fn replicas_run_on(cluster: &Cluster, instance: &ContainerInstance) -> bool {
    cluster
        .tasks_on(&instance.id)
        .any(|task| !cluster.is_daemon(task) && task.status <= TaskStatus::Running)
}

/// The tasks that are too many, one after the other: from the zone that has most of them, there
/// from the container instance that has most; protected ones stay. Source: ECS Developer Guide,
/// service scale-in (`ecs_services`, replica) and task-scale-in-protection.
fn surplus<'a>(
    cluster: &Cluster,
    staying: &[&'a Task],
    desired: usize,
    now: Timestamp,
) -> Vec<&'a Task> {
    let (mut kept, mut removed) = (staying.to_vec(), Vec::new());
    while kept.len() > desired {
        let unprotected =
            kept.iter().enumerate().filter(|(_, task)| task.protection(now).is_none());
        // The crowding is measured anew after each removal, which keeps the zones even. When only
        // protected tasks are left to remove, the service stays larger than desired.
        let Some((index, _)) = unprotected.max_by_key(|(_, task)| crowding(cluster, &kept, task))
        else {
            break;
        };
        removed.push(kept.remove(index));
    }
    removed
}

/// How many of the tasks are in a task's zone, and how many on its container instance.
fn crowding(cluster: &Cluster, tasks: &[&Task], task: &Task) -> (usize, usize) {
    let zone = zone_of(cluster, task);
    let in_zone = tasks.iter().filter(|neighbour| zone_of(cluster, neighbour) == zone).count();
    let on_instance = tasks
        .iter()
        .filter(|neighbour| neighbour.container_instance == task.container_instance)
        .count();
    (in_zone, on_instance)
}

fn zone_of<'a>(cluster: &'a Cluster, task: &Task) -> &'a str {
    &cluster.instances[&task.container_instance].zone
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::ecs::NewInstance;
    use crate::world::ecs::task_spec::TaskSpec;

    /// Three container instances in three zones with a service of three tasks; the first is set to
    /// DRAINING.
    fn drained(kind: ServiceKind, instances: usize) -> (World, String) {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for (number, zone) in ["a", "b", "c"].into_iter().enumerate().take(instances) {
            world.add_instance("shop", NewInstance::new(format!("i-{number}")).zone(zone));
        }
        world.add_service("shop", "web", kind, TaskSpec::default());
        let first = world.clusters["shop"].registered_instance("i-0").unwrap().id.clone();
        world.set_status("shop", &first, Status::Draining);
        (world, first)
    }

    /// Lets the world run and says after how long the container instance had no task left, and how
    /// few healthy tasks there were meanwhile.
    fn watch(world: &mut World, container_instance: &str) -> (Option<Duration>, usize) {
        let start = world.now();
        let mut fewest = usize::MAX;
        while let Some(next) = world.next_due() {
            world.advance(next);
            let cluster = &world.clusters["shop"];
            let healthy = cluster
                .tasks_of_service("web")
                .filter(|task| task.is_desired_running() && task.status == TaskStatus::Running)
                .count();
            fewest = fewest.min(healthy);
            if cluster.tasks_on(container_instance).next().is_none() {
                return (Some(Duration::try_from(next.duration_since(start)).unwrap()), fewest);
            }
        }
        (None, fewest)
    }

    /// Where in the history a task of a service last stopped on the first instance.
    fn last_stop(world: &World, service: &str) -> Option<usize> {
        world.history.iter().rposition(|entry| {
            matches!(&entry.happening,
                Happening::Task { name, instance_id, status: TaskStatus::Stopping, .. }
                if name.starts_with(service) && instance_id == "i-0")
        })
    }

    /// Changes the desired count, and returns how many tasks run on each of three instances then.
    fn settle(world: &mut World, count: usize) -> [usize; 3] {
        world.set_desired_count("shop", "web", count);
        world.advance(world.now() + Duration::from_secs(300));
        ["i-0", "i-1", "i-2"].map(|id| running_on(&world.clusters["shop"], id))
    }

    fn running_on(cluster: &Cluster, instance_id: &str) -> usize {
        let instance = cluster.registered_instance(instance_id).unwrap();
        cluster.tasks_on(&instance.id).filter(|task| task.status == TaskStatus::Running).count()
    }

    #[test]
    fn a_replacement_is_healthy_before_the_old_task_stops() {
        let (mut world, first) = drained(ServiceKind::replica(3), 3);
        let (took, fewest) = watch(&mut world, &first);

        let took = took.expect("the instance is emptied").as_secs();
        assert!((50..65).contains(&took), "{took} s: pull, 40 s until healthy, stop");
        assert_eq!(fewest, 3);
    }

    #[test]
    fn a_service_that_may_shrink_stops_the_old_task_first() {
        let kind = ServiceKind::Replica { desired: 3, min_percent: 50, max_percent: 100 };
        let (mut world, first) = drained(kind, 3);
        let (took, fewest) = watch(&mut world, &first);

        assert!(took.expect("the instance is emptied").as_secs() < 10);
        assert_eq!(fewest, 2);
    }

    #[test]
    fn a_service_that_may_neither_shrink_nor_grow_never_leaves() {
        let kind = ServiceKind::Replica { desired: 3, min_percent: 100, max_percent: 100 };
        let (mut world, first) = drained(kind, 3);

        assert_eq!(watch(&mut world, &first), (None, 3));
    }

    #[test]
    fn a_task_without_room_elsewhere_stays() {
        let (mut world, first) = drained(ServiceKind::replica(3), 1);

        assert_eq!(watch(&mut world, &first).0, None);
        assert_eq!(world.missing_tasks(), []);
        let id = world.clusters["shop"].tasks_of_service("web").next().unwrap().id.clone();
        world.stop_task("shop", &id);
        assert_eq!(world.missing_tasks(), [("web", 1)]);
        assert!(
            world
                .history
                .iter()
                .any(|entry| matches!(entry.happening, Happening::NotPlaced { .. }))
        );
    }

    #[test]
    fn a_protected_task_is_replaced_like_any_other_unless_protection_holds_the_drain() {
        for holds in [false, true] {
            let (mut world, first) = drained(ServiceKind::replica(3), 3);
            world.protection_holds_drain = holds;
            let protected = world.clusters["shop"].tasks_on(&first).next().unwrap().id.clone();
            world.protect_task("shop", &protected, Duration::from_secs(600));

            let took = watch(&mut world, &first).0.expect("the instance is emptied").as_secs();
            assert_eq!(took >= 600, holds, "{took} s");
        }
    }

    #[test]
    fn a_daemon_task_leaves_after_the_others() {
        let (mut world, first) = drained(ServiceKind::replica(3), 3);
        world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
        assert!(watch(&mut world, &first).0.is_some());

        assert!(last_stop(&world, "logs").unwrap() > last_stop(&world, "web").unwrap());
    }

    #[test]
    fn a_service_whose_load_changes_grows_and_shrinks_evenly_and_spares_protected_tasks() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for (number, zone) in ["a", "b", "c"].into_iter().enumerate() {
            world.add_instance("shop", NewInstance::new(format!("i-{number}")).zone(zone));
        }
        world.add_service("shop", "web", ServiceKind::replica(3), TaskSpec::default());
        assert_eq!(settle(&mut world, 9), [3, 3, 3]);
        assert_eq!(settle(&mut world, 3), [1, 1, 1]);

        let tasks: Vec<_> =
            world.clusters["shop"].tasks_of_service("web").map(|task| task.id.clone()).collect();
        for task in &tasks {
            world.protect_task("shop", task, Duration::from_secs(1000));
        }
        assert_eq!(settle(&mut world, 0), [1, 1, 1]);
        world.advance(world.now() + Duration::from_secs(1000));
        assert_eq!(settle(&mut world, 0), [0, 0, 0]);
    }
}

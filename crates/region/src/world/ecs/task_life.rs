//! How tasks start, take their steps and stop. Only the agent of their container instance makes
//! steps.

use std::time::Duration;

use super::task::{StopCause, Task, TaskStatus};
use super::task_spec::TaskSpec;
use crate::world::agenda::Due;
use crate::world::history::Happening;
use crate::world::state::World;

impl World {
    /// Plans the next step of a task, if it has one.
    pub(in crate::world) fn plan_step(&mut self, cluster: &str, task_id: &str) {
        let next_step = self.clusters[cluster].tasks.get(task_id).and_then(Task::next_step);
        if let Some((after, _)) = next_step {
            self.plan(
                after,
                Due::TaskStep { cluster: cluster.to_owned(), task: task_id.to_owned() },
            );
        }
    }

    /// Takes the step that was planned, unless the task is gone or has been told otherwise
    /// meanwhile: a step is only taken when the time that it takes has passed since the last one.
    pub(in crate::world) fn step_task(&mut self, cluster_name: &str, task_id: &str) {
        let now = self.now;
        let Some(cluster) = self.clusters.get_mut(cluster_name) else { return };
        let Some(task) = cluster.tasks.get_mut(task_id) else { return };
        // The next step is asked for now, not when it was planned: a task that was told to stop
        // meanwhile goes towards its end instead.
        let Some((_, status)) = task.next_step() else { return };
        // Only the agent makes steps; what waited for it is planned anew when it is back. That of
        // an instance that has ended makes none, also while ECS believes that it is connected.
        let instance = &cluster.instances[&task.container_instance];
        if !instance.agent_connected || self.ended.contains(&instance.instance_id) {
            return;
        }
        task.status = status;
        if status == TaskStatus::Deprovisioning {
            task.execution_stopped_at = Some(now);
        }
        if status == TaskStatus::Stopped {
            task.stopped_at = Some(now);
            // The task gives its resources back, which changes the description of its container
            // instance.
            if let Some(instance) = cluster.instances.get_mut(&task.container_instance) {
                instance.version += 1;
            }
        }
        if status == TaskStatus::Running {
            task.started_at = Some(now);
            task.healthy_at = Some(now + task.spec.healthy_after);
        }
        let (service, healthy_after) = (task.service.clone(), task.spec.healthy_after);
        // The history gets the status before anything reacts to it, so that a cause precedes its
        // effect.
        self.record_task(cluster_name, task_id);
        self.plan_step(cluster_name, task_id);
        // A RUNNING task helps its service only once it counts as healthy, so that is when the
        // scheduler looks again.
        if status == TaskStatus::Running
            && let Some(service) = &service
        {
            self.plan(
                healthy_after,
                Due::Reconcile { cluster: cluster_name.to_owned(), service: service.clone() },
            );
        }
        // A task that leaves frees room that any service may be waiting for, so every scheduler of
        // the cluster looks.
        if status > TaskStatus::Running {
            self.reconcile_soon(cluster_name);
        }
    }

    /// Tells a task to stop, as a person would. A second time changes nothing.
    pub fn stop_task(&mut self, cluster: &str, task_id: &str) {
        self.stop_task_for(cluster, task_id, StopCause::User(None));
    }

    /// Tells a task to stop, and why. A second time changes nothing.
    pub(crate) fn stop_task_for(&mut self, cluster: &str, task_id: &str, cause: StopCause) {
        let now = self.now;
        let Some(task) =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(task_id))
        else {
            return;
        };
        if task.stop_requested || task.status == TaskStatus::Stopped {
            return;
        }
        task.stop_requested = true;
        task.stopping_at = Some(now);
        task.stop_cause = Some(cause);
        // There is nothing to stop of a task that only waits for capacity.
        if !task.is_placed() {
            task.status = TaskStatus::Stopped;
            task.stopped_at = Some(now);
            return;
        }
        // A task that still starts has a step planned already, which now leads towards its end.
        if task.status == TaskStatus::Running {
            self.plan_step(cluster, task_id);
        }
    }

    /// Starts a standalone task on a container instance, given by its id or ARN, as `StartTask`
    /// does; that there is room for it is the caller's business. Returns the task's id.
    ///
    /// # Panics
    /// If the cluster has no such container instance.
    pub fn run_task(
        &mut self,
        cluster: &str,
        container_instance: &str,
        name: &str,
        spec: TaskSpec,
    ) -> String {
        let id = self.hex_id();
        let container_instance =
            container_instance.rsplit('/').next().unwrap_or(container_instance);
        let task = Task::new(id.clone(), name.to_owned(), container_instance, spec, self.now);
        let is_registered = self
            .clusters
            .get(cluster)
            .is_some_and(|cluster| cluster.instances.contains_key(container_instance));
        assert!(
            is_registered,
            "cluster {cluster} must have the container instance {container_instance}"
        );
        self.put_task(cluster, task);
        self.plan_step(cluster, &id);
        id
    }

    /// Gives a task its ports and GPUs and puts it onto its container instance.
    pub(in crate::world) fn put_task(&mut self, cluster_name: &str, mut task: Task) {
        let Some(cluster) = self.clusters.get_mut(cluster_name) else { return };
        if !task.is_placed() {
            cluster.tasks.insert(task.id.clone(), task);
            return;
        }
        // What is held is read before the task is among the tasks, as the task must not count
        // against itself.
        let held = cluster.resources_held_on(&task.container_instance);
        let Some(instance) = cluster.instances.get_mut(&task.container_instance) else { return };
        instance.version += 1;
        (task.bindings, task.gpus) = held.assign(instance, &task.spec);
        let (provider, instance_id) =
            (instance.capacity_provider.clone(), instance.instance_id.clone());
        let is_daemon = cluster.is_daemon(&task);
        cluster.tasks.insert(task.id.clone(), task);
        if !is_daemon {
            self.protect_for_task(provider.as_deref(), &instance_id);
        }
    }

    /// Protects a service task for a while from now on; a period of nothing ends its protection. A
    /// standalone task cannot be protected (ECS API, `UpdateTaskProtection`), nor one that is told
    /// to stop.
    pub fn protect_task(&mut self, cluster: &str, task_id: &str, period: Duration) {
        let protected_until = self.now + period;
        let task =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(task_id));
        let Some(task) = task.filter(|task| task.is_desired_running()) else { return };
        let Some(service) = task.service.clone() else { return };
        task.protected_until = Some(protected_until);
        // When the protection ends, the scheduler may stop what it had to spare until then.
        self.plan_at(protected_until, Due::Reconcile { cluster: cluster.to_owned(), service });
    }

    /// The agent on an instance loses its connection: the tasks on it stay as they are, also those
    /// that are told to stop. Happens several times an hour without anything being wrong.
    pub fn disconnect_agent(&mut self, instance_id: &str) {
        if let Some((cluster, id)) = self.registration_of(instance_id) {
            self.set_agent_connected(&cluster, &id, false);
        }
    }

    /// The agent is back: what its tasks have been told is carried out now.
    pub fn reconnect_agent(&mut self, instance_id: &str) {
        let Some((cluster, id)) = self.registration_of(instance_id) else { return };
        self.set_agent_connected(&cluster, &id, true);
        let waiting_tasks: Vec<_> =
            self.clusters[&cluster].tasks_on(&id).map(|task| task.id.clone()).collect();
        // Steps that were planned before would come too early: each task has the whole time of its
        // present status before it again.
        self.agenda.retain(
            |_, due| !matches!(due, Due::TaskStep { task, .. } if waiting_tasks.contains(task)),
        );
        for task in waiting_tasks {
            self.plan_step(&cluster, &task);
        }
        self.reconcile_soon(&cluster);
    }

    fn registration_of(&self, instance_id: &str) -> Option<(String, String)> {
        let (cluster, instance) = self.container_instance(instance_id)?;
        Some((cluster.to_owned(), instance.id.clone()))
    }

    pub(in crate::world) fn set_agent_connected(
        &mut self,
        cluster: &str,
        container_instance: &str,
        connected: bool,
    ) {
        let instance = self
            .clusters
            .get_mut(cluster)
            .and_then(|cluster| cluster.instances.get_mut(container_instance));
        if let Some(instance) = instance {
            instance.agent_connected = connected;
            instance.version += 1;
        }
    }

    pub(in crate::world) fn record_task(&mut self, cluster: &str, task_id: &str) {
        let cluster = &self.clusters[cluster];
        let task = &cluster.tasks[task_id];
        let happening = Happening::Task {
            task: task.id.clone(),
            name: task.name.clone(),
            instance_id: cluster.instances[&task.container_instance].instance_id.clone(),
            status: task.status,
        };
        self.record(happening);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::ecs::{NewInstance, ServiceKind, Status as InstanceStatus};

    /// A container instance with a service of one task, and its id.
    fn world(spec: TaskSpec) -> (World, String) {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_instance("shop", NewInstance::new("i-1"));
        world.add_service("shop", "web", ServiceKind::replica(1), spec);
        let id = world.clusters["shop"].registered_instance("i-1").unwrap().id.clone();
        (world, id)
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn task_named<'a>(world: &'a World, name: &str) -> &'a Task {
        world.clusters["shop"].tasks.values().find(|task| task.name == name).unwrap()
    }

    fn is_protected(world: &World, id: &str) -> bool {
        world.clusters["shop"].tasks[id].protection(world.now()).is_some()
    }

    #[test]
    fn a_standalone_task_runs_and_draining_leaves_it_alone() {
        let (mut world, instance) = world(TaskSpec::default());
        let id = world.run_task("shop", &instance, "report", TaskSpec::default());
        pass(&mut world, 20);
        world.set_status("shop", &instance, InstanceStatus::Draining);
        pass(&mut world, 600);

        let task = &world.clusters["shop"].tasks[&id];
        assert_eq!(
            (task.status, task.stop_requested, task.service.as_deref()),
            (TaskStatus::Running, false, None)
        );
    }

    #[test]
    fn a_task_that_never_stops_hangs_in_stopping() {
        let (mut world, _) = world(TaskSpec { never_stops: true, ..TaskSpec::default() });
        let id = task_named(&world, "web-1").id.clone();
        world.stop_task("shop", &id);
        pass(&mut world, 7200);

        assert_eq!(task_named(&world, "web-1").status, TaskStatus::Stopping);
    }

    #[test]
    fn without_its_agent_a_task_that_is_told_to_stop_stays_running_until_the_agent_is_back() {
        let (mut world, _) = world(TaskSpec::default());
        let id = task_named(&world, "web-1").id.clone();
        world.disconnect_agent("i-1");
        assert!(!world.container_instance("i-1").unwrap().1.agent_connected);
        world.stop_task("shop", &id);
        pass(&mut world, 3600);
        let task = task_named(&world, "web-1");
        assert_eq!((task.status, task.stop_requested), (TaskStatus::Running, true));

        world.reconnect_agent("i-1");
        pass(&mut world, 10);
        assert_eq!(task_named(&world, "web-1").status, TaskStatus::Stopped);
    }

    #[test]
    fn an_agent_that_was_away_for_a_moment_does_not_hurry_its_tasks() {
        let spec = TaskSpec {
            deregistration_delay: Some(Duration::from_secs(4)),
            stops_after: Duration::from_secs(10),
            ..TaskSpec::default()
        };
        let (mut world, _) = world(spec);
        let id = task_named(&world, "web-1").id.clone();
        world.stop_task("shop", &id);
        pass(&mut world, 2);
        world.disconnect_agent("i-1");
        world.reconnect_agent("i-1");
        pass(&mut world, 10);
        assert_eq!(task_named(&world, "web-1").status, TaskStatus::Stopping);

        pass(&mut world, 10);
        assert_eq!(task_named(&world, "web-1").status, TaskStatus::Stopped);
    }

    #[test]
    fn a_stopped_task_is_visible_for_an_hour() {
        let (mut world, _) = world(TaskSpec::default());
        let id = task_named(&world, "web-1").id.clone();
        world.stop_task("shop", &id);
        pass(&mut world, 10);

        let stopped_at = task_named(&world, "web-1").stopped_at.unwrap();
        let hour_later = stopped_at + Duration::from_secs(3600);
        let minute_before = hour_later - Duration::from_secs(60);
        assert!(task_named(&world, "web-1").is_visible(minute_before));
        assert!(!task_named(&world, "web-1").is_visible(hour_later));
    }

    #[test]
    fn protection_expires_and_a_standalone_task_cannot_be_protected() {
        let (mut world, instance) = world(TaskSpec::default());
        let service_task = task_named(&world, "web-1").id.clone();
        let standalone = world.run_task("shop", &instance, "report", TaskSpec::default());
        for id in [&service_task, &standalone] {
            world.protect_task("shop", id, Duration::from_secs(600));
        }

        assert!(is_protected(&world, &service_task));
        assert!(!is_protected(&world, &standalone));
        pass(&mut world, 600);
        assert!(!is_protected(&world, &service_task));
    }
}

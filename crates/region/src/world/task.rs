//! Tasks: what they need, and the steps of their life with the time that each takes.
//!
//! Source: ECS Developer Guide, task-lifecycle-explanation. `stopTimeout` (default 30 s) is how long a container may
//! take after SIGTERM before it is killed.

use std::time::Duration;

use jiff::Timestamp;

use super::{Due, Happening, World};

/// What a task needs and how long its steps take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// CPU units; 1,024 are a vCPU.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// From PENDING to the start of its containers: mostly pulling the image.
    pub pull: Duration,
    /// From RUNNING until it counts as healthy. Without a health check ECS waits 40 s
    /// (ECS Developer Guide, container-instance-draining).
    pub healthy_after: Duration,
    /// For a task behind a load balancer: for how long its target deregisters.
    pub deregistration_delay: Option<Duration>,
    /// How long its containers take to stop after SIGTERM.
    pub stops_after: Duration,
    /// When containers are killed after SIGTERM.
    pub stop_timeout: Duration,
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            cpu: 256,
            memory_mib: 512,
            pull: Duration::from_secs(8),
            healthy_after: Duration::from_secs(40),
            deregistration_delay: None,
            stops_after: Duration::from_secs(3),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// The status of a task, in the order of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A task on a container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id: the last part of its ARN.
    pub id: String,
    /// The service that it belongs to; `None` for a standalone task.
    pub service: Option<String>,
    /// A short name for people: the service and a number.
    pub name: String,
    /// The id of its container instance.
    pub container_instance: String,
    /// What it needs.
    pub spec: TaskSpec,
    /// Where it stands: `lastStatus`.
    pub status: Status,
    /// Whether it has been told to stop: `desiredStatus` STOPPED.
    pub told_to_stop: bool,
    /// Since when it is healthy, if it is.
    pub healthy_at: Option<Timestamp>,
    /// Whether its instance was taken away while it ran.
    pub cut_off: bool,
}

impl Task {
    /// Whether it counts into `runningTasksCount` or `pendingTasksCount`: told to run, whatever its status.
    pub fn is_wanted(&self) -> bool {
        !self.told_to_stop && self.status != Status::Stopped
    }

    /// Whether its containers run, so that work is lost if they are killed.
    pub fn is_executing(&self) -> bool {
        (Status::Activating..=Status::Stopping).contains(&self.status)
    }

    /// The next step of its life, and how long the present one takes before it. `None` if it stays as it is.
    fn next_step(&self) -> Option<(Duration, Status)> {
        let behind_load_balancer = self.spec.deregistration_delay;
        match (self.status, self.told_to_stop) {
            (Status::Provisioning, false) => Some((Duration::from_millis(500), Status::Pending)),
            (Status::Pending, false) if behind_load_balancer.is_some() => {
                Some((self.spec.pull, Status::Activating))
            }
            (Status::Pending, false) => Some((self.spec.pull, Status::Running)),
            (Status::Activating, false) => Some((Duration::from_secs(2), Status::Running)),
            (Status::Running, false) => None,
            (Status::Running | Status::Activating, true) if behind_load_balancer.is_some() => {
                Some((Duration::ZERO, Status::Deactivating))
            }
            (Status::Provisioning | Status::Pending | Status::Activating | Status::Running, true) => {
                Some((Duration::ZERO, Status::Stopping))
            }
            (Status::Deactivating, _) => Some((behind_load_balancer.unwrap_or_default(), Status::Stopping)),
            (Status::Stopping, _) => {
                Some((self.spec.stops_after.min(self.spec.stop_timeout), Status::Deprovisioning))
            }
            (Status::Deprovisioning, _) => Some((Duration::from_secs(1), Status::Stopped)),
            (Status::Stopped, _) => None,
        }
    }
}

impl World {
    /// Plans the next step of a task, if it has one.
    pub(super) fn plan_step(&mut self, cluster: &str, task_id: &str) {
        let next = self.clusters[cluster].tasks.get(task_id).and_then(Task::next_step);
        if let Some((after, _)) = next {
            self.plan(after, Due::TaskStep { cluster: cluster.to_owned(), task: task_id.to_owned() });
        }
    }

    /// Takes the step that was planned, unless the task is gone or has been told otherwise meanwhile: a step is only
    /// taken when the time that it takes has passed since the last one.
    pub(super) fn step_task(&mut self, cluster: &str, task_id: &str) {
        let now = self.now;
        let Some(task) = self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(task_id))
        else {
            return;
        };
        let Some((_, status)) = task.next_step() else { return };
        task.status = status;
        if status == Status::Running {
            task.healthy_at = Some(now + task.spec.healthy_after);
        }
        let (service, healthy_after) = (task.service.clone(), task.spec.healthy_after);
        self.record_task(cluster, task_id);
        self.plan_step(cluster, task_id);
        if status == Status::Running
            && let Some(service) = &service
        {
            self.plan(
                healthy_after,
                Due::Reconcile { cluster: cluster.to_owned(), service: service.clone() },
            );
        }
        if status > Status::Running {
            self.reconcile_soon(cluster);
        }
    }

    /// Tells a task to stop. A second time changes nothing.
    pub fn stop_task(&mut self, cluster: &str, task_id: &str) {
        let Some(task) = self.clusters.get_mut(cluster).and_then(|cluster| cluster.tasks.get_mut(task_id))
        else {
            return;
        };
        if task.told_to_stop || task.status == Status::Stopped {
            return;
        }
        let waits = task.status != Status::Running;
        task.told_to_stop = true;
        // A step of its start is planned already and will now lead towards its end.
        if !waits {
            self.plan_step(cluster, task_id);
        }
    }

    pub(super) fn record_task(&mut self, cluster: &str, task_id: &str) {
        let cluster = &self.clusters[cluster];
        let task = &cluster.tasks[task_id];
        let what = Happening::Task {
            task: task.id.clone(),
            name: task.name.clone(),
            instance_id: cluster.instances[&task.container_instance].instance_id.clone(),
            status: task.status,
        };
        self.record(what);
    }
}

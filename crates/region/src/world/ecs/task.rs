//! Tasks, and the steps of their life with the time that each takes. What they need is in
//! [`super::task_spec`].
//!
//! Source: ECS Developer Guide, task-lifecycle-explanation. `stopTimeout` (default 30 s) is how
//! long a container may take after SIGTERM before it is killed.

use std::time::Duration;

use jiff::Timestamp;

use super::task_spec::{Port, TaskSpec};
use crate::world::ec2::EndedBy;

/// The status of a task, in the order of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskStatus {
    /// ECS prepares what it needs outside of its instance, such as a network interface.
    Provisioning,
    /// Its agent has yet to pull the image and start the containers.
    Pending,
    /// Its containers run; its target registers with the load balancer.
    Activating,
    /// It runs.
    Running,
    /// Its target deregisters from the load balancer.
    Deactivating,
    /// Its containers have got SIGTERM.
    Stopping,
    /// ECS takes back what it had outside of its instance.
    Deprovisioning,
    /// It holds nothing any more.
    Stopped,
}

impl TaskStatus {
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

/// Why a task stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopCause {
    /// Somebody called `StopTask`, with these words if there were any.
    User(Option<String>),
    /// Its service has no use for it, or not there.
    Scheduler,
    /// Its containers have ended by themselves.
    Exited,
    /// Its instance is gone.
    InstanceGone,
}

impl StopCause {
    /// AWS's `stopCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::User(_) => "UserInitiated",
            Self::Scheduler => "ServiceSchedulerInitiated",
            Self::Exited => "EssentialContainerExited",
            Self::InstanceGone => "TerminationNotice",
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
    /// The id of its container instance; empty while it waits for capacity.
    pub container_instance: String,
    /// The capacity provider that it was placed by or waits for, if its service has a strategy.
    pub capacity_provider: Option<String>,
    /// What it needs.
    pub spec: TaskSpec,
    /// The host ports that it has got, one for each that it wants; none in `awsvpc` mode.
    pub bindings: Vec<Port>,
    /// The GPUs that it has got, by id.
    pub gpus: Vec<String>,
    /// Where it stands: `lastStatus`.
    pub status: TaskStatus,
    /// Whether it has been told to stop: `desiredStatus` STOPPED.
    pub stop_requested: bool,
    /// When it was told to stop: `stoppingAt`. `None` where EC2 ended it.
    pub stopping_at: Option<Timestamp>,
    /// Why it stops, if it was told to or its instance is gone.
    pub stop_cause: Option<StopCause>,
    /// When it was first RUNNING.
    pub started_at: Option<Timestamp>,
    /// When its containers had stopped.
    pub execution_stopped_at: Option<Timestamp>,
    /// Since when it is healthy, if it is.
    pub healthy_at: Option<Timestamp>,
    /// Who took its instance away while it ran, if that happened.
    pub cut_off: Option<EndedBy>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stopped.
    pub stopped_at: Option<Timestamp>,
    /// Until when it is protected from scale-in and deployments.
    pub protected_until: Option<Timestamp>,
}

/// For how long a stopped task can still be listed and described.
/// Source: ECS API, `ListTasks` ("recently stopped tasks", for at least an hour).
const VISIBLE_WHEN_STOPPED: Duration = Duration::from_secs(3600);

impl Task {
    /// A task that ECS has just created.
    pub(super) fn new(
        id: String,
        name: String,
        container_instance: &str,
        spec: TaskSpec,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            service: None,
            name,
            container_instance: container_instance.to_owned(),
            capacity_provider: None,
            spec,
            bindings: Vec::new(),
            gpus: Vec::new(),
            status: TaskStatus::Provisioning,
            stop_requested: false,
            stopping_at: None,
            stop_cause: None,
            started_at: None,
            execution_stopped_at: None,
            healthy_at: None,
            cut_off: None,
            created_at: now,
            stopped_at: None,
            protected_until: None,
        }
    }

    /// It has stopped, without the steps that lead there. One that had stopped before keeps its
    /// time, on which it depends for how long it stays visible.
    pub(in crate::world) fn end(&mut self, now: Timestamp, cause: StopCause) {
        self.stop_requested = true;
        self.status = TaskStatus::Stopped;
        self.stop_cause.get_or_insert(cause);
        self.stopped_at.get_or_insert(now);
    }

    /// What ECS calls its group.
    pub fn group(&self) -> String {
        match &self.service {
            Some(service) => format!("service:{service}"),
            None => format!("family:{}", self.family()),
        }
    }

    /// The family and revision of its task definition.
    pub fn definition(&self) -> String {
        let family = self.service.as_ref().unwrap_or(&self.name);
        self.spec.definition(family)
    }

    fn family(&self) -> String {
        let definition = self.definition();
        definition.split(':').next().unwrap_or_default().to_owned()
    }

    /// Whether it has a container instance, and does not wait for capacity.
    pub fn is_placed(&self) -> bool {
        !self.container_instance.is_empty()
    }

    /// Whether the API still knows it.
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.stopped_at.is_none_or(|stopped_at| now < stopped_at + VISIBLE_WHEN_STOPPED)
    }

    /// Until when it is protected, if it is.
    pub fn protection(&self, now: Timestamp) -> Option<Timestamp> {
        self.protected_until.filter(|&until| now < until)
    }

    /// Whether it counts into `runningTasksCount` or `pendingTasksCount`: told to run, whatever its
    /// status.
    pub fn is_desired_running(&self) -> bool {
        !self.stop_requested && self.status != TaskStatus::Stopped
    }

    /// Whether its containers run, so that work is lost if they are killed.
    pub fn is_executing(&self) -> bool {
        (TaskStatus::Activating..=TaskStatus::Stopping).contains(&self.status)
    }

    /// The next step of its life, and how long the present one takes before it. `None` if it stays
    /// as it is.
    pub(super) fn next_step(&self) -> Option<(Duration, TaskStatus)> {
        let behind_load_balancer = self.spec.deregistration_delay;
        match (self.status, self.stop_requested) {
            (TaskStatus::Provisioning, false) if !self.is_placed() => None,
            (TaskStatus::Provisioning, false) => {
                Some((Duration::from_millis(500), TaskStatus::Pending))
            }
            (TaskStatus::Pending, false) if behind_load_balancer.is_some() => {
                Some((self.spec.pull, TaskStatus::Activating))
            }
            (TaskStatus::Pending, false) => Some((self.spec.pull, TaskStatus::Running)),
            (TaskStatus::Activating, false) => Some((Duration::from_secs(2), TaskStatus::Running)),
            // A RUNNING task stays so until somebody tells it to stop: tasks do not end by
            // themselves here.
            (TaskStatus::Running, false) => None,
            (TaskStatus::Running | TaskStatus::Activating, true)
                if behind_load_balancer.is_some() =>
            {
                // It must leave its target group first, which takes the deregistration delay, and
                // gets SIGTERM only then.
                Some((Duration::ZERO, TaskStatus::Deactivating))
            }
            (
                TaskStatus::Provisioning
                | TaskStatus::Pending
                | TaskStatus::Activating
                | TaskStatus::Running,
                true,
            ) => Some((Duration::ZERO, TaskStatus::Stopping)),
            (TaskStatus::Deactivating, _) => {
                Some((behind_load_balancer.unwrap_or_default(), TaskStatus::Stopping))
            }
            (TaskStatus::Stopping, _) if self.spec.never_stops => None,
            (TaskStatus::Stopping, _) => Some((
                // After the `stopTimeout` the agent kills what has not stopped by itself.
                self.spec.stops_after.min(self.spec.stop_timeout),
                TaskStatus::Deprovisioning,
            )),
            (TaskStatus::Deprovisioning, _) => Some((Duration::from_secs(1), TaskStatus::Stopped)),
            (TaskStatus::Stopped, _) => None,
        }
    }
}

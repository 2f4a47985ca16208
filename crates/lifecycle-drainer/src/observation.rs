//! What a hop knows of the world, as a value, and the calls that bring it up to date. Each takes
//! what is known so far and returns what is known after it; none changes anything in AWS.
//!
//! What is to be done about an observation is decided by `ebb_core::lifecycle::decide`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::Problem;
use ebb_core::ecs::{ContainerInstance, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use ebb_core::lifecycle::diagnosis::Service;
use ebb_core::lifecycle::settings::StandaloneTasks;
use ebb_core::lifecycle::{ActionState, DrainProgress, TasksLeft};
use jiff::Timestamp;

use crate::drain::Drain;
use crate::search::find_container_instance;

/// How many tasks a recheck describes: as many as one call takes. As long as one of them holds the
/// instance, the others need not be looked at.
/// Source: ECS API, `DescribeTasks`.
const RECHECK_TASKS_MAX: usize = 100;

/// What is known of a drain.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// Whether the group waits for the drain.
    pub(crate) action_state: ActionState,
    /// How far the drain has come.
    pub(crate) progress: DrainProgress,
    /// Where the container instance is, once it is found.
    pub(crate) container_instance: Option<(Cluster, ContainerInstanceArn)>,
    /// The tasks as they were last counted. They may be older than `progress`, which includes them
    /// only while it is [`DrainProgress::Draining`].
    pub(crate) tasks: Option<TaskObservation>,
}

/// The tasks on a container instance.
#[derive(Debug, Clone)]
pub(crate) struct TaskObservation {
    /// Those that had not stopped.
    pub(crate) tasks: Vec<Task>,
    /// Their services, as far as ECS knows them.
    pub(crate) services: Vec<Service>,
    /// The services that were asked for. A service may be asked for and not known: without this it
    /// would be asked for again in every count.
    services_requested: BTreeSet<String>,
    /// Until when tasks are protected from scale-in.
    pub(crate) protected_until: BTreeMap<TaskArn, Timestamp>,
}

/// Asks the group where the instance stands. A message that names another group than the
/// instance's own is forged or stale.
pub(crate) async fn observe_action_state(drain: Drain<'_>) -> Result<ActionState, Problem> {
    let answer = drain.clients.auto_scaling.lifecycle_state(&drain.action.instance_id).await;
    Ok(match answer? {
        Some((group, state)) if group == drain.action.group => {
            ActionState::from_lifecycle_state(&state)
        }
        Some((group, _)) => ActionState::NotWaiting(format!("in group {group}")),
        None => ActionState::NotWaiting("in no group".to_owned()),
    })
}

/// Finds the container instance of an action that is waited for, and reads its status.
pub(crate) async fn observe_container_instance(
    drain: Drain<'_>,
    known: Option<&Observation>,
) -> Result<Observation, Problem> {
    let (container_instance, progress) = match find_container_instance(drain).await? {
        Some(ContainerInstance { cluster, arn, status, .. }) => {
            (Some((cluster, arn)), DrainProgress::Status(status))
        }
        None => (None, DrainProgress::NotInCluster),
    };
    // Kept, so that an outcome after a failed call can still say how many tasks were left.
    let tasks = known.and_then(|known| known.tasks.clone());
    Ok(Observation { action_state: ActionState::Waiting, progress, container_instance, tasks })
}

/// Counts all tasks that have not stopped.
pub(crate) async fn count_tasks(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let (cluster, arn) = known.container_instance()?;
    let ecs = &drain.clients.ecs;
    let tasks = ecs.tasks_on(cluster, arn).await?;
    let (services, services_requested) = describe_services(drain, known, &tasks).await?;
    let service_tasks: Vec<_> =
        tasks.iter().filter(|task| task.service.is_some()).map(|task| task.arn.clone()).collect();
    // Protection is only shown to people, so a drain goes on without it.
    let protected_until = ecs.protected_until(cluster, &service_tasks).await.unwrap_or_default();
    Ok(known.with_tasks(TaskObservation { tasks, services, services_requested, protected_until }))
}

/// Describes the services of the tasks, unless all of them were asked for already: whether a
/// service is a daemon does not change. Returns them, and the names that were asked for.
async fn describe_services(
    drain: Drain<'_>,
    known: &Observation,
    tasks: &[Task],
) -> Result<(Vec<Service>, BTreeSet<String>), Problem> {
    let (cluster, _) = known.container_instance()?;
    let names: BTreeSet<_> = tasks.iter().filter_map(|task| task.service.clone()).collect();
    let (services, requested) = match &known.tasks {
        Some(tasks) => (tasks.services.clone(), tasks.services_requested.clone()),
        None => (Vec::new(), BTreeSet::new()),
    };
    // DescribeServices takes ten names per call (ECS API, `DescribeServices`), so a large instance
    // would cost several calls in every count.
    if names.is_subset(&requested) {
        return Ok((services, requested));
    }
    let described = drain.clients.ecs.services(cluster, &names, drain.state.first_seen).await;
    Ok((described?, names))
}

/// Looks again at the tasks that held the instance when they were last counted, with one call.
/// Only when none of them does any more are all tasks counted.
pub(crate) async fn recheck_tasks(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let policy = drain.settings.standalone_tasks;
    let arns: Vec<_> = known
        .holding_tasks(policy)
        .into_iter()
        .take(RECHECK_TASKS_MAX)
        .map(|task| task.arn.clone())
        .collect();
    let Some(tasks) = known.tasks.as_ref().filter(|_| !arns.is_empty()) else {
        return count_tasks(drain, known).await;
    };
    let (cluster, _) = known.container_instance()?;
    let described = drain.clients.ecs.describe_tasks(cluster, &arns).await?;
    let mut tasks = tasks.clone();
    tasks.tasks.retain(|task| !arns.contains(&task.arn));
    tasks.tasks.extend(described.into_iter().filter(|task| !task.stopped));
    let rechecked = known.with_tasks(tasks);
    // New tasks may have appeared since the last full count, and only that count may say that the
    // drain is over.
    if rechecked.holding_tasks(policy).is_empty() {
        count_tasks(drain, &rechecked).await
    } else {
        Ok(rechecked)
    }
}

impl Observation {
    /// What is known of an action that its group does not wait for: nothing else is worth a call.
    pub(crate) fn not_waiting(action_state: ActionState, known: Option<&Self>) -> Self {
        Self {
            action_state,
            // Nothing is decided by it: the action's state comes first.
            progress: DrainProgress::NotInCluster,
            container_instance: known.and_then(|known| known.container_instance.clone()),
            tasks: known.and_then(|known| known.tasks.clone()),
        }
    }

    /// The same drain, further on.
    pub(crate) fn with_progress(&self, progress: DrainProgress) -> Self {
        Self { progress, ..self.clone() }
    }

    /// The same drain, with its tasks as they were just observed.
    pub(crate) fn with_tasks(&self, tasks: TaskObservation) -> Self {
        let progress = DrainProgress::Draining(tasks.left());
        Self { progress, tasks: Some(tasks), ..self.clone() }
    }

    /// The container instance, for steps that follow upon its having been found.
    pub(crate) fn container_instance(&self) -> Result<&(Cluster, ContainerInstanceArn), Problem> {
        self.container_instance
            .as_ref()
            .ok_or_else(|| Problem::other("its container instance was not looked for"))
    }

    /// How many tasks were left when they were last counted.
    pub(crate) fn tasks_left(&self) -> Option<TasksLeft> {
        self.tasks.as_ref().map(TaskObservation::left)
    }

    /// The tasks that are waited for, of those that were last counted.
    pub(crate) fn holding_tasks(&self, policy: StandaloneTasks) -> Vec<&Task> {
        self.tasks.as_ref().map(|tasks| tasks.holding(policy)).unwrap_or_default()
    }
}

impl TaskObservation {
    /// The tasks by kind.
    fn left(&self) -> TasksLeft {
        TasksLeft::count(&self.tasks, &self.daemons(), &self.protected_until)
    }

    fn holding(&self, policy: StandaloneTasks) -> Vec<&Task> {
        let daemons = self.daemons();
        self.tasks
            .iter()
            .filter(|task| {
                let task = std::slice::from_ref(*task);
                TasksLeft::count(task, &daemons, &self.protected_until).holding(policy) > 0
            })
            .collect()
    }

    /// The daemon services among those of the tasks. A service that ECS does not know counts as
    /// none: its tasks are waited for.
    fn daemons(&self) -> BTreeSet<String> {
        self.services
            .iter()
            .filter(|service| service.daemon)
            .map(|service| service.name.clone())
            .collect()
    }
}

//! What a hop knows of the world, as a value, and the calls that bring it up to date. Each takes
//! what is known so far and returns what is known after it; none changes anything in AWS.
//!
//! What is to be done about an observation is decided by `ebb_core::lifecycle::decide`.

use ebb_aws::Problem;
use ebb_core::ecs::{ContainerInstance, ContainerInstanceStatus, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::settings::StandaloneTasks;
use ebb_core::lifecycle::{ActionState, DrainProgress, TasksLeft};

use crate::drain::Drain;
use crate::search::{Search, describe_known, find_container_instances, find_others};
use crate::tasks::TaskObservation;

/// What is known of a drain.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// Whether the group waits for the drain.
    pub(crate) action_state: ActionState,
    /// How far the drain has come.
    pub(crate) progress: DrainProgress,
    /// The container instances on the EC2 instance, once they are found.
    pub(crate) container_instances: Vec<DrainedContainerInstance>,
    /// Whether there may be more: in other statuses, or in clusters that were not searched.
    pub(crate) search_incomplete: bool,
}

/// A container instance that is drained.
#[derive(Debug, Clone)]
pub(crate) struct DrainedContainerInstance {
    pub(crate) container_instance: ContainerInstance,
    /// The mark of the last hop that wrote one, if it was looked at.
    pub(crate) mark: Option<String>,
    /// Its tasks as they were last counted. They may be older than the drain's progress, which
    /// includes them only while it is [`DrainProgress::Draining`].
    pub(crate) tasks: Option<TaskObservation>,
}

impl DrainedContainerInstance {
    pub(crate) fn new(container_instance: ContainerInstance) -> Self {
        Self { container_instance, mark: None, tasks: None }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.container_instance.cluster
    }

    pub(crate) fn arn(&self) -> &ContainerInstanceArn {
        &self.container_instance.arn
    }

    pub(crate) fn status(&self) -> &ContainerInstanceStatus {
        &self.container_instance.status
    }

    pub(crate) fn with_status(self, status: ContainerInstanceStatus) -> Self {
        let container_instance = ContainerInstance { status, ..self.container_instance };
        Self { container_instance, ..self }
    }
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
        None => ActionState::InNoGroup,
    })
}

/// Finds the container instances of an action that is waited for, and reads their statuses.
pub(crate) async fn observe_container_instances(
    drain: Drain<'_>,
    action_state: ActionState,
    known: Option<&Observation>,
) -> Result<Observation, Problem> {
    let carried = &drain.state.container_instances;
    let Search { found, incomplete } =
        find_container_instances(drain, carried, !drain.state.search_incomplete).await?;
    let container_instances: Vec<_> = found
        .into_iter()
        .map(|found| DrainedContainerInstance {
            // Kept, so that an outcome after a failed call can still say how many tasks were left.
            tasks: known.and_then(|known| known.tasks_on(&found.arn)).cloned(),
            ..DrainedContainerInstance::new(found)
        })
        .collect();
    Ok(Observation {
        action_state,
        progress: progress_of(&container_instances),
        container_instances,
        search_incomplete: incomplete,
    })
}

/// Counts all tasks that have not stopped, on every container instance that is DRAINING.
pub(crate) async fn count_tasks(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let mut counted = known.clone();
    for drained in &mut counted.container_instances {
        drained.tasks = if *drained.status() == ContainerInstanceStatus::Draining {
            let tasks = drained.tasks.as_ref();
            Some(TaskObservation::count(drain, drained.cluster(), drained.arn(), tasks).await?)
        } else {
            None
        };
    }
    Ok(counted.with_progress_of_tasks())
}

/// Looks again at the tasks that held the instance when they were last counted, with one call for
/// each of its container instances. Only when none of them does any more are all tasks counted.
pub(crate) async fn recheck_tasks(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let mut rechecked = known.clone();
    for drained in &mut rechecked.container_instances {
        if let Some(tasks) = &drained.tasks {
            drained.tasks = Some(tasks.recheck(drain, drained.cluster()).await?);
        }
    }
    // New tasks may have appeared since the last full count, and only that count may say that the
    // drain is over.
    if rechecked.holding_tasks(drain.settings.standalone_tasks).is_empty() {
        count_tasks(drain, &rechecked).await
    } else {
        Ok(rechecked.with_progress_of_tasks())
    }
}

/// Looks again at the statuses of the container instances, with one call for each cluster: somebody
/// may have set them ACTIVE. Their tasks are looked at again if their number has changed.
pub(crate) async fn recheck_statuses(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let keys: Vec<_> = known.keys();
    let described = describe_known(drain, &keys).await?;
    let mut rechecked = known.clone();
    let mut has_changed = false;
    for drained in &mut rechecked.container_instances {
        let arn = drained.arn().clone();
        let observed = described.iter().find(|now| now.container_instance.arn == arn);
        let wanted = drained.tasks.as_ref().map(TaskObservation::wanted);
        has_changed |= observed.map(|now| now.tasks_wanted) != wanted;
        *drained = match observed {
            Some(now) => DrainedContainerInstance {
                container_instance: now.container_instance.clone(),
                mark: now.attribute.clone(),
                tasks: drained.tasks.clone(),
            },
            // ECS describes what left its cluster for an hour; what it knows no more is longer
            // gone.
            None => drained.clone().with_status(ContainerInstanceStatus::Inactive),
        };
    }
    let progress = progress_of(&rechecked.container_instances);
    match progress {
        DrainProgress::Status(ContainerInstanceStatus::Draining) if has_changed => {
            recheck_tasks(drain, &rechecked).await
        }
        DrainProgress::Status(ContainerInstanceStatus::Draining) => {
            Ok(rechecked.with_progress_of_tasks())
        }
        progress => Ok(Observation { progress, ..rechecked }),
    }
}

/// Looks for container instances that are not known yet, in any status and any cluster.
pub(crate) async fn observe_others(
    drain: Drain<'_>,
    known: &Observation,
) -> Result<Observation, Problem> {
    let Search { found, incomplete } = find_others(drain, &known.keys()).await?;
    let mut observation = Observation { search_incomplete: incomplete, ..known.clone() };
    if found.is_empty() {
        return Ok(observation);
    }
    observation.container_instances.extend(found.into_iter().map(DrainedContainerInstance::new));
    let progress = progress_of(&observation.container_instances);
    Ok(Observation { progress, ..observation })
}

/// Asks until when the service tasks are protected, for people.
pub(crate) async fn observe_protection(drain: Drain<'_>, known: &Observation) -> Observation {
    let mut observed = known.clone();
    for drained in &mut observed.container_instances {
        if let Some(tasks) = &drained.tasks {
            drained.tasks = Some(tasks.with_protection(drain, drained.cluster()).await);
        }
    }
    if matches!(observed.progress, DrainProgress::Draining(_)) {
        observed.with_progress_of_tasks()
    } else {
        observed
    }
}

fn progress_of(container_instances: &[DrainedContainerInstance]) -> DrainProgress {
    DrainProgress::of_statuses(container_instances.iter().map(DrainedContainerInstance::status))
}

impl Observation {
    /// What is known of an action that its group does not wait for: nothing else is worth a call.
    pub(crate) fn not_waiting(action_state: ActionState, known: Option<&Self>) -> Self {
        Self {
            action_state,
            // Nothing is decided by it: the action's state comes first.
            progress: DrainProgress::NotInCluster,
            container_instances: known
                .map(|known| known.container_instances.clone())
                .unwrap_or_default(),
            search_incomplete: false,
        }
    }

    /// The same drain, with other container instances.
    pub(crate) fn with_container_instances(
        &self,
        container_instances: Vec<DrainedContainerInstance>,
    ) -> Self {
        let progress = progress_of(&container_instances);
        Self { progress, container_instances, ..self.clone() }
    }

    /// The same drain, with the tasks as they were just counted.
    pub(crate) fn with_progress_of_tasks(self) -> Self {
        let counted = self.counted().map(TaskObservation::left).sum();
        Self { progress: DrainProgress::Draining(counted), ..self }
    }

    /// The container instances with their clusters, as they are handed on.
    pub(crate) fn keys(&self) -> Vec<(Cluster, ContainerInstanceArn)> {
        let drained = self.container_instances.iter();
        drained.map(|drained| (drained.cluster().clone(), drained.arn().clone())).collect()
    }

    /// How many tasks were left when they were last counted.
    pub(crate) fn tasks_left(&self) -> Option<TasksLeft> {
        self.counted().next()?;
        Some(self.counted().map(TaskObservation::left).sum())
    }

    /// The tasks that are waited for, of those that were last counted.
    pub(crate) fn holding_tasks(&self, policy: StandaloneTasks) -> Vec<&Task> {
        self.counted().flat_map(|tasks| tasks.holding(policy)).collect()
    }

    fn counted(&self) -> impl Iterator<Item = &TaskObservation> {
        self.container_instances.iter().filter_map(|drained| drained.tasks.as_ref())
    }

    pub(crate) fn tasks_on(&self, arn: &ContainerInstanceArn) -> Option<&TaskObservation> {
        self.container_instances.iter().find(|drained| drained.arn() == arn)?.tasks.as_ref()
    }
}

//! The tasks on a container instance, as a value, and the calls that bring it up to date.
//!
//! What is to be done about them is decided by `ebb_core::lifecycle::decide`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::Problem;
use ebb_core::ecs::Task;
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use ebb_core::lifecycle::TasksLeft;
use ebb_core::lifecycle::diagnosis::Service;
use ebb_core::lifecycle::settings::StandaloneTasks;
use jiff::Timestamp;

use crate::drain::Drain;

/// How many tasks a recheck describes: as many as one call takes. As long as one of them holds the
/// instance, the others need not be looked at.
/// Source: ECS API, `DescribeTasks`.
const RECHECK_TASKS_MAX: usize = 100;

/// The tasks on a container instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskObservation {
    /// Those that had not stopped.
    pub(crate) tasks: Vec<Task>,
    /// Those that had. ECS lists them for an hour, and a task that has stopped stays so.
    stopped: Vec<Task>,
    /// Their services, as far as ECS knows them.
    pub(crate) services: Vec<Service>,
    /// The services that were asked for. A service may be asked for and not known: without this it
    /// would be asked for again in every count.
    services_requested: BTreeSet<String>,
    /// Until when tasks are protected from scale-in, as far as that was asked for.
    pub(crate) protected_until: BTreeMap<TaskArn, Timestamp>,
}

impl TaskObservation {
    /// Counts all tasks on a container instance that have not stopped.
    pub(crate) async fn count(
        drain: Drain<'_>,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
        known: Option<&Self>,
    ) -> Result<Self, Problem> {
        let mut counted = known.cloned().unwrap_or_default();
        let stopped = counted.stopped.iter().map(|task| task.arn.clone()).collect();
        let described = drain.clients.ecs.tasks_on(cluster, arn, &stopped).await?;
        counted.tasks.clear();
        counted.add(described);
        counted.with_services(drain, cluster).await
    }

    fn add(&mut self, described: Vec<Task>) {
        let (stopped, unstopped): (Vec<_>, Vec<_>) =
            described.into_iter().partition(|task| task.stopped);
        self.stopped.extend(stopped);
        self.tasks.extend(unstopped);
    }

    /// Describes the services of the tasks, unless all of them were asked for already: whether a
    /// service is a daemon does not change.
    async fn with_services(self, drain: Drain<'_>, cluster: &Cluster) -> Result<Self, Problem> {
        let names: BTreeSet<_> =
            self.tasks.iter().filter_map(|task| task.service.clone()).collect();
        // DescribeServices takes ten names per call (ECS API, `DescribeServices`), so a large
        // instance would cost several calls in every count.
        if names.is_subset(&self.services_requested) {
            return Ok(self);
        }
        let services = drain.clients.ecs.services(cluster, &names, drain.state.first_seen).await?;
        Ok(Self { services, services_requested: names, ..self })
    }

    /// Looks again at the tasks that held the instance when they were last counted, with one call.
    pub(crate) async fn recheck(
        &self,
        drain: Drain<'_>,
        cluster: &Cluster,
    ) -> Result<Self, Problem> {
        let holding = self.holding(drain.settings.standalone_tasks).into_iter();
        let arns = holding.take(RECHECK_TASKS_MAX).map(|task| task.arn.clone()).collect();
        self.describe_again(drain, cluster, arns).await
    }

    /// Of an action that nobody completed: looks again at all tasks that had not stopped. If it is
    /// known when it expired, those which stopped no sooner than that count as left: they ended with
    /// their instance.
    pub(crate) async fn cut_off(
        &self,
        drain: Drain<'_>,
        cluster: &Cluster,
        expired: Option<Timestamp>,
    ) -> Result<Self, Problem> {
        let arns = self.tasks.iter().map(|task| task.arn.clone()).collect();
        let mut described = self.describe_again(drain, cluster, arns).await?;
        let stopped = described.stopped.iter();
        let cut_off = stopped.filter(|task| expired.is_some() && task.stopped_at >= expired);
        described.tasks.extend(cut_off.map(|task| Task { stopped: false, ..task.clone() }));
        described.with_services(drain, cluster).await
    }

    async fn describe_again(
        &self,
        drain: Drain<'_>,
        cluster: &Cluster,
        arns: Vec<TaskArn>,
    ) -> Result<Self, Problem> {
        if arns.is_empty() {
            return Ok(self.clone());
        }
        let described = drain.clients.ecs.describe_tasks(cluster, &arns).await?;
        let mut again = self.clone();
        again.tasks.retain(|task| !arns.contains(&task.arn));
        again.add(described);
        Ok(again)
    }

    /// Asks until when service tasks are protected. That is only shown to people, so a drain goes on
    /// without it.
    pub(crate) async fn with_protection(&self, drain: Drain<'_>, cluster: &Cluster) -> Self {
        let service_tasks = self.tasks.iter().filter(|task| task.service.is_some());
        let arns: Vec<_> = service_tasks.map(|task| task.arn.clone()).collect();
        let protected_until = drain.clients.ecs.protected_until(cluster, &arns).await;
        Self { protected_until: protected_until.unwrap_or_default(), ..self.clone() }
    }

    /// How many of them have not been told to stop.
    pub(crate) fn wanted(&self) -> i32 {
        let wanted = self.tasks.iter().filter(|task| !task.told_to_stop).count();
        i32::try_from(wanted).unwrap_or(i32::MAX)
    }

    /// The tasks by kind.
    pub(crate) fn left(&self) -> TasksLeft {
        TasksLeft::count(&self.tasks, &self.daemons(), &self.protected_until)
    }

    /// The tasks that are waited for.
    pub(crate) fn holding(&self, policy: StandaloneTasks) -> Vec<&Task> {
        let daemons = self.daemons();
        let holds = |task: &&Task| {
            let task = std::slice::from_ref(*task);
            TasksLeft::count(task, &daemons, &self.protected_until).holding(policy) > 0
        };
        self.tasks.iter().filter(holds).collect()
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

//! Tasks: those on container instances, those of a service, and telling one to stop.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{DesiredStatus, Task as SdkTask};
use ebb_core::ecs::{Room, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::check_complete;
use crate::error::AwsError;
use crate::reads::{join_batches, list_up_to};

/// Source: ECS API, `DescribeTasks`.
const DESCRIBE_TASKS_MAX: usize = 100;

/// An instance runs some hundred tasks at most, and those that stopped are listed for an hour, by
/// up to 100 per page. A list that goes on after this is an error.
const TASK_PAGES_MAX: usize = 100;

/// A task that has not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedTask {
    /// Its ARN.
    pub arn: TaskArn,
    /// The container instance that it holds its place on.
    pub container_instance: ContainerInstanceArn,
    /// The service that it belongs to, by name; `None` for a standalone task.
    pub service: Option<String>,
    /// Whether it has been told to stop: `desiredStatus` STOPPED.
    pub told_to_stop: bool,
}

/// Whose tasks are listed.
#[derive(Debug, Clone, Copy)]
enum TaskScope<'a> {
    Cluster,
    ContainerInstance(&'a ContainerInstanceArn),
    Service(&'a str),
}

impl Ecs {
    /// The tasks on a container instance, those that have been told to stop included. Those that
    /// are known to have `stopped` are left out.
    ///
    /// # Errors
    /// If a call fails, so that no task goes uncounted.
    pub async fn tasks_on(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
        stopped: &BTreeSet<TaskArn>,
    ) -> Result<Vec<Task>, AwsError> {
        let mut arns = self.list_tasks(cluster, TaskScope::ContainerInstance(arn)).await?;
        arns.retain(|arn| !stopped.contains(arn));
        self.describe_tasks(cluster, &arns).await
    }

    /// The tasks on these container instances that have not stopped, those that have been told to
    /// stop included.
    ///
    /// The tasks of the whole cluster are listed if that costs less than a list for each instance:
    /// a page holds a hundred, and each task must be described to learn where it runs. How many
    /// there are is only known afterwards, so the attempt ends at half as many pages as there are
    /// instances.
    ///
    /// # Errors
    /// If a call fails, so that no task is overlooked.
    pub async fn tasks_on_all(
        &self,
        cluster: &Cluster,
        container_instances: &[ContainerInstanceArn],
    ) -> Result<Vec<PlacedTask>, AwsError> {
        let pages_max = container_instances.len() / 2;
        let mut arns = Vec::new();
        // ListTasks shows tasks with the desired status RUNNING only, unless asked otherwise (ECS
        // API, `ListTasks`). A task that is told to stop may still run.
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let whole_cluster =
                self.list_task_pages(cluster, TaskScope::Cluster, &status, pages_max).await?;
            if let Some(listed) = whole_cluster {
                arns.extend(listed);
                continue;
            }
            let mut lists = Vec::new();
            for arn in container_instances {
                let scope = TaskScope::ContainerInstance(arn);
                lists.push(self.list_tasks_by_status(cluster, scope, &status));
            }
            arns.extend(join_batches(&self.pace, lists).await?);
        }
        let mut tasks =
            self.describe_tasks_as(cluster, &without_duplicates(arns), placed_tasks).await?;
        let wanted: BTreeSet<_> = container_instances.iter().collect();
        tasks.retain(|task| wanted.contains(&task.container_instance));
        Ok(tasks)
    }

    /// The tasks of a service that have not stopped, wherever they run.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn tasks_of_service(
        &self,
        cluster: &Cluster,
        service: &str,
    ) -> Result<Vec<PlacedTask>, AwsError> {
        let arns = self.list_tasks(cluster, TaskScope::Service(service)).await?;
        self.describe_tasks_as(cluster, &arns, placed_tasks).await
    }

    /// Describes tasks. One that ECS no longer knows (reason `MISSING`) has stopped more than an
    /// hour ago, and is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn describe_tasks(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<Vec<Task>, AwsError> {
        self.describe_tasks_as(cluster, arns, tasks).await
    }

    /// Tells a task to stop. One that is stopping already stays so.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn stop_task(
        &self,
        cluster: &Cluster,
        arn: &TaskArn,
        reason: &str,
    ) -> Result<(), AwsError> {
        let request =
            self.client.stop_task().cluster(cluster.as_str()).task(arn.as_str()).reason(reason);
        request.send().await.map_err(|error| {
            AwsError::new(format!("stop a task of cluster {}", cluster.name()), error)
        })?;
        Ok(())
    }

    /// Lists tasks that have not stopped, and those that stopped within the last hour: ECS lists
    /// the ones that have been told to stop together with these, and apart from the others (ECS
    /// Developer Guide, container-instance-draining). Only describing them tells which have not
    /// stopped.
    async fn list_tasks(
        &self,
        cluster: &Cluster,
        scope: TaskScope<'_>,
    ) -> Result<Vec<TaskArn>, AwsError> {
        let mut arns = self.list_tasks_by_status(cluster, scope, &DesiredStatus::Running).await?;
        arns.extend(self.list_tasks_by_status(cluster, scope, &DesiredStatus::Stopped).await?);
        Ok(without_duplicates(arns))
    }

    async fn list_tasks_by_status(
        &self,
        cluster: &Cluster,
        scope: TaskScope<'_>,
        desired_status: &DesiredStatus,
    ) -> Result<Vec<TaskArn>, AwsError> {
        let arns = self.list_task_pages(cluster, scope, desired_status, TASK_PAGES_MAX).await?;
        arns.ok_or_else(|| {
            let problem = format!("more than {TASK_PAGES_MAX} pages");
            AwsError::unusable_answer(listing(cluster), problem)
        })
    }

    /// `None` if there are more pages than that.
    async fn list_task_pages(
        &self,
        cluster: &Cluster,
        scope: TaskScope<'_>,
        desired_status: &DesiredStatus,
        pages_max: usize,
    ) -> Result<Option<Vec<TaskArn>>, AwsError> {
        let request = self.client.list_tasks().cluster(cluster.as_str());
        let request = request.desired_status(desired_status.clone());
        let request = match scope {
            TaskScope::Cluster => request,
            TaskScope::ContainerInstance(arn) => request.container_instance(arn.as_str()),
            TaskScope::Service(name) => request.service_name(name),
        };
        let operation = listing(cluster);
        let pages = list_up_to(&operation, pages_max, &self.pace.resources, |token| {
            let page = request.clone().set_next_token(token).send();
            async { page.await.map(|page| (page.task_arns.unwrap_or_default(), page.next_token)) }
        });
        let arns = pages.await?;
        Ok(arns.map(|arns| arns.iter().map(TaskArn::new).collect()))
    }

    /// Describes tasks in batches, each taken down to what is needed before the next ones arrive.
    async fn describe_tasks_as<T>(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
        convert: fn(&[SdkTask]) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, AwsError> {
        let mut batches = Vec::new();
        for batch in arns.chunks(DESCRIBE_TASKS_MAX) {
            batches.push(self.describe_task_batch(cluster, batch, convert));
        }
        join_batches(&self.pace, batches).await
    }

    async fn describe_task_batch<T>(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
        convert: fn(&[SdkTask]) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, AwsError> {
        let operation = format!("describe tasks of cluster {}", cluster.name());
        self.pace.resources.turn().await;
        let texts = arns.iter().map(|arn| arn.as_str().to_owned()).collect();
        let request = self.client.describe_tasks().cluster(cluster.as_str()).set_tasks(Some(texts));
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        check_complete(&operation, arns.len(), ok.tasks().len(), ok.failures())?;
        convert(ok.tasks())
            .ok_or_else(|| AwsError::unusable_answer(operation, "a task has no ARN or no status"))
    }
}

/// One that was told to stop between two lists stands in both.
fn without_duplicates(mut arns: Vec<TaskArn>) -> Vec<TaskArn> {
    arns.sort();
    arns.dedup();
    arns
}

fn listing(cluster: &Cluster) -> String {
    format!("list tasks of cluster {}", cluster.name())
}

/// `None` if ECS left out of a task what every task has.
fn tasks(described: &[SdkTask]) -> Option<Vec<Task>> {
    described.iter().map(task).collect()
}

/// Those that have not stopped and have a container instance: a task that waits for a place has
/// none.
fn placed_tasks(described: &[SdkTask]) -> Option<Vec<PlacedTask>> {
    let unstopped = described.iter().filter(|task| task.last_status() != Some("STOPPED"));
    Some(unstopped.filter_map(placed_task).collect())
}

/// `None` if ECS left out what every task has.
fn task(described: &SdkTask) -> Option<Task> {
    Some(Task {
        arn: TaskArn::new(described.task_arn()?),
        service: service_name(described),
        told_to_stop: told_to_stop(described),
        stopping_at: described.stopping_at().and_then(timestamp),
        deactivating: described.last_status() == Some("DEACTIVATING"),
        stopped: described.last_status()? == "STOPPED",
        stopped_at: described.stopped_at().and_then(timestamp),
        needs: needs(described),
    })
}

/// `None` if it has no container instance.
fn placed_task(described: &SdkTask) -> Option<PlacedTask> {
    Some(PlacedTask {
        arn: TaskArn::new(described.task_arn()?),
        container_instance: ContainerInstanceArn::new(described.container_instance_arn()?),
        service: service_name(described),
        told_to_stop: told_to_stop(described),
    })
}

fn service_name(described: &SdkTask) -> Option<String> {
    described.group()?.strip_prefix("service:").map(str::to_owned)
}

fn told_to_stop(described: &SdkTask) -> bool {
    described.desired_status() == Some("STOPPED")
}

/// `None` for a time out of range.
fn timestamp(time: &aws_sdk_ecs::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.to_millis().ok()?).ok()
}

/// A task definition may leave the whole task's CPU and memory open; then its needs are not known.
fn needs(described: &SdkTask) -> Option<Room> {
    Some(Room {
        cpu: described.cpu()?.parse().ok()?,
        memory_mib: described.memory()?.parse().ok()?,
    })
}

//! Tasks: those on container instances, those of a service, and telling one to stop.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::DesiredStatus;
use ebb_core::ecs::{Room, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::reason;
use crate::error::AwsError;

/// Source: ECS API, `DescribeTasks`.
const DESCRIBE_TASKS_MAX: usize = 100;

/// An instance runs some hundred tasks at most, and those that stopped are listed for an hour, by up to 100 a page.
const LIST_PAGES_MAX: usize = 100;

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
enum Of<'a> {
    Cluster,
    ContainerInstance(&'a ContainerInstanceArn),
    Service(&'a str),
}

impl Ecs {
    /// The tasks on a container instance that have not stopped. Those that have been told to stop are listed apart by
    /// ECS, together with those that have stopped within the last hour: both lists are read, and every task in them is
    /// described (ECS Developer Guide, container-instance-draining).
    ///
    /// # Errors
    /// If a call fails, so that no task goes uncounted.
    pub async fn tasks_on(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
    ) -> Result<Vec<Task>, AwsError> {
        let mut arns = self.list_tasks(cluster, arn, DesiredStatus::Running).await?;
        arns.extend(self.list_tasks(cluster, arn, DesiredStatus::Stopped).await?);
        // One that was told to stop between the two lists stands in both.
        arns.sort();
        arns.dedup();
        let mut tasks = self.describe_tasks(cluster, &arns).await?;
        tasks.retain(|task| !task.stopped);
        Ok(tasks)
    }

    async fn list_tasks(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
        desired_status: DesiredStatus,
    ) -> Result<Vec<TaskArn>, AwsError> {
        let operation =
            || format!("list the tasks on a container instance of cluster {}", cluster.name());
        let request =
            self.client.list_tasks().cluster(cluster.as_str()).container_instance(arn.as_str());
        let request = request.desired_status(desired_status).into_paginator();
        let mut pages = request.stop_on_duplicate_token(false).send();
        let mut arns = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            let Some(page) = pages.next().await else { return Ok(arns) };
            let page = page.map_err(|error| AwsError::new(operation(), error))?;
            arns.extend(page.task_arns().iter().map(TaskArn::new));
        }
        Err(AwsError::unusable_answer(operation(), format!("more than {LIST_PAGES_MAX} pages")))
    }

    /// Describes tasks. One that ECS no longer knows (reason `MISSING`) has stopped more than an hour ago.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn describe_tasks(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<Vec<Task>, AwsError> {
        let operation = || format!("describe tasks of cluster {}", cluster.name());
        let mut tasks = Vec::new();
        for arns in arns.chunks(DESCRIBE_TASKS_MAX) {
            let texts = arns.iter().map(|arn| arn.as_str().to_owned()).collect();
            let request =
                self.client.describe_tasks().cluster(cluster.as_str()).set_tasks(Some(texts));
            let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
            if let Some(failure) =
                answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
            {
                return Err(AwsError::unusable_answer(operation(), reason(failure)));
            }
            let described: Option<Vec<_>> = answer.tasks().iter().map(task).collect();
            let described = described.ok_or_else(|| {
                AwsError::unusable_answer(operation(), "a task has no ARN or no status")
            })?;
            if described.len() + answer.failures().len() < arns.len() {
                return Err(AwsError::unusable_answer(
                    operation(),
                    "the answer does not mention every task",
                ));
            }
            tasks.extend(described);
        }
        Ok(tasks)
    }

    /// The tasks on these container instances that have not stopped, those that have been told to included: ECS lists
    /// them apart, together with those that have stopped within the last hour.
    ///
    /// The tasks of the whole cluster are listed if that costs less than a list for each instance: a page holds a
    /// hundred, and each must be described to learn where it runs. How many there are is only known afterwards, so the
    /// attempt ends at half as many pages as there are instances.
    ///
    /// # Errors
    /// If a call fails, so that no task goes unseen.
    pub async fn tasks_on_all(
        &self,
        cluster: &Cluster,
        container_instances: &[ContainerInstanceArn],
    ) -> Result<Vec<PlacedTask>, AwsError> {
        let pages_max = container_instances.len() / 2;
        let mut arns = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            if let Some(all) =
                self.list_placed(cluster, Of::Cluster, status.clone(), pages_max).await?
            {
                arns.extend(all);
                continue;
            }
            let mut lists = Vec::new();
            for arn in container_instances {
                lists.push(self.list_whole(cluster, Of::ContainerInstance(arn), status.clone()));
            }
            let listed: Vec<_> =
                stream::iter(lists).buffered(self.pace.concurrent_reads_max).try_collect().await?;
            arns.extend(listed.into_iter().flatten());
        }
        let mut tasks = self.describe_placed(cluster, arns).await?;
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
        let mut arns = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            arns.extend(self.list_whole(cluster, Of::Service(service), status).await?);
        }
        self.describe_placed(cluster, arns).await
    }

    async fn describe_placed(
        &self,
        cluster: &Cluster,
        mut arns: Vec<TaskArn>,
    ) -> Result<Vec<PlacedTask>, AwsError> {
        // One that was told to stop between two lists stands in both.
        arns.sort();
        arns.dedup();
        let mut chunks = Vec::new();
        for arns in arns.chunks(DESCRIBE_TASKS_MAX) {
            chunks.push(self.describe_placed_chunk(cluster, arns));
        }
        let described: Vec<_> =
            stream::iter(chunks).buffered(self.pace.concurrent_reads_max).try_collect().await?;
        Ok(described.into_iter().flatten().collect())
    }

    async fn list_whole(
        &self,
        cluster: &Cluster,
        of: Of<'_>,
        desired_status: DesiredStatus,
    ) -> Result<Vec<TaskArn>, AwsError> {
        let listed = self.list_placed(cluster, of, desired_status, LIST_PAGES_MAX).await?;
        listed.ok_or_else(|| {
            AwsError::unusable_answer(list(cluster), format!("more than {LIST_PAGES_MAX} pages"))
        })
    }

    /// `None` if there are more pages than that.
    async fn list_placed(
        &self,
        cluster: &Cluster,
        of: Of<'_>,
        desired_status: DesiredStatus,
        pages_max: usize,
    ) -> Result<Option<Vec<TaskArn>>, AwsError> {
        let request =
            self.client.list_tasks().cluster(cluster.as_str()).desired_status(desired_status);
        let request = match of {
            Of::Cluster => request,
            Of::ContainerInstance(arn) => request.container_instance(arn.as_str()),
            Of::Service(name) => request.service_name(name),
        };
        let (mut arns, mut token) = (Vec::new(), None);
        for _ in 0..pages_max {
            self.pace.resources.turn().await;
            let page = request.clone().set_next_token(token).send().await;
            let page = page.map_err(|error| AwsError::new(list(cluster), error))?;
            arns.extend(page.task_arns().iter().map(TaskArn::new));
            token = page.next_token;
            if token.is_none() {
                return Ok(Some(arns));
            }
        }
        Ok(None)
    }

    /// One that ECS no longer knows (reason `MISSING`) has stopped more than an hour ago.
    async fn describe_placed_chunk(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<Vec<PlacedTask>, AwsError> {
        let operation = || format!("describe tasks of cluster {}", cluster.name());
        self.pace.resources.turn().await;
        let texts = arns.iter().map(|arn| arn.as_str().to_owned()).collect();
        let request = self.client.describe_tasks().cluster(cluster.as_str()).set_tasks(Some(texts));
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        if let Some(failure) = answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
        {
            return Err(AwsError::unusable_answer(operation(), reason(failure)));
        }
        if answer.tasks().len() + answer.failures().len() < arns.len() {
            return Err(AwsError::unusable_answer(
                operation(),
                "the answer does not mention every task",
            ));
        }
        let unstopped = answer.tasks().iter().filter(|task| task.last_status() != Some("STOPPED"));
        // A task that waits for a place has no container instance.
        Ok(unstopped.filter_map(placed).collect())
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
        let operation = || format!("stop a task of cluster {}", cluster.name());
        request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        Ok(())
    }
}

/// `None` if ECS left out what every task has.
fn task(described: &aws_sdk_ecs::types::Task) -> Option<Task> {
    Some(Task {
        arn: TaskArn::new(described.task_arn()?),
        service: described
            .group()
            .and_then(|group| group.strip_prefix("service:"))
            .map(str::to_owned),
        told_to_stop: described.desired_status() == Some("STOPPED"),
        stopped: described.last_status()? == "STOPPED",
        needs: needs(described),
    })
}

/// A task definition may leave the whole task's CPU and memory open; then nothing is said.
fn needs(described: &aws_sdk_ecs::types::Task) -> Option<Room> {
    Some(Room {
        cpu: described.cpu()?.parse().ok()?,
        memory_mib: described.memory()?.parse().ok()?,
    })
}

fn list(cluster: &Cluster) -> String {
    format!("list tasks of cluster {}", cluster.name())
}

fn placed(described: &aws_sdk_ecs::types::Task) -> Option<PlacedTask> {
    Some(PlacedTask {
        arn: TaskArn::new(described.task_arn()?),
        container_instance: ContainerInstanceArn::new(described.container_instance_arn()?),
        service: described
            .group()
            .and_then(|group| group.strip_prefix("service:"))
            .map(str::to_owned),
        told_to_stop: described.desired_status() == Some("STOPPED"),
    })
}

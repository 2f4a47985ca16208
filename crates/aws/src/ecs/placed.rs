//! Where tasks run: those on the instances that a sweep looks at, and those of services that allow one an instance.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::DesiredStatus;
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::tasks::{DESCRIBE_TASKS_MAX, LIST_PAGES_MAX};
use super::{Ecs, reason};
use crate::AwsError;

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

    /// Which of these tasks of services are protected from scale-in. Those that have stopped meanwhile are not.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn protected_tasks(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<BTreeSet<TaskArn>, AwsError> {
        let operation = || format!("read the protection of tasks of cluster {}", cluster.name());
        let mut protected = BTreeSet::new();
        for arns in arns.chunks(DESCRIBE_TASKS_MAX) {
            let texts = arns.iter().map(|arn| arn.as_str().to_owned()).collect();
            let request =
                self.client.get_task_protection().cluster(cluster.as_str()).set_tasks(Some(texts));
            let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
            if let Some(failure) =
                answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
            {
                return Err(AwsError::unusable_answer(operation(), reason(failure)));
            }
            let answered = answer.protected_tasks().iter().filter(|one| one.protection_enabled());
            protected.extend(answered.filter_map(|one| Some(TaskArn::new(one.task_arn()?))));
        }
        Ok(protected)
    }
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

//! The tasks on a container instance: which have not stopped, of what kind they are, and telling one to stop.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{DesiredStatus, SchedulingStrategy};
use ebb_core::ecs::{Room, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn, TaskArn};
use ebb_core::lifecycle::diagnosis::{Service, placement_failure};
use jiff::Timestamp;

use super::{Ecs, reason};
use crate::AwsError;

/// Source: ECS API, `DescribeTasks`.
pub(super) const DESCRIBE_TASKS_MAX: usize = 100;
/// Source: ECS API, `DescribeServices`.
pub(super) const DESCRIBE_SERVICES_MAX: usize = 10;
/// An instance runs some hundred tasks at most, and those that stopped are listed for an hour, by up to 100 a page.
pub(super) const LIST_PAGES_MAX: usize = 100;

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

    /// Describes services of a cluster, with what they could not place `since` a moment. One that ECS no longer knows is
    /// left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn services(
        &self,
        cluster: &Cluster,
        services: &BTreeSet<String>,
        since: Timestamp,
    ) -> Result<Vec<Service>, AwsError> {
        let operation = || format!("describe services of cluster {}", cluster.name());
        let names: Vec<_> = services.iter().cloned().collect();
        let mut described = Vec::new();
        for names in names.chunks(DESCRIBE_SERVICES_MAX) {
            let request = self.client.describe_services().cluster(cluster.as_str());
            let answer = request.set_services(Some(names.to_vec())).send().await;
            let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
            described.extend(answer.services().iter().filter_map(|one| service(one, since)));
        }
        Ok(described)
    }

    /// Until when tasks of services are protected from scale-in; those that are not are left out. ECS answers for 100
    /// tasks at most, and no more are asked about.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn protected_until(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<BTreeMap<TaskArn, Timestamp>, AwsError> {
        let texts: Vec<_> =
            arns.iter().take(DESCRIBE_TASKS_MAX).map(|arn| arn.as_str().to_owned()).collect();
        if texts.is_empty() {
            return Ok(BTreeMap::new());
        }
        let operation = || format!("read the protection of tasks of cluster {}", cluster.name());
        let request =
            self.client.get_task_protection().cluster(cluster.as_str()).set_tasks(Some(texts));
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let protected = answer.protected_tasks().iter().filter(|one| one.protection_enabled());
        let until = protected.filter_map(|one| {
            let until = Timestamp::from_second(one.expiration_date()?.secs()).ok()?;
            Some((TaskArn::new(one.task_arn()?), until))
        });
        Ok(until.collect())
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

/// `None` if ECS left out what every service has.
fn service(described: &aws_sdk_ecs::types::Service, since: Timestamp) -> Option<Service> {
    let recent = |event: &&aws_sdk_ecs::types::ServiceEvent| {
        event.created_at().is_some_and(|at| at.secs() >= since.as_second())
    };
    // ECS lists the newest event first.
    let mut events = described.events().iter().filter(recent);
    let percent = described.deployment_configuration();
    Some(Service {
        name: described.service_name()?.to_owned(),
        daemon: described.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
        // ECS's defaults for replica services.
        minimum_healthy_percent: percent
            .and_then(|one| one.minimum_healthy_percent())
            .unwrap_or(100),
        maximum_percent: percent.and_then(|one| one.maximum_percent()).unwrap_or(200),
        unplaced: events.find_map(|event| placement_failure(event.message()?)),
    })
}

/// A task definition may leave the whole task's CPU and memory open; then nothing is said.
fn needs(described: &aws_sdk_ecs::types::Task) -> Option<Room> {
    Some(Room {
        cpu: described.cpu()?.parse().ok()?,
        memory_mib: described.memory()?.parse().ok()?,
    })
}

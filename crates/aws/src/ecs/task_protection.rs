//! The protection of tasks of services from scale-in.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::operation::get_task_protection::GetTaskProtectionOutput;
use aws_sdk_ecs::types::ProtectedTask;
use ebb_core::ids::{Cluster, TaskArn};
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::check_failures;
use crate::error::AwsError;

/// Source: ECS API, `GetTaskProtection`.
const PROTECTION_MAX: usize = 100;

impl Ecs {
    /// Until when tasks of services are protected from scale-in; those that are not are left out.
    /// ECS answers for 100 tasks at most, and no more are asked about: the answer is for people, so
    /// a failure for a single task is no error either.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn protected_until(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<BTreeMap<TaskArn, Timestamp>, AwsError> {
        let Some(arns) = arns.chunks(PROTECTION_MAX).next() else { return Ok(BTreeMap::new()) };
        let ok = self.task_protection(cluster, arns).await?;
        Ok(ok.protected_tasks().iter().filter_map(arn_and_expiration).collect())
    }

    /// Which of these tasks of services are protected from scale-in. Those that have stopped
    /// meanwhile are not.
    ///
    /// # Errors
    /// If a call fails, or ECS does not answer for a task that it knows.
    pub async fn protected_tasks(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<BTreeSet<TaskArn>, AwsError> {
        let mut protected = BTreeSet::new();
        for batch in arns.chunks(PROTECTION_MAX) {
            let ok = self.task_protection(cluster, batch).await?;
            check_failures(&reading(cluster), ok.failures())?;
            let tasks = ok.protected_tasks().iter().filter(|task| task.protection_enabled());
            protected.extend(tasks.filter_map(|task| Some(TaskArn::new(task.task_arn()?))));
        }
        Ok(protected)
    }

    async fn task_protection(
        &self,
        cluster: &Cluster,
        arns: &[TaskArn],
    ) -> Result<GetTaskProtectionOutput, AwsError> {
        let texts = arns.iter().map(|arn| arn.as_str().to_owned()).collect();
        let request = self.client.get_task_protection().cluster(cluster.as_str());
        let request = request.set_tasks(Some(texts));
        request.send().await.map_err(|error| AwsError::new(reading(cluster), error))
    }
}

fn reading(cluster: &Cluster) -> String {
    format!("read the protection of tasks of cluster {}", cluster.name())
}

/// `None` for a task that is not protected, or without an end.
fn arn_and_expiration(task: &ProtectedTask) -> Option<(TaskArn, Timestamp)> {
    let expiration = task.expiration_date().filter(|_| task.protection_enabled())?;
    Some((TaskArn::new(task.task_arn()?), Timestamp::from_second(expiration.secs()).ok()?))
}

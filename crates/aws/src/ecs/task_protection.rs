//! The protection of tasks of services from scale-in.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::ids::{Cluster, TaskArn};
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::reason;
use crate::error::AwsError;

/// Source: ECS API, `GetTaskProtection`.
const PROTECTION_MAX: usize = 100;

impl Ecs {
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
            arns.iter().take(PROTECTION_MAX).map(|arn| arn.as_str().to_owned()).collect();
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
        for arns in arns.chunks(PROTECTION_MAX) {
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

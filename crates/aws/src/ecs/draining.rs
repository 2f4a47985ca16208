//! Setting container instances to DRAINING, and to ACTIVE again.

use aws_sdk_ecs::types::{ContainerInstance, ContainerInstanceStatus, Failure};
use ebb_core::ids::{Cluster, ContainerInstanceArn};

use crate::ecs::container_instances::to_strings;
use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::reason;
use crate::error::AwsError;

/// The outcome of setting one container instance to DRAINING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainResult {
    /// It is DRAINING.
    Draining {
        /// How many tasks it then had by ECS's own counts: those that run, and those that are
        /// pending. Those that had been told to stop are not among them.
        tasks: usize,
    },
    /// It has left its cluster. The text is ECS's reason.
    Gone(String),
    /// ECS refused, or said nothing about it. The text is ECS's reason.
    Refused(String),
}

impl Ecs {
    /// How many container instances one call sets to DRAINING.
    /// Source: ECS API, `UpdateContainerInstancesState`.
    pub const SET_DRAINING_MAX: usize = 10;

    /// Sets up to [`Ecs::SET_DRAINING_MAX`] container instances of one cluster to DRAINING, and
    /// returns the outcome of each, in their order. A container instance that is DRAINING already
    /// stays so and counts as such ([`DrainResult::Draining`]).
    ///
    /// # Errors
    /// If the call fails as a whole. It may have taken effect all the same.
    pub async fn set_draining(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<DrainResult>, AwsError> {
        let operation =
            format!("set container instances of cluster {} to DRAINING", cluster.name());
        let request = self.client.update_container_instances_state().cluster(cluster.as_str());
        let request = request
            .status(ContainerInstanceStatus::Draining)
            .set_container_instances(Some(to_strings(arns)));
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        Ok(arns
            .iter()
            .map(|arn| drain_result(arn, ok.container_instances(), ok.failures()))
            .collect())
    }

    /// Sets a container instance to ACTIVE again.
    ///
    /// # Errors
    /// If the call fails, or ECS says that it did not do so, or does not say that it did.
    pub async fn set_active(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
    ) -> Result<(), AwsError> {
        let operation = format!("set a container instance of cluster {} to ACTIVE", cluster.name());
        let request = self.client.update_container_instances_state().cluster(cluster.as_str());
        let request =
            request.status(ContainerInstanceStatus::Active).container_instances(arn.as_str());
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        match ok.failures().first() {
            Some(failure) => Err(AwsError::unusable_answer(operation, reason(failure))),
            None if ok.container_instances().is_empty() => {
                Err(AwsError::unusable_answer(operation, "the answer does not mention it"))
            }
            None => Ok(()),
        }
    }
}

/// What ECS did with one container instance. Anything but its own word that it is DRAINING is a
/// failure.
fn drain_result(
    arn: &ContainerInstanceArn,
    updated: &[ContainerInstance],
    failures: &[Failure],
) -> DrainResult {
    if let Some(failure) = failures.iter().find(|failure| failure.arn() == Some(arn.as_str())) {
        // `INACTIVE` is what clients see for an instance that was terminated meanwhile; `MISSING`
        // is documented for the Describe calls. The list of reasons for this call is not published.
        return match failure.reason() {
            Some("INACTIVE" | "MISSING") => DrainResult::Gone(reason(failure)),
            _ => DrainResult::Refused(reason(failure)),
        };
    }
    match updated.iter().find(|instance| instance.container_instance_arn() == Some(arn.as_str())) {
        Some(instance) if instance.status() == Some("DRAINING") => {
            let counts = [instance.running_tasks_count(), instance.pending_tasks_count()];
            let tasks = counts.map(|count| usize::try_from(count).unwrap_or(0)).iter().sum();
            DrainResult::Draining { tasks }
        }
        Some(instance) => {
            let status = instance.status().unwrap_or("not given");
            DrainResult::Refused(format!("its status is {status}"))
        }
        None => DrainResult::Refused("the answer does not mention it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(status: &str) -> ContainerInstance {
        ContainerInstance::builder()
            .container_instance_arn("arn-1")
            .status(status)
            .running_tasks_count(2)
            .pending_tasks_count(1)
            .build()
    }

    fn failure(reason: &str) -> Failure {
        Failure::builder().arn("arn-1").reason(reason).build()
    }

    fn gone(reason: &str) -> DrainResult {
        DrainResult::Gone(reason.to_owned())
    }

    fn refused(reason: &str) -> DrainResult {
        DrainResult::Refused(reason.to_owned())
    }

    #[test]
    fn no_answer_about_a_container_instance_passes_as_a_success() {
        let arn = ContainerInstanceArn::new("arn-1");

        let draining = DrainResult::Draining { tasks: 3 };
        assert_eq!(drain_result(&arn, &[updated("DRAINING")], &[]), draining);
        assert_eq!(drain_result(&arn, &[updated("ACTIVE")], &[]), refused("its status is ACTIVE"));
        assert_eq!(drain_result(&arn, &[], &[failure("INACTIVE")]), gone("INACTIVE"));
        assert_eq!(drain_result(&arn, &[], &[failure("MISSING")]), gone("MISSING"));
        assert_eq!(drain_result(&arn, &[], &[failure("AGENT")]), refused("AGENT"));
        assert_eq!(
            drain_result(&arn, &[updated("DRAINING")], &[failure("AGENT")]),
            refused("AGENT")
        );
        assert_eq!(drain_result(&arn, &[], &[]), refused("the answer does not mention it"));
    }
}

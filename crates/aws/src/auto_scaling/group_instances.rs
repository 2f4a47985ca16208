//! One instance in its group: where it stands, and terminating it.

use aws_sdk_autoscaling::error::ProvideErrorMetadata;
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{GroupName, InstanceId};

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::AwsError;

/// How having a group terminate an instance came off. The texts are Auto Scaling's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Termination {
    /// The group terminates it, and wants one instance less.
    Accepted,
    /// The group is at its minimum.
    BelowMinimum(String),
    /// No group has the instance.
    NotManaged(String),
    /// The group, or the instance, is busy with an activity already.
    ScalingActivityInProgress(String),
    /// Another update of the group is pending.
    ResourceContention(String),
}

impl AutoScaling {
    /// Where an instance stands in its group: the group, and its `LifecycleState`. `None` if it is in no group.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn lifecycle_state(
        &self,
        instance_id: &InstanceId,
    ) -> Result<Option<(GroupName, LifecycleState)>, AwsError> {
        let operation = || format!("describe instance {instance_id} in its Auto Scaling group");
        let request =
            self.client.describe_auto_scaling_instances().instance_ids(instance_id.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let described = answer.auto_scaling_instances();
        let found = described.iter().find(|one| one.instance_id() == Some(instance_id.as_str()));
        Ok(found.and_then(|one| {
            Some((GroupName::new(one.auto_scaling_group_name()?), one.lifecycle_state()?.into()))
        }))
    }

    /// Has its group terminate an instance and want one less. Scale-in protection does not keep it from doing so (EC2
    /// Auto Scaling User Guide, ec2-auto-scaling-instance-protection).
    ///
    /// # Errors
    /// If the call fails for another reason than those of [`Termination`]. It may have taken effect all the same.
    pub async fn terminate(&self, instance_id: &InstanceId) -> Result<Termination, AwsError> {
        let request = self
            .client
            .terminate_instance_in_auto_scaling_group()
            .instance_id(instance_id.as_str());
        let answer = request.should_decrement_desired_capacity(true).send().await;
        let Err(error) = answer else { return Ok(Termination::Accepted) };
        let said = error.message().unwrap_or_default().to_owned();
        // Refusals for the minimum and for strangers have the code of every mistake; the message tells them apart
        // (aws-cli#47, nomad-autoscaler#1290).
        match error.code() {
            Some("ScalingActivityInProgress") => Ok(Termination::ScalingActivityInProgress(said)),
            Some("ResourceContention") => Ok(Termination::ResourceContention(said)),
            Some("ValidationError") if said.contains("min size") || said.contains("minSize") => {
                Ok(Termination::BelowMinimum(said))
            }
            Some("ValidationError")
                if said.contains("not found") || said.contains("No managed instance") =>
            {
                Ok(Termination::NotManaged(said))
            }
            _ => Err(AwsError::new(
                format!("terminate instance {instance_id} in its Auto Scaling group"),
                error,
            )),
        }
    }
}

//! One instance in its group: where it stands, and terminating it.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::error::ProvideErrorMetadata;
use aws_sdk_autoscaling::types::AutoScalingInstanceDetails;
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{GroupName, InstanceId};

use crate::auto_scaling::auto_scaling_client::{AutoScaling, sent_once};
use crate::error::AwsError;

/// Source: Auto Scaling API, `DescribeAutoScalingInstances`.
const INSTANCE_IDS_MAX: usize = 50;

/// What an answer lacks that every instance has.
const INCOMPLETE_INSTANCE: &str = "an instance lacks its id, its group or its state";

/// The outcome of having a group terminate an instance. The texts are Auto Scaling's.
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
    /// The group of an instance, and its `LifecycleState` there. `None` if it is in no group.
    ///
    /// # Errors
    /// If the call fails, or the answer does not say which instance is meant, or where it stands.
    pub async fn lifecycle_state(
        &self,
        instance_id: &InstanceId,
    ) -> Result<Option<(GroupName, LifecycleState)>, AwsError> {
        let operation = format!("describe instance {instance_id} in its Auto Scaling group");
        let request = self.client.describe_auto_scaling_instances();
        let request = request.instance_ids(instance_id.as_str());
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        let described: Option<Vec<_>> =
            ok.auto_scaling_instances().iter().map(id_group_and_state).collect();
        // What cannot be read must not pass for an instance of no group.
        let described =
            described.ok_or_else(|| AwsError::unusable_answer(operation, INCOMPLETE_INSTANCE))?;
        let mut described = described.into_iter();
        let instance = described.find(|(id, ..)| *id == instance_id.as_str());
        Ok(instance.map(|(_, group, state)| (group, state)))
    }

    /// The groups of instances, fifty per call. An instance of no group, or that has left its group,
    /// is left out.
    ///
    /// # Errors
    /// If a call fails, or an answer does not say which instance is meant, or where it stands.
    pub async fn groups_of(
        &self,
        instance_ids: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, GroupName>, AwsError> {
        let mut groups = BTreeMap::new();
        for batch in instance_ids.chunks(INSTANCE_IDS_MAX) {
            let operation = "describe instances in their Auto Scaling groups";
            let request = self.client.describe_auto_scaling_instances();
            let ids = batch.iter().map(|id| id.as_str().to_owned()).collect();
            let request = request.set_instance_ids(Some(ids));
            let ok = request.send().await.map_err(|error| AwsError::new(operation, error))?;
            for described in ok.auto_scaling_instances() {
                // What cannot be read must not pass for an instance of no group.
                let (id, group, _) = id_group_and_state(described)
                    .ok_or_else(|| AwsError::unusable_answer(operation, INCOMPLETE_INSTANCE))?;
                let id = batch.iter().find(|asked| asked.as_str() == id);
                groups.extend(id.map(|id| (id.clone(), group)));
            }
        }
        Ok(groups)
    }

    /// Has its group terminate an instance, and want one instance less. The call is sent once: a
    /// second one might take a second instance off the desired capacity.
    /// Scale-in protection does not prevent that (EC2 Auto Scaling User Guide,
    /// ec2-auto-scaling-instance-protection).
    ///
    /// # Errors
    /// If the call fails for another reason than those of [`Termination`]. It may have taken effect
    /// all the same.
    pub async fn terminate(&self, instance_id: &InstanceId) -> Result<Termination, AwsError> {
        // Without this the group would launch a replacement at once.
        self.terminate_with(instance_id, true).await
    }

    /// Has its group terminate an instance that it retains: that is outside its desired capacity,
    /// which stays as it is (EC2 Auto Scaling User Guide, configure-instance-retention).
    ///
    /// # Errors
    /// As of [`AutoScaling::terminate`].
    pub async fn terminate_retained(
        &self,
        instance_id: &InstanceId,
    ) -> Result<Termination, AwsError> {
        self.terminate_with(instance_id, false).await
    }

    async fn terminate_with(
        &self,
        instance_id: &InstanceId,
        decrement: bool,
    ) -> Result<Termination, AwsError> {
        let request = self
            .client
            .terminate_instance_in_auto_scaling_group()
            .instance_id(instance_id.as_str());
        let request = request.should_decrement_desired_capacity(decrement);
        let request = request.customize().config_override(sent_once());
        let Err(error) = request.send().await else { return Ok(Termination::Accepted) };
        let message = error.message().unwrap_or_default().to_owned();
        // Refusals for the minimum, and for instances of no group, have the code of every mistake;
        // the message tells them apart (aws-cli#47, nomad-autoscaler#1290).
        match error.code() {
            Some("ScalingActivityInProgress") => {
                Ok(Termination::ScalingActivityInProgress(message))
            }
            Some("ResourceContention") => Ok(Termination::ResourceContention(message)),
            Some("ValidationError")
                if message.contains("min size") || message.contains("minSize") =>
            {
                Ok(Termination::BelowMinimum(message))
            }
            Some("ValidationError")
                if message.contains("not found") || message.contains("No managed instance") =>
            {
                Ok(Termination::NotManaged(message))
            }
            _ => Err(AwsError::new(
                format!("terminate instance {instance_id} in its Auto Scaling group"),
                error,
            )),
        }
    }
}

fn id_group_and_state(
    instance: &AutoScalingInstanceDetails,
) -> Option<(&str, GroupName, LifecycleState)> {
    let group = GroupName::new(instance.auto_scaling_group_name()?);
    Some((instance.instance_id()?, group, instance.lifecycle_state()?.into()))
}

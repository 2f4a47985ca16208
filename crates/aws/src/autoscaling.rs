//! EC2 Auto Scaling: the size of a group.

use aws_sdk_autoscaling::Client;
use ebb_core::fallback::GroupSize;
use ebb_core::ids::GroupName;

use crate::AwsError;

/// EC2 Auto Scaling.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    client: Client,
}

impl AutoScaling {
    /// Wraps the SDK's client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads the size of a group.
    ///
    /// # Errors
    /// If the call fails, or there is no such group (AWS answers with an empty list).
    pub async fn group_size(&self, group: &GroupName) -> Result<GroupSize, AwsError> {
        let operation = || format!("describe Auto Scaling group {group}");
        let request = self.client.describe_auto_scaling_groups().auto_scaling_group_names(group.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let Some(described) = answer.auto_scaling_groups().first() else {
            return Err(AwsError::unusable_answer(operation(), "there is no such group"));
        };
        let (Some(desired_capacity), Some(max_size)) = (described.desired_capacity(), described.max_size())
        else {
            return Err(AwsError::unusable_answer(operation(), "it has no desired capacity or no maximum"));
        };
        Ok(GroupSize { desired_capacity, max_size })
    }

    /// Sets the desired capacity of a group at once, whatever its cooldown. Setting it again changes nothing.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn set_desired_capacity(
        &self,
        group: &GroupName,
        desired_capacity: i32,
    ) -> Result<(), AwsError> {
        let request = self.client.set_desired_capacity().auto_scaling_group_name(group.as_str());
        let request = request.desired_capacity(desired_capacity).honor_cooldown(false);
        let operation =
            || format!("set the desired capacity of Auto Scaling group {group} to {desired_capacity}");
        request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        Ok(())
    }
}

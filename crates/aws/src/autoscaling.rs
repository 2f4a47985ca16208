//! EC2 Auto Scaling: the size of a group, and the lifecycle actions of its hooks.

mod groups;

use std::time::Duration;

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::spot::fallback::GroupSize;

pub use self::groups::{GroupDescription, Member, Termination};
use crate::AwsError;

/// The result that an action is completed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionResult {
    /// CONTINUE: the group goes on to terminate the instance, after its other hooks.
    Continue,
    /// ABANDON: as above, but the other hooks are cancelled; a group may retain the instance instead.
    Abandon,
}

/// Whether an action was there to be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// It was, and it is done.
    Active,
    /// It is over: completed, timed out, or gone with its instance.
    Over,
}

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
        let request =
            self.client.describe_auto_scaling_groups().auto_scaling_group_names(group.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let Some(described) = answer.auto_scaling_groups().first() else {
            return Err(AwsError::unusable_answer(operation(), "there is no such group"));
        };
        let (Some(desired_capacity), Some(max_size)) =
            (described.desired_capacity(), described.max_size())
        else {
            return Err(AwsError::unusable_answer(
                operation(),
                "it has no desired capacity or no maximum",
            ));
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
        let operation = || {
            format!("set the desired capacity of Auto Scaling group {group} to {desired_capacity}")
        };
        request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        Ok(())
    }

    /// Where an instance stands in its group: the group, and its `LifecycleState`. `None` if it is in no group.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn lifecycle_state(
        &self,
        instance_id: &InstanceId,
    ) -> Result<Option<(GroupName, String)>, AwsError> {
        let operation = || format!("describe instance {instance_id} in its Auto Scaling group");
        let request =
            self.client.describe_auto_scaling_instances().instance_ids(instance_id.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let described = answer.auto_scaling_instances();
        let found = described.iter().find(|one| one.instance_id() == Some(instance_id.as_str()));
        Ok(found.and_then(|one| {
            Some((
                GroupName::new(one.auto_scaling_group_name()?),
                one.lifecycle_state()?.to_owned(),
            ))
        }))
    }

    /// The heartbeat time-out of an action's hook. `None` if the hook is gone.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn heartbeat_timeout(
        &self,
        action: &LifecycleAction,
    ) -> Result<Option<Duration>, AwsError> {
        let operation =
            || format!("describe lifecycle hook {} of group {}", action.hook, action.group);
        let request =
            self.client.describe_lifecycle_hooks().auto_scaling_group_name(action.group.as_str());
        let request = request.lifecycle_hook_names(action.hook.as_str());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("ValidationError") => return Ok(None),
            Err(error) => return Err(AwsError::new(operation(), error)),
        };
        let hook = answer
            .lifecycle_hooks()
            .iter()
            .find(|hook| hook.lifecycle_hook_name() == Some(action.hook.as_str()));
        let seconds = hook.and_then(|hook| u64::try_from(hook.heartbeat_timeout()?).ok());
        Ok(seconds.map(Duration::from_secs))
    }

    /// Completes an action. A second time finds it over.
    ///
    /// # Errors
    /// If the call fails for any other reason than that the action is over.
    pub async fn complete(
        &self,
        action: &LifecycleAction,
        result: ActionResult,
    ) -> Result<ActionStatus, AwsError> {
        let result = match result {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        };
        let request =
            self.client.complete_lifecycle_action().auto_scaling_group_name(action.group.as_str());
        let request =
            request.lifecycle_hook_name(action.hook.as_str()).lifecycle_action_result(result);
        let answer = request.lifecycle_action_token(action.token.as_str()).send().await;
        found(answer, || {
            format!("complete the lifecycle action of {} with {result}", action.instance_id)
        })
    }

    /// Keeps an action from timing out for another heartbeat time-out, within its global one.
    ///
    /// # Errors
    /// If the call fails for any other reason than that the action is over.
    pub async fn heartbeat(&self, action: &LifecycleAction) -> Result<ActionStatus, AwsError> {
        let request = self.client.record_lifecycle_action_heartbeat();
        let request = request.auto_scaling_group_name(action.group.as_str());
        let request = request.lifecycle_hook_name(action.hook.as_str());
        let answer = request.lifecycle_action_token(action.token.as_str()).send().await;
        found(answer, || {
            format!("record a heartbeat for the lifecycle action of {}", action.instance_id)
        })
    }
}

/// Auto Scaling says that an action is over by an error which the SDK does not model, and whose code it also uses for
/// real mistakes: the message tells them apart (convox/rack#2432, spacelift-io/terraform-aws-spacelift-workerpool#197).
fn found<O, E, R>(
    answer: Result<O, SdkError<E, R>>,
    operation: impl Fn() -> String,
) -> Result<ActionStatus, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(ActionStatus::Active),
        Err(error)
            if error.code() == Some("ValidationError")
                && error
                    .message()
                    .is_some_and(|text| text.contains("No active Lifecycle Action found")) =>
        {
            Ok(ActionStatus::Over)
        }
        Err(error) => Err(AwsError::new(operation(), error)),
    }
}

//! The lifecycle actions of termination hooks.

use std::time::Duration;

use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use ebb_core::lifecycle::action::LifecycleAction;

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::AwsError;

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

impl AutoScaling {
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

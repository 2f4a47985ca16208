//! The lifecycle actions of termination hooks.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_autoscaling::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_autoscaling::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_autoscaling::error::{BoxError, ProvideErrorMetadata, SdkError};
use ebb_core::lifecycle::action::LifecycleAction;

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::AwsError;

/// The result that a lifecycle action is completed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionResult {
    /// CONTINUE: the group goes on to terminate the instance, after its other hooks.
    Continue,
    /// ABANDON: as above, but the other hooks are cancelled; a group may retain the instance
    /// instead.
    Abandon,
}

/// Whether a lifecycle action was still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// It was, and the call took effect.
    Active,
    /// It is over: completed, timed out, or gone with its instance.
    Over,
}

/// What came of completing a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The call completed it.
    Completed,
    /// It was over before.
    OverBefore,
    /// It is over, and an attempt of the call before the last had no answer: by all appearances that
    /// one completed it.
    CompletedUnanswered,
}

impl AutoScaling {
    /// The heartbeat time-out of an action's hook. `None` if the hook is gone.
    ///
    /// # Errors
    /// If the call fails, or the answer does not say what the time-out is.
    pub async fn heartbeat_timeout(
        &self,
        action: &LifecycleAction,
    ) -> Result<Option<Duration>, AwsError> {
        let (hook, group) = (&action.hook, &action.group);
        let operation = format!("describe lifecycle hook {hook} of group {group}");
        let request = self.client.describe_lifecycle_hooks();
        let request = request.auto_scaling_group_name(group.as_str());
        let ok = match request.lifecycle_hook_names(hook.as_str()).send().await {
            Ok(ok) => ok,
            // A group that is gone took its hooks along.
            Err(error) if error.code() == Some("ValidationError") => return Ok(None),
            Err(error) => return Err(AwsError::new(operation, error)),
        };
        let mut hooks = ok.lifecycle_hooks().iter();
        let described =
            hooks.find(|described| described.lifecycle_hook_name() == Some(hook.as_str()));
        let Some(described) = described else { return Ok(None) };
        let seconds = described.heartbeat_timeout().and_then(|seconds| u64::try_from(seconds).ok());
        let problem = "it has no heartbeat time-out";
        let seconds = seconds.ok_or_else(|| AwsError::unusable_answer(operation, problem))?;
        Ok(Some(Duration::from_secs(seconds)))
    }

    /// Completes an action. A second time finds it over.
    ///
    /// # Errors
    /// If the call fails for any other reason than that the action is over. It may have taken
    /// effect all the same.
    pub async fn complete(
        &self,
        action: &LifecycleAction,
        result: ActionResult,
    ) -> Result<Completion, AwsError> {
        let result = match result {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        };
        let attempts = AttemptCount::default();
        let request = self.client.complete_lifecycle_action().lifecycle_action_result(result);
        let request = request.auto_scaling_group_name(action.group.as_str());
        let request = request.lifecycle_hook_name(action.hook.as_str());
        let request = request.set_lifecycle_action_token(token_of(action));
        let request = request.instance_id(action.instance_id.as_str());
        let request = request.customize().interceptor(attempts.clone());
        let instance_id = &action.instance_id;
        let operation = format!("complete the lifecycle action of {instance_id} with {result}");
        Ok(match action_status(request.send().await, operation)? {
            ActionStatus::Active => Completion::Completed,
            ActionStatus::Over if attempts.count() > 1 => Completion::CompletedUnanswered,
            ActionStatus::Over => Completion::OverBefore,
        })
    }

    /// Keeps an action from timing out for another heartbeat time-out, within its global one. That
    /// it succeeds proves that the action is open.
    ///
    /// # Errors
    /// If the call fails for any other reason than that the action is over.
    pub async fn heartbeat(&self, action: &LifecycleAction) -> Result<ActionStatus, AwsError> {
        let request = self.client.record_lifecycle_action_heartbeat();
        let request = request.auto_scaling_group_name(action.group.as_str());
        let request = request.lifecycle_hook_name(action.hook.as_str());
        let request = request.set_lifecycle_action_token(token_of(action));
        let request = request.instance_id(action.instance_id.as_str());
        let instance_id = &action.instance_id;
        let operation = format!("record a heartbeat for the lifecycle action of {instance_id}");
        action_status(request.send().await, operation)
    }
}

/// The token, where a message has brought one. The instance is named beside it, so that the token of
/// one instance's action neither keeps nor ends that of another.
/// Source: Auto Scaling API, `CompleteLifecycleAction`.
fn token_of(action: &LifecycleAction) -> Option<String> {
    action.token.as_ref().map(|token| token.as_str().to_owned())
}

/// Counts the attempts of one call, which the SDK otherwise keeps to itself.
#[derive(Debug, Clone, Default)]
struct AttemptCount(Arc<AtomicU32>);

impl AttemptCount {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for AttemptCount {
    fn name(&self) -> &'static str {
        "AttemptCount"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a call found its lifecycle action. Auto Scaling says that an action is over by an error
/// which the SDK does not model, and whose code it also uses for real mistakes: the message tells
/// them apart (convox/rack#2432, spacelift-io/terraform-aws-spacelift-workerpool#197).
fn action_status<O, E, R>(
    result: Result<O, SdkError<E, R>>,
    operation: String,
) -> Result<ActionStatus, AwsError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(ActionStatus::Active),
        Err(error) if is_over(&error) => Ok(ActionStatus::Over),
        Err(error) => Err(AwsError::new(operation, error)),
    }
}

fn is_over(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("ValidationError")
        && error.message().is_some_and(|text| text.contains("No active Lifecycle Action found"))
}

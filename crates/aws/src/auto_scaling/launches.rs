//! Launching instances in a group at once.

use aws_sdk_autoscaling::error::ProvideErrorMetadata;
use aws_sdk_autoscaling::types::{LaunchInstancesError, RetryStrategy};
use ebb_core::ids::GroupName;
use ebb_core::spot::fallback::launches::Launch;

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::{AwsError, AwsErrorKind};

/// What came of a request to launch an instance.
#[derive(Debug)]
pub enum LaunchResult {
    /// It is launched, or an earlier request with its token has done that.
    Launched,
    /// EC2 launched nothing, for these reasons, one for each pool. The group's desired capacity is
    /// raised, and the group tries again by itself.
    Delayed(Vec<String>),
    /// Auto Scaling does not launch instances in this way for this group or this role. Nothing has
    /// changed.
    Refused(AwsError),
}

impl AutoScaling {
    /// Launches an instance in a group. Asking again with the same token launches nothing more.
    ///
    /// # Errors
    /// If the call fails, or a request with the token is under way. Whether anything was launched is
    /// not known then: the same request tells.
    pub async fn launch(
        &self,
        group: &GroupName,
        launch: &Launch,
    ) -> Result<LaunchResult, AwsError> {
        let request = self.client.launch_instances();
        let request = request
            .auto_scaling_group_name(group.as_str())
            .requested_capacity(launch.capacity)
            .client_token(&launch.client_token)
            .availability_zones(&launch.zone)
            .retry_strategy(RetryStrategy::RetryWithGroupConfiguration);
        let error = match request.send().await {
            Ok(ok) if ok.instances().is_empty() => {
                return Ok(LaunchResult::Delayed(ok.errors().iter().map(reason).collect()));
            }
            Ok(_) => return Ok(LaunchResult::Launched),
            Err(error) => error,
        };
        let code = error.code().unwrap_or_default().to_owned();
        let error =
            AwsError::new(format!("launch an instance in Auto Scaling group {group}"), error);
        match code.as_str() {
            // The group counted otherwise when the token was used for the first time.
            "IdempotentParameterMismatch" => Ok(LaunchResult::Launched),
            // Source: Auto Scaling API, "Common Errors".
            "ValidationError" | "InvalidAction" => Ok(LaunchResult::Refused(error)),
            _ if error.kind == AwsErrorKind::Denied => Ok(LaunchResult::Refused(error)),
            _ => Err(error),
        }
    }
}

fn reason(error: &LaunchInstancesError) -> String {
    format!(
        "{} ({} in {}): {}",
        error.error_code().unwrap_or("no error code"),
        error.instance_type().unwrap_or("any type"),
        error.availability_zone().unwrap_or("any zone"),
        error.error_message().unwrap_or("no message"),
    )
}

//! The client of EC2 Auto Scaling.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::config::Builder;
use aws_sdk_autoscaling::config::retry::RetryConfig;

/// EC2 Auto Scaling.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    pub(super) client: Client,
}

impl AutoScaling {
    /// Wraps the SDK's client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// What overrides the configuration for a call that counts: it is sent once. The SDK would send it
/// again after an answer that was lost, when it may have taken effect; whoever calls looks first.
pub(super) fn sent_once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

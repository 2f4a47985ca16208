//! The client of EC2 Auto Scaling.

use aws_sdk_autoscaling::Client;

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

//! Amazon SNS: notices to people.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Config;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use ebb_core::ids::TopicArn;

use crate::error::AwsError;

/// Amazon SNS topics.
#[derive(Debug, Clone)]
pub struct Topics {
    client: Client,
}

impl Topics {
    /// Wraps the SDK's client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// As `publish_with` does.
    pub async fn publish(
        &self,
        topic: &TopicArn,
        subject: &str,
        message: &str,
    ) -> Result<(), AwsError> {
        self.publish_with(topic, subject, message, None).await
    }

    /// Publishes a message, and waits for no attempt longer than `attempt_time`, if there is one.
    ///
    /// # Errors
    /// If the call fails, as it does with a subject that is not such as `ebb_core::notification`
    /// makes.
    pub(crate) async fn publish_with(
        &self,
        topic: &TopicArn,
        subject: &str,
        message: &str,
        attempt_time: Option<Duration>,
    ) -> Result<(), AwsError> {
        let request =
            self.client.publish().topic_arn(topic.as_str()).subject(subject).message(message);
        let mut request = request.customize();
        if let Some(attempt_time) = attempt_time {
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_time).build();
            request = request.config_override(Config::builder().timeout_config(timeouts));
        }
        request
            .send()
            .await
            .map_err(|error| AwsError::new(format!("publish to topic {topic}"), error))?;
        Ok(())
    }
}

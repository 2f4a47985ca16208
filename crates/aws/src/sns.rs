//! Amazon SNS: notices to people.

use aws_sdk_sns::Client;
use ebb_core::ids::TopicArn;

use crate::error::AwsError;

/// A subject has fewer than 100 characters. Source: SNS API, `Publish`.
const SUBJECT_CHARS_MAX: usize = 99;

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

    /// Publishes a notice. A subject that is too long is cut.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn publish(
        &self,
        topic: &TopicArn,
        subject: &str,
        message: &str,
    ) -> Result<(), AwsError> {
        let subject: String = subject.chars().take(SUBJECT_CHARS_MAX).collect();
        let request =
            self.client.publish().topic_arn(topic.as_str()).subject(subject).message(message);
        request
            .send()
            .await
            .map_err(|error| AwsError::new(format!("publish to topic {topic}"), error))?;
        Ok(())
    }
}

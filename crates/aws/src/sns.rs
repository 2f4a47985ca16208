//! Amazon SNS: notices to people.

use aws_sdk_sns::Client;
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
    /// If the call fails, as it does with a subject that is not such as `ebb_core::notification`
    /// makes.
    pub async fn publish(
        &self,
        topic: &TopicArn,
        subject: &str,
        message: &str,
    ) -> Result<(), AwsError> {
        let request =
            self.client.publish().topic_arn(topic.as_str()).subject(subject).message(message);
        request
            .send()
            .await
            .map_err(|error| AwsError::new(format!("publish to topic {topic}"), error))?;
        Ok(())
    }
}

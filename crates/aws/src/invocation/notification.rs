//! Notices to people, over the topic that the operator chose.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use tokio::time::timeout;
use tracing::warn;

use crate::invocation::problem::Problem;
use crate::sns::Topics;

/// Publishes a notice, and waits for that no longer than `time_max`.
///
/// Best effort: what the notice is about is done already, and running the event again for want of a
/// notice would help nobody. A notice that could not be published is a warning in the log.
pub async fn notify(
    topics: &Topics,
    topic: &TopicArn,
    subject: &str,
    message: &str,
    time_max: Duration,
) {
    match timeout(time_max, topics.publish(topic, subject, message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("No notice to people: {}", Problem::from(error).text),
        Err(_) => warn!("No notice to people: topic {topic} did not answer in time"),
    }
}

//! SQS queues as event sources of functions, and their messages.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::account::{ACCOUNT, REGION};

/// An SQS queue that is the event source of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The function, by name.
    pub function: String,
    /// How many messages an invocation gets at most.
    pub batch_size: usize,
    /// How long Lambda waits for a full batch.
    pub batch_window: Duration,
    /// For how long a message that was received is invisible.
    pub visibility_timeout: Duration,
    /// How often a message is received before it goes to the dead-letter queue.
    pub max_receive_count: u32,
    /// How many invocations run at once at most.
    pub maximum_concurrency: usize,
    /// The messages.
    pub messages: Vec<Message>,
    /// The messages of its dead-letter queue.
    pub dead_letters: Vec<Message>,
}

impl Queue {
    /// A queue with the settings that Ebb recommends for interruption notices.
    pub fn for_function(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            batch_size: 80,
            batch_window: Duration::from_secs(1),
            visibility_timeout: Duration::from_secs(30),
            max_receive_count: 4,
            maximum_concurrency: 10,
            messages: Vec::new(),
            dead_letters: Vec::new(),
        }
    }
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// From when on it can be received.
    pub visible_at: Timestamp,
    /// How often it has been received.
    pub receive_count: u32,
}

impl Message {
    pub(super) fn is_visible(&self, now: Timestamp) -> bool {
        self.visible_at <= now
    }
}

/// A message as Lambda passes it to a function.
pub(super) fn sqs_record(queue: &str, message: &Message) -> Value {
    json!({
        "messageId": message.id,
        "receiptHandle": format!("receipt-of-{}", message.id),
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receive_count.to_string(),
            "SentTimestamp": message.sent_at.as_millisecond().to_string(),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": message.sent_at.as_millisecond().to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": "not computed by the simulated Region",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
        "awsRegion": REGION,
    })
}

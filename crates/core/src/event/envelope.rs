//! What events come wrapped in: SNS records and SQS batches are opened, record by record, so that
//! one bad record never hides the others.
//!
//! Two layers at most are opened: an SQS message, and the SNS notification that it may hold. What
//! is inside is left to the reader.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use serde_json::Value;

use crate::event::parse_error::{ParseError, describe};
use crate::event::reading::Event;
use crate::ids::TopicArn;

/// Everything one invocation brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<T> {
    /// Whether the records came from an SQS queue, which takes an answer for each message.
    pub from_queue: bool,
    /// The records, in the order in which they came.
    pub records: Vec<Record<T>>,
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// The id of the SQS message, to report it as failed. `None` for other sources.
    pub message_id: Option<String>,
    /// The event, or why it cannot be read.
    pub event: Result<Event<T>, ParseError>,
}

/// An event out of its wrapping, for a reader to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The event.
    pub body: Value,
    /// The event as it was written.
    pub text: String,
    /// The topic that it came over, if it came over one.
    pub topic: Option<TopicArn>,
}

impl Message {
    /// Source and detail-type, if the event has EventBridge's envelope.
    pub(crate) fn eventbridge(&self) -> Option<(&str, &str)> {
        let source = self.body.get("source")?.as_str()?;
        // The EC2 User Guide writes it with an underscore in one place (capacity-blocks-monitor).
        let spelt = |key| self.body.get(key)?.as_str();
        let detail_type = spelt("detail-type").or_else(|| spelt("detail_type"))?;
        Some((source, detail_type))
    }
}

/// Reads the payload of an invocation: a bare event, SNS records, or an SQS batch. Total: every
/// JSON value has a meaning, if only to be ignored.
pub fn parse<T>(payload: &Value, read: fn(&Message) -> Result<Event<T>, ParseError>) -> Batch<T> {
    // Without records, the payload is the event itself, as EventBridge invokes a function.
    let Some(records) = payload.get("Records").and_then(Value::as_array) else {
        let message = Message { body: payload.clone(), text: payload.to_string(), topic: None };
        let record = Record { message_id: None, event: read(&message) };
        return Batch { from_queue: false, records: vec![record] };
    };
    Batch {
        // Lambda hands over records of one source per invocation, so any of them tells which it is.
        from_queue: records.iter().any(is_sqs),
        records: records.iter().map(|record| read_record(record, read)).collect(),
    }
}

fn read_record<T>(record: &Value, read: fn(&Message) -> Result<Event<T>, ParseError>) -> Record<T> {
    let event = open_record(record).and_then(|opened| match opened {
        Opened::Message(message) => read(&message),
        // Ignored and not an error: no retry would make it readable, and it is not ours.
        Opened::Nothing(why) => Ok(Event::ignored(why)),
    });
    Record { message_id: message_id(record), event }
}

/// A record without its wrapping: a message, or nothing that could be read, and why.
enum Opened {
    Message(Message),
    Nothing(&'static str),
}

const NOT_JSON: Opened = Opened::Nothing("text that is not JSON");

fn open_record(record: &Value) -> Result<Opened, ParseError> {
    if is_sns(record) {
        open_sns(record.get("Sns").unwrap_or(&Value::Null))
    } else if is_sqs(record) {
        open_sqs(record)
    } else {
        Ok(Opened::Nothing("a record of neither SNS nor SQS"))
    }
}

// The two services spell the key that names them differently.

fn is_sns(record: &Value) -> bool {
    record.get("EventSource").and_then(Value::as_str) == Some("aws:sns")
}

fn is_sqs(record: &Value) -> bool {
    record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs")
}

fn message_id(record: &Value) -> Option<String> {
    record.get("messageId").filter(|_| is_sqs(record)).and_then(Value::as_str).map(str::to_owned)
}

fn open_sqs(record: &Value) -> Result<Opened, ParseError> {
    let Ok(message) = SqsMessage::deserialize(record) else {
        return Err(sqs_error(record, "body", "a message as Lambda passes it on from a queue"));
    };
    // A message without an id could not be reported in `batchItemFailures`.
    if message.message_id.is_none() {
        return Err(sqs_error(record, "messageId", "the message's id"));
    }
    match message.body {
        Some(body) => open_queue_body(&body),
        None => Err(sqs_error(record, "body", "text")),
    }
}

fn sqs_error(record: &Value, field: &'static str, expected: &'static str) -> ParseError {
    ParseError {
        event: "SQS message".to_owned(),
        field,
        expected,
        actual: describe(record.get(field)),
    }
}

/// An SQS body is the event itself or, where the queue is subscribed to a topic, an SNS
/// notification around it.
fn open_queue_body(body: &str) -> Result<Opened, ParseError> {
    // Whoever may write to the queue may write plain text; no retry mends that.
    let Ok(value) = serde_json::from_str::<Value>(body) else { return Ok(NOT_JSON) };
    if is_notification(&value) {
        return open_sns(&value);
    }
    Ok(Opened::Message(Message { body: value, text: body.to_owned(), topic: None }))
}

/// Whether it is a message as SNS sends it to a queue or an HTTP endpoint.
pub(crate) fn is_notification(value: &Value) -> bool {
    value.get("TopicArn").is_some() && value.get("Type").is_some()
}

fn open_sns(notification: &Value) -> Result<Opened, ParseError> {
    let Some(message) = notification.get("Message").and_then(Value::as_str) else {
        return Err(ParseError {
            event: "SNS notification".to_owned(),
            field: "Message",
            expected: "text",
            actual: describe(notification.get("Message")),
        });
    };
    let topic = notification.get("TopicArn").and_then(Value::as_str).map(TopicArn::new);
    Ok(match serde_json::from_str(message) {
        Ok(body) => Opened::Message(Message { body, text: message.to_owned(), topic }),
        Err(_) => NOT_JSON,
    })
}

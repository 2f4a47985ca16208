//! What events come wrapped in: SNS records and SQS batches are opened, record by record, so that one bad record
//! never hides the others.
//!
//! Two layers at most are opened: an SQS message, and the SNS notification that it may hold.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use serde_json::Value;

use super::notice::parse_eventbridge;
use super::{Event, ParseError, describe};

/// Everything one invocation brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whether the records came from an SQS queue, which takes an answer for each message.
    pub from_queue: bool,
    /// The records, in the order in which they came.
    pub records: Vec<Record>,
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The id of the SQS message, to report it as failed. `None` for other sources.
    pub message_id: Option<String>,
    /// The event, or why it cannot be read.
    pub event: Result<Event, ParseError>,
}

/// Reads the payload of an invocation: a bare EventBridge event, SNS records, or an SQS batch. Total: every JSON value
/// has a meaning, if only to be ignored.
pub fn parse(payload: &Value) -> Batch {
    match payload.get("Records").and_then(Value::as_array) {
        Some(records) => Batch {
            from_queue: records.iter().any(|record| is_from(record, "eventSource", "aws:sqs")),
            records: records.iter().map(parse_record).collect(),
        },
        None => Batch {
            from_queue: false,
            records: vec![Record { message_id: None, event: parse_event(payload) }],
        },
    }
}

fn parse_record(record: &Value) -> Record {
    // The two services spell the key differently.
    if is_from(record, "EventSource", "aws:sns") {
        Record { message_id: None, event: parse_sns(record.get("Sns").unwrap_or(&Value::Null)) }
    } else if is_from(record, "eventSource", "aws:sqs") {
        parse_sqs(record)
    } else {
        Record { message_id: None, event: Ok(ignored("a record of neither SNS nor SQS")) }
    }
}

fn is_from(record: &Value, key: &str, service: &str) -> bool {
    record.get(key).and_then(Value::as_str) == Some(service)
}

fn parse_sqs(record: &Value) -> Record {
    let malformed = |field, expected| ParseError {
        event: "SQS message".to_owned(),
        field,
        expected,
        found: describe(record.get(field)),
    };
    let message_id = record.get("messageId").and_then(Value::as_str).map(str::to_owned);
    let event = match SqsMessage::deserialize(record) {
        Err(_) => Err(malformed("body", "a message as Lambda passes it on from a queue")),
        Ok(message) => match (&message.message_id, message.body) {
            (None, _) => Err(malformed("messageId", "the message's id")),
            (_, None) => Err(malformed("body", "text")),
            (Some(_), Some(body)) => parse_queue_body(&body),
        },
    };
    Record { message_id, event }
}

/// An SQS body is the event itself or, where the queue is subscribed to a topic, an SNS notification around it.
fn parse_queue_body(body: &str) -> Result<Event, ParseError> {
    let Ok(value) = serde_json::from_str::<Value>(body) else { return Ok(ignored("text that is not JSON")) };
    let is_sns = value.get("TopicArn").is_some() && value.get("Type").is_some();
    if is_sns { parse_sns(&value) } else { parse_event(&value) }
}

fn parse_sns(notification: &Value) -> Result<Event, ParseError> {
    let Some(message) = notification.get("Message").and_then(Value::as_str) else {
        return Err(ParseError {
            event: "SNS notification".to_owned(),
            field: "Message",
            expected: "text",
            found: describe(notification.get("Message")),
        });
    };
    match serde_json::from_str(message) {
        Ok(event) => parse_event(&event),
        Err(_) => Ok(ignored("text that is not JSON")),
    }
}

fn parse_event(event: &Value) -> Result<Event, ParseError> {
    let text = |key| event.get(key).and_then(Value::as_str);
    match (text("source"), text("detail-type")) {
        (Some(source), Some(detail_type)) => parse_eventbridge(source, detail_type, event),
        _ => Ok(ignored("no EventBridge event: it has no `source` and `detail-type`")),
    }
}

fn ignored(why: &str) -> Event {
    Event::Ignored { instance_id: None, why: why.to_owned() }
}

//! What events come wrapped in: records of SQS and SNS, bare notifications, lists, records of what
//! Lambda gave up, and JSON as text, in any order. All are opened, so that each event is read by
//! itself and one that is bad hides no other.
//!
//! Only wrappings are known here. What an event is, is left to the reader.
//!
//! Sources: Lambda Developer Guide, with-sns, with-sqs and invocation-async-retain-records; SNS
//! Developer Guide, sns-message-and-json-formats; EventBridge User Guide, eb-pipes-targets-specifics
//! (a list, even of one event).

use serde_json::Value;

use crate::event::parse_error::{ParseError, describe};
use crate::event::reading::Event;
use crate::ids::TopicArn;

/// How many wrappings of an event are opened; one that has more is an error. A dead letter that is
/// replayed and fails again gains four (the list and the text that it is sent in, the record that
/// Lambda makes of it, the queue's records), so it can be replayed three times.
pub const WRAPPINGS_MAX: usize = 16;

/// How many events of a payload are read: the messages of the largest batch of a queue (Lambda
/// Developer Guide, services-sqs-configure). What is beyond is an error, as a payload of 6 MB could
/// hold millions.
pub const EVENTS_MAX: usize = 10_000;

/// One event of a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// The id of the message in the queue that the function reads, to report it as failed. `None`
    /// for other sources, which take no answer for each message.
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
    /// The topic that it came over, if it came over one; the last one if over several.
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

    /// What Auto Scaling says by itself, without EventBridge's envelope, such as
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    pub(crate) fn auto_scaling(&self) -> Option<&str> {
        let texts = ["LifecycleTransition", "Event"].map(|key| self.body.get(key)?.as_str());
        texts.into_iter().flatten().find(|text| text.starts_with("autoscaling:"))
    }
}

/// Reads an event. `None` if it is none that the reader knows, neither its own nor somebody else's.
pub type Reader<T> = fn(&Message) -> Result<Option<Event<T>>, ParseError>;

/// Reads the payload of an invocation. Total: there is a record for every event, and for whatever
/// is in an event's place.
///
/// What the reader does not know is ignored if it came over SNS, as topics are shared, and is an
/// error otherwise: whoever sends to the function or to its queue means it, and an event of ours in
/// a wrapping that is not known must not pass for a success.
pub fn parse<T>(payload: &Value, read: Reader<T>) -> Vec<Record<T>> {
    let mut opening = Opening { read, records: Vec::new() };
    let place = Place {
        message_id: None,
        holder: ("payload", "invocation"),
        over_sns: false,
        topic: None,
        wrappings: 0,
    };
    match payload.get("Records").and_then(Value::as_array) {
        // Lambda takes an answer for each message only here: Pipes and replays may hand a queue's
        // records over in a list, without anybody who reads the answer.
        Some(records) if !records.is_empty() => {
            for record in records {
                opening.open(record, None, Place { message_id: message_id(record), ..place });
            }
        }
        _ => opening.open(payload, None, place),
    }
    opening.records
}

/// The records that were found so far.
struct Opening<T> {
    read: Reader<T>,
    records: Vec<Record<T>>,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    message_id: Option<&'a str>,
    /// What holds it, for an error: the field, and of what.
    holder: (&'static str, &'static str),
    over_sns: bool,
    topic: Option<&'a str>,
    /// How many wrappings are around it.
    wrappings: usize,
}

impl Place<'_> {
    fn record<T>(self, event: Result<Event<T>, ParseError>) -> Record<T> {
        Record { message_id: self.message_id.map(str::to_owned), event }
    }
}

const LAMBDA_RECORD: (&str, &str) = ("requestPayload", "record of a failed invocation");
const SQS_MESSAGE: (&str, &str) = ("body", "SQS message");
const SNS_NOTIFICATION: (&str, &str) = ("Message", "SNS notification");

impl<T> Opening<T> {
    /// Opens what may be a wrapping, and reads what is none. `text` is how the value was written,
    /// where it was written as text.
    fn open<'a>(&mut self, value: &'a Value, text: Option<&'a str>, place: Place<'a>) {
        if place.wrappings > WRAPPINGS_MAX {
            let actual = format!("more than {WRAPPINGS_MAX} wrappings");
            return self.add(place, Err(unreadable(place, actual)));
        }
        let place = Place { wrappings: place.wrappings + 1, ..place };
        if let Some(values) = list(value) {
            if values.is_empty() {
                return self.add_unknown(place, "a list without events".to_owned());
            }
            for value in values {
                self.open(value, None, place);
            }
        } else if let Some(notification) = notification(value) {
            let topic = notification.get("TopicArn").and_then(Value::as_str).or(place.topic);
            let place = Place { over_sns: true, topic, holder: SNS_NOTIFICATION, ..place };
            self.open_text(notification.get("Message"), place);
        } else if is_sqs(value) {
            self.open_text(value.get("body"), Place { holder: SQS_MESSAGE, ..place });
        } else if let Some(payload) = request_payload(value) {
            self.open(payload, None, Place { holder: LAMBDA_RECORD, ..place });
        } else if let Value::String(text) = value {
            self.open_json(text, place);
        } else {
            self.read(value, text, place);
        }
    }

    /// Opens the text of a message.
    fn open_text(&mut self, text: Option<&Value>, place: Place<'_>) {
        match text.and_then(Value::as_str) {
            Some(text) => self.open_json(text, place),
            None => {
                let (field, event) = place.holder;
                let actual = describe(text);
                let event = event.to_owned();
                self.add(place, Err(ParseError { event, field, expected: "text", actual }));
            }
        }
    }

    fn open_json(&mut self, text: &str, place: Place<'_>) {
        match serde_json::from_str(text) {
            Ok(value) => self.open(&value, Some(text), place),
            Err(_) => self.add_unknown(place, "text that is not JSON".to_owned()),
        }
    }

    /// Reads what has no wrapping.
    fn read(&mut self, value: &Value, text: Option<&str>, place: Place<'_>) {
        let text = text.map_or_else(|| value.to_string(), str::to_owned);
        let topic = place.topic.map(TopicArn::new);
        match (self.read)(&Message { body: value.clone(), text, topic }).transpose() {
            Some(event) => self.add(place, event),
            None => self.add_unknown(place, describe_keys(value)),
        }
    }

    fn add_unknown(&mut self, place: Place<'_>, actual: String) {
        let event = if place.over_sns {
            Ok(Event::ignored(format!("no event that the function knows: {actual}")))
        } else {
            Err(unreadable(place, actual))
        };
        self.add(place, event);
    }

    fn add(&mut self, place: Place<'_>, event: Result<Event<T>, ParseError>) {
        if self.records.len() < EVENTS_MAX {
            return self.records.push(place.record(event));
        }
        // Each message of a queue that is not read to its end must come again.
        let last = self.records.last().and_then(|record| record.message_id.as_deref());
        if self.records.len() == EVENTS_MAX || last != place.message_id {
            let actual = format!("more than {EVENTS_MAX} events");
            self.records.push(place.record(Err(unreadable(place, actual))));
        }
    }
}

/// What the reader knows nothing of, in a place where it must.
fn unreadable(place: Place<'_>, actual: String) -> ParseError {
    let (field, event) = place.holder;
    ParseError {
        event: event.to_owned(),
        field,
        expected: "an event of EventBridge, its `detail` or a message of Auto Scaling, bare or from \
                   SQS, SNS, Pipes or a dead-letter queue",
        actual,
    }
}

fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| value.get("Records")?.as_array())
}

/// The notification in a record of SNS, or the value itself if it is one.
fn notification(value: &Value) -> Option<&Value> {
    if value.get("EventSource").and_then(Value::as_str) == Some("aws:sns") {
        return Some(value.get("Sns").unwrap_or(&Value::Null));
    }
    is_notification(value).then_some(value)
}

/// Whether it is a message as SNS sends it to a queue or an HTTP endpoint.
pub(crate) fn is_notification(value: &Value) -> bool {
    value.get("TopicArn").is_some() && value.get("Type").is_some()
}

fn is_sqs(record: &Value) -> bool {
    // SNS spells this key with a capital letter.
    record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs")
}

fn message_id(record: &Value) -> Option<&str> {
    record.get("messageId").filter(|_| is_sqs(record)).and_then(Value::as_str)
}

/// The event of an invocation that failed, in Lambda's record of it: as it is, or as EventBridge
/// passes it on.
pub(crate) fn request_payload(value: &Value) -> Option<&Value> {
    let is_lambda = value.get("source").and_then(Value::as_str) == Some("lambda");
    let record = if is_lambda { value.get("detail")? } else { value };
    record.get("requestContext")?;
    record.get("requestPayload")
}

/// How many keys of an object an error names.
const KEYS_MAX: usize = 5;

/// Describes what stands in an event's place, by its keys and not by what they hold.
fn describe_keys(value: &Value) -> String {
    let Some(object) = value.as_object() else { return describe(Some(value)) };
    let keys: Vec<_> =
        object.keys().take(KEYS_MAX).map(|key| describe(Some(&key.as_str().into()))).collect();
    match object.len() {
        0 => "an object without keys".to_owned(),
        1..=KEYS_MAX => format!("an object with the keys {}", keys.join(", ")),
        more => format!("an object with the keys {} and {} more", keys.join(", "), more - KEYS_MAX),
    }
}

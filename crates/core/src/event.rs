//! What an invocation brings, read into values that need no further checks.
//!
//! [`parse`] opens what events come wrapped in, and a reader says what each is: [`notice::read`] for EC2's notices,
//! [`lifecycle::read`] for Auto Scaling's lifecycle actions. What asks for a sweep comes bare, and [`sweep::read`] reads
//! it as it is. An event that is not the reader's is [`Event::Ignored`] with a reason; one that claims to be and cannot
//! be read is a [`ParseError`] that names the field. Nothing here knows the settings: whether a rebalance recommendation
//! counts is decided in [`crate::spot`].

mod envelope;
pub mod lifecycle;
pub mod notice;
pub mod sweep;

use serde_json::Value;

pub use self::envelope::{Batch, Message, Record, parse};
use crate::ids::InstanceId;

/// One event, whatever it came wrapped in.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<T> {
    /// What the reader was looking for.
    Ours(T),
    /// An event that is not for the function. Normal: rules, topics and queues are shared.
    Ignored {
        /// The instance that the event is about, where it says so.
        instance_id: Option<InstanceId>,
        /// Why it is not for us, for the log.
        why: String,
    },
}

impl<T> Event<T> {
    fn ignored(why: impl Into<String>) -> Self {
        Self::Ignored { instance_id: None, why: why.into() }
    }
}

/// An event that claims to be one of ours and cannot be read. It is an error, so that it reaches the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{field}` of the {event}: expected {expected}, found {found}")]
pub struct ParseError {
    /// What the event says it is.
    pub event: String,
    /// The field, as a dotted path.
    pub field: &'static str,
    /// What should have stood there.
    pub expected: &'static str,
    /// What stood there, shortened.
    pub found: String,
}

/// Describes a JSON value in a few words for an error message; long text is cut, as it may be anything.
pub(crate) fn describe(value: Option<&Value>) -> String {
    const TEXT_SHOWN_CHARS: usize = 40;
    match value {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(_)) => "a boolean".to_owned(),
        Some(Value::Number(number)) => format!("the number {number}"),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
        Some(Value::String(text)) if text.chars().count() <= TEXT_SHOWN_CHARS => {
            format!("{text:?}")
        }
        Some(Value::String(text)) => {
            let shown: String = text.chars().take(TEXT_SHOWN_CHARS).collect();
            format!("{shown:?}… ({} bytes)", text.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::notice::Notice;
    use super::*;

    fn only_event(payload: &Value) -> Result<Event<Notice>, ParseError> {
        let Batch { mut records, .. } = parse(payload, notice::read);
        assert_eq!(records.len(), 1);
        records.remove(0).event
    }

    fn spot_warning(detail: &Value) -> Value {
        json!({"source": "aws.ec2", "detail-type": "EC2 Spot Instance Interruption Warning", "detail": detail})
    }

    #[test]
    fn an_error_names_the_field_and_what_was_expected() {
        let cases = [
            (json!(null), "detail", "null"),
            (json!({}), "detail.instance-id", "nothing"),
            (json!({"instance-id": 7}), "detail.instance-id", "the number 7"),
            (json!({"instance-id": "web-1"}), "detail.instance-id", "\"web-1\""),
            (
                json!({"instance-id": "i-1a2b3c4d", "instance-action": ["stop"]}),
                "detail.instance-action",
                "a list",
            ),
        ];
        for (detail, field, found) in cases {
            let error = only_event(&spot_warning(&detail)).unwrap_err();
            assert_eq!((error.field, error.found.as_str()), (field, found));
            assert_eq!(error.event, "EC2 Spot Instance Interruption Warning");
            let said = error.to_string();
            assert!(
                said.contains(field) && said.contains(error.expected) && said.contains(found),
                "{said}"
            );
        }
    }

    #[test]
    fn text_in_an_error_is_cut_so_that_no_whole_event_reaches_the_log() {
        let error =
            only_event(&spot_warning(&json!({"instance-id": "x".repeat(5_000)}))).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }

    #[test]
    fn a_notice_without_a_readable_time_is_still_a_notice() {
        let mut event =
            spot_warning(&json!({"instance-id": "i-1a2b3c4d", "instance-action": "terminate"}));
        for time in [json!(null), json!("soon"), json!(12)] {
            event["time"] = time;
            let Ok(Event::Ours(notice)) = only_event(&event) else {
                panic!("not a notice: {event}")
            };
            assert_eq!(notice.time, None);
        }
        event["time"] = json!("2025-03-04T05:06:07Z");
        let Ok(Event::Ours(notice)) = only_event(&event) else { panic!("not a notice: {event}") };
        assert_eq!(notice.time, Some("2025-03-04T05:06:07Z".parse().unwrap()));
    }

    mod properties {
        use proptest::prelude::*;
        use serde_json::{Map, Value, json};

        use crate::event::{lifecycle, notice, parse};

        /// Lets every reader read it. Returns how many records there were.
        fn parse_by_all(payload: &Value) -> usize {
            parse(payload, lifecycle::read);
            parse(payload, notice::read).records.len()
        }

        /// Any JSON, built from the keys and words the parser looks for, so that it gets past the first look.
        fn any_json() -> impl Strategy<Value = Value> {
            let word = prop_oneof![
                Just("aws.ec2".to_owned()),
                Just("EC2 Spot Instance Interruption Warning".to_owned()),
                Just("EC2 Instance Rebalance Recommendation".to_owned()),
                Just("aws:sns".to_owned()),
                Just("aws:sqs".to_owned()),
                Just("Notification".to_owned()),
                Just("i-1a2b3c4d".to_owned()),
                Just("autoscaling:EC2_INSTANCE_TERMINATING".to_owned()),
                Just("aws.autoscaling".to_owned()),
                Just("EC2 Instance-terminate Lifecycle Action".to_owned()),
                Just("{\"source\":\"aws.ec2\",\"detail\":[]}".to_owned()),
                ".*",
            ];
            let key = prop_oneof![
                Just("Records"),
                Just("source"),
                Just("detail-type"),
                Just("detail"),
                Just("instance-id"),
                Just("LifecycleTransition"),
                Just("EC2InstanceId"),
                Just("LifecycleActionToken"),
                Just("AutoScalingGroupName"),
                Just("LifecycleHookName"),
                Just("Time"),
                Just("ebb"),
                Just("hop"),
                Just("deadline"),
                Just("first_seen"),
                Just("instance-action"),
                Just("time"),
                Just("Sns"),
                Just("Message"),
                Just("Type"),
                Just("TopicArn"),
                Just("body"),
                Just("messageId"),
                Just("eventSource"),
                Just("EventSource"),
            ];
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                word.prop_map(Value::from),
            ];
            leaf.prop_recursive(5, 64, 6, move |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                    prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| {
                        Value::Object(
                            pairs
                                .into_iter()
                                .map(|(k, v)| (k.to_owned(), v))
                                .collect::<Map<_, _>>(),
                        )
                    }),
                ]
            })
        }

        proptest! {
            #[test]
            fn no_json_value_panics_the_parser(payload in any_json()) {
                let records = parse_by_all(&payload);
                prop_assert!(records > 0 || payload["Records"].as_array().is_some_and(Vec::is_empty));
            }

            #[test]
            fn no_byte_string_panics_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
                if let Ok(payload) = serde_json::from_slice::<Value>(&bytes) {
                    parse_by_all(&payload);
                }
                let text = String::from_utf8_lossy(&bytes);
                parse_by_all(&json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": &text}}]}));
                parse_by_all(&json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": &text}]}));
            }
        }
    }
}

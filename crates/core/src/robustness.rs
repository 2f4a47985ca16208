//! No input, however malformed, panics a reader of events. What is read from well-formed events is
//! tested beside the readers, and on the sample events by the functions.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::event::parse;
use crate::lifecycle::action;
use crate::spot::notice;

/// Lets every reader of wrapped events read it. Returns the number of records.
fn parse_by_all(payload: &Value) -> usize {
    parse(payload, action::read);
    parse(payload, notice::read).len()
}

/// Any JSON, built from the keys and words the parser looks for, so that it gets past the first
/// look.
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
        Just("version"),
        Just("stuck_reported"),
        Just("told"),
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
        Just("requestContext"),
        Just("requestPayload"),
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
                    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_value_panics_the_parser(payload in any_json()) {
        prop_assert!(parse_by_all(&payload) > 0);
    }

    #[test]
    fn no_byte_string_panics_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(payload) = serde_json::from_slice::<Value>(&bytes) {
            parse_by_all(&payload);
        }
        let text = String::from_utf8_lossy(&bytes);
        let sns = json!({"EventSource": "aws:sns", "Sns": {"Message": &text}});
        parse_by_all(&json!({"Records": [sns]}));
        let sqs = json!({"eventSource": "aws:sqs", "messageId": "m", "body": &text});
        parse_by_all(&json!({"Records": [sqs]}));
    }
}

//! The payload of an invocation, and the state that a drain carries in its message.

use ebb_core::event::{Event, parse};
use ebb_core::lifecycle::action;
use ebb_core::lifecycle::handoff::{HandoffState, KEY};
use ebb_core::reaper::request;
use ebb_core::spot::notice;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Any bytes as a payload, or as the text of a message if they are no JSON.
pub fn events(bytes: &[u8]) {
    let payload = serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": text}]})
    });
    let notices = parse(&payload, notice::read);
    assert!(!notices.is_empty(), "a payload that comes to nothing is lost");
    let actions = parse(&payload, action::read);
    assert_eq!(actions.len(), notices.len(), "what is opened does not depend on the reader");
    for error in actions.iter().filter_map(|record| record.event.as_ref().err()) {
        assert!(!error.field.is_empty() && !error.expected.is_empty(), "{error}");
    }
    for record in actions {
        if let Ok(Event::Ours(action)) = record.event {
            check_state(&action.message.body, &action.message.text);
        }
    }
    if let Err(error) = request::read(&payload) {
        assert!(!error.field.is_empty() && !error.expected.is_empty(), "{error}");
    }
}

/// Any bytes as the state in a message that is well-formed otherwise.
pub fn carried_state(bytes: &[u8]) {
    let Ok(state) = serde_json::from_slice::<Value>(bytes) else { return };
    let message = json!({
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": "shop",
        "LifecycleHookName": "drain",
        "EC2InstanceId": "i-1a2b3c4d",
        KEY: state,
    });
    check_state(&message, &message.to_string());
}

fn check_state(message: &Value, text: &str) {
    let Ok(Some(state)) = HandoffState::read(message) else { return };
    let written = state.write(text).expect("a message that was read as an object");
    let again = serde_json::from_str(&written).expect("what is written is JSON");
    assert_eq!(HandoffState::read(&again).as_ref(), Ok(&Some(state.clone())));

    let now = Timestamp::from_second(1_764_000_000).expect("a time in range");
    let bounded = state.bounded(None, SignedDuration::from_hours(1), now);
    assert!(bounded.first_seen <= now, "a time that lies ahead is not believed");
}

//! What an invocation of the `scale-in-reaper` asks for: a sweep as the settings say, or only its
//! plan.
//!
//! EventBridge Scheduler sends the bare Input of its schedule, whatever that is, without an
//! envelope (EventBridge Scheduler User Guide, managing-schedule-context-attributes); a rule sends
//! a `Scheduled Event`; a person sends `{"mode":"plan"}`.

use serde_json::Value;

use crate::event::{Event, ParseError, describe};
use crate::reaper::settings::ReaperMode;

/// A sweep that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The mode that is asked for; `None` leaves it to the settings.
    pub mode: Option<ReaperMode>,
}

impl Request {
    /// In which mode the sweep runs: a request can ask for less than the settings allow, and not
    /// for more.
    pub fn mode(self, allowed: ReaperMode) -> ReaperMode {
        self.mode.map_or(allowed, |asked| asked.min(allowed))
    }

    /// Whether it asked for more than the settings allow.
    pub fn exceeds(self, allowed: ReaperMode) -> bool {
        self.mode > Some(allowed)
    }
}

/// Reads the payload of an invocation. Other events of EventBridge, and whatever comes over SNS or
/// SQS, are ignored: a function that was subscribed by mistake must not sweep at each message.
///
/// # Errors
/// If the payload is no JSON object, or asks for a mode that there is not.
pub fn read(payload: &Value) -> Result<Event<Request>, ParseError> {
    let error = |field, expected, found| {
        Err(ParseError {
            event: "request for a sweep".to_owned(),
            field,
            expected,
            found: describe(found),
        })
    };
    let Some(object) = payload.as_object() else {
        return error("payload", "a JSON object", Some(payload));
    };
    // Bare as well: an HTTP endpoint gets SNS's messages so.
    let notification = object.contains_key("TopicArn") && object.contains_key("Type");
    if object.contains_key("Records") || notification {
        return Ok(Event::ignored(
            "a message of SNS or SQS: sweeps are not asked for over topics or queues",
        ));
    }
    let text = |key| object.get(key).and_then(Value::as_str);
    match (text("source"), text("detail-type")) {
        (None, _) | (_, None) => {}
        // A schedule without an Input sends the same under its own name.
        (Some("aws.events" | "aws.scheduler"), Some("Scheduled Event")) => {
            return Ok(Event::Ours(Request { mode: None }));
        }
        (Some(source), Some(detail_type)) => {
            return Ok(Event::ignored(format!(
                "`{detail_type}` of {source} does not ask for a sweep"
            )));
        }
    }
    if let Some(transition) = text("LifecycleTransition").or_else(|| text("Event")) {
        return Ok(Event::ignored(format!("Auto Scaling's {transition} does not ask for a sweep")));
    }
    match object.get("mode") {
        None => Ok(Event::Ours(Request { mode: None })),
        value => match value.and_then(Value::as_str).and_then(ReaperMode::from_word) {
            Some(mode) => Ok(Event::Ours(Request { mode: Some(mode) })),
            None => error("mode", ReaperMode::EXPECTED, value),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(payload: &Value) -> Option<Request> {
        match read(payload) {
            Ok(Event::Ours(request)) => Some(request),
            Ok(Event::Ignored { .. }) | Err(_) => None,
        }
    }

    #[test]
    fn a_request_can_ask_for_less_than_the_settings_allow_and_not_for_more() {
        use ReaperMode::{Act, Plan};
        for (payload, when_plan, when_act, exceeds_plan) in [
            (json!({}), Plan, Act, false),
            (json!({"mode": "plan"}), Plan, Plan, false),
            (json!({"mode": "act"}), Plan, Act, true),
        ] {
            let request = asked(&payload).unwrap();
            assert_eq!((request.mode(Plan), request.mode(Act)), (when_plan, when_act), "{payload}");
            assert_eq!(
                (request.exceeds(Plan), request.exceeds(Act)),
                (exceeds_plan, false),
                "{payload}"
            );
        }
    }

    #[test]
    fn whatever_a_schedule_sends_asks_for_a_sweep() {
        for payload in [
            json!({}),
            json!({"schedule": "reaper", "attempt": "1", "dry_run": false}),
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
            json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}),
            json!({"source": "ourselves"}),
        ] {
            assert_eq!(asked(&payload), Some(Request { mode: None }), "{payload}");
        }
    }

    #[test]
    fn an_unknown_mode_and_what_is_no_object_are_errors_that_name_the_field() {
        for (payload, field, found) in [
            (json!({"mode": "dry"}), "mode", "\"dry\""),
            (json!({"mode": null}), "mode", "null"),
            (json!({"mode": true}), "mode", "a boolean"),
            (json!(null), "payload", "null"),
            (json!([]), "payload", "a list"),
            (json!("plan"), "payload", "\"plan\""),
        ] {
            let error = read(&payload).unwrap_err();
            assert_eq!((error.field, error.found.as_str()), (field, found), "{payload}");
        }
    }
}

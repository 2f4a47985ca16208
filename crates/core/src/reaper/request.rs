//! What an invocation of the `scale-in-reaper` asks for: a sweep as the settings say, only its plan,
//! that old instances are replaced, or what a week came to. Doing it is left to the function.
//!
//! EventBridge Scheduler sends the bare Input of its schedule, whatever that is, without an
//! envelope (EventBridge Scheduler User Guide, managing-schedule-context-attributes); a rule sends
//! a `Scheduled Event`; a person sends `{"mode":"plan"}`. Lambda's record of a sweep that failed, as it
//! lies in the dead-letter queue, asks for what that was asked for.

use ebb_planner::Policy;
use serde_json::Value;

use crate::event::{Event, ParseError, describe, is_notification, request_payload};
use crate::reaper::budgets::Budgets;
use crate::reaper::settings::{ReaperMode, ReaperSettings};
use crate::vocabulary::vocabulary;

vocabulary! {
    /// What `mode` may say.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RequestedMode {
        /// Only a plan.
        Plan = "plan",
        /// Whatever the settings allow.
        Act = "act",
        /// The same, to replace what is old.
        Replace = "replace",
        /// No sweep, but what the last week came to.
        Summary = "summary",
    }
}

/// What a sweep is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To remove what nobody needs.
    #[default]
    Remove,
    /// To replace what is old.
    Replace,
}

impl Purpose {
    /// What a sweep for this purpose may do: one that replaces removes nothing else.
    pub fn policy(self, settings: &ReaperSettings) -> Policy {
        let policy = settings.policy();
        match self {
            Self::Remove => policy,
            Self::Replace => Policy {
                max_removals_percent: 0,
                // A budget counts in place of that share, and would let others go.
                budgets: Budgets::default(),
                ..policy
            },
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A sweep.
    Sweep(SweepRequest),
    /// What the last week came to. Nothing is changed.
    Summary,
}

/// A sweep that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// The mode that is asked for; `None`, as of a schedule, leaves it to the settings.
    pub mode: Option<ReaperMode>,
}

impl SweepRequest {
    /// In which mode the sweep runs: a request can ask for less than the settings allow, and not
    /// for more.
    pub fn mode(self, allowed: ReaperMode) -> ReaperMode {
        self.mode.map_or(allowed, |asked| asked.min(allowed))
    }

    /// Whether it asked for more than the settings allow.
    pub fn exceeds(self, allowed: ReaperMode) -> bool {
        // `None` is less than any mode: who asks for none asks for no more than is allowed.
        self.mode > Some(allowed)
    }
}

/// Reads the payload of an invocation. Other events of EventBridge, and whatever comes over SNS or
/// SQS, are ignored: a function that was subscribed by mistake must not sweep at each message.
///
/// # Errors
/// If the payload is not a JSON object, or asks for an unknown mode.
pub fn read(payload: &Value) -> Result<Event<Request>, ParseError> {
    if !payload.is_object() {
        return Err(error("payload", "a JSON object", Some(payload)));
    }
    if let Some(why) = why_not_a_request(payload) {
        return Ok(Event::ignored(why));
    }
    // A record that fails again is in a record of its own: no deeper than JSON may nest.
    if let Some(request) = request_payload(payload) {
        return read(request);
    }
    let mode = payload.get("mode");
    // A rule's event is EventBridge's from end to end: nobody wrote a mode into it.
    if is_scheduled(payload) || mode.is_none() {
        return Ok(Event::Ours(Request::Sweep(SweepRequest::default())));
    }
    let (mode, purpose) = match mode.and_then(Value::as_str).and_then(RequestedMode::from_word) {
        Some(RequestedMode::Plan) => (Some(ReaperMode::Plan), Purpose::Remove),
        Some(RequestedMode::Act) => (Some(ReaperMode::Act), Purpose::Remove),
        // A schedule asks for it as well, so that the settings say whether anything is changed.
        Some(RequestedMode::Replace) => (None, Purpose::Replace),
        Some(RequestedMode::Summary) => return Ok(Event::Ours(Request::Summary)),
        None => return Err(error("mode", RequestedMode::EXPECTED, mode)),
    };
    Ok(Event::Ours(Request::Sweep(SweepRequest { mode, purpose })))
}

/// Says why an event does not ask for a sweep, if it is one that other services send.
fn why_not_a_request(payload: &Value) -> Option<String> {
    // SNS calls an HTTP endpoint with the bare notification, without `Records`.
    if payload.get("Records").is_some() || is_notification(payload) {
        return Some(
            "a message of SNS or SQS: sweeps are not asked for over topics or queues".to_owned(),
        );
    }
    // A rule's event has a source and a detail-type too, and so is let through before those are
    // taken for another service's.
    if is_scheduled(payload) {
        return None;
    }
    if let (Some(source), Some(detail_type)) =
        (text(payload, "source"), text(payload, "detail-type"))
    {
        return Some(format!("`{detail_type}` of {source} does not ask for a sweep"));
    }
    let transition = text(payload, "LifecycleTransition").or_else(|| text(payload, "Event"))?;
    Some(format!("Auto Scaling's {transition} does not ask for a sweep"))
}

/// Whether it is a rule's event, or that of a schedule without an Input, which sends the same under
/// a name of its own.
fn is_scheduled(payload: &Value) -> bool {
    matches!(text(payload, "source"), Some("aws.events" | "aws.scheduler"))
        && text(payload, "detail-type") == Some("Scheduled Event")
}

fn text<'a>(payload: &'a Value, key: &str) -> Option<&'a str> {
    payload.get(key).and_then(Value::as_str)
}

fn error(field: &'static str, expected: &'static str, actual: Option<&Value>) -> ParseError {
    ParseError {
        event: "request for a sweep".to_owned(),
        field,
        expected,
        actual: describe(actual),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(payload: &Value) -> Option<Request> {
        match read(payload) {
            Ok(Event::Ours(request)) => Some(request),
            Ok(Event::Ignored { .. }) | Err(_) => None,
        }
    }

    fn sweep(payload: &Value) -> Option<SweepRequest> {
        match request(payload) {
            Some(Request::Sweep(sweep)) => Some(sweep),
            Some(Request::Summary) | None => None,
        }
    }

    #[test]
    fn a_request_can_ask_for_less_than_the_settings_allow_and_not_for_more() {
        use ReaperMode::{Act, Plan};
        for (payload, when_plan, when_act, exceeds_plan) in [
            (json!({}), Plan, Act, false),
            (json!({"mode": "plan"}), Plan, Plan, false),
            (json!({"mode": "act"}), Plan, Act, true),
            (json!({"source": "schedule", "mode": "replace"}), Plan, Act, false),
        ] {
            let request = sweep(&payload).unwrap();
            assert_eq!(request.mode(Plan), when_plan, "{payload}");
            assert_eq!(request.mode(Act), when_act, "{payload}");
            assert_eq!(request.exceeds(Plan), exceeds_plan, "{payload}");
            assert!(!request.exceeds(Act), "{payload}");
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
            assert_eq!(sweep(&payload), Some(SweepRequest::default()), "{payload}");
        }
    }

    #[test]
    fn a_record_of_a_sweep_that_failed_asks_for_the_same_again() {
        let record = |payload: Value| {
            json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
                   "requestPayload": payload, "responsePayload": {"errorType": "AwsOther"}})
        };
        let plan = Some(SweepRequest { mode: Some(ReaperMode::Plan), ..SweepRequest::default() });
        assert_eq!(sweep(&record(json!({"mode": "plan"}))), plan);
        assert_eq!(sweep(&record(record(json!({"mode": "plan"})))), plan);
        assert_eq!(sweep(&record(json!({}))), Some(SweepRequest::default()));
        let replace = Some(SweepRequest { purpose: Purpose::Replace, mode: None });
        assert_eq!(sweep(&record(json!({"mode": "replace"}))), replace);
        let summary = json!({"source": "schedule", "mode": "summary"});
        assert_eq!(request(&summary), Some(Request::Summary));
        assert_eq!(request(&record(summary)), Some(Request::Summary));
        assert_eq!(request(&record(json!({"Records": []}))), None, "what was ignored stays so");
        assert!(read(&record(json!({"mode": "dry"}))).is_err());
    }

    #[test]
    fn an_unknown_mode_and_what_is_no_object_are_errors_that_name_the_field() {
        for (payload, field, actual) in [
            (json!({"mode": "dry"}), "mode", "\"dry\""),
            (json!({"mode": null}), "mode", "null"),
            (json!({"mode": true}), "mode", "a boolean"),
            (json!(null), "payload", "null"),
            (json!([]), "payload", "a list"),
            (json!("plan"), "payload", "\"plan\""),
        ] {
            let error = read(&payload).unwrap_err();
            assert_eq!((error.field, error.actual.as_str()), (field, actual), "{payload}");
        }
    }

    #[test]
    fn what_is_only_half_a_rules_event_asks_for_nothing() {
        for (source, detail_type) in [
            ("aws.events", "Scheduled"),
            ("aws.ec2", "Scheduled Event"),
            ("aws.ecs", "Scheduled Event"),
        ] {
            let payload = json!({"source": source, "detail-type": detail_type, "detail": {}});
            assert_eq!(request(&payload), None, "{payload}");
        }
    }

    #[test]
    fn a_sweep_that_replaces_removes_nothing_and_keeps_every_other_rule() {
        let settings = ReaperSettings {
            max_removals_percent: 40,
            min_instances: 7,
            ..ReaperSettings::default()
        };
        let [remove, replace] =
            [Purpose::Remove, Purpose::Replace].map(|purpose| purpose.policy(&settings));
        assert_eq!((remove.max_removals_percent, replace.max_removals_percent), (40, 0));
        assert_eq!((remove.min_instances, replace.min_instances), (7, 7));
    }
}

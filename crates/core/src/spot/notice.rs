//! EC2's notices that an instance is about to be taken away, or runs again: which, how, and when.
//!
//! What is done about them is decided in [`crate::spot::decide()`] and
//! [`crate::spot::decide_return()`].
//!
//! Sources: EC2 User Guide, pages spot-instance-termination-notices, rebalance-recommendations,
//! monitor-interruptible-cr and monitoring-instance-state-changes. Only `detail` is read, never
//! `resources`: its ARNs carry the zone in place of the Region and no account, and one documented
//! event has a string where the others have a list. A rule may pass `detail` on alone (EventBridge
//! User Guide, eb-transform-target-input): it is known by its keys.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::{Event, Message, Origin, ParseError, describe};
use crate::ids::InstanceId;

/// EC2 says that an instance is about to be taken away, or may be, or that it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The instance.
    pub instance_id: InstanceId,
    /// What happens to it.
    pub kind: NoticeKind,
    /// When EC2 said so. `None` where the event has no readable time: a drain must not fail for
    /// that.
    pub time: Option<Timestamp>,
    /// Where the instance is.
    pub origin: Origin,
}

/// What a notice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// A Spot Instance is interrupted two minutes after the notice (at once for `hibernate`).
    SpotInterruption(InterruptionAction),
    /// An instance in an interruptible Capacity Reservation is interrupted two minutes after the
    /// notice.
    CapacityReservationInterruption(InterruptionAction),
    /// A Spot Instance has an elevated risk of interruption. No time is set.
    RebalanceRecommendation,
    /// The instance runs, for the first time or again (EC2 User Guide,
    /// monitoring-instance-state-changes).
    Running,
}

/// What EC2 does to an interrupted instance. Each of them ends its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterruptionAction {
    /// The instance is terminated.
    Terminate,
    /// The instance is stopped.
    Stop,
    /// The instance hibernates. This begins at once, without the two minutes.
    Hibernate,
    /// A word that AWS added later, or none.
    Other(Option<String>),
}

impl NoticeKind {
    /// The `detail-type` of the event.
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::SpotInterruption(_) => SPOT_INTERRUPTION,
            Self::CapacityReservationInterruption(_) => CAPACITY_RESERVATION_INTERRUPTION,
            Self::RebalanceRecommendation => REBALANCE_RECOMMENDATION,
            Self::Running => STATE_CHANGE,
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpotInterruption(action) => write!(f, "Spot interruption notice ({action})"),
            Self::CapacityReservationInterruption(action) => {
                write!(f, "Capacity Reservation interruption notice ({action})")
            }
            Self::RebalanceRecommendation => f.write_str("rebalance recommendation"),
            Self::Running => f.write_str("the instance runs"),
        }
    }
}

impl fmt::Display for InterruptionAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
            Self::Other(Some(word)) => word,
            Self::Other(None) => "no action given",
        })
    }
}

const EC2: &str = "aws.ec2";
const SPOT_INTERRUPTION: &str = "EC2 Spot Instance Interruption Warning";
const CAPACITY_RESERVATION_INTERRUPTION: &str =
    "EC2 Capacity Reservation Instance Interruption Warning";
const REBALANCE_RECOMMENDATION: &str = "EC2 Instance Rebalance Recommendation";
const STATE_CHANGE: &str = "EC2 Instance State-change Notification";

/// Reads one of EC2's notices.
///
/// # Errors
/// If a notice lacks its instance, or a field is not what AWS documents.
pub fn read(message: &Message) -> Result<Option<Event<Notice>>, ParseError> {
    if let Some((source, detail_type)) = message.eventbridge() {
        let detail = Detail { event: detail_type, value: message.body.get("detail") };
        return read_detail(source, &detail, &message.body).map(Some);
    }
    if let Some(detail_type) = detail_type_by_keys(&message.body) {
        let detail = Detail { event: detail_type, value: Some(&message.body) };
        return read_detail(EC2, &detail, &message.body).map(Some);
    }
    Ok(message.auto_scaling().map(|kind| {
        Event::ignored(format!(
            "Auto Scaling's {kind} is not a notice that an instance is taken away"
        ))
    }))
}

/// The event whose `detail` this is, if it is that of one of EC2's notices.
fn detail_type_by_keys(detail: &Value) -> Option<&'static str> {
    let keys = detail.as_object()?;
    if keys.contains_key("instance-action") {
        let is_reserved = keys.contains_key("instance-termination-time");
        return Some(if is_reserved {
            CAPACITY_RESERVATION_INTERRUPTION
        } else {
            SPOT_INTERRUPTION
        });
    }
    keys.get("instance-id")?;
    if keys.contains_key("state") {
        return Some(STATE_CHANGE);
    }
    // Other events name an instance as well, and more besides.
    (keys.len() == 1).then_some(REBALANCE_RECOMMENDATION)
}

/// Reads a notice by its source and its `detail`. Its time and origin stand in `body`, if anywhere.
fn read_detail(
    source: &str,
    detail: &Detail<'_>,
    body: &Value,
) -> Result<Event<Notice>, ParseError> {
    let detail_type = detail.event;
    let kind = match (source, detail_type) {
        (EC2, SPOT_INTERRUPTION) => NoticeKind::SpotInterruption(detail.instance_action()?),
        (EC2, CAPACITY_RESERVATION_INTERRUPTION) => {
            NoticeKind::CapacityReservationInterruption(detail.instance_action()?)
        }
        (EC2, REBALANCE_RECOMMENDATION) => NoticeKind::RebalanceRecommendation,
        (EC2, STATE_CHANGE) if detail.is_running() => NoticeKind::Running,
        _ => {
            return Ok(Event::Ignored {
                // The id, if there is one, lets the log say which instance the ignored event was
                // about.
                instance_id: detail.instance_id().ok(),
                why: format!(
                    "`{detail_type}` of {source} is not a notice that an instance is taken away"
                ),
            });
        }
    };
    let time = body.get("time").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let origin = Origin::of_event(body);
    Ok(Event::Ours(Notice { instance_id: detail.instance_id()?, kind, time, origin }))
}

/// The `detail` of an event and what to call the event in an error.
struct Detail<'a> {
    event: &'a str,
    value: Option<&'a Value>,
}

impl Detail<'_> {
    fn instance_id(&self) -> Result<InstanceId, ParseError> {
        let value = self.object()?.get("instance-id");
        value
            .and_then(Value::as_str)
            .and_then(InstanceId::parse)
            .ok_or_else(|| self.error("detail.instance-id", InstanceId::EXPECTED, value))
    }

    /// Absent is fine, as is a word that we do not know: the instance is taken away all the same.
    fn instance_action(&self) -> Result<InterruptionAction, ParseError> {
        let value = self.object()?.get("instance-action");
        match value {
            None | Some(Value::Null) => Ok(InterruptionAction::Other(None)),
            Some(Value::String(word)) => Ok(match word.as_str() {
                "terminate" => InterruptionAction::Terminate,
                "stop" => InterruptionAction::Stop,
                "hibernate" => InterruptionAction::Hibernate,
                _ => InterruptionAction::Other(Some(word.clone())),
            }),
            _ => Err(self.error("detail.instance-action", "a word such as `terminate`", value)),
        }
    }

    /// Whether a state change is to `running`. The other states ask for nothing: an instance that
    /// stops or ends was drained on its notice.
    fn is_running(&self) -> bool {
        self.value.and_then(|detail| detail.get("state")).and_then(Value::as_str) == Some("running")
    }

    fn object(&self) -> Result<&Value, ParseError> {
        match self.value {
            Some(value) if value.is_object() => Ok(value),
            _ => Err(self.error("detail", "an object", self.value)),
        }
    }

    fn error(
        &self,
        field: &'static str,
        expected: &'static str,
        actual: Option<&Value>,
    ) -> ParseError {
        ParseError { event: self.event.to_owned(), field, expected, actual: describe(actual) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::parse;

    fn only_event(payload: &Value) -> Result<Event<Notice>, ParseError> {
        let mut records = parse(payload, read);
        assert_eq!(records.len(), 1);
        records.remove(0).event
    }

    fn spot_warning(detail: &Value) -> Value {
        json!({"source": "aws.ec2", "detail-type": SPOT_INTERRUPTION, "detail": detail})
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
        for (detail, field, actual) in cases {
            let error = only_event(&spot_warning(&detail)).unwrap_err();
            assert_eq!((error.field, error.actual.as_str()), (field, actual));
            assert_eq!(error.event, "EC2 Spot Instance Interruption Warning");
            let message = error.to_string();
            for part in [field, error.expected, actual] {
                assert!(message.contains(part), "{part} is not in {message}");
            }
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
}

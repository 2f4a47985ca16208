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

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::event::{Event, Message, Origin, ParseError, describe};
use crate::ids::{CapacityReservationId, InstanceId};

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
}

/// What one event gives notice of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// To what.
    pub subject: Subject,
    /// What happens to it.
    pub kind: NoticeKind,
    /// As of a [`Notice`].
    pub time: Option<Timestamp>,
    /// Where it is from.
    pub origin: Origin,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// These instances.
    Instances(Vec<InstanceId>),
    /// Those in a Capacity Reservation. EC2 knows which these are.
    CapacityReservation(CapacityReservationId),
}

impl Announcement {
    /// The notice for one instance.
    pub fn notice(&self, instance_id: InstanceId) -> Notice {
        Notice { instance_id, kind: self.kind.clone(), time: self.time }
    }
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
    /// A Capacity Block ends in 40 minutes, and its instances are terminated from 30 minutes before
    /// its end on (EC2 User Guide, capacity-blocks-monitor).
    CapacityBlockExpiry,
    /// An instance is to be retired, stopped or terminated in some days, as its hardware fails. The
    /// `eventTypeCode` says which.
    Retirement(String),
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
            Self::CapacityBlockExpiry => CAPACITY_BLOCK_EXPIRY,
            Self::Retirement(_) => HEALTH,
            Self::Running => STATE_CHANGE,
        }
    }

    /// How long after the notice EC2 interrupts the instance at the earliest: for so long it is worth
    /// trying again. For what is no interruption it is as long as for a Spot Instance.
    pub fn warning(&self) -> SignedDuration {
        match self {
            Self::CapacityBlockExpiry => SignedDuration::from_mins(10),
            // The day is set some days ahead as a rule; nothing is tried for so long.
            Self::Retirement(_) => SignedDuration::from_hours(24),
            Self::SpotInterruption(_)
            | Self::CapacityReservationInterruption(_)
            | Self::RebalanceRecommendation
            | Self::Running => NOTICE_PERIOD,
        }
    }
}

/// How long EC2 waits between an interruption notice and the interruption.
/// Source: EC2 User Guide, spot-instance-termination-notices.
pub const NOTICE_PERIOD: SignedDuration = SignedDuration::from_secs(120);

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpotInterruption(action) => write!(f, "Spot interruption notice ({action})"),
            Self::CapacityReservationInterruption(action) => {
                write!(f, "Capacity Reservation interruption notice ({action})")
            }
            Self::RebalanceRecommendation => f.write_str("rebalance recommendation"),
            Self::CapacityBlockExpiry => f.write_str("the Capacity Block ends"),
            Self::Retirement(code) => write!(f, "AWS Health event ({code})"),
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
/// The same with a newer name: the page monitor-interruptible-cr has had both.
const INTERRUPTIBLE_RESERVATION_INTERRUPTION: &str =
    "EC2 Interruptible Capacity Reservation Instance Interruption Warning";
/// As documented for Capacity Blocks.
const CAPACITY_BLOCK_EXPIRY: &str = "Capacity Block Reservation Expiration Warning";
/// As the same page calls it in its heading.
const CAPACITY_BLOCK_EXPIRY_SHORT: &str = "Capacity Block Expiration Warning";
const REBALANCE_RECOMMENDATION: &str = "EC2 Instance Rebalance Recommendation";
const STATE_CHANGE: &str = "EC2 Instance State-change Notification";
const HEALTH: &str = "AWS Health Event";

/// The events of AWS Health that end an instance on a day to come, with the tasks on it. Those that
/// reboot it, or that are about a disk or the network, are left to people: the instance stays.
/// Source: EC2 User Guide, `schedevents_actions_retire` and monitoring-instances-status-check_sched.
pub const RETIREMENTS: [&str; 6] = [
    "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
    "AWS_EC2_INSTANCE_RETIREMENT_EXPEDITED",
    "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED",
    "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_EXPEDITED",
    "AWS_EC2_INSTANCE_STOP_SCHEDULED",
    "AWS_EC2_INSTANCE_TERMINATION_SCHEDULED",
];

/// Reads one of EC2's notices, or an event of AWS Health.
///
/// # Errors
/// If a notice lacks what it is about, or a field is not what AWS documents.
pub fn read(message: &Message) -> Result<Option<Event<Announcement>>, ParseError> {
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
) -> Result<Event<Announcement>, ParseError> {
    let detail_type = detail.event;
    let kind = match (source, detail_type) {
        (EC2, SPOT_INTERRUPTION) => NoticeKind::SpotInterruption(detail.instance_action()?),
        (EC2, CAPACITY_RESERVATION_INTERRUPTION | INTERRUPTIBLE_RESERVATION_INTERRUPTION) => {
            NoticeKind::CapacityReservationInterruption(detail.instance_action()?)
        }
        (EC2, REBALANCE_RECOMMENDATION) => NoticeKind::RebalanceRecommendation,
        (EC2, STATE_CHANGE) if detail.is_running() => NoticeKind::Running,
        (EC2, CAPACITY_BLOCK_EXPIRY | CAPACITY_BLOCK_EXPIRY_SHORT) => {
            NoticeKind::CapacityBlockExpiry
        }
        ("aws.health", HEALTH) if detail.is_retirement() => {
            NoticeKind::Retirement(detail.text("eventTypeCode").unwrap_or_default().to_owned())
        }
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
    let subject = match kind {
        NoticeKind::Retirement(_) => Subject::Instances(detail.affected_instances()?),
        NoticeKind::CapacityBlockExpiry => Subject::CapacityReservation(detail.reservation()?),
        _ => Subject::Instances(vec![detail.instance_id()?]),
    };
    Ok(Event::Ours(Announcement { subject, kind, time, origin }))
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

    fn reservation(&self) -> Result<CapacityReservationId, ParseError> {
        let value = self.object()?.get("capacity-reservation-id");
        let id = value.and_then(Value::as_str).and_then(CapacityReservationId::parse);
        let expected = CapacityReservationId::EXPECTED;
        id.ok_or_else(|| self.error("detail.capacity-reservation-id", expected, value))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value?.get(key)?.as_str()
    }

    /// Whether an event of AWS Health is to end instances. One that is closed is over, or was taken
    /// back.
    fn is_retirement(&self) -> bool {
        let is_closed = self.text("statusCode") == Some("closed");
        !is_closed && self.text("eventTypeCode").is_some_and(|code| RETIREMENTS.contains(&code))
    }

    /// The instances of an event of AWS Health. Source: AWS Health User Guide,
    /// aws-health-events-eventbridge-schema.
    fn affected_instances(&self) -> Result<Vec<InstanceId>, ParseError> {
        let value = self.object()?.get("affectedEntities");
        let entities = value.and_then(Value::as_array).into_iter().flatten();
        let id = |entity: &Value| {
            let value = entity.get("entityValue")?.as_str()?;
            InstanceId::parse(value.rsplit('/').next()?)
        };
        let ids: Option<Vec<_>> = entities.map(id).collect();
        ids.filter(|ids| !ids.is_empty()).ok_or_else(|| {
            self.error("detail.affectedEntities", "a list with an instance's id in each", value)
        })
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

    fn only_event(payload: &Value) -> Result<Event<Announcement>, ParseError> {
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

    #[test]
    fn an_event_of_aws_health_is_about_each_instance_that_it_ends() {
        let health = |code: &str, status: &str, entities: &[&str]| {
            let entities: Vec<_> =
                entities.iter().map(|value| json!({"entityValue": value})).collect();
            only_event(&json!({
                "source": "aws.health", "detail-type": HEALTH,
                "detail": {"eventTypeCode": code, "statusCode": status, "affectedEntities": entities},
            }))
        };
        let arn = "arn:aws:ec2:eu-west-1:111122223333:instance/i-1a2b3c4e";
        for code in RETIREMENTS {
            let event = health(code, "upcoming", &["i-1a2b3c4d", arn]).unwrap();
            let Event::Ours(Announcement { subject: Subject::Instances(ids), .. }) = event else {
                panic!("not ours: {event:?}")
            };
            let ids: Vec<_> = ids.iter().map(InstanceId::as_str).collect();
            assert_eq!(ids, ["i-1a2b3c4d", "i-1a2b3c4e"]);
            let closed = health(code, "closed", &["i-1a2b3c4d"]).unwrap();
            assert!(matches!(closed, Event::Ignored { .. }), "{closed:?}");
            for entities in [&[][..], &["i-1a2b3c4d", "vol-1"]] {
                let error = health(code, "open", entities).unwrap_err();
                assert_eq!(error.field, "detail.affectedEntities");
            }
        }
        let reboot = health("AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED", "open", &["i-1a2b3c4d"]);
        assert!(matches!(reboot.unwrap(), Event::Ignored { .. }));
    }

    #[test]
    fn the_end_of_a_capacity_block_is_about_its_reservation_in_either_spelling() {
        for detail_type in [CAPACITY_BLOCK_EXPIRY, CAPACITY_BLOCK_EXPIRY_SHORT] {
            for key in ["detail-type", "detail_type"] {
                let event = |id: &str| {
                    let detail = json!({"capacity-reservation-id": id});
                    only_event(&json!({"source": "aws.ec2", key: detail_type, "detail": detail}))
                };
                let read = event("cr-0a000000000000001").unwrap();
                let Event::Ours(Announcement { subject, kind, .. }) = read else {
                    panic!("not ours: {read:?}")
                };
                let id = CapacityReservationId::new("cr-0a000000000000001");
                assert_eq!(subject, Subject::CapacityReservation(id));
                assert_eq!(kind, NoticeKind::CapacityBlockExpiry);
                for wrong in ["", "cr-", "i-1a2b3c4d", "cr-0a&Action=X"] {
                    let error = event(wrong).unwrap_err();
                    assert_eq!(error.field, "detail.capacity-reservation-id", "{wrong}");
                }
            }
        }
    }

    #[test]
    fn each_way_to_be_interrupted_has_its_word_and_an_unknown_one_is_kept() {
        use InterruptionAction::{Hibernate, Other, Stop, Terminate};
        for (word, expected) in [
            (json!("terminate"), Terminate),
            (json!("stop"), Stop),
            (json!("hibernate"), Hibernate),
            (json!("freeze"), Other(Some("freeze".to_owned()))),
            (json!(null), Other(None)),
        ] {
            let detail = json!({"instance-id": "i-1a2b3c4d", "instance-action": word});
            let Ok(Event::Ours(announcement)) = only_event(&spot_warning(&detail)) else {
                panic!("{detail}");
            };
            assert_eq!(announcement.kind, NoticeKind::SpotInterruption(expected));
            assert_eq!(announcement.kind.detail_type(), SPOT_INTERRUPTION);
        }
    }
}

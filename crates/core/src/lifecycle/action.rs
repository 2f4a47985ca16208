//! Auto Scaling's termination lifecycle actions, as they come over SNS, over EventBridge, and from
//! ourselves.
//!
//! Over SNS and SQS the message is a JSON object with the keys that [`read`] names; over
//! EventBridge the same keys stand inside `detail`, which a rule may pass on alone. Sources: EC2 Auto Scaling User Guide,
//! prepare-for-lifecycle-notifications and ec2-auto-scaling-event-reference. What a hop publishes
//! again carries state, which is left to [`crate::lifecycle::handoff`]; whether the group really
//! waits for the instance is left to [`crate::lifecycle::decide()`].

use jiff::Timestamp;
use serde_json::Value;

use crate::event::{Event, Message, ParseError, describe};
use crate::ids::{ActionToken, Cluster, GroupName, HookName, InstanceId, TopicArn};
use crate::lifecycle::handoff::HandoffState;

/// A termination lifecycle action: an instance waits for us before Auto Scaling terminates it.
#[derive(Debug, Clone, PartialEq)]
pub struct LifecycleAction {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its group.
    pub group: GroupName,
    /// The hook that made the action.
    pub hook: HookName,
    /// The token that stands for the action. `None` where no message about it has come: then its
    /// instance stands for it.
    pub token: Option<ActionToken>,
    /// The hook's `NotificationMetadata`, if it has any.
    pub metadata: Option<String>,
    /// When Auto Scaling sent the message. `None` where that cannot be read.
    pub time: Option<Timestamp>,
    /// What an earlier hop left for this one.
    pub carried: Option<HandoffState>,
    /// The message, to be published again: the state goes to its top level, whatever its form.
    pub message: Message,
}

impl LifecycleAction {
    /// The topic to publish the message to again: the one it came over.
    pub fn topic(&self) -> Option<&TopicArn> {
        self.message.topic.as_ref()
    }
}

const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
const EVENTBRIDGE_TERMINATE: &str = "EC2 Instance-terminate Lifecycle Action";

/// Reads a termination lifecycle action. Test notifications, launch transitions and whatever else
/// shares the topic are ignored.
///
/// # Errors
/// If a termination action lacks what it takes to complete it, or carries state that Ebb
/// never wrote.
pub fn read(message: &Message) -> Result<Option<Event<LifecycleAction>>, ParseError> {
    // EventBridge's envelope is asked about first: its `source` says for certain who sent the
    // event, while a bare message is only known by its keys.
    let in_detail = match message.eventbridge() {
        Some(("aws.autoscaling", EVENTBRIDGE_TERMINATE)) => true,
        Some((source, detail_type)) => {
            return Ok(Some(Event::ignored(format!(
                "`{detail_type}` of {source} is not a termination lifecycle action"
            ))));
        }
        None => false,
    };
    let fields = Fields { in_detail, message };
    if !in_detail {
        match message.auto_scaling() {
            Some(TERMINATING) => {}
            Some(kind) => {
                return Ok(Some(Event::ignored(format!(
                    "Auto Scaling's {kind} is not a termination lifecycle action"
                ))));
            }
            // Only lifecycle actions have a token, and this may be a termination.
            None if fields.get("detail.LifecycleActionToken").is_some() => {
                return Err(fields.error("detail.LifecycleTransition", TERMINATING));
            }
            None => return Ok(None),
        }
    }
    let time = message.body.get(if in_detail { "time" } else { "Time" });
    Ok(Some(Event::Ours(LifecycleAction {
        instance_id: fields.instance_id()?,
        group: GroupName::new(fields.text("detail.AutoScalingGroupName", "the group's name")?),
        hook: HookName::new(fields.text("detail.LifecycleHookName", "the hook's name")?),
        token: Some(ActionToken::new(
            fields.text("detail.LifecycleActionToken", "the action's token")?,
        )),
        metadata: fields
            .get("detail.NotificationMetadata")
            .and_then(Value::as_str)
            .map(str::to_owned),
        // A time that cannot be read is no reason to leave an instance waiting: it is `None`.
        time: time.and_then(Value::as_str).and_then(|text| text.parse().ok()),
        // The state stands at the top level in either form, where a hop writes it.
        carried: HandoffState::read(&message.body)?,
        message: message.clone(),
    })))
}

/// The fields of an action, in either form. They are named as they stand in EventBridge's,
/// `detail.NAME`.
struct Fields<'a> {
    in_detail: bool,
    message: &'a Message,
}

impl<'a> Fields<'a> {
    fn get(&self, field: &'static str) -> Option<&'a Value> {
        let key = self.name(field).rsplit('.').next()?;
        let object =
            if self.in_detail { self.message.body.get("detail")? } else { &self.message.body };
        object.get(key)
    }

    /// The field as it is called in this form.
    fn name(&self, field: &'static str) -> &'static str {
        if self.in_detail { field } else { field.strip_prefix("detail.").unwrap_or(field) }
    }

    fn text(&self, field: &'static str, expected: &'static str) -> Result<&'a str, ParseError> {
        self.get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.error(field, expected))
    }

    fn instance_id(&self) -> Result<InstanceId, ParseError> {
        let field = "detail.EC2InstanceId";
        self.get(field)
            .and_then(Value::as_str)
            .and_then(InstanceId::parse)
            .ok_or_else(|| self.error(field, InstanceId::EXPECTED))
    }

    fn error(&self, field: &'static str, expected: &'static str) -> ParseError {
        ParseError {
            event: "termination lifecycle action".to_owned(),
            field: self.name(field),
            expected,
            actual: describe(self.get(field)),
        }
    }
}

/// The cluster that a hook's `NotificationMetadata` names, by its name: as the whole text, or as
/// `cluster` in a JSON object. Only a hint where to look first.
pub fn cluster_hint(metadata: &str) -> Option<String> {
    // Text that parses as JSON but names no cluster is metadata of somebody else's, such as a
    // number; only what is no JSON at all is taken for a name.
    let text = match serde_json::from_str::<Value>(metadata) {
        Ok(json) => json["cluster"].as_str()?.to_owned(),
        Err(_) => metadata.to_owned(),
    };
    Some(Cluster::new(text.trim()).name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_cluster_in_json_or_as_plain_text() {
        let arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/shop";
        for metadata in ["shop", " shop ", arn, r#"{"cluster": "shop", "more": 1}"#] {
            assert_eq!(cluster_hint(metadata).as_deref(), Some("shop"), "{metadata}");
        }
        for metadata in [r#"{"cluster": 7}"#, "{}", "[]", "7"] {
            assert_eq!(cluster_hint(metadata), None, "{metadata}");
        }
    }
}

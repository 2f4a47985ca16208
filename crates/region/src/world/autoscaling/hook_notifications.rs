//! What termination hooks tell: their topic, and EventBridge.
//!
//! Sources: Auto Scaling User Guide, prepare-for-lifecycle-notifications; Auto Scaling API,
//! `PutLifecycleHook`.

use serde_json::{Map, Value, json};

use super::group::group_arn;
use super::lifecycle_action::LifecycleAction;
use super::lifecycle_hook::{Hook, TERMINATING};
use super::scaling_activity::Refused;
use crate::world::account::{ACCOUNT, REGION};
use crate::world::state::World;

impl World {
    /// Adds a hook to a group or changes it. Its topic gets a test notification.
    ///
    /// # Errors
    /// If there is no such group, or no such topic.
    pub fn put_hook(&mut self, group: &str, hook: Hook) -> Result<(), Refused> {
        self.group(group)?;
        // A changed hook sends its test notification as a new one does, since `PutLifecycleHook` is
        // the call for both.
        if let Some(topic_arn) = &hook.topic_arn {
            // The call fails with its test notification, and changes nothing. The words are those
            // that aws-cdk#1212 quotes.
            if !self.topics.contains_key(topic_arn) {
                return Err(Refused::validation(format!(
                    "Unable to publish test message to notification target {topic_arn} using IAM \
                     role {}. Please check your target and role configuration and try to put \
                     lifecycle hook again.",
                    hook.role_arn.as_deref().unwrap_or_default()
                )));
            }
            let message = json!({
                "AccountId": ACCOUNT,
                "RequestId": self.uuid(),
                "AutoScalingGroupARN": group_arn(group),
                "AutoScalingGroupName": group,
                "Service": "AWS Auto Scaling",
                "Event": "autoscaling:TEST_NOTIFICATION",
                "Time": format!("{:.3}", self.now),
            });
            let subject = format!("Auto Scaling: test notification for group \"{group}\"");
            self.publish(topic_arn, Some(&subject), &message.to_string());
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.hooks.retain(|existing| existing.name != hook.name);
            group.hooks.push(hook);
        }
        Ok(())
    }

    /// Tells the hook's topic and EventBridge of an action.
    pub(super) fn notify_of_action(&mut self, action: &LifecycleAction) {
        let mut detail = Map::from_iter([
            ("Origin".to_owned(), json!("AutoScalingGroup")),
            ("Destination".to_owned(), json!("EC2")),
            ("LifecycleHookName".to_owned(), json!(action.hook.name)),
            ("LifecycleTransition".to_owned(), json!(TERMINATING)),
            ("AutoScalingGroupName".to_owned(), json!(action.group)),
            ("EC2InstanceId".to_owned(), json!(action.instance_id)),
            ("LifecycleActionToken".to_owned(), json!(action.token)),
        ]);
        if let Some(metadata) = &action.hook.metadata {
            detail.insert("NotificationMetadata".to_owned(), json!(metadata));
        }
        let event = json!({
            "version": "0",
            "id": self.uuid(),
            "detail-type": "EC2 Instance-terminate Lifecycle Action",
            "source": "aws.autoscaling",
            "account": ACCOUNT,
            "time": format!("{:.0}", self.now),
            "region": REGION,
            "resources": [group_arn(&action.group)],
            "detail": detail,
        });
        // EventBridge gets every lifecycle action, whether or not the hook has a target of its own.
        self.put_event(event);
        let Some(topic_arn) = &action.hook.topic_arn else { return };
        // The envelope of an event says whose it is and from when; a message on a topic has to say
        // so itself.
        let mut message = detail;
        message.insert("AccountId".to_owned(), json!(ACCOUNT));
        message.insert("RequestId".to_owned(), json!(self.uuid()));
        message.insert("Service".to_owned(), json!("AWS Auto Scaling"));
        message.insert("Time".to_owned(), json!(format!("{:.3}", self.now)));
        // Both spaces after the colon are AWS's.
        let subject = format!(
            "Auto Scaling:  Lifecycle action 'TERMINATING' for instance {} in progress.",
            action.instance_id
        );
        self.publish(topic_arn, Some(&subject), &Value::Object(message).to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::autoscaling::hook_testing::{TOPIC, hook, terminating};
    use crate::world::delivery::{Queue, Rule, Target};

    #[test]
    fn the_topic_gets_the_message_that_auto_scaling_sends() {
        let metadata = Some(r#"{"cluster":"shop"}"#.to_owned());
        let world = terminating([Hook { metadata, ..hook("drain") }]);
        let published = &world.published[0];

        assert_eq!(published.topic_arn, TOPIC);
        let subject = "Auto Scaling:  Lifecycle action 'TERMINATING' for instance i-1 in progress.";
        assert_eq!(published.subject.as_deref(), Some(subject));
        let mut message: Value = serde_json::from_str(&published.message).unwrap();
        let request_id = message.as_object_mut().unwrap().remove("RequestId").unwrap();
        assert_eq!(request_id.as_str().unwrap().len(), 36);
        let expected = json!({
            "Origin": "AutoScalingGroup",
            "LifecycleHookName": "drain",
            "Destination": "EC2",
            "AccountId": ACCOUNT,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "AutoScalingGroupName": "group",
            "Service": "AWS Auto Scaling",
            "Time": "2025-03-04T05:00:00.000Z",
            "EC2InstanceId": "i-1",
            "LifecycleActionToken": world.lifecycle_actions[0].token,
            "NotificationMetadata": "{\"cluster\":\"shop\"}",
        });
        assert_eq!(message, expected);
    }

    #[test]
    fn eventbridge_is_told_too_even_without_a_topic() {
        let mut world = terminating([]);
        world
            .delivery
            .functions
            .insert("f".into(), crate::world::delivery::Function::new(Duration::ZERO));
        world.add_queue("q", Queue::for_function("f"));
        world.delivery.rules.push(Rule {
            source: "aws.autoscaling".into(),
            detail_types: vec!["EC2 Instance-terminate Lifecycle Action".into()],
            target: Target::Queue("q".into()),
        });
        world.put_hook("group", Hook { topic_arn: None, ..hook("drain") }).unwrap();
        world.terminate_in_group("i-2", true).unwrap();
        world.advance(world.now() + Duration::from_millis(1500));

        assert_eq!(world.published, []);
        let event: Value =
            serde_json::from_str(&world.delivery.queues["q"].messages[0].body).unwrap();
        assert_eq!(event["resources"], json!([group_arn("group")]));
        assert_eq!(event["detail"]["EC2InstanceId"], "i-2");
        assert_eq!(
            event["detail"]["LifecycleActionToken"],
            json!(world.lifecycle_actions[0].token)
        );
        assert_eq!(event["detail"].get("AccountId"), None);
    }

    #[test]
    fn a_new_hook_sends_a_test_notification_to_its_topic() {
        let mut world = terminating([]);
        world.put_hook("group", hook("drain")).unwrap();
        world.put_hook("group", hook("drain")).unwrap();

        assert_eq!((world.published.len(), world.groups["group"].hooks.len()), (2, 1));
        let subject = "Auto Scaling: test notification for group \"group\"";
        assert_eq!(world.published[0].subject.as_deref(), Some(subject));
        let message: Value = serde_json::from_str(&world.published[0].message).unwrap();
        assert_eq!(message["Event"], "autoscaling:TEST_NOTIFICATION");
        assert_eq!(
            (message.get("EC2InstanceId"), message.get("LifecycleTransition")),
            (None, None)
        );
        assert!(world.put_hook("x", hook("drain")).is_err());
    }

    #[test]
    fn a_hook_whose_topic_does_not_exist_is_refused_and_changes_nothing() {
        let mut world = terminating([hook("drain")]);
        let before = world.groups["group"].hooks.clone();
        let topic_arn = Some(format!("{TOPIC}-x"));
        let changed = Hook { topic_arn, role_arn: Some("a-role".to_owned()), ..hook("drain") };
        let refused = world.put_hook("group", changed).unwrap_err();

        assert_eq!(refused.code, "ValidationError");
        let words = format!(
            "Unable to publish test message to notification target {TOPIC}-x using IAM role a-role."
        );
        assert!(refused.message.starts_with(&words), "{}", refused.message);
        assert_eq!(world.groups["group"].hooks, before);
    }
}

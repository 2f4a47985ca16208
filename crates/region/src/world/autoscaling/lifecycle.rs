//! Termination hooks: what holds an instance in `Terminating:Wait`, and what lets it go.
//!
//! Sources: Auto Scaling User Guide, lifecycle-hooks and prepare-for-lifecycle-notifications; Auto Scaling API,
//! `PutLifecycleHook`, `CompleteLifecycleAction`, `RecordLifecycleActionHeartbeat`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::{ACCOUNT, Due, Happening, REGION, World};
use super::{LifecycleState, Refused};

/// What Auto Scaling calls the transition.
pub const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// The heartbeat timeout of a hook that names none.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(3600);
/// No hook holds an instance longer than this, nor longer than so many heartbeat timeouts.
const GLOBAL_TIMEOUT_MAX: Duration = Duration::from_secs(48 * 3600);
const GLOBAL_TIMEOUT_HEARTBEATS: u32 = 100;

/// A termination hook of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// After how long without a heartbeat an action ends with the default result.
    pub heartbeat_timeout: Duration,
    /// See `heartbeat_timeout`.
    pub default_result: ActionResult,
    /// The topic that is told; EventBridge is told anyway.
    pub topic_arn: Option<String>,
    /// `NotificationMetadata`.
    pub metadata: Option<String>,
    /// The role that Auto Scaling takes on to publish.
    pub role_arn: Option<String>,
}

impl Hook {
    /// A hook with AWS's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            heartbeat_timeout: HEARTBEAT_DEFAULT,
            default_result: ActionResult::Abandon,
            topic_arn: None,
            metadata: None,
            role_arn: None,
        }
    }

    /// How long it can hold an instance at most.
    pub fn global_timeout(&self) -> Duration {
        GLOBAL_TIMEOUT_MAX.min(self.heartbeat_timeout * GLOBAL_TIMEOUT_HEARTBEATS)
    }
}

/// How a lifecycle action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionResult {
    Continue,
    Abandon,
}

impl ActionResult {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    /// Reads AWS's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Continue, Self::Abandon].into_iter().find(|result| result.as_str() == word)
    }
}

/// A hook that holds an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleAction {
    /// The group.
    pub group: String,
    /// The instance.
    pub instance_id: String,
    /// The hook, as it was when the action began.
    pub hook: Hook,
    /// The action token: a UUID.
    pub token: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ends unless a heartbeat is recorded.
    pub heartbeat_deadline: Timestamp,
    /// When it ends in any case.
    pub global_deadline: Timestamp,
}

impl LifecycleAction {
    fn deadline(&self) -> Timestamp {
        self.heartbeat_deadline.min(self.global_deadline)
    }
}

/// A lifecycle action that was completed. Those that another hook's ABANDON or the end of the instance ended are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedAction {
    pub instance_id: String,
    pub hook: String,
    pub token: String,
    pub result: ActionResult,
    pub at: Timestamp,
    pub by: CompletedBy,
}

/// Who completed a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletedBy {
    Caller,
    HeartbeatTimeout,
    GlobalTimeout,
}

/// Which lifecycle action a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionKey<'a> {
    /// The group.
    pub group: &'a str,
    /// The hook, by name.
    pub hook: &'a str,
    /// The action token. It, the instance or both must be given, and must all fit.
    pub token: Option<&'a str>,
    /// See `token`.
    pub instance_id: Option<&'a str>,
}

impl World {
    /// Adds a hook to a group or changes it. Its topic gets a test notification.
    ///
    /// # Errors
    /// If there is no such group.
    pub fn put_hook(&mut self, group: &str, hook: Hook) -> Result<(), Refused> {
        self.group(group)?;
        if let Some(topic_arn) = &hook.topic_arn {
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
        if let Some(found) = self.groups.get_mut(group) {
            found.hooks.retain(|one| one.name != hook.name);
            found.hooks.push(hook);
        }
        Ok(())
    }

    /// An instance begins to terminate: each hook of its group holds it, or EC2 takes it away.
    pub(super) fn start_termination(&mut self, group: &str, instance_id: &str) {
        let hooks = match self.lifecycle_state(instance_id) {
            // Its hooks have run already.
            None | Some(LifecycleState::TerminatingRetained) => Vec::new(),
            Some(_) => self.groups[group].hooks.clone(),
        };
        if hooks.is_empty() {
            self.set_lifecycle_state(instance_id, LifecycleState::Terminating);
            self.shut_down(instance_id);
            return;
        }
        self.set_lifecycle_state(instance_id, LifecycleState::TerminatingWait);
        for hook in hooks {
            let action = LifecycleAction {
                group: group.to_owned(),
                instance_id: instance_id.to_owned(),
                token: self.uuid(),
                started_at: self.now,
                heartbeat_deadline: self.now + hook.heartbeat_timeout,
                global_deadline: self.now + hook.global_timeout(),
                hook,
            };
            self.plan_at(action.deadline(), Due::ActionTimeout { token: action.token.clone() });
            self.announce(&action);
            self.lifecycle_actions.push(action);
        }
    }

    /// Completes a lifecycle action.
    ///
    /// # Errors
    /// If there is no such action, or if it has ended already.
    pub fn complete_action(
        &mut self,
        key: ActionKey<'_>,
        result: ActionResult,
    ) -> Result<(), Refused> {
        let token = self.find_action(key)?.token.clone();
        self.complete(&token, result, CompletedBy::Caller);
        Ok(())
    }

    /// Lets a lifecycle action wait for its heartbeat timeout once more, but never past its global one.
    ///
    /// # Errors
    /// If there is no such action, or if it has ended already.
    pub fn record_heartbeat(&mut self, key: ActionKey<'_>) -> Result<(), Refused> {
        let token = self.find_action(key)?.token.clone();
        let now = self.now;
        let Some(action) = self.lifecycle_actions.iter_mut().find(|action| action.token == token)
        else {
            return Ok(());
        };
        action.heartbeat_deadline = now + action.hook.heartbeat_timeout;
        let deadline = action.deadline();
        self.forget_timeout(&token);
        self.plan_at(deadline, Due::ActionTimeout { token });
        Ok(())
    }

    /// The sentences are quoted in convox/rack#2432 and spacelift-io's terraform-aws-spacelift-workerpool-on-ec2#197.
    fn find_action(&self, key: ActionKey<'_>) -> Result<&LifecycleAction, Refused> {
        self.group(key.group)?;
        let fits = |action: &&LifecycleAction| {
            action.group == key.group
                && action.hook.name == key.hook
                && key.token.is_none_or(|token| action.token == token)
                && key.instance_id.is_none_or(|instance_id| action.instance_id == instance_id)
        };
        let which = match (key.token, key.instance_id) {
            (Some(token), _) => format!("token {token}"),
            (None, Some(instance_id)) => format!("instance ID {instance_id}"),
            (None, None) => {
                return Err(Refused::validation(
                    "Either LifecycleActionToken or InstanceId must be given.",
                ));
            }
        };
        self.lifecycle_actions.iter().find(fits).ok_or_else(|| {
            Refused::validation(format!("No active Lifecycle Action found with {which}"))
        })
    }

    /// A deadline of an action has come.
    pub(in crate::world) fn time_out_action(&mut self, token: &str) {
        let Some(action) = self.lifecycle_actions.iter().find(|action| action.token == token)
        else {
            return;
        };
        let by = if action.global_deadline <= self.now {
            CompletedBy::GlobalTimeout
        } else {
            CompletedBy::HeartbeatTimeout
        };
        self.complete(token, action.hook.default_result, by);
    }

    fn complete(&mut self, token: &str, result: ActionResult, by: CompletedBy) {
        let Some(index) = self.lifecycle_actions.iter().position(|action| action.token == token)
        else {
            return;
        };
        let action = self.lifecycle_actions.remove(index);
        self.forget_timeout(token);
        let instance_id = action.instance_id;
        let completed = CompletedAction {
            instance_id: instance_id.clone(),
            hook: action.hook.name,
            token: action.token,
            result,
            at: self.now,
            by,
        };
        self.record(Happening::ActionCompleted { action: completed.clone() });
        self.completed_actions.push(completed);
        if result == ActionResult::Abandon {
            self.end_actions_of(&instance_id);
            if self.groups[&action.group].retains_abandoned {
                self.set_lifecycle_state(&instance_id, LifecycleState::TerminatingRetained);
                return;
            }
        }
        if !self.lifecycle_actions.iter().any(|action| action.instance_id == instance_id) {
            self.set_lifecycle_state(&instance_id, LifecycleState::TerminatingProceed);
            self.shut_down(&instance_id);
        }
    }

    /// Ends the actions of an instance without completing them.
    pub(super) fn end_actions_of(&mut self, instance_id: &str) {
        let (ended, left) = std::mem::take(&mut self.lifecycle_actions)
            .into_iter()
            .partition::<Vec<_>, _>(|action| action.instance_id == instance_id);
        self.lifecycle_actions = left;
        for action in ended {
            self.forget_timeout(&action.token);
        }
    }

    /// What is not going to happen must not keep a world from coming to rest.
    fn forget_timeout(&mut self, token: &str) {
        self.agenda
            .retain(|_, due| !matches!(due, Due::ActionTimeout { token: one } if one == token));
    }

    /// Tells the hook's topic and EventBridge of an action.
    fn announce(&mut self, action: &LifecycleAction) {
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
        self.put_event(event);
        let Some(topic_arn) = &action.hook.topic_arn else { return };
        let mut message = detail;
        message.insert("AccountId".to_owned(), json!(ACCOUNT));
        message.insert("RequestId".to_owned(), json!(self.uuid()));
        message.insert("Service".to_owned(), json!("AWS Auto Scaling"));
        message.insert("Time".to_owned(), json!(format!("{:.3}", self.now)));
        let subject = format!(
            "Auto Scaling:  Lifecycle action 'TERMINATING' for instance {} in progress.",
            action.instance_id
        );
        self.publish(topic_arn, Some(&subject), &Value::Object(message).to_string());
    }
}

/// The ARN of a group.
pub fn group_arn(name: &str) -> String {
    format!(
        "arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:00000000-0000-4000-a000-000000000000:autoScalingGroupName/{name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::Group;
    use crate::world::delivery::{Queue, Rule, Target};
    use crate::world::ecs::TaskSpec;
    use crate::world::ecs::{NewInstance, ServiceKind};
    use crate::world::spot::Action;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:lifecycle";

    fn hook(name: &str) -> Hook {
        Hook {
            heartbeat_timeout: Duration::from_secs(300),
            default_result: ActionResult::Continue,
            topic_arn: Some(TOPIC.to_owned()),
            ..Hook::new(name)
        }
    }

    /// Two instances with a service, one of which terminates under these hooks.
    fn terminating(hooks: impl IntoIterator<Item = Hook>) -> World {
        let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        for id in ["i-1", "i-2"] {
            world.add_instance("shop", NewInstance::new(id));
        }
        world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
        let hooks = hooks.into_iter().collect();
        world
            .add_group("group", Group { hooks, ..Group::of("shop", ["i-1".into(), "i-2".into()]) });
        world.terminate_in_group("i-1", true).unwrap();
        world
    }

    fn key(hook: &str) -> ActionKey<'_> {
        ActionKey { group: "group", hook, token: None, instance_id: Some("i-1") }
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn completed(world: &World) -> Vec<(&str, ActionResult, CompletedBy)> {
        world.completed_actions.iter().map(|one| (one.hook.as_str(), one.result, one.by)).collect()
    }

    #[test]
    fn an_instance_waits_for_its_hook_and_goes_seconds_after_it_is_completed() {
        let mut world = terminating([hook("drain")]);
        assert_eq!(world.lifecycle_actions[0].token.len(), 36);
        pass(&mut world, 299);
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));

        world.complete_action(key("drain"), ActionResult::Continue).unwrap();
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingProceed));
        assert_eq!(completed(&world), [("drain", ActionResult::Continue, CompletedBy::Caller)]);
        pass(&mut world, 10);
        assert_eq!((world.lifecycle_state("i-1"), world.status_of("i-1")), (None, None));
        assert_eq!(world.tasks_cut_off().len(), 1, "nobody has drained it");
    }

    #[test]
    fn an_action_without_heartbeat_ends_with_the_default_result() {
        let mut world = terminating([hook("drain")]);
        pass(&mut world, 300);

        assert_eq!(
            completed(&world),
            [("drain", ActionResult::Continue, CompletedBy::HeartbeatTimeout)]
        );
    }

    #[test]
    fn a_heartbeat_puts_the_deadline_off_but_never_past_the_global_one() {
        let mut world =
            terminating([Hook { heartbeat_timeout: Duration::from_secs(30), ..hook("drain") }]);
        let start = world.now();
        for _ in 0..200 {
            let recorded = world.record_heartbeat(key("drain")).is_ok();
            assert_eq!(recorded, world.completed_actions.is_empty());
            pass(&mut world, 20);
        }

        assert_eq!(
            completed(&world),
            [("drain", ActionResult::Continue, CompletedBy::GlobalTimeout)]
        );
        assert_eq!(world.completed_actions[0].at, start + Duration::from_secs(3000));
        assert_eq!(Hook::new("x").global_timeout(), Duration::from_secs(48 * 3600));
    }

    #[test]
    fn every_hook_must_be_completed() {
        let mut world = terminating([hook("drain"), hook("logs")]);
        world.complete_action(key("logs"), ActionResult::Continue).unwrap();
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));

        world.complete_action(key("drain"), ActionResult::Continue).unwrap();
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingProceed));
    }

    #[test]
    fn abandon_cancels_the_other_hooks() {
        let mut world = terminating([hook("drain"), hook("logs")]);
        world.complete_action(key("logs"), ActionResult::Abandon).unwrap();

        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingProceed));
        assert!(world.complete_action(key("drain"), ActionResult::Continue).is_err());
        assert_eq!(completed(&world), [("logs", ActionResult::Abandon, CompletedBy::Caller)]);
    }

    #[test]
    fn a_group_that_retains_keeps_an_abandoned_instance_until_it_is_terminated_again() {
        let mut world = terminating([]);
        world.groups.get_mut("group").unwrap().retains_abandoned = true;
        world
            .put_hook("group", Hook { default_result: ActionResult::Abandon, ..hook("drain") })
            .unwrap();
        world.terminate_in_group("i-2", false).unwrap();
        pass(&mut world, 4000);
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::TerminatingRetained));
        assert!(world.status_of("i-2").is_some());

        world.terminate_in_group("i-2", true).unwrap();
        pass(&mut world, 10);
        assert_eq!(
            (world.lifecycle_state("i-2"), world.groups["group"].desired_capacity),
            (None, 1)
        );
    }

    #[test]
    fn an_action_that_has_ended_or_never_was_is_refused_with_awss_sentence() {
        let mut world = terminating([hook("drain")]);
        let token = world.lifecycle_actions[0].token.clone();
        let by_token = ActionKey { token: Some(&token), instance_id: None, ..key("drain") };
        let other_hook = ActionKey { hook: "x", ..by_token };
        assert!(world.complete_action(other_hook, ActionResult::Continue).is_err());
        world.complete_action(by_token, ActionResult::Continue).unwrap();

        for (key, which) in
            [(by_token, format!("token {token}")), (key("drain"), "instance ID i-1".to_owned())]
        {
            let refused =
                Refused::validation(format!("No active Lifecycle Action found with {which}"));
            assert_eq!(world.complete_action(key, ActionResult::Continue), Err(refused.clone()));
            assert_eq!(world.record_heartbeat(key), Err(refused));
        }
        assert_eq!(world.completed_actions.len(), 1);
    }

    #[test]
    fn an_interruption_ends_the_actions_of_its_instance() {
        let mut world = terminating([hook("drain")]);
        world.interrupt("i-1", Action::Terminate);
        pass(&mut world, 121);

        assert_eq!((world.lifecycle_state("i-1"), world.lifecycle_actions.len()), (None, 0));
        assert!(world.complete_action(key("drain"), ActionResult::Continue).is_err());
        pass(&mut world, 100);
        assert_eq!(world.next_due(), None, "the heartbeat timeout of 300 s is forgotten");
        assert_eq!(world.completed_actions, []);
    }

    #[test]
    fn an_instance_that_waits_for_a_hook_when_it_has_booted_does_not_join() {
        let mut world = terminating([hook("drain")]);
        world.set_desired_capacity("group", 2).unwrap();
        let new = world.groups["group"].instances[2].instance_id.clone();
        world.terminate_in_group(&new, true).unwrap();
        pass(&mut world, 200);

        assert_eq!(world.lifecycle_state(&new), Some(LifecycleState::TerminatingWait));
        assert_eq!(world.status_of(&new), None);
    }

    #[test]
    fn an_instance_is_taken_away_once_even_if_it_is_interrupted_too() {
        let mut world = terminating([hook("drain")]);
        world.interrupt("i-1", Action::Terminate);
        world.complete_action(key("drain"), ActionResult::Continue).unwrap();
        pass(&mut world, 600);

        let gone =
            |entry: &&crate::world::Entry| matches!(entry.what, Happening::InstanceGone { .. });
        assert_eq!(world.history.iter().filter(gone).count(), 1);
    }

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
        world.add_queue("q", Queue::feeding("f"));
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
}

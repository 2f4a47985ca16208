//! What termination hooks do: they hold an instance in `Terminating:Wait`, and let it go.
//!
//! Sources: Auto Scaling User Guide, lifecycle-hooks; Auto Scaling API, `CompleteLifecycleAction`,
//! `RecordLifecycleActionHeartbeat`, `DeleteLifecycleHook`.

use super::lifecycle_action::{ActionKey, CompletedAction, CompletedBy, LifecycleAction};
use super::lifecycle_hook::{ActionResult, Hook};
use super::lifecycle_state::LifecycleState;
use super::scaling_activity::Refused;
use crate::world::agenda::Due;
use crate::world::history::Happening;
use crate::world::state::World;

impl World {
    /// An instance begins to terminate: each hook of its group holds it, or EC2 takes it away.
    pub(super) fn start_termination(&mut self, group: &str, instance_id: &str) {
        // Those of a retained instance have run already.
        let has_hooks = match self.lifecycle_state(instance_id) {
            None | Some(LifecycleState::TerminatingRetained) => false,
            Some(_) => !self.groups[group].hooks.is_empty(),
        };
        if !has_hooks {
            self.set_lifecycle_state(instance_id, LifecycleState::Terminating);
            self.shut_down(instance_id);
            return;
        }
        self.set_lifecycle_state(instance_id, LifecycleState::TerminatingWait);
        self.start_actions(group, instance_id);
    }

    /// Each termination hook of a group holds an instance.
    pub(super) fn start_actions(&mut self, group: &str, instance_id: &str) {
        // All hooks of a group hold an instance side by side, each with an action and a token of
        // its own.
        for hook in self.groups[group].hooks.clone() {
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
            self.notify_of_action(&action);
            self.lifecycle_actions.push(action);
        }
        self.start_managed_draining(group, instance_id);
    }

    /// Terminates an instance under this hook alone, which its group gets unless it has it, with an
    /// action token that the caller chose: that of a sample event. Nobody is told of the action.
    ///
    /// # Errors
    /// If no group has the instance in service.
    pub fn terminate_under_hook(
        &mut self,
        instance_id: &str,
        hook: Hook,
        token: String,
    ) -> Result<(), Refused> {
        let is_in_service = self.lifecycle_state(instance_id) == Some(LifecycleState::InService);
        let group = self.groups.iter_mut().find(|(_, group)| group.instance(instance_id).is_some());
        let Some((name, group)) = group.filter(|_| is_in_service) else {
            return Err(Refused::validation("No group has this instance in service"));
        };
        if group.hooks.iter().all(|known| known.name != hook.name) {
            group.hooks.push(hook.clone());
        }
        let action = LifecycleAction {
            group: name.clone(),
            instance_id: instance_id.to_owned(),
            token: token.clone(),
            started_at: self.now,
            heartbeat_deadline: self.now + hook.heartbeat_timeout,
            global_deadline: self.now + hook.global_timeout(),
            hook,
        };
        self.plan_at(action.deadline(), Due::ActionTimeout { token });
        self.lifecycle_actions.push(action);
        self.set_lifecycle_state(instance_id, LifecycleState::TerminatingWait);
        Ok(())
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
        // An action that has ended is not found any more: completing twice is refused, as in AWS,
        // and callers must put up with it.
        let token = self.find_action(key)?.token.clone();
        self.complete(&token, result, CompletedBy::Caller);
        Ok(())
    }

    /// Deletes a hook. What it holds goes on at once: its actions are completed with CONTINUE.
    pub fn delete_hook(&mut self, group_name: &str, hook: &str) {
        let Some(group) = self.groups.get_mut(group_name) else { return };
        group.hooks.retain(|known| known.name != hook);
        let held = self.lifecycle_actions.iter();
        let held = held.filter(|action| action.group == group_name && action.hook.name == hook);
        let tokens: Vec<_> = held.map(|action| action.token.clone()).collect();
        for token in tokens {
            self.complete(&token, ActionResult::Continue, CompletedBy::HookDeletion);
        }
    }

    /// Lets a lifecycle action wait for its heartbeat timeout once more, but never past its global
    /// one.
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
        // The heartbeat timeout begins anew; it is not added to what was left of it.
        action.heartbeat_deadline = now + action.hook.heartbeat_timeout;
        let deadline = action.deadline();
        // The old timeout must go before the new one is planned: both have the same token.
        self.forget_timeout(&token);
        self.plan_at(deadline, Due::ActionTimeout { token });
        Ok(())
    }

    /// The sentences are quoted in convox/rack#2432 and spacelift-io's
    /// terraform-aws-spacelift-workerpool-on-ec2#197.
    fn find_action(&self, key: ActionKey<'_>) -> Result<&LifecycleAction, Refused> {
        // An unknown group is reported before an unknown action, so that the error names what is
        // wrong.
        self.group(key.group)?;
        let named_by = match (key.token, key.instance_id) {
            // With both given both must fit, but the sentence names the token alone.
            (Some(token), _) => format!("token {token}"),
            (None, Some(instance_id)) => format!("instance ID {instance_id}"),
            (None, None) => {
                return Err(Refused::validation(
                    "Either LifecycleActionToken or InstanceId must be given.",
                ));
            }
        };
        self.lifecycle_actions.iter().find(|action| key.fits(action)).ok_or_else(|| {
            Refused::validation(format!("No active Lifecycle Action found with {named_by}"))
        })
    }

    /// A deadline of an action has come.
    pub(in crate::world) fn time_out_action(&mut self, token: &str) {
        let Some(action) = self.lifecycle_actions.iter().find(|action| action.token == token)
        else {
            return;
        };
        // If both deadlines come at the same moment it is the global one that counts, as no
        // heartbeat could have helped.
        let cause = if action.global_deadline <= self.now {
            CompletedBy::GlobalTimeout
        } else {
            CompletedBy::HeartbeatTimeout
        };
        self.complete(token, action.hook.default_result, cause);
    }

    fn complete(&mut self, token: &str, result: ActionResult, cause: CompletedBy) {
        let Some(index) = self.lifecycle_actions.iter().position(|action| action.token == token)
        else {
            return;
        };
        // The action is removed first, so that it does not count among those that still hold the
        // instance.
        let action = self.lifecycle_actions.remove(index);
        self.forget_timeout(token);
        let instance_id = action.instance_id;
        let completed = CompletedAction {
            instance_id: instance_id.clone(),
            hook: action.hook.name,
            token: action.token,
            result,
            time: self.now,
            cause,
        };
        self.record(Happening::ActionCompleted { action: completed.clone() });
        self.completed_actions.push(completed);
        // ABANDON cancels what other hooks still wait for, and they are not recorded as completed
        // (Auto Scaling User Guide, lifecycle-hooks).
        if result == ActionResult::Abandon {
            self.end_actions_of(&instance_id);
            if self.groups[&action.group].retains_abandoned {
                self.set_lifecycle_state(&instance_id, LifecycleState::TerminatingRetained);
                return;
            }
        }
        // The last hook to end lets the instance go; until then the others hold it.
        if !self.lifecycle_actions.iter().any(|action| action.instance_id == instance_id) {
            if self.lifecycle_state(&instance_id) == Some(LifecycleState::ReplacingRootVolumeWait) {
                self.reboot_on_new_root_volume(&instance_id);
                return;
            }
            self.set_lifecycle_state(&instance_id, LifecycleState::TerminatingProceed);
            self.shut_down(&instance_id);
        }
    }

    /// Ends the actions of an instance without completing them.
    pub(super) fn end_actions_of(&mut self, instance_id: &str) {
        let (ended, remaining) = std::mem::take(&mut self.lifecycle_actions)
            .into_iter()
            .partition::<Vec<_>, _>(|action| action.instance_id == instance_id);
        self.lifecycle_actions = remaining;
        for action in ended {
            self.forget_timeout(&action.token);
        }
    }

    /// What is not going to happen must not keep a world from coming to rest.
    fn forget_timeout(&mut self, token: &str) {
        self.agenda.retain(
            |_, due| !matches!(due, Due::ActionTimeout { token: planned } if planned == token),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::autoscaling::Hook;
    use crate::world::autoscaling::hook_testing::{hook, terminating};
    use crate::world::ecs::Status;
    use crate::world::spot::Action;

    fn key(hook: &str) -> ActionKey<'_> {
        ActionKey { group: "group", hook, token: None, instance_id: Some("i-1") }
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn completed(world: &World) -> Vec<(&str, ActionResult, CompletedBy)> {
        world
            .completed_actions
            .iter()
            .map(|completed| (completed.hook.as_str(), completed.result, completed.cause))
            .collect()
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
        assert_eq!(world.completed_actions[0].time, start + Duration::from_secs(3000));
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
    fn a_hook_that_is_deleted_lets_go_what_it_holds_and_holds_nothing_any_more() {
        let mut world = terminating([hook("drain"), hook("logs")]);
        world.delete_hook("group", "logs");
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));

        world.delete_hook("group", "drain");
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingProceed));
        let deleted = |hook| (hook, ActionResult::Continue, CompletedBy::HookDeletion);
        assert_eq!(completed(&world), [deleted("logs"), deleted("drain")]);
        world.terminate_in_group("i-2", true).unwrap();
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::Terminating));
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

        for (key, named_by) in
            [(by_token, format!("token {token}")), (key("drain"), "instance ID i-1".to_owned())]
        {
            let refused =
                Refused::validation(format!("No active Lifecycle Action found with {named_by}"));
            assert_eq!(world.complete_action(key, ActionResult::Continue), Err(refused.clone()));
            assert_eq!(world.record_heartbeat(key), Err(refused));
        }
        assert_eq!(world.completed_actions.len(), 1);
    }

    #[test]
    fn an_action_outlives_its_instance_and_holds_it_in_its_group() {
        let mut world = terminating([hook("drain")]);
        world.interrupt("i-1", Action::Terminate);
        pass(&mut world, 121);
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));
        assert_eq!(world.lifecycle_actions.len(), 1);

        world.complete_action(key("drain"), ActionResult::Continue).unwrap();
        pass(&mut world, 10);
        assert_eq!(world.lifecycle_state("i-1"), None);
        assert_eq!(completed(&world), [("drain", ActionResult::Continue, CompletedBy::Caller)]);
        pass(&mut world, 600);
        assert_eq!(world.next_due(), None);
    }

    #[test]
    fn an_instance_that_waits_for_a_hook_joins_when_it_has_booted_as_its_agent_knows_no_group() {
        let mut world = terminating([hook("drain")]);
        world.set_desired_capacity("group", 2).unwrap();
        let launched = world.groups["group"].instances[2].instance_id.clone();
        world.terminate_in_group(&launched, true).unwrap();
        pass(&mut world, 59);
        assert_eq!(world.status_of(&launched), None);
        pass(&mut world, 31);

        assert_eq!(world.lifecycle_state(&launched), Some(LifecycleState::TerminatingWait));
        assert_eq!(world.status_of(&launched), Some(Status::Active));
    }

    #[test]
    fn an_instance_is_taken_away_once_even_if_it_is_interrupted_too() {
        let mut world = terminating([hook("drain")]);
        world.interrupt("i-1", Action::Terminate);
        world.complete_action(key("drain"), ActionResult::Continue).unwrap();
        pass(&mut world, 600);

        let is_removal =
            |happening: &Happening| matches!(happening, Happening::InstanceGone { .. });
        let removals = world.history.iter().filter(|entry| is_removal(&entry.happening));
        assert_eq!(removals.count(), 1);
    }

    #[test]
    fn a_termination_with_a_chosen_token_can_be_proven_and_completed() {
        let mut world = terminating([]);
        let token = "6ff524c2-95e8-4638-9f0a-e129c335db8d";
        world.terminate_under_hook("i-2", hook("drain"), token.to_owned()).unwrap();

        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::TerminatingWait));
        assert_eq!(world.groups["group"].hooks, [hook("drain")]);
        let key = ActionKey {
            group: "group",
            hook: "drain",
            token: Some(token),
            instance_id: Some("i-2"),
        };
        world.record_heartbeat(key).unwrap();
        world.complete_action(key, ActionResult::Continue).unwrap();
        let again = world.terminate_under_hook("i-2", hook("drain"), token.to_owned());
        assert!(again.is_err(), "it terminates already");
    }
}

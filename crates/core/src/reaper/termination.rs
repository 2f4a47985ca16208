//! When an instance that a sweep drains may be terminated: at once, after another look at its tasks,
//! or by a later sweep; and what a call comes to that nobody knows to have taken effect.
//!
//! A termination cannot be taken back, a drain can. So nothing is terminated with tasks on it unless
//! a hook holds it until they have stopped. Reading the hooks and the tasks, and terminating, is left
//! to the `scale-in-reaper`.

use std::collections::BTreeSet;

use ebb_planner::{RemoveReason, Task};

use crate::auto_scaling::LifecycleState;
use crate::ids::{HookName, TopicArn};

/// The hook that ECS puts on the groups of capacity providers with managed draining: ECS then holds
/// an instance until it is empty. Source: ECS Developer Guide, managed-instance-draining.
const MANAGED_DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";

/// `LifecycleTransition` of a hook that runs when an instance is terminated.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// A lifecycle hook of an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleHook {
    /// Its name.
    pub name: HookName,
    /// `LifecycleTransition`: what it runs on.
    pub transition: String,
    /// `NotificationTargetARN`: whom it notifies, if not EventBridge alone.
    pub target: Option<String>,
}

impl LifecycleHook {
    /// Whether it holds an instance that its group terminates until no task is left on it: the hook
    /// of the lifecycle drainer, which notifies `topic`, and that of ECS's managed draining, which
    /// notifies EventBridge alone. Anybody may have termination hooks on a group (for DNS records,
    /// logs, chat), and what listens to those waits for no task.
    pub fn holds_until_empty(&self, topic: Option<&TopicArn>) -> bool {
        if self.transition != TERMINATING {
            return false;
        }
        match &self.target {
            Some(target) => topic.is_some_and(|topic| topic.as_str() == target),
            None => self.name.as_str() == MANAGED_DRAINING_HOOK,
        }
    }
}

/// What becomes of an instance that a sweep has drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDrain {
    /// Its group terminates it at once.
    Terminate,
    /// Its tasks are looked at again: its group terminates it if [`is_still_empty`].
    LookAgain,
    /// A later sweep sees to it, once its tasks have stopped.
    LeaveToLaterSweep,
}

/// Decides what becomes of an instance that goes for this `reason`, once it is DRAINING. `held`
/// says whether a hook of its group holds it until it is empty.
pub fn after_drain(reason: &RemoveReason, held: bool) -> AfterDrain {
    match (reason, held) {
        // Its tasks are sure to find a place, so that the drain need not be taken back.
        (RemoveReason::Empty | RemoveReason::Certified { .. }, true) => AfterDrain::Terminate,
        // Nothing comes onto what drains: what is empty then stays so.
        (RemoveReason::Empty, false) => AfterDrain::LookAgain,
        (RemoveReason::Certified { .. }, false) | (RemoveReason::Replayed { .. }, _) => {
            AfterDrain::LeaveToLaterSweep
        }
    }
}

/// Whether an instance that had nothing but the daemon tasks `before` when it was to be drained has
/// nothing else now that it drains. `seen` are the ids of its tasks that have not stopped. A read may
/// be some seconds old, and the answer of the call that drained it is not: `counted` are the tasks
/// that it had by that.
pub fn is_still_empty<'a>(
    before: &[Task],
    mut seen: impl Iterator<Item = &'a str>,
    counted: usize,
) -> bool {
    let before: BTreeSet<_> = before.iter().map(|task| task.id.as_str()).collect();
    counted <= before.len() && seen.all(|id| before.contains(id))
}

/// How often a sweep has a group terminate an instance: once more after a throttle or a broken
/// connection, and once more than that.
const ATTEMPTS_MAX: u32 = 3;

/// What becomes of a termination that failed, or whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It took effect all the same.
    Terminating,
    /// It did not, and may be tried again.
    TryAgain,
    /// It did not, and the drain is to be taken back.
    GiveUp,
}

/// Decides about a termination that failed `attempts` times, by where the instance stands in its
/// group afterwards; `None` if it is in no group. The call is not known to be idempotent, so that
/// nothing is tried again unless its group still has the instance in service.
pub fn after_failure(state: Option<&LifecycleState>, attempts: u32) -> AfterFailure {
    match state {
        Some(state) if state.is_terminating() => AfterFailure::Terminating,
        Some(LifecycleState::InService) if attempts < ATTEMPTS_MAX => AfterFailure::TryAgain,
        Some(_) | None => AfterFailure::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::TaskKind;

    use super::*;

    const OURS: &str = "arn:aws:sns:eu-west-1:111122223333:ebb-lifecycle";

    fn hook(name: &str, transition: &str, target: Option<&str>) -> LifecycleHook {
        let (transition, target) = (transition.to_owned(), target.map(str::to_owned));
        LifecycleHook { name: HookName::new(name), transition, target }
    }

    #[test]
    fn only_our_hook_and_that_of_managed_draining_hold_an_instance() {
        let launching = "autoscaling:EC2_INSTANCE_LAUNCHING";
        let queue = "arn:aws:sqs:eu-west-1:111122223333:ebb-lifecycle";
        let longer = "arn:aws:sns:eu-west-1:111122223333:ebb-lifecycle-2";
        let elsewhere = "arn:aws:sns:eu-west-1:444455556666:ebb-lifecycle";
        for (hook, holds, holds_without_topic) in [
            (hook("ebb-drain", TERMINATING, Some(OURS)), true, false),
            (hook("any name", TERMINATING, Some(OURS)), true, false),
            (hook(MANAGED_DRAINING_HOOK, TERMINATING, None), true, true),
            (hook("ebb-drain", launching, Some(OURS)), false, false),
            (hook(MANAGED_DRAINING_HOOK, launching, None), false, false),
            (hook(MANAGED_DRAINING_HOOK, TERMINATING, Some(elsewhere)), false, false),
            (hook("ebb-drain", TERMINATING, None), false, false),
            (hook("ebb-drain", TERMINATING, Some(queue)), false, false),
            (hook("ebb-drain", TERMINATING, Some(longer)), false, false),
            (hook("ebb-drain", TERMINATING, Some(elsewhere)), false, false),
        ] {
            assert_eq!(hook.holds_until_empty(Some(&TopicArn::new(OURS))), holds, "{hook:?}");
            assert_eq!(hook.holds_until_empty(None), holds_without_topic, "{hook:?}");
        }
    }

    #[test]
    fn nothing_is_terminated_at_once_but_what_is_held_and_whose_tasks_are_sure_of_a_place() {
        let mut lines = Vec::new();
        for reason in [
            RemoveReason::Empty,
            RemoveReason::Certified { tasks: 2 },
            RemoveReason::Replayed { tasks: 2 },
        ] {
            let [held, free] = [true, false].map(|held| after_drain(&reason, held));
            lines.push(format!("{}: held {held:?}, not held {free:?}", reason.code()));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        empty: held Terminate, not held LookAgain
        certified: held Terminate, not held LeaveToLaterSweep
        replayed: held LeaveToLaterSweep, not held LeaveToLaterSweep
        ");
    }

    #[test]
    fn what_came_before_the_drain_is_found_by_the_look_or_by_the_count() {
        let daemons = ["a", "b"].map(|id| Task {
            id: id.to_owned(),
            kind: TaskKind::Daemon,
            protected: false,
        });
        let is_empty = |seen: &[&'static str], counted| {
            is_still_empty(&daemons, seen.iter().copied(), counted)
        };
        assert!(is_empty(&["a", "b"], 2));
        assert!(is_empty(&[], 0), "the daemon tasks have stopped");
        assert!(is_empty(&["a"], 2), "one of them has stopped since the drain");
        assert!(!is_empty(&["a", "b", "web"], 2), "told to stop, so that it is not counted");
        assert!(!is_empty(&["web"], 1));
        assert!(!is_empty(&["a", "b"], 3), "a read that is behind does not show it yet");
        assert!(is_still_empty(&[], std::iter::empty(), 0));
        assert!(!is_still_empty(&[], std::iter::empty(), 1));
    }

    #[test]
    fn a_termination_is_tried_again_only_while_the_instance_is_in_service_and_not_for_ever() {
        let after = |state: &str, attempts| after_failure(Some(&state.into()), attempts);
        for attempts in 1..=4 {
            for state in ["Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated"] {
                assert_eq!(after(state, attempts), AfterFailure::Terminating, "{state}");
            }
            for state in ["Standby", "Detaching", "Warmed:Running", "Quarantined", ""] {
                assert_eq!(after(state, attempts), AfterFailure::GiveUp, "{state}");
            }
            assert_eq!(after_failure(None, attempts), AfterFailure::GiveUp);
        }
        assert_eq!(
            [1, 2, 3, 4].map(|attempts| after("InService", attempts)),
            [
                AfterFailure::TryAgain,
                AfterFailure::TryAgain,
                AfterFailure::GiveUp,
                AfterFailure::GiveUp
            ]
        );
    }
}

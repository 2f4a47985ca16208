//! What to do about an instance that was drained for a new root volume: it stays in its group, and
//! is to take tasks again once it is back.
//!
//! Source: EC2 Auto Scaling User Guide, replace-root-volume. Its agent may keep its registration, if
//! its state is on another volume, or register anew.

use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::{ContainerInstanceStatus, ObservedContainerInstance};
use crate::ids::{Cluster, ContainerInstanceArn};
use crate::lifecycle::decide::READ_LAG_MAX;

/// For how long the instance is waited for: a reboot and the start of the agent take minutes. One
/// that is not back by then is left as it is, DRAINING.
pub const RETURN_TIME_MAX: SignedDuration = SignedDuration::from_mins(15);

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reactivation {
    /// Set these container instances ACTIVE again.
    SetActive(Vec<(Cluster, ContainerInstanceArn)>),
    /// Wait, and look again.
    Wait,
    /// There is nothing to do, or nothing more.
    Leave {
        /// Why.
        why: String,
    },
}

/// The mark on a container instance that was drained for a new root volume, whose action was
/// completed `since` then. Whoever forges a message cannot write it, nor guess it.
pub fn return_mark(since: Timestamp) -> String {
    format!("returns:{since}")
}

/// Whether the mark that was read with a container instance says that it was drained for that.
pub fn is_marked(observed: &ObservedContainerInstance, since: Timestamp) -> bool {
    observed.attribute.as_ref().is_some_and(|mark| *mark == return_mark(since))
}

/// Decides about an instance whose root volume is replaced `since` then, from where it stands in its
/// group, `None` if it is in none, and from its container instances. Only those that are marked are
/// touched.
pub fn decide_reactivation(
    state: Option<&LifecycleState>,
    container_instances: &[ObservedContainerInstance],
    since: Timestamp,
    now: Timestamp,
) -> Reactivation {
    if !container_instances.iter().any(|observed| is_marked(observed, since)) {
        // A mark that was just written may not be read yet.
        return if now.duration_since(since) < READ_LAG_MAX {
            Reactivation::Wait
        } else {
            Reactivation::Leave { why: "nothing says that it was drained for that".to_owned() }
        };
    }
    match state {
        Some(LifecycleState::InService) => {}
        // The hook may still be over later in what the group says than in what it does.
        Some(
            LifecycleState::ReplacingRootVolume
            | LifecycleState::ReplacingRootVolumeWait
            | LifecycleState::ReplacingRootVolumeProceed
            | LifecycleState::RootVolumeReplaced
            | LifecycleState::Pending
            | LifecycleState::PendingWait
            | LifecycleState::PendingProceed,
        ) => return wait_or_leave(since, now),
        Some(state) => return Reactivation::Leave { why: format!("it is {state}") },
        None => return Reactivation::Leave { why: "it is in no group".to_owned() },
    }
    let connected = container_instances.iter().filter(|observed| observed.agent_connected);
    let mut to_activate = Vec::new();
    let mut has_active = false;
    for observed in connected {
        let found = &observed.container_instance;
        let key = (found.cluster.clone(), found.arn.clone());
        match found.status {
            ContainerInstanceStatus::Active => has_active = true,
            ContainerInstanceStatus::Draining if is_marked(observed, since) => {
                to_activate.push(key);
            }
            _ => {}
        }
    }
    if !to_activate.is_empty() {
        Reactivation::SetActive(to_activate)
    } else if has_active {
        Reactivation::Leave { why: "its container instance is ACTIVE".to_owned() }
    } else {
        wait_or_leave(since, now)
    }
}

fn wait_or_leave(since: Timestamp, now: Timestamp) -> Reactivation {
    if now.duration_since(since) < RETURN_TIME_MAX {
        Reactivation::Wait
    } else {
        Reactivation::Leave { why: "it did not come back in time".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::ContainerInstance;
    use crate::ids::InstanceId;

    const SINCE: Timestamp = Timestamp::UNIX_EPOCH;

    fn key(number: u8) -> (Cluster, ContainerInstanceArn) {
        (Cluster::new("shop"), ContainerInstanceArn::new(number.to_string()))
    }

    /// The first one is marked.
    fn observed(number: u8, status: &str, agent_connected: bool) -> ObservedContainerInstance {
        let (cluster, arn) = key(number);
        ObservedContainerInstance {
            container_instance: ContainerInstance {
                arn,
                cluster,
                instance_id: InstanceId::parse("i-0a1b2c3d").unwrap(),
                status: status.into(),
            },
            agent_connected,
            tasks_wanted: 0,
            attribute: (number == 1).then(|| return_mark(SINCE)),
        }
    }

    fn decided(state: &str, observed: &[ObservedContainerInstance], minutes: i64) -> Reactivation {
        let now = SINCE + SignedDuration::from_mins(minutes);
        decide_reactivation(Some(&state.into()), observed, SINCE, now)
    }

    #[test]
    fn what_was_drained_is_active_again_once_its_agent_is_back() {
        let back = observed(1, "DRAINING", true);
        assert_eq!(decided("InService", &[back], 1), Reactivation::SetActive(vec![key(1)]));
        assert_eq!(decided("InService", &[observed(1, "DRAINING", false)], 1), Reactivation::Wait);
    }

    #[test]
    fn what_somebody_else_drained_and_what_registered_anew_is_left_alone() {
        let foreign = observed(2, "DRAINING", true);
        let left = decided("InService", std::slice::from_ref(&foreign), 1);
        assert!(matches!(left, Reactivation::Leave { .. }), "{left:?}");
        let away = observed(1, "DRAINING", false);
        assert_eq!(decided("InService", &[foreign, away], 1), Reactivation::Wait);
        let ghost = observed(1, "DRAINING", false);
        let anew = decided("InService", &[ghost, observed(2, "ACTIVE", true)], 1);
        assert!(matches!(anew, Reactivation::Leave { .. }), "{anew:?}");
    }

    #[test]
    fn it_is_waited_for_while_it_is_away_and_no_longer_than_that() {
        for state in ["ReplacingRootVolume:Wait", "ReplacingRootVolume:Proceed", "Pending"] {
            assert_eq!(decided(state, &[observed(1, "DRAINING", true)], 14), Reactivation::Wait);
            let late = decided(state, &[observed(1, "DRAINING", true)], 15);
            assert!(matches!(late, Reactivation::Leave { .. }), "{state}: {late:?}");
        }
        for state in ["Terminating:Wait", "Terminated", "Standby"] {
            let left = decided(state, &[observed(1, "DRAINING", true)], 0);
            assert!(matches!(left, Reactivation::Leave { .. }), "{state}: {left:?}");
        }
        let drained = [observed(1, "DRAINING", true)];
        let gone = decide_reactivation(None, &drained, SINCE, SINCE);
        assert!(matches!(gone, Reactivation::Leave { .. }), "{gone:?}");
    }

    #[test]
    fn without_the_mark_of_its_own_drain_nothing_is_set_active() {
        let drained = [observed(1, "DRAINING", true)];
        let forged = SINCE - SignedDuration::from_nanos(1);
        let now = SINCE + SignedDuration::from_secs(60);
        for state in ["InService", "ReplacingRootVolume", "Terminating:Wait"] {
            let left = decide_reactivation(Some(&state.into()), &drained, forged, now);
            assert!(matches!(left, Reactivation::Leave { .. }), "{state}: {left:?}");
            let lagging = decide_reactivation(Some(&state.into()), &drained, forged, forged);
            assert_eq!(lagging, Reactivation::Wait, "{state}");
        }
    }
}

//! What to do about an instance that was drained for a new root volume: it stays in its group, and
//! is to take tasks again once it is back.
//!
//! Source: EC2 Auto Scaling User Guide, replace-root-volume. Its agent may keep its registration, if
//! its state is on another volume, or register anew.

use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::{ContainerInstanceStatus, ObservedContainerInstance};
use crate::ids::{Cluster, ContainerInstanceArn};

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

/// Decides about an instance whose root volume is replaced `since` then, from where it stands in its
/// group, `None` if it is in none, and from its container instances. Only those that were drained
/// for that, `drained`, are touched.
pub fn decide_reactivation(
    state: Option<&LifecycleState>,
    container_instances: &[ObservedContainerInstance],
    drained: &[(Cluster, ContainerInstanceArn)],
    since: Timestamp,
    now: Timestamp,
) -> Reactivation {
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
            ContainerInstanceStatus::Draining if drained.contains(&key) => to_activate.push(key),
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
            attribute: None,
        }
    }

    fn decided(state: &str, observed: &[ObservedContainerInstance], minutes: i64) -> Reactivation {
        let now = SINCE + SignedDuration::from_mins(minutes);
        decide_reactivation(Some(&state.into()), observed, &[key(1)], SINCE, now)
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
        assert_eq!(decided("InService", &[foreign], 1), Reactivation::Wait);
        let ghost = observed(1, "DRAINING", false);
        let anew = decided("InService", &[ghost, observed(2, "ACTIVE", true)], 1);
        assert!(matches!(anew, Reactivation::Leave { .. }), "{anew:?}");
    }

    #[test]
    fn it_is_waited_for_while_it_is_away_and_no_longer_than_that() {
        for state in ["ReplacingRootVolume:Wait", "ReplacingRootVolume:Proceed", "Pending"] {
            assert_eq!(decided(state, &[observed(1, "DRAINING", true)], 14), Reactivation::Wait);
            let late = decided(state, &[], 15);
            assert!(matches!(late, Reactivation::Leave { .. }), "{state}: {late:?}");
        }
        for state in ["Terminating:Wait", "Terminated", "Standby"] {
            let left = decided(state, &[observed(1, "DRAINING", true)], 0);
            assert!(matches!(left, Reactivation::Leave { .. }), "{state}: {left:?}");
        }
        let gone = decide_reactivation(None, &[], &[key(1)], SINCE, SINCE);
        assert!(matches!(gone, Reactivation::Leave { .. }), "{gone:?}");
    }
}

//! Whether a capacity provider's managed scaling makes a group larger just now, or did a short
//! while ago: nothing of it is to be drained then.
//!
//! Told by what a sweep reads anyway. CloudWatch's alarms and the group's activities would say it
//! as well, for calls and permissions of their own. What managed scaling leaves of a group at rest is
//! for the planner to say.

use ebb_planner::Group;
use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// What sweeps do with groups whose size a capacity provider's managed scaling decides.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ManagedScalingMode {
        /// They drain what nobody needs. Where ECS protects what holds tasks, it takes the emptied
        /// instance itself.
        Assist = "assist",
        /// They leave such groups alone.
        Leave = "leave",
    }
}

/// For how long ECS scales nothing in after it has scaled out (ECS Developer Guide,
/// managed-scaling-behavior). Counted from the registration of the youngest instance, which comes
/// after the scale-out: so the time is never over too early.
const AFTER_SCALE_OUT: SignedDuration = SignedDuration::from_mins(15);

/// Notes in a group under managed scaling that it may not be shrunk while it is scaled out, nor for
/// 15 minutes after that. `members` are its instances, with what each counts for, and `youngest` is
/// when the last of them registered.
pub fn note_scale_out<'m>(
    group: &mut Group,
    members: impl Iterator<Item = (&'m LifecycleState, i64)>,
    youngest: Option<Timestamp>,
    now: Timestamp,
) {
    let Some(scaling) = &mut group.managed_scaling else { return };
    let (mut in_service, mut is_launching) = (0_i64, false);
    for (state, weight) in members {
        is_launching |= state.as_str().starts_with("Pending");
        if *state == LifecycleState::InService {
            in_service = in_service.saturating_add(weight.max(1));
        }
    }
    scaling.scaling_out = is_launching || group.desired_capacity > in_service;
    let is_recent = youngest.is_some_and(|youngest| now.duration_since(youngest) < AFTER_SCALE_OUT);
    let why = if scaling.scaling_out {
        "it is being scaled out"
    } else if is_recent {
        "its youngest instance registered less than 15 minutes ago"
    } else {
        return;
    };
    // What stands in the way already stays the reason.
    group.unavailable.get_or_insert_with(|| why.to_owned());
}

#[cfg(test)]
mod tests {
    use ebb_planner::ManagedScaling;

    use super::*;
    use crate::reaper::testing::{NOW, seconds_ago};

    /// What a group of three, with instances in these states, is said to be.
    fn noted(states: &[&str], youngest: i64, is_managed: bool) -> (bool, Option<String>) {
        let scaling = ManagedScaling {
            target_capacity: 100,
            termination_protection: true,
            scaling_out: false,
        };
        let mut group = Group {
            desired_capacity: 3,
            managed_scaling: is_managed.then_some(scaling),
            ..Group::default()
        };
        let states: Vec<LifecycleState> = states.iter().map(|&state| state.into()).collect();
        let members = states.iter().map(|state| (state, 1));
        note_scale_out(&mut group, members, Some(seconds_ago(youngest)), NOW);
        (group.managed_scaling.is_some_and(|scaling| scaling.scaling_out), group.unavailable)
    }

    #[test]
    fn a_group_is_scaled_out_while_it_lacks_an_instance_or_one_is_launching() {
        let all = ["InService"; 3];
        assert_eq!(noted(&all, 900, true), (false, None));
        for states in [
            &["InService", "InService"][..],
            &["InService", "InService", "Pending"],
            &["InService", "InService", "InService", "Pending:Wait"],
            &["InService", "InService", "Terminating:Wait"],
        ] {
            let (scaling_out, why) = noted(states, 86_400, true);
            assert!(scaling_out, "{states:?}");
            assert_eq!(why.as_deref(), Some("it is being scaled out"), "{states:?}");
            assert_eq!(noted(states, 86_400, false), (false, None), "nobody scales it");
        }
    }

    #[test]
    fn for_fifteen_minutes_after_a_scale_out_nothing_goes() {
        let all = ["InService"; 3];
        let why = "its youngest instance registered less than 15 minutes ago".to_owned();
        assert_eq!(noted(&all, 899, true), (false, Some(why)));
        assert_eq!(noted(&all, 899, false), (false, None), "nobody scales it");
    }
}

//! When nothing is removed in a cluster, whatever there is room for: something is wrong in it, and
//! fewer instances would make that worse. What earlier sweeps drained goes on: its tasks have left.
//!
//! Holding the instances back is left to [`crate::reaper::hold_back`].

use std::collections::BTreeMap;

use ebb_planner::{Inventory, KeepReason};
use jiff::Timestamp;

use crate::ecs::ContainerInstanceStatus;
use crate::ids::InstanceId;
use crate::mark::Mark;
use crate::reaper::follow_up::{FollowUp, STALLED_AFTER};
use crate::words;

/// Why nothing is removed in a cluster now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// What is wrong.
    pub cause: HaltCause,
    /// The same for people, with names and numbers.
    pub why: String,
}

/// What may be wrong in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltCause {
    /// The agents of many instances are disconnected.
    AgentsDisconnected,
    /// The deployment of a service fails.
    DeploymentFails,
    /// A drain of an earlier sweep is given up.
    DrainFailed,
    /// An Availability Zone is given up for a while, or may be.
    ZonalShift,
}

/// Why nothing is removed in a cluster now, if so. `failing` are its services whose deployment fails,
/// and `decided` is what becomes of earlier drains.
pub fn halt(
    inventory: &Inventory,
    failing: &[String],
    decided: &[(usize, FollowUp)],
    disconnected_percent_max: u32,
    now: Timestamp,
) -> Option<Halt> {
    let of = |cause| move |why| Halt { cause, why };
    disconnected(inventory, disconnected_percent_max)
        .map(of(HaltCause::AgentsDisconnected))
        .or_else(|| deployment_fails(failing).map(of(HaltCause::DeploymentFails)))
        .or_else(|| drain_failed(inventory, decided, now).map(of(HaltCause::DrainFailed)))
}

/// All of its instances, held back for this reason.
pub fn all_held(inventory: &Inventory, halt: &Halt) -> BTreeMap<InstanceId, KeepReason> {
    let ids = inventory.instances.iter().map(|instance| instance.instance_id.clone());
    ids.map(|id| (id, KeepReason::Halted(halt.why.clone()))).collect()
}

/// Who loses many agents at once has a network or a control plane to mend.
fn disconnected(inventory: &Inventory, percent_max: u32) -> Option<String> {
    let active = inventory
        .instances
        .iter()
        .filter(|instance| instance.status == ContainerInstanceStatus::Active);
    let disconnected = active.clone().filter(|instance| !instance.agent_connected).count();
    let active = active.count();
    let is_more = disconnected * 100 > active * usize::try_from(percent_max).unwrap_or(100);
    is_more.then(|| {
        format!(
            "the agents of {disconnected} of {} are disconnected, more than \
             HALT_AT_DISCONNECTED_PERCENT ({})",
            words::count(active, "ACTIVE instance"),
            words::percent(percent_max)
        )
    })
}

/// A deployment that fails is mended by another, or rolled back, and either needs room.
fn deployment_fails(failing: &[String]) -> Option<String> {
    let (first, others) = failing.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        others => format!(", as do those of {}", words::count(others, "other service")),
    };
    Some(format!("the deployment of service {first} fails{others}"))
}

/// Tasks that do not find their places, or do not stop, are to be looked at before more move.
fn drain_failed(
    inventory: &Inventory,
    decided: &[(usize, FollowUp)],
    now: Timestamp,
) -> Option<String> {
    decided.iter().find_map(|(index, decision)| {
        let instance = &inventory.instances[*index];
        let mark = Mark::among(&instance.attributes)?;
        let is_given_up = matches!(decision, FollowUp::Reactivate { load: false, .. })
            && mark.cause.is_none()
            && now.duration_since(mark.at) >= STALLED_AFTER;
        is_given_up.then(|| format!("the drain of {} is given up", instance.instance_id))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ebb_planner::Instance;

    use super::*;
    use crate::mark::{Cause, DRAINED_BY};
    use crate::reaper::testing::{NOW, instance, inventory, seconds_ago};

    /// Why nothing goes in a cluster of eight with so many disconnected agents.
    fn of_eight(disconnected: u64, percent_max: u32) -> Option<String> {
        let instances = (0..8)
            .map(|number| Instance { agent_connected: number >= disconnected, ..instance(number) });
        halt(&inventory(instances.collect()), &[], &[], percent_max, NOW).map(|halt| halt.why)
    }

    #[test]
    fn more_disconnected_agents_than_the_setting_halt_and_as_many_do_not() {
        assert_eq!(of_eight(2, 25), None);
        assert_eq!(
            of_eight(3, 25).unwrap(),
            "the agents of 3 of 8 ACTIVE instances are disconnected, more than \
             HALT_AT_DISCONNECTED_PERCENT (25 %)"
        );
        assert_eq!((of_eight(0, 0), of_eight(8, 100)), (None, None));
        assert!(of_eight(1, 0).is_some());
        assert_eq!(halt(&inventory(Vec::new()), &[], &[], 0, NOW), None);
    }

    #[test]
    fn what_drains_is_neither_connected_nor_disconnected() {
        let draining = |number| Instance {
            status: ContainerInstanceStatus::Draining,
            agent_connected: false,
            ..instance(number)
        };
        let instances = (0..8).map(instance).chain((8..16).map(draining)).collect();
        assert_eq!(halt(&inventory(instances), &[], &[], 25, NOW), None);
    }

    #[test]
    fn a_deployment_that_fails_halts() {
        let of = |services: &[&str]| {
            let failing: Vec<_> = services.iter().map(|&name| name.to_owned()).collect();
            halt(&inventory(vec![instance(1)]), &failing, &[], 25, NOW).map(|halt| halt.why)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["web"]).unwrap(), "the deployment of service web fails");
        assert_eq!(
            of(&["web", "api", "job"]).unwrap(),
            "the deployment of service web fails, as do those of 2 other services"
        );
    }

    #[test]
    fn a_drain_that_is_given_up_halts_and_what_comes_back_for_another_reason_does_not() {
        let decided = |seconds, cause, load| {
            let mark = Mark { function: "f".to_owned(), at: seconds_ago(seconds), cause };
            let attributes = BTreeMap::from([(DRAINED_BY.to_owned(), mark.to_string())]);
            let cluster = inventory(vec![Instance { attributes, ..instance(1) }]);
            let decided = [(0, FollowUp::Reactivate { why: String::new(), load })];
            halt(&cluster, &[], &decided, 25, NOW).map(|halt| halt.why)
        };
        assert_eq!(
            decided(7_200, None, false).unwrap(),
            "the drain of i-0a1b2c3d4e5f60001 is given up"
        );
        assert_eq!(decided(7_199, None, false), None, "its group may not shrink any more");
        assert_eq!(decided(7_200, None, true), None, "load has come back");
        assert_eq!(decided(7_200, Some(Cause::Stop), false), None, "an interruption");
    }
}

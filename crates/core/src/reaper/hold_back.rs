//! A plan without what is held back for reasons that the planner does not know: that an instance
//! could not go for long enough yet, that one came back a short time ago. Which those are is left to
//! [`crate::reaper::sustained`].

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Inventory, KEEP_ATTRIBUTE, KeepReason, Plan, Policy, Saving};
use jiff::Timestamp;

use crate::ids::InstanceId;

/// The plan made anew without the instances that are held back, so that others may go in their
/// place. What was to go stays for the reason that it is held back for, and what was to stay for the
/// reason that it had.
pub fn hold_back(
    planned: Plan,
    inventory: &Inventory,
    held: &BTreeMap<InstanceId, KeepReason>,
    policy: &Policy,
    now: Timestamp,
) -> Plan {
    if planned.remove.iter().all(|removal| !held.contains_key(&removal.instance_id)) {
        return planned;
    }
    let mut inventory = inventory.clone();
    for instance in &mut inventory.instances {
        if held.contains_key(&instance.instance_id) {
            // What bears this attribute is no candidate, and as much room as before.
            instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
        }
    }
    let mut replanned = ebb_planner::plan(&inventory, policy, now);
    let going: BTreeSet<_> = planned.remove.iter().map(|removal| &removal.instance_id).collect();
    let kept: BTreeMap<_, _> =
        planned.keep.iter().map(|kept| (&kept.instance_id, &kept.reason)).collect();
    for stays in &mut replanned.keep {
        let id = &stays.instance_id;
        let reason = if going.contains(id) { held.get(id) } else { kept.get(id).copied() };
        if let Some(reason) = reason.filter(|_| held.contains_key(id)) {
            stays.reason = reason.clone();
        }
    }
    // The bound is about the cluster, whatever is held back in it.
    Plan { saving: Saving { bound: planned.saving.bound, ..replanned.saving }, ..replanned }
}

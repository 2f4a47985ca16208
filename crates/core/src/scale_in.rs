//! Which container instances of a cluster nobody needs, and why each of them goes or stays.
//!
//! The decision is [`plan`]: from an [`Inventory`] and a [`Policy`] to a [`Plan`]. Reading the inventory and carrying the
//! plan out is left to the `scale-in-reaper`.

mod answer;
pub mod earlier;
mod eligibility;
mod inventory;
mod plan;
mod policy;
mod reason;
pub mod seen;
pub mod sweep;
mod text;

use jiff::Timestamp;

pub use self::answer::{Answer, Done, OutcomeKind, Swept};
use self::eligibility::eligibility;
pub use self::inventory::{
    DIMENSIONS, Group, HostPort, Instance, Inventory, Protocol, Resources, Service, Strategy, Task, TaskKind,
};
pub use self::plan::{Headroom, Kept, Move, Plan, Removal, Saving};
pub use self::policy::{Policy, Search};
pub use self::reason::{KeepReason, RemoveReason};
pub use self::text::text;

/// Plans the removal of instances from a cluster.
///
/// Pure, deterministic and total: an inventory that contradicts itself gives kept instances with that reason. The plan
/// does not depend on the order of the inventory.
pub fn plan(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Plan {
    let eligibility = eligibility(inventory, policy, now);
    let mut plan = Plan {
        cluster: inventory.cluster.clone(),
        remove: Vec::new(),
        keep: Vec::new(),
        headroom_before: Headroom::default(),
        headroom_after: Headroom::default(),
        saving: Saving::default(),
        moves: Vec::new(),
        steps: 0,
    };
    for (instance, kept) in inventory.instances.iter().zip(eligibility.kept) {
        let reason = kept.unwrap_or(KeepReason::MaxRemovals);
        plan.keep.push(Kept { instance_id: instance.instance_id.clone(), reason });
    }
    plan
}

/// The instances whose tasks are worth reading, by index, best first: those that every other rule would let go. To be
/// asked about an inventory without tasks.
pub fn worth_reading(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Vec<usize> {
    let eligibility = eligibility(inventory, policy, now);
    let unread =
        |(index, kept): (usize, &Option<KeepReason>)| (*kept == Some(KeepReason::NotRead)).then_some(index);
    let mut worth: Vec<_> = eligibility.kept.iter().enumerate().filter_map(unread).collect();
    worth.sort_by_key(|&index| held(&inventory.instances[index]));
    worth
}

/// What is held of an instance's larger resource, in thousandths: the fuller, the later it is worth a look.
fn held(instance: &Instance) -> i64 {
    let (Some(all), Some(free)) = (instance.registered, instance.remaining) else { return i64::MAX };
    let share = |all: i64, free: i64| if all > 0 { (all - free).saturating_mul(1000) / all } else { 0 };
    share(all.cpu, free.cpu).max(share(all.memory_mib, free.memory_mib))
}

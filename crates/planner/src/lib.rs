//! Which container instances of a cluster nobody needs, and why each of them goes or stays.
//!
//! The decision is [`plan()`]: from an [`Inventory`] and a [`Policy`] to a [`Plan`]. Reading the inventory and carrying the
//! plan out is left to the `scale-in-reaper`.
//!
//! In order: `eligibility` asks each instance's own facts. `model` puts the rest into numbers, `limits` says how far a plan
//! may go, `room` what free room is of use, `bound` what that is worth and what no plan could save. `order` says which candidates are tried first;
//! what is safe under ECS's own placement is decided in `safe`, by a `certificate` and by `replay`.

#![warn(missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "instances, services and tasks are numbered within bounds that `eligibility` keeps; amounts are below 2³⁰"
)]

mod bound;
mod certificate;
pub mod ecs;
mod eligibility;
mod expression;
mod findings;
mod group_rules;
mod headroom;
pub mod ids;
mod inventory;
mod limits;
mod model;
mod order;
mod plan;
mod policy;
mod reason;
mod replay;
mod rng;
mod room;
mod safe;
#[cfg(test)]
mod testing;
pub mod words;

use jiff::Timestamp;

use crate::bound::prices;
use crate::ecs::ContainerInstanceStatus;
pub use crate::ecs::{DIMENSIONS, HostPort, Protocol, Resources};
use crate::eligibility::{Eligibility, eligibility};
use crate::findings::Findings;
pub use crate::group_rules::kept_by_group;
pub use crate::headroom::Headroom;
pub use crate::inventory::{Group, Instance, Inventory, Service, Strategy, Task, TaskKind};
use crate::limits::Limits;
use crate::model::Model;
use crate::order::gentle_order;
pub use crate::plan::{Kept, Plan, Removal, Saving};
pub use crate::policy::Policy;
pub use crate::reason::{HeadroomResource, KeepReason, RemoveReason};

/// Plans the removal of instances from a cluster.
///
/// Pure, deterministic and total: an inventory that contradicts itself gives kept instances with that reason. The plan
/// does not depend on the order of the inventory.
pub fn plan(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Plan {
    let eligibility = eligibility(inventory, policy, now);
    // Few clusters have GPUs or task network interfaces to count.
    let flat = |resources: Resources| resources.gpus == 0 && resources.network_interfaces == 0;
    if inventory.services.iter().all(|service| flat(service.demand)) {
        solve::<2>(inventory, policy, &eligibility)
    } else {
        solve::<4>(inventory, policy, &eligibility)
    }
}

fn solve<const D: usize>(
    inventory: &Inventory,
    policy: &Policy,
    eligibility: &Eligibility,
) -> Plan {
    let mut model = Model::<D>::new(inventory, eligibility);
    let nowhere = model.prune();
    let limits = Limits::new(inventory, policy, &model);
    let (prices, steps) = prices(&model, &limits);
    let order = gentle_order(&model, &prices);
    // Replays know nothing of what is on its way or drains already.
    let settled = model.kinds.iter().all(|kind| kind.in_flight == 0)
        && inventory.instances.iter().all(|one| one.status != ContainerInstanceStatus::Draining);
    let mut safe = safe::certified(&model, &limits, &order, policy.steps_max);
    if settled && safe.limits.removals() > 0 {
        safe = safe::extended(safe, inventory, &model, &prices, &order, policy.steps_max);
    }
    let findings = Findings {
        inventory,
        eligibility,
        model: &model,
        nowhere,
        bound: prices.bound,
        steps: steps + safe.steps,
    };
    findings.of_safe(&safe)
}

/// The instances whose tasks are worth reading, by index, best first: those that every other rule would let go. To be
/// asked about an inventory without tasks.
pub fn worth_reading(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Vec<usize> {
    let eligibility = eligibility(inventory, policy, now);
    let unread = |(index, kept): (usize, &Option<KeepReason>)| {
        (*kept == Some(KeepReason::NotRead)).then_some(index)
    };
    let mut worth: Vec<_> = eligibility.kept.iter().enumerate().filter_map(unread).collect();
    worth.sort_by(|&one, &other| {
        let [one, other] = [one, other].map(|index| &inventory.instances[index]);
        held(one).cmp(&held(other)).then_with(|| one.instance_id.cmp(&other.instance_id))
    });
    worth
}

/// What is held of an instance's larger resource, in thousandths: the fuller, the later it is worth a look.
fn held(instance: &Instance) -> i64 {
    let (Some(all), Some(free)) = (instance.registered, instance.remaining) else {
        return i64::MAX;
    };
    let share =
        |all: i64, free: i64| if all > 0 { (all - free).saturating_mul(1000) / all } else { 0 };
    share(all.cpu, free.cpu).max(share(all.memory_mib, free.memory_mib))
}

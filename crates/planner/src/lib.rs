//! Which container instances of a cluster nobody needs, and why each of them goes or stays.
//!
//! The decision is [`plan()`]: from an [`Inventory`] and a [`Policy`] to a [`Plan`]. Reading the
//! inventory and carrying the plan out is left to the `scale-in-reaper`.
//!
//! `plan` below is the table of contents: its steps are the modules, in order. Why was this
//! instance kept? Its [`KeepReason`] names the rule; the rules that need no other instance are
//! listed in `eligibility`, those that do in `limits`, and what its tasks would meet elsewhere is
//! said in `findings`.

#![warn(missing_docs)]

mod amount;
pub mod auto_scaling;
mod bound;
mod cast;
mod certificate;
mod classes;
mod counts;
pub mod ecs;
mod eligibility;
mod expression;
mod findings;
mod group_rules;
mod headroom;
pub mod ids;
mod index;
mod instance_set;
mod inventory;
mod landing;
mod limits;
mod managed_scaling;
mod model;
mod order;
mod pattern;
mod plan;
mod policy;
mod reach;
mod reason;
mod rehearsal;
mod replay;
mod rng;
mod room;
mod safe;
mod subject;
#[cfg(test)]
mod testing;
pub mod words;

use jiff::Timestamp;

pub use crate::amount::Amount;
use crate::bound::prices;
pub use crate::ecs::{DIMENSIONS, HostPort, Protocol, Resources};
use crate::eligibility::{Eligibility, eligibility};
use crate::findings::Findings;
pub use crate::group_rules::{group_may_shrink, kept_by_group};
pub use crate::headroom::Headroom;
pub use crate::inventory::{
    CAPACITY_PROVIDER, EMPTIED_ATTRIBUTE, Group, Instance, Inventory, KEEP_ATTRIBUTE, KEEP_TAG,
    ManagedScaling, Service, Strategy, Task, TaskKind,
};
pub use crate::landing::landing_places;
use crate::limits::Limits;
use crate::managed_scaling::undone_groups;
pub use crate::managed_scaling::{is_kept_as_spare, spare_instances};
use crate::model::Model;
use crate::order::gentle_order;
pub use crate::plan::{Kept, Motion, Plan, Removal, Reserved, Saving};
pub use crate::policy::Policy;
pub use crate::reason::{HeadroomResource, KeepReason, RemoveReason};
pub use crate::rehearsal::{Move, Rehearsal, rehearse};

/// Plans the removal of instances from a cluster.
///
/// Pure, deterministic and total: an inventory that contradicts itself gives kept instances with
/// that reason. The plan does not depend on the order of the inventory.
pub fn plan(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Plan {
    // First what each instance's own facts say, as all else is asked of candidates alone. Gives a
    // reason to keep, or none, for each, and which instances are capacity.
    let mut eligibility = eligibility(inventory, policy, now);
    // What managed scaling would undo is found by the plan as a whole. Every round but the last
    // holds a group back further, and there are two steps to that: so there are no more rounds than
    // twice the groups, and one.
    loop {
        let plan = plan_eligible(inventory, policy, &eligibility);
        let undone = undone_groups(inventory, &plan);
        if undone.is_empty() {
            return plan;
        }
        eligibility.hold(inventory, undone);
    }
}

fn plan_eligible(inventory: &Inventory, policy: &Policy, eligibility: &Eligibility) -> Plan {
    // Few clusters have GPUs or task network interfaces to count: without them, all that follows
    // has half the numbers.
    if inventory.services.iter().all(|service| needs_cpu_and_memory_alone(service.demand)) {
        plan_in_dimensions::<2>(inventory, policy, eligibility)
    } else {
        plan_in_dimensions::<4>(inventory, policy, eligibility)
    }
}

fn needs_cpu_and_memory_alone(demand: Resources) -> bool {
    demand.gpus == 0 && demand.network_interfaces == 0
}

fn plan_in_dimensions<const D: usize>(
    inventory: &Inventory,
    policy: &Policy,
    eligibility: &Eligibility,
) -> Plan {
    // The inventory in numbers: usable instances, and kinds of interchangeable tasks. From here on
    // nothing is read from text.
    let mut model = Model::<D>::new(inventory, eligibility);
    // Candidates with a task that fits nowhere else stop being candidates before anything is
    // priced: the bound is closer to the truth without them. Gives that task's kind for each.
    let unplaceable = model.prune();
    // What the operator and the groups allow to go in all, before anything goes.
    let limits = Limits::new(inventory, policy, &model, &eligibility.held);
    // What room is worth, and what no plan within the limits could exceed.
    let prices = prices(&model, &limits);
    // The candidates, best first, by those prices. The search goes through them in this order, so
    // that it comes last of what is done for all of them.
    let order = gentle_order(&model, &prices);
    // What can go for sure, wherever ECS places its tasks. Comes before the replays, as those only
    // add to it.
    let mut safe = safe::certified(&model, limits, &order, policy.steps_max);
    // What can go as well by the services' own placement strategies, as far as those can be
    // replayed.
    if is_settled(inventory, &model) && safe.limits.removals() > 0 {
        safe = safe::extended(safe, inventory, &model, &prices, &order, policy.steps_max);
    }
    // Every instance with its reason, and what is saved.
    let findings = Findings {
        inventory,
        eligibility,
        model: &model,
        unplaceable: &unplaceable,
        bound: prices.bound,
        safe: &safe,
        steps: prices.steps + safe.steps,
    };
    findings.into_plan()
}

/// Whether nothing is on its way and nothing drains: replays know of neither.
fn is_settled<const D: usize>(inventory: &Inventory, model: &Model<D>) -> bool {
    model.kinds.iter().all(|kind| kind.in_flight == 0 && kind.to_rebalance == 0)
        && !inventory.instances.iter().any(Instance::is_draining)
}

/// The instances whose tasks are worth reading, by their position in the inventory, best first:
/// those that every other rule would let go. To be asked about an inventory without tasks.
pub fn candidates_to_inspect(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Vec<usize> {
    let eligibility = eligibility(inventory, policy, now);
    let mut positions: Vec<usize> = (0..inventory.instances.len())
        .filter(|&position| eligibility.kept[position] == Some(KeepReason::NotRead))
        .collect();
    // 1. The emptiest first: they are the likeliest to go. 2. By id, so that the order of the
    // inventory does not matter.
    positions.sort_by(|&a, &b| {
        let [a, b] = [a, b].map(|position| &inventory.instances[position]);
        fullness(a).cmp(&fullness(b)).then_with(|| a.instance_id.cmp(&b.instance_id))
    });
    positions
}

/// What is held of an instance's fuller resource, in thousandths.
fn fullness(instance: &Instance) -> i64 {
    let (Some(registered), Some(remaining)) = (instance.registered, instance.remaining) else {
        // Of unknown size: taken for full, and so inspected last.
        return i64::MAX;
    };
    let cpu = held_thousandths(registered.cpu, remaining.cpu);
    cpu.max(held_thousandths(registered.memory_mib, remaining.memory_mib))
}

fn held_thousandths(registered: i64, remaining: i64) -> i64 {
    if registered > 0 { (registered - remaining).saturating_mul(1000) / registered } else { 0 }
}

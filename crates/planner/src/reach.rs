//! What must be left where the platform and the subnets of services let their tasks run: room that
//! only other tasks may use is no headroom for these, and no instance left for them.
//!
//! Constraints that operators wrote themselves are left to the search: they ask for room, and not
//! for headroom.

use crate::classes::Reach;
use crate::index::{InstanceIndex, Numbered, Table};
use crate::model::{Amounts, Kind, Model};
use crate::policy::Policy;
use crate::reason::HeadroomResource;

/// What is left of the limits within a reach.
#[derive(Debug, Clone)]
pub(crate) struct ReachLimit {
    /// The first service whose reach it is, by name.
    pub(crate) service: String,
    /// How many instances are left within, and the least number.
    instances: usize,
    min_instances: usize,
    /// In hundredths: what is free of CPU and memory beyond the headroom.
    spare: [i64; 2],
    /// What removing each instance takes; `None` if that changes nothing within.
    taken: Table<InstanceIndex, Option<Taken>>,
}

/// What removing an instance takes of a reach.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Whether it is within, and not only tasks on it that may move there.
    instance: bool,
    /// In hundredths: of CPU and memory beyond the headroom.
    spare: [i64; 2],
}

/// What would be short within a reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    Instances,
    Headroom(HeadroomResource),
}

impl ReachLimit {
    /// The limits before anything is removed.
    pub(crate) fn new<const D: usize>(reach: &Reach, policy: &Policy, model: &Model<D>) -> Self {
        let takes: Vec<bool> = model.kinds.iter().map(|kind| takes(reach, kind)).collect();
        let percent = [policy.headroom_cpu_percent, policy.headroom_memory_percent].map(i64::from);
        let (mut instances, mut spare) = (0, [0; 2]);
        let mut taken = Table::default();
        for instance in model.instances() {
            let is_within = reach.classes[model.class[instance]];
            let mut of_instance = [0; 2];
            if is_within {
                instances += 1;
                add(&mut of_instance, &model.free[instance], 100);
                for (dimension, percent) in percent.into_iter().enumerate() {
                    of_instance[dimension] -=
                        percent * i64::from(model.capacity[instance][dimension]);
                }
                spare = std::array::from_fn(|dimension| spare[dimension] + of_instance[dimension]);
            }
            let mut moves_there = false;
            for &(kind, count) in model.movable.of(instance) {
                if takes[kind.position()] {
                    moves_there = true;
                    add(&mut of_instance, &model.kinds[kind].demand, 100 * i64::from(count));
                }
            }
            let changes = is_within || moves_there;
            taken.push(changes.then_some(Taken { instance: is_within, spare: of_instance }));
        }
        for (kind, _) in model.kinds.iter().zip(takes).filter(|(_, takes)| *takes) {
            add(&mut spare, &kind.demand, -100 * i64::from(kind.in_flight));
        }
        Self {
            service: reach.service.clone(),
            instances,
            min_instances: policy.min_instances,
            spare,
            taken,
        }
    }

    /// What would be short if an instance went as well, if anything.
    pub(crate) fn shortage(&self, instance: InstanceIndex) -> Option<Shortage> {
        let taken = self.taken[instance]?;
        if taken.instance && self.instances <= self.min_instances {
            return Some(Shortage::Instances);
        }
        // Where no instance is left there is no headroom to leave, and nothing moves there.
        if self.instances == usize::from(taken.instance) {
            return None;
        }
        let [cpu, memory] = [0, 1].map(|dimension| self.spare[dimension] < taken.spare[dimension]);
        if cpu {
            return Some(Shortage::Headroom(HeadroomResource::Cpu));
        }
        memory.then_some(Shortage::Headroom(HeadroomResource::Memory))
    }

    /// Takes a removed instance.
    pub(crate) fn take(&mut self, instance: InstanceIndex) {
        let Some(taken) = self.taken[instance] else { return };
        self.instances -= usize::from(taken.instance);
        self.spare.iter_mut().zip(taken.spare).for_each(|(spare, taken)| *spare -= taken);
    }

    /// Gives back what [`ReachLimit::take`] took.
    pub(crate) fn give_back(&mut self, instance: InstanceIndex) {
        let Some(taken) = self.taken[instance] else { return };
        self.instances += usize::from(taken.instance);
        self.spare.iter_mut().zip(taken.spare).for_each(|(spare, taken)| *spare += taken);
    }
}

/// Whether a task of a kind may come to run within.
fn takes<const D: usize>(reach: &Reach, kind: &Kind<D>) -> bool {
    kind.classes().any(|class| reach.classes[class])
}

/// Adds so many times the CPU and the memory.
fn add<const D: usize>(sums: &mut [i64; 2], amounts: &Amounts<D>, times: i64) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum = sum.saturating_add(times.saturating_mul(i64::from(*amount)));
    }
}

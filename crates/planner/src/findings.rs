//! Puts a plan together from what was found out: what goes, what stays, and why each of them does.

use crate::eligibility::Eligibility;
use crate::headroom::headroom;
use crate::inventory::Inventory;
use crate::model::Model;
use crate::plan::{Kept, Plan, Removal, Saving};
use crate::reason::{KeepReason, RemoveReason};
use crate::safe::Safe;
use crate::words::count;

/// What a plan is put together from.
pub(crate) struct Findings<'a, const D: usize> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) eligibility: &'a Eligibility,
    pub(crate) model: &'a Model<D>,
    /// By instance: a kind of task on it that has no place on any other instance.
    pub(crate) nowhere: Vec<Option<u16>>,
    pub(crate) bound: f64,
    pub(crate) steps: u64,
}

impl<const D: usize> Findings<'_, D> {
    /// What is safe goes.
    pub(crate) fn of_safe(&self, safe: &Safe) -> Plan {
        // What was certified for itself is not any more once others go as well.
        let certified = safe.core == safe.taken.len();
        let because = |tasks| {
            if certified {
                RemoveReason::Certified { tasks }
            } else {
                RemoveReason::Replayed { tasks }
            }
        };
        let mut gone = vec![false; self.model.len()];
        safe.taken.iter().for_each(|&number| gone[number as usize] = true);
        let saved: u64 = safe.taken.iter().map(|&number| self.model.value[number as usize]).sum();
        let share = |value: f64| {
            if self.model.value_total == 0 { 0.0 } else { value / self.model.value_total as f64 }
        };
        Plan {
            cluster: self.inventory.cluster.clone(),
            remove: safe
                .taken
                .iter()
                .filter_map(|&number| self.removal(number as usize, &because))
                .collect(),
            keep: self.kept(&gone, safe),
            headroom_before: headroom(self.model, |_| false),
            headroom_after: headroom(self.model, |number| gone[number]),
            saving: Saving {
                planned: share(saved as f64),
                bound: share(self.bound.max(saved as f64)),
                planned_microusd: self.model.priced.then_some(saved),
            },
            steps: self.steps,
        }
    }

    fn removal(&self, number: usize, because: &impl Fn(usize) -> RemoveReason) -> Option<Removal> {
        let instance = &self.inventory.instances[self.model.origin[number]];
        let tasks = self.model.held.of(number).iter().map(|(_, count)| usize::from(*count)).sum();
        Some(Removal {
            instance_id: instance.instance_id.clone(),
            arn: instance.arn.clone(),
            group: instance.group.clone()?,
            zone: instance.zone.clone(),
            instance_type: instance.instance_type.clone(),
            price_microusd: instance.price_microusd,
            reason: if tasks == 0 { RemoveReason::Empty } else { because(tasks) },
        })
    }

    fn kept(&self, gone: &[bool], safe: &Safe) -> Vec<Kept> {
        let mut numbers = vec![None; self.inventory.instances.len()];
        for (number, &index) in self.model.origin.iter().enumerate() {
            numbers[index] = Some(number);
        }
        let reason = |index: usize| match (&self.eligibility.kept[index], numbers[index]) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Some(number)) if gone[number] => None,
            (None, Some(number)) => {
                let blocking = self.nowhere[number].or(safe.blocked_by[number]);
                Some(match safe.limits.refuse(number) {
                    Some(limit) if self.nowhere[number].is_none() => limit,
                    _ => KeepReason::NoRoom(self.no_room(number, blocking)),
                })
            }
            // A candidate is usable: see `eligibility`.
            (None, None) => Some(KeepReason::NoRoom("it is no usable instance".to_owned())),
        };
        let mut kept: Vec<Kept> = (0..numbers.len())
            .filter_map(|index| {
                let instance_id = self.inventory.instances[index].instance_id.clone();
                Some(Kept { instance_id, reason: reason(index)? })
            })
            .collect();
        kept.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
        kept
    }

    /// What stands in the way of an instance's tasks: the kind that is known to, or the largest on it.
    fn no_room(&self, number: usize, blocking: Option<u16>) -> String {
        let size = |kind: u16| {
            self.model.kinds[usize::from(kind)]
                .demand
                .iter()
                .map(|&one| i64::from(one))
                .sum::<i64>()
        };
        let largest = || {
            self.model
                .held
                .of(number)
                .iter()
                .map(|(kind, _)| *kind)
                .max_by_key(|&kind| (size(kind), kind))
        };
        let Some(kind) = blocking.or_else(largest) else {
            return "tasks that are starting might find no place without this instance".to_owned();
        };
        let service = &self.inventory.services[self.model.kinds[usize::from(kind)].service];
        let name = &service.name;
        let needs = if let Some(port) = service.host_ports.first() {
            format!("host port {port}")
        } else if service.distinct_instance {
            "an instance of its own".to_owned()
        } else if let Some(constraint) = service.constraints.first() {
            format!("room where `{constraint}`")
        } else {
            format!(
                "{} and {} MiB",
                count(service.demand.cpu, "CPU unit"),
                service.demand.memory_mib
            )
        };
        if self.nowhere[number].is_some() {
            format!("a task of service {name} needs {needs}, which no other instance has")
        } else {
            format!(
                "a task of service {name} needs {needs}, and might find no place without this instance"
            )
        }
    }
}

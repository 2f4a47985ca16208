//! Puts a plan together from what was found out: what goes, what stays, and why each of them does.

use crate::eligibility::Eligibility;
use crate::headroom::headroom;
use crate::index::{InstanceIndex, KindIndex, Table};
use crate::inventory::{Inventory, Service};
use crate::model::Model;
use crate::plan::{Kept, Motion, Plan, Removal, Reserved, Saving};
use crate::reason::{KeepReason, RemoveReason};
use crate::safe::SafeRemovals;
use crate::words::count;

/// What a plan is put together from.
pub(crate) struct Findings<'a, const D: usize> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) eligibility: &'a Eligibility,
    pub(crate) model: &'a Model<D>,
    /// A kind of task on each instance that fits on no other instance.
    pub(crate) unplaceable: &'a Table<InstanceIndex, Option<KindIndex>>,
    /// No plan saves more.
    pub(crate) bound: f64,
    pub(crate) safe: &'a SafeRemovals,
    /// The counted steps of the whole search.
    pub(crate) steps: u64,
}

impl<const D: usize> Findings<'_, D> {
    /// The plan: every instance of the inventory goes or stays.
    pub(crate) fn into_plan(self) -> Plan {
        Plan {
            cluster: self.inventory.cluster.clone(),
            remove: self
                .safe
                .removed
                .iter()
                .filter_map(|&instance| self.removal(instance))
                .collect(),
            keep: self.kept(),
            headroom_before: headroom(self.model, |_| false),
            headroom_after: headroom(self.model, |instance| self.safe.is_removed[instance]),
            holds: Vec::new(),
            reserved: self.reserved(),
            saving: self.saving(),
            steps: self.steps,
        }
    }

    fn removal(&self, instance: InstanceIndex) -> Option<Removal> {
        let motion = self.motion(instance);
        let tasks = motion.displaced;
        let instance = &self.inventory.instances[self.model.origin[instance]];
        Some(Removal {
            instance_id: instance.instance_id.clone(),
            arn: instance.arn.clone(),
            group: instance.group.clone()?,
            zone: instance.zone.clone(),
            instance_type: instance.instance_type.clone(),
            price_microusd: instance.price_microusd,
            motion,
            reason: match tasks {
                0 => RemoveReason::Empty,
                // What was certified for itself is not any more once others go as well.
                _ if self.safe.is_certified() => RemoveReason::Certified { tasks },
                _ => RemoveReason::Replayed { tasks },
            },
        })
    }

    fn motion(&self, instance: InstanceIndex) -> Motion {
        let mut motion = Motion::default();
        for &(kind, count) in self.model.movable.of(instance) {
            motion.displaced += usize::from(count);
            if self.model.kinds[kind].rebalances {
                motion.rebalanced += usize::from(count);
            }
        }
        motion
    }

    fn reserved(&self) -> Vec<Reserved> {
        let services = self.inventory.services.iter().zip(self.model.kind_of.iter());
        let mut reserved: Vec<_> = services
            .filter(|(service, kind)| {
                let is_kept = kind.is_some_and(|kind| self.model.kinds[kind].in_flight > 0);
                is_kept && service.in_flight > 0
            })
            .map(|(service, _)| Reserved {
                service: service.name.clone(),
                tasks: service.in_flight,
                demand: service.demand,
            })
            .collect();
        // By name where the numbers are equal: the plan must not depend on the order of the
        // inventory.
        reserved.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| a.service.cmp(&b.service)));
        reserved
    }

    fn saving(&self) -> Saving {
        let removed = self.safe.removed.iter();
        let saved: u64 = removed.map(|&instance| self.model.value[instance]).sum();
        Saving {
            planned: self.share_of_cost(saved as f64),
            // The bound is rounded, the saving is not.
            bound: self.share_of_cost(self.bound.max(saved as f64)),
            planned_microusd: self.model.priced.then_some(saved),
        }
    }

    fn share_of_cost(&self, value: f64) -> f64 {
        let total = self.model.value_total;
        if total == 0 { 0.0 } else { value / total as f64 }
    }

    fn kept(&self) -> Vec<Kept> {
        let mut usable = vec![None; self.inventory.instances.len()];
        for (instance, &position) in self.model.origin.enumerate() {
            usable[position] = Some(instance);
        }
        let mut kept: Vec<Kept> = self
            .inventory
            .instances
            .iter()
            .zip(self.eligibility.kept.iter().zip(usable))
            .filter_map(|(instance, (kept, usable))| {
                let reason = kept.clone().or_else(|| self.refusal(usable))?;
                Some(Kept { instance_id: instance.instance_id.clone(), reason })
            })
            .collect();
        // The plan must not depend on the order of the inventory.
        kept.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
        kept
    }

    /// Why a candidate stays, if it does: its own tasks, a limit, or what might happen to displaced
    /// tasks.
    fn refusal(&self, candidate: Option<InstanceIndex>) -> Option<KeepReason> {
        let Some(instance) = candidate else {
            // A candidate is usable: see `eligibility`.
            return Some(KeepReason::NoRoom("it is no usable instance".to_owned()));
        };
        if self.safe.is_removed[instance] {
            return None;
        }
        if self.unplaceable[instance].is_none()
            && let Some(limit) = self.safe.limits.refuse(instance)
        {
            return Some(limit);
        }
        Some(KeepReason::NoRoom(self.no_room(instance)))
    }

    /// What stands in the way of an instance's tasks: the kind that is known to, or the largest on
    /// it.
    fn no_room(&self, instance: InstanceIndex) -> String {
        let kind = self.unplaceable[instance]
            .or(self.safe.blocked_by[instance])
            .or_else(|| self.largest_kind(instance));
        let Some(kind) = kind else {
            return "tasks that are starting might find no place without this instance".to_owned();
        };
        let service = &self.inventory.services[self.model.kinds[kind].service];
        let (name, needs) = (&service.name, needs(service));
        if self.unplaceable[instance].is_some() {
            format!("a task of service {name} needs {needs}, which no other instance has")
        } else {
            format!(
                "a task of service {name} needs {needs}, and might find no place without this \
                 instance"
            )
        }
    }

    fn largest_kind(&self, instance: InstanceIndex) -> Option<KindIndex> {
        let kinds = self.model.movable.of(instance).iter().map(|(kind, _)| *kind);
        kinds.max_by_key(|&kind| (self.model.kinds[kind].total_demand(), kind))
    }
}

/// What is hardest to find for a task of a service.
fn needs(service: &Service) -> String {
    if let Some(port) = service.host_ports.first() {
        format!("host port {port}")
    } else if service.distinct_instance {
        "an instance of its own".to_owned()
    } else if let Some(constraint) = service.constraints.first() {
        format!("{} where `{constraint}`", room_of(service))
    } else if !service.capacity_providers.is_empty() {
        room_of(service)
    } else {
        let cpu = count(service.demand.cpu, "CPU unit");
        format!("{cpu} and {} MiB", service.demand.memory_mib)
    }
}

/// The room that a service's capacity providers leave it, in words.
fn room_of(service: &Service) -> String {
    let providers: Vec<&str> = service.capacity_providers.iter().map(String::as_str).collect();
    if providers.is_empty() {
        return "room".to_owned();
    }
    format!("room of capacity provider {}", providers.join(" and of "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;

    #[test]
    fn what_a_task_needs_names_its_capacity_provider_and_its_constraint() {
        let words = |constraints: &[&str], providers: &[&str]| {
            needs(&Service {
                constraints: constraints.iter().map(|&it| it.to_owned()).collect(),
                capacity_providers: providers.iter().map(|&it| it.to_owned()).collect(),
                ..service(0, [256, 512])
            })
        };
        assert_eq!(words(&[], &[]), "256 CPU units and 512 MiB");
        assert_eq!(words(&["attribute:disk == ssd"], &[]), "room where `attribute:disk == ssd`");
        assert_eq!(words(&[], &["a", "b"]), "room of capacity provider a and of b");
        assert_eq!(
            words(&["attribute:disk == ssd"], &["spot"]),
            "room of capacity provider spot where `attribute:disk == ssd`"
        );
    }
}

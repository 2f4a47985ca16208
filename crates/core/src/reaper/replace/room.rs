//! Whether the tasks of instances that are to be replaced have room on those that are not.
//!
//! The planner is asked, about a cluster in which nothing else that is to be replaced takes a task.
//! So the certificate says that every task finds a place on an instance that stays, wherever ECS
//! places the others: ECS may still choose an old one, which nobody can forbid, but never has to.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{
    HostPort, Instance, Inventory, KEEP_ATTRIBUTE, Plan, Policy, Resources, Service, TaskKind, plan,
};
use jiff::{SignedDuration, Timestamp};

use crate::ids::{ContainerInstanceArn, InstanceId};
use crate::mark::DRAINED_BY;
use crate::reaper::replace::claim::REPLACING_ATTRIBUTE;
use crate::words;

/// How often the planner is asked at most: once as a rule, and once more for each instance whose
/// tasks have no room. After that the others wait for a later sweep.
const PLANS_MAX: usize = 6;

/// A cluster whose instances are to be replaced.
pub struct Room<'a> {
    /// The cluster.
    pub inventory: &'a Inventory,
    /// The positions of all instances that are to be replaced, whether now or later.
    pub outdated: &'a BTreeSet<usize>,
    /// What a sweep may do.
    pub policy: &'a Policy,
    /// When.
    pub now: Timestamp,
}

/// Which of the instances may be drained, in which order, and why not the others.
pub struct Drainable {
    /// Those whose tasks are sure to find a place, by their positions.
    pub indices: Vec<usize>,
    /// The reason for each of those that were asked about and have to wait.
    pub refused: BTreeMap<usize, String>,
    /// What goes, as a plan: exactly `indices`.
    pub plan: Option<Plan>,
}

const NOT_ASKED: &str = "others go before it";

impl Room<'_> {
    /// The first of these instances, each list one group's with how many of it may go, whose tasks
    /// are sure to find room together. With `replaced`, as if an instance like each of those that
    /// go had joined, empty but for daemon tasks.
    pub fn drainable(&self, wanted: &[(Vec<usize>, usize)], replaced: bool) -> Drainable {
        let mut refused = BTreeMap::<usize, String>::new();
        for _ in 0..PLANS_MAX {
            let going: Vec<usize> = wanted
                .iter()
                .flat_map(|(indices, number)| {
                    indices.iter().filter(|index| !refused.contains_key(index)).take(*number)
                })
                .copied()
                .collect();
            if going.is_empty() {
                return Drainable { indices: going, refused, plan: None };
            }
            let plan = self.plan(&going, replaced);
            let before = refused.len();
            refused.extend(going.iter().filter_map(|&index| {
                Some((index, self.why_refused(&plan, &self.inventory.instances[index])?))
            }));
            if refused.len() == before {
                return Drainable { indices: going, refused, plan: Some(plan) };
            }
        }
        let others = wanted.iter().flat_map(|(indices, number)| indices.iter().take(*number));
        for &index in others {
            refused.entry(index).or_insert_with(|| NOT_ASKED.to_owned());
        }
        Drainable { indices: Vec::new(), refused, plan: None }
    }

    /// A plan in which nothing but these instances may go, and only up-to-date ones take tasks.
    fn plan(&self, going: &[usize], replaced: bool) -> Plan {
        let mut inventory = self.inventory.clone();
        let replacements: Vec<_> = going
            .iter()
            .filter(|_| replaced)
            .zip(1_u64..)
            .filter_map(|(&index, number)| {
                let old = &self.inventory.instances[index];
                replacement_of(old, &self.inventory.services, number, self.now)
            })
            .collect();
        let going: BTreeSet<_> = going.iter().collect();
        for (index, instance) in inventory.instances.iter_mut().enumerate() {
            if going.contains(&index) || instance.is_draining() {
                continue;
            }
            instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
            if self.outdated.contains(&index) {
                // The planner takes no room for certain on what may be gone any moment.
                instance.agent_connected = false;
            }
        }
        inventory.instances.extend(replacements);
        for group in inventory.groups.values_mut() {
            // How far a group may shrink is decided by its replacements, not by its minimum.
            (group.min_size, group.desired_capacity) = (0, i64::from(i32::MAX));
        }
        let policy = Policy {
            // As much is free after it as before the replacement was launched.
            headroom_cpu_percent: 0,
            headroom_memory_percent: 0,
            max_removals_percent: 100,
            max_empty_removals_percent: 100,
            min_instances: 0,
            // A replacement is young: that its agent is connected is enough.
            min_instance_age: SignedDuration::ZERO,
            keep_zone_balance: false,
            ..self.policy.clone()
        };
        plan(&inventory, &policy, self.now)
    }

    /// Why a plan leaves an instance where it is. `None` if it goes for certain.
    fn why_refused(&self, plan: &Plan, instance: &Instance) -> Option<String> {
        let id = &instance.instance_id;
        let mut removals = plan.remove.iter();
        if removals.any(|removal| removal.instance_id == *id && removal.reason.is_certain()) {
            return None;
        }
        let kept = plan.keep.iter().find(|kept| kept.instance_id == *id);
        Some(kept.map_or_else(|| self.not_certain(instance), |kept| kept.reason.to_string()))
    }

    fn not_certain(&self, instance: &Instance) -> String {
        let services = instance.tasks.iter().flatten().filter_map(|task| match task.kind {
            TaskKind::Service(index) => self.inventory.services.get(index),
            _ => None,
        });
        let names: BTreeSet<_> = services.map(|service| service.name.clone()).collect();
        let names = words::list(&Vec::from_iter(names));
        format!("its tasks ({names}) are not sure to find room on instances that stay")
    }
}

/// An instance like this one, without the tasks of replica services. `None` if its tasks were not
/// read.
fn replacement_of(
    old: &Instance,
    services: &[Service],
    number: u64,
    now: Timestamp,
) -> Option<Instance> {
    let mut remaining = old.remaining?.to_array();
    let mut ports: BTreeSet<HostPort> = old.host_ports.clone();
    for task in old.tasks.as_ref()? {
        let TaskKind::Service(index) = task.kind else { continue };
        let service = services.get(index)?;
        for (free, held) in remaining.iter_mut().zip(service.demand.to_array()) {
            *free = free.saturating_add(held);
        }
        ports.retain(|port| !service.host_ports.contains(port));
    }
    let mut attributes = old.attributes.clone();
    attributes.remove(REPLACING_ATTRIBUTE);
    attributes.remove(DRAINED_BY);
    attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
    Some(Instance {
        // The ids of EC2 are random: none begins with so many zeros.
        instance_id: InstanceId::parse(&format!("i-{number:017x}"))?,
        arn: ContainerInstanceArn::new(format!("replacement/{number}")),
        attributes,
        remaining: Some(Resources::from(remaining)),
        host_ports: ports,
        tasks: Some(Vec::new()),
        distinct_services: BTreeSet::new(),
        registered_at: Some(now),
        agent_connected: true,
        ..old.clone()
    })
}

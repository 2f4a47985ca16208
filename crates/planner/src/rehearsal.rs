//! What a cluster is like once a plan was carried out: without what went, and with its tasks where
//! ECS may put them.
//!
//! Where that is for sure nobody can say: it is what one replay gives. No decision depends on it; it
//! is for people who want to know how far several sweeps would come.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::ecs::Resources;
use crate::eligibility::eligibility;
use crate::ids::InstanceId;
use crate::index::{Numbered, Table};
use crate::inventory::{Instance, Inventory, Service, Task, TaskKind};
use crate::model::Model;
use crate::plan::Plan;
use crate::policy::{Policy, TaskHeadroom};
use crate::replay::Replay;

/// A plan that was carried out in thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The cluster afterwards.
    pub inventory: Inventory,
    /// The service tasks that moved.
    pub moves: Vec<Move>,
}

/// A task that moved: its replacement runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The last part of the old task's ARN.
    pub task: String,
    /// Its service.
    pub service: String,
    /// The instance that it ran on.
    pub from: InstanceId,
    /// The instance that its replacement runs on.
    pub to: InstanceId,
}

/// Carries out a plan in thought. `None` if a task finds no place: then a drain would stall, which
/// no plan leads to that was made for this inventory, `policy` and `now`.
pub fn rehearse(
    inventory: &Inventory,
    plan: &Plan,
    policy: &Policy,
    now: Timestamp,
) -> Option<Rehearsal> {
    let eligibility = eligibility(inventory, policy, now);
    let model = Model::<4>::new(inventory, &eligibility, &TaskHeadroom::default());
    let with_room_for = model.kinds.iter().map(|kind| model.with_room_for(kind)).collect();
    let going: BTreeSet<_> = plan.remove.iter().map(|removal| &removal.instance_id).collect();
    let is_going = |position: usize| going.contains(&inventory.instances[position].instance_id);
    let is_removed: Table<_, _> = model.origin.iter().map(|&position| is_going(position)).collect();
    let placements = Replay::new(inventory, &model, &with_room_for).placements(&is_removed)?;

    // By service: where its tasks go. They are interchangeable.
    let mut places = BTreeMap::<usize, Vec<usize>>::new();
    for (service, instance) in placements {
        places.entry(service.position()).or_default().push(model.origin[instance]);
    }
    let mut after = inventory.clone();
    let mut moves = Vec::new();
    for instance in inventory.instances.iter().filter(|it| going.contains(&it.instance_id)) {
        for task in instance.tasks.iter().flatten() {
            let TaskKind::Service(service) = task.kind else { continue };
            let to = places.get_mut(&service).and_then(Vec::pop)?;
            let host = &mut after.instances[to];
            host_task(host, service, &inventory.services[service], task);
            moves.push(Move {
                task: task.id.clone(),
                service: inventory.services[service].name.clone(),
                from: instance.instance_id.clone(),
                to: host.instance_id.clone(),
            });
        }
        if let Some(group) = instance.group.as_ref().and_then(|name| after.groups.get_mut(name)) {
            group.desired_capacity -= instance.weight;
        }
    }
    after.instances.retain(|instance| !going.contains(&instance.instance_id));
    Some(Rehearsal { inventory: after, moves })
}

/// Puts a task of a service on an instance.
fn host_task(instance: &mut Instance, index: usize, service: &Service, task: &Task) {
    if let Some(remaining) = &mut instance.remaining {
        let (free, demand) = (remaining.to_array(), service.demand.to_array());
        *remaining = Resources::from(std::array::from_fn(|dimension| {
            free[dimension].saturating_sub(demand[dimension])
        }));
    }
    instance.host_ports.extend(&service.host_ports);
    if service.distinct_instance {
        instance.distinct_services.insert(index);
    }
    if let Some(tasks) = &mut instance.tasks {
        tasks.push(task.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::testing::{boundless, cluster, holding, now, service};

    #[test]
    fn what_moves_is_counted_where_it_runs_then() {
        let instances = vec![
            holding(1, [1536, 3072], &[(0, 1)]),
            holding(2, [1536, 3072], &[(0, 1)]),
            holding(3, [0, 0], &[(0, 4)]),
        ];
        let inventory = cluster(instances, vec![service(0, [512, 1024])]);
        let planned = plan(&inventory, &boundless(), now());
        assert_eq!(planned.remove.len(), 1);

        let rehearsal = rehearse(&inventory, &planned, &boundless(), now()).unwrap();
        let [moved] = &rehearsal.moves[..] else { panic!("{:?}", rehearsal.moves) };
        assert_eq!(moved.from, planned.remove[0].instance_id);
        let after = &rehearsal.inventory;
        assert_eq!(after.instances.len(), 2);
        let host = after.instances.iter().find(|it| it.instance_id == moved.to).unwrap();
        assert_eq!(host.tasks.as_ref().map(Vec::len), Some(2));
        let free = host.remaining.unwrap();
        assert_eq!((free.cpu, free.memory_mib), (1024, 2048));
        assert_eq!(after.groups.values().next().unwrap().desired_capacity, 2);
    }
}

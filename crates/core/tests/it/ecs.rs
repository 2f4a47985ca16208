//! What ECS lets run where. Written apart from the planner, and slowly, so that the two cannot make the same mistake.

use ebb_core::scale_in::{Instance, Inventory, Task, TaskKind};

fn service_of(task: &Task) -> Option<usize> {
    match task.kind {
        TaskKind::Service(index) => Some(index),
        _ => None,
    }
}

fn tasks_of(instance: &Instance, service: usize) -> i64 {
    instance.tasks.iter().flatten().filter(|task| service_of(task) == Some(service)).count() as i64
}

/// Whether an instance passes the filters for one more task of a service.
pub(crate) fn takes(inventory: &Inventory, at: usize, service: usize) -> bool {
    let (instance, service_index) = (&inventory.instances[at], service);
    let service = &inventory.services[service];
    let room = instance.remaining.unwrap().to_array().into_iter().zip(service.demand.to_array());
    let member = service.constraints.iter().all(|text| is_member(instance, text));
    room.into_iter().all(|(free, demand)| demand <= free)
        && member
        && service.host_ports.is_disjoint(&instance.host_ports)
        && !(service.distinct_instance && tasks_of(instance, service_index) > 0)
}

/// Whether an expression `attribute:NAME in [VALUE,...]` holds; any other is taken to hold.
pub(crate) fn is_member(instance: &Instance, text: &str) -> bool {
    let Some((name, values)) = text.split_once(" in ") else { return true };
    let held = instance.attributes.get(name.trim_start_matches("attribute:"));
    held.is_some_and(|held| values.trim_matches(['[', ']']).split(',').any(|one| one == held))
}

/// Starts a task on an instance.
pub(crate) fn place(inventory: &mut Inventory, at: usize, service: usize, task: Task) {
    let instance = &mut inventory.instances[at];
    let mut free = instance.remaining.unwrap().to_array();
    free.iter_mut()
        .zip(inventory.services[service].demand.to_array())
        .for_each(|(free, demand)| *free -= demand);
    instance.remaining = Some(free.into());
    instance.host_ports.extend(&inventory.services[service].host_ports);
    instance.tasks.get_or_insert_default().push(task);
}

//! Which instances ECS may start a task on, and what starting it does to the inventory.
//!
//! Written apart from the planner, and slowly, so that the two cannot make the same mistake.

use ebb_planner::{Instance, Inventory, Service, Task, TaskKind};

/// The service that runs a task, by its index in the inventory.
pub(crate) fn service_of(task: &Task) -> Option<usize> {
    match task.kind {
        TaskKind::Service(service) => Some(service),
        _ => None,
    }
}

/// How many tasks of a service an instance has.
pub(crate) fn task_count(instance: &Instance, service: usize) -> i64 {
    let tasks = instance.tasks.iter().flatten();
    tasks.filter(|task| service_of(task) == Some(service)).count() as i64
}

/// Whether an instance passes the filters for one more task of a service.
pub(crate) fn takes(inventory: &Inventory, instance: usize, service_index: usize) -> bool {
    let instance = &inventory.instances[instance];
    let service = &inventory.services[service_index];
    let free = instance.remaining.unwrap_or_default().to_array();
    let has_room = free.iter().zip(service.demand.to_array()).all(|(free, demand)| demand <= *free);
    has_room
        && service.host_ports.is_disjoint(&instance.host_ports)
        && service.constraints.iter().all(|constraint| is_member(instance, constraint))
        && is_within_reach(instance, service)
        && !(service.distinct_instance && has_service(instance, service_index))
}

fn has_service(instance: &Instance, service: usize) -> bool {
    instance.distinct_services.contains(&service) || task_count(instance, service) > 0
}

/// Whether the platform and the subnets of a service let its tasks run on an instance.
pub(crate) fn is_within_reach(instance: &Instance, service: &Service) -> bool {
    let os_type = instance.attributes.get("ecs.os-type");
    let zones = service.zones.as_ref();
    service.os_type.as_ref().is_none_or(|needed| os_type == Some(needed))
        && zones.is_none_or(|zones| zones.contains(&instance.zone))
}

/// Whether an expression `attribute:NAME in [VALUE,...]` holds; any other is taken to hold.
pub(crate) fn is_member(instance: &Instance, constraint: &str) -> bool {
    let Some((subject, values)) = constraint.split_once(" in ") else { return true };
    let name = subject.trim_start_matches("attribute:");
    let values = values.trim_matches(['[', ']']);
    attribute(instance, name).is_some_and(|held| values.split(',').any(|value| value == held))
}

/// The value of an attribute. Every instance has the built-in ones, whether they are listed or not.
pub(crate) fn attribute<'a>(instance: &'a Instance, name: &str) -> Option<&'a str> {
    match (instance.attributes.get(name), name) {
        (Some(value), _) => Some(value),
        (None, "ecs.availability-zone") => Some(&instance.zone),
        (None, "ecs.instance-type") => Some(&instance.instance_type),
        (None, _) => None,
    }
}

/// Starts a task on an instance.
pub(crate) fn place(inventory: &mut Inventory, instance: usize, service: usize, task: Task) {
    let instance = &mut inventory.instances[instance];
    let service = &inventory.services[service];
    let mut free = instance.remaining.unwrap_or_default().to_array();
    for (free, demand) in free.iter_mut().zip(service.demand.to_array()) {
        *free -= demand;
    }
    instance.remaining = Some(free.into());
    instance.host_ports.extend(&service.host_ports);
    instance.tasks.get_or_insert_default().push(task);
}

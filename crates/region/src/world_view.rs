//! The world as the server shows it, as JSON: what a person, or the page, wants to see of it.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::ecs::task::TaskStatus;
use crate::world::ecs::{Cluster, ContainerInstance, Service, ServiceKind, Status};

/// How many of the last calls are shown, so that the answer stays small however long the Region
/// runs.
const CALLS_MAX: usize = 200;

pub(crate) fn show(world: &World) -> Value {
    let instances = world.clusters.iter().flat_map(|(name, cluster)| {
        let instances = cluster.instances.values();
        // One that has left is remembered for ever here.
        let registered = instances.filter(|instance| instance.status != Status::Inactive);
        registered.map(move |instance| show_instance(world, name, cluster, instance))
    });
    let services = world.clusters.iter().flat_map(|(name, cluster)| {
        let services = cluster.services.iter();
        services
            .map(move |(service_name, service)| show_service(name, cluster, service_name, service))
    });
    let groups = world.groups.iter().map(|(name, group)| {
        json!({
            "name": name,
            "desired_capacity": group.desired_capacity,
            "max_size": group.max_size,
        })
    });
    let last_calls = &world.calls[world.calls.len().saturating_sub(CALLS_MAX)..];
    let calls = last_calls
        .iter()
        .map(|call| json!({"at": call.time, "operation": call.operation, "error": call.error}));
    json!({
        "now": world.now(),
        "container_instances": instances.collect::<Vec<_>>(),
        "services": services.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
        "tasks_cut_off": world.tasks_cut_off().iter().map(|task| &task.name).collect::<Vec<_>>(),
        "calls": calls.collect::<Vec<_>>(),
    })
}

fn show_instance(
    world: &World,
    cluster_name: &str,
    cluster: &Cluster,
    instance: &ContainerInstance,
) -> Value {
    let tasks: Vec<_> = cluster
        .tasks_on(&instance.id)
        .map(|task| format!("{} {}", task.name, task.status.as_str()))
        .collect();
    let member = world
        .group_of(&instance.instance_id)
        .and_then(|(name, group)| Some((name, group.instance(&instance.instance_id)?)));
    json!({
        "instance_id": instance.instance_id,
        "cluster": cluster_name,
        "zone": instance.zone,
        "status": instance.status.as_str(),
        "agent_connected": instance.agent_connected,
        "group": member.map(|(name, _)| name),
        "lifecycle_state": member.map(|(_, member)| member.state.as_str()),
        "protected_from_scale_in":
            member.is_some_and(|(_, member)| member.protected_from_scale_in),
        "tasks": tasks,
    })
}

fn show_service(cluster_name: &str, cluster: &Cluster, name: &str, service: &Service) -> Value {
    let running = cluster
        .tasks
        .values()
        .filter(|task| task.service.as_deref() == Some(name))
        .filter(|task| task.status == TaskStatus::Running)
        .count();
    let (desired, percentages) = match service.kind {
        ServiceKind::Daemon => (None, None),
        ServiceKind::Replica { desired, min_percent, max_percent } => {
            (Some(desired), Some((min_percent, max_percent)))
        }
    };
    json!({
        "cluster": cluster_name,
        "name": name,
        "desired": desired,
        "running": running,
        "minimum_healthy_percent": percentages.map(|(min_percent, _)| min_percent),
        "maximum_percent": percentages.map(|(_, max_percent)| max_percent),
    })
}

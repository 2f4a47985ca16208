//! ECS's operations on task definitions. They are known by the services and tasks that have them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::placement_json::constraint_json;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, invalid, name_of, page};
use crate::world::World;
use crate::world::ecs::{Constraint, Network, Port, Size, TaskSpec, arn};

/// The port that a container listens on whose host port is assigned.
const CONTAINER_PORT: u16 = 8080;

pub(super) fn describe_task_definition(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let requested = input
        .text("taskDefinition")?
        .ok_or_else(|| invalid("Task definition can not be blank."))?;
    // None has tags.
    input.included(&["TAGS"])?;
    let (definition, spec) = find(world, requested)
        .ok_or_else(|| Refusal::new("ClientException", "Unable to describe task definition."))?;
    Ok(
        json!({"taskDefinition": describe(&definition.family, definition.revision, spec), "tags": []}),
    )
}

pub(super) fn list_task_definitions(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let family = input.text("familyPrefix")?;
    // Every task has one, so most are found many times.
    let definitions: BTreeSet<_> = task_definitions(world)
        .map(|(definition, _)| definition)
        .filter(|definition| family.is_none_or(|family| definition.family == family))
        .collect();
    let arns = definitions
        .iter()
        .map(|Definition { family, revision }| definition_arn(&format!("{family}:{revision}")))
        .collect();
    page(input, "taskDefinitionArns", arns)
}

/// The task definition of a family and revision, or of an ARN; a family alone stands for its latest
/// revision.
pub(super) fn find<'a>(world: &'a World, name_or_arn: &str) -> Option<(Definition, &'a TaskSpec)> {
    let requested = name_of("task-definition", name_or_arn).ok()?;
    let (family, revision) = match requested.rsplit_once(':') {
        Some((family, revision)) => (family, Some(revision.parse::<u32>().ok()?)),
        None => (requested, None),
    };
    task_definitions(world)
        .filter(|(definition, _)| definition.family == family)
        .filter(|(definition, _)| revision.is_none_or(|revision| definition.revision == revision))
        .max_by_key(|(definition, _)| definition.revision)
}

/// The ARN of a task definition by its family and revision.
pub(super) fn definition_arn(name: &str) -> String {
    arn(&format!("task-definition/{name}"))
}

/// What a task definition is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Definition {
    pub(super) family: String,
    revision: u32,
}

/// Every task definition that a service or a task has.
fn task_definitions(world: &World) -> impl Iterator<Item = (Definition, &TaskSpec)> {
    let named = world.clusters.values().flat_map(|cluster| {
        let services = cluster
            .services
            .iter()
            .map(|(name, service)| (service.spec.definition(name), &service.spec));
        services.chain(cluster.tasks.values().map(|task| (task.definition(), &task.spec)))
    });
    named.filter_map(|(name, spec)| {
        let (family, revision) = name.rsplit_once(':')?;
        Some((Definition { family: family.to_owned(), revision: revision.parse().ok()? }, spec))
    })
}

fn describe(family: &str, revision: u32, spec: &TaskSpec) -> Value {
    let constraints: Vec<_> = spec
        .member_of
        .iter()
        .map(|expression| constraint_json(&Constraint::MemberOf(expression.clone())))
        .collect();
    let mut required = vec!["com.amazonaws.ecs.capability.docker-remote-api.1.18".to_owned()];
    if spec.network == Network::Awsvpc {
        required.push("ecs.capability.task-eni".to_owned());
    }
    required.extend(spec.required_attributes.iter().cloned());
    let required: Vec<_> = required.into_iter().map(|name| json!({"name": name})).collect();
    let mut described = json!({
        "taskDefinitionArn": definition_arn(&format!("{family}:{revision}")),
        "containerDefinitions": [container(spec)],
        "family": family,
        "revision": revision,
        "networkMode": spec.network.as_str(),
        "volumes": [],
        "status": "ACTIVE",
        "requiresAttributes": required,
        "placementConstraints": constraints,
        "compatibilities": ["EC2"],
    });
    if spec.size == Size::Task {
        described["cpu"] = json!(spec.cpu.to_string());
        described["memory"] = json!(spec.memory_mib.to_string());
    }
    if let Some(platform) = spec.platform {
        described["runtimePlatform"] = json!({
            "operatingSystemFamily": platform.os_family,
            "cpuArchitecture": platform.architecture,
        });
    }
    described
}

fn container(spec: &TaskSpec) -> Value {
    let mappings: Vec<_> =
        spec.ports.iter().enumerate().map(|(index, port)| mapping(spec, index, *port)).collect();
    let mut container = json!({
        "name": "app",
        "image": "example/app:1",
        "cpu": spec.cpu,
        "portMappings": mappings,
        "essential": true,
        "environment": [],
        "mountPoints": [],
        "volumesFrom": [],
    });
    let (limit, reservation) = memory(spec);
    container["memory"] = json!(limit);
    if let Some(reservation) = reservation {
        container["memoryReservation"] = json!(reservation);
    }
    if spec.gpus > 0 {
        container["resourceRequirements"] =
            json!([{"type": "GPU", "value": spec.gpus.to_string()}]);
    }
    container
}

fn mapping(spec: &TaskSpec, index: usize, port: Port) -> Value {
    let container_port = container_port(index, port);
    // Only in bridge mode can both differ.
    let host_port = if spec.network == Network::Bridge { port.number } else { container_port };
    json!({
        "containerPort": container_port,
        "hostPort": host_port,
        "protocol": port.protocol.as_str(),
    })
}

/// The port that a container listens on for one of its ports.
pub(super) fn container_port(index: usize, port: Port) -> u16 {
    let assigned = CONTAINER_PORT.saturating_add(u16::try_from(index).unwrap_or(u16::MAX));
    if port.number == 0 { assigned } else { port.number }
}

/// The hard limit of the container's memory and, if it has one, the soft limit, in MiB.
pub(super) fn memory(spec: &TaskSpec) -> (i64, Option<i64>) {
    match spec.size {
        Size::Task | Size::Container => (spec.memory_mib, None),
        Size::SoftContainer => (spec.memory_mib.saturating_mul(2), Some(spec.memory_mib)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::wire::ecs_calls::run;
    use crate::world::ecs::{NewInstance, ServiceKind};

    fn describe(world: &mut World, name: &str) -> Result<Value, Refusal> {
        let input = json!({"taskDefinition": name}).to_string();
        run(world, "DescribeTaskDefinition", input.as_bytes(), None)
            .map(|output| serde_json::from_str::<Value>(&output).unwrap()["taskDefinition"].clone())
    }

    #[test]
    fn a_task_definition_is_found_by_family_revision_and_arn() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_instance("shop", NewInstance::new("i-1"));
        for revision in [9, 10] {
            let spec = TaskSpec {
                cpu: revision,
                task_definition: Some(format!("shop-web:{revision}")),
                size: Size::SoftContainer,
                ..TaskSpec::default()
            };
            world.add_service("shop", &format!("web-{revision}"), ServiceKind::replica(1), spec);
        }

        for (name, cpu) in [("shop-web", 10), ("shop-web:9", 9), (&definition_arn("shop-web:9"), 9)]
        {
            let definition = describe(&mut world, name).unwrap();
            assert_eq!(definition["containerDefinitions"][0]["cpu"], cpu, "{name}");
            assert_eq!(
                (definition.get("cpu"), definition["containerDefinitions"][0]["memory"].as_i64()),
                (None, Some(1024))
            );
        }
        assert_eq!(describe(&mut world, "shop-web:11").unwrap_err().code, "ClientException");
    }
}

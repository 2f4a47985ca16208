//! ECS's operations on container instances.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, arn_of, id_of, invalid, page};
use crate::world::World;
use crate::world::ecs::cluster_query::Expression;
use crate::world::ecs::task::TaskStatus;
use crate::world::ecs::{AGENT_VERSION, Cluster, ContainerInstance, RESERVED_PORTS, Status};
use crate::world::ecs::{Port, Protocol};

const UPDATE_STATE_MAX: usize = 10;
/// Source: ECS Developer Guide, cluster-query-language (for constraints).
const FILTER_LENGTH_MAX: usize = 2_000;

pub(super) fn list_container_instances(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let status = match input.text("status")? {
        None => None,
        Some("ACTIVE") => Some(Status::Active),
        Some("DRAINING") => Some(Status::Draining),
        Some("REGISTERING") => Some(Status::Registering),
        Some("DEREGISTERING") => Some(Status::Deregistering),
        Some(other) => {
            return Err(invalid(format!("Container instance status {other} is not valid.")));
        }
    };
    let filter = input.text("filter")?.filter(|_| input.fault != Some(Fault::FilterIgnored));
    let filter = filter.map(self::filter).transpose()?;
    let listed = |instance: &&ContainerInstance| {
        instance.status != Status::Inactive
            && status.is_none_or(|status| instance.status == status)
            && filter
                .as_ref()
                .is_none_or(|filter| filter.holds(&|subject| cluster.subject(instance, subject)))
    };
    let arns =
        cluster.instances.values().filter(listed).map(|instance| instance.arn(name)).collect();
    page(input, "containerInstanceArns", arns)
}

pub(super) fn describe_container_instances(
    world: &World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let wanted = input.texts("containerInstances", DESCRIBE_MAX)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in wanted {
        match cluster.instances.get(id_of(wanted)) {
            Some(instance) => described.push(describe(name, cluster, instance)),
            None => failures.push(
                json!({"arn": arn_of("container-instance", name, wanted), "reason": "MISSING"}),
            ),
        }
    }
    Ok(json!({"containerInstances": described, "failures": failures}))
}

pub(super) fn update_container_instances_state(
    world: &mut World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let name = name.to_owned();
    let wanted = input.texts("containerInstances", UPDATE_STATE_MAX)?;
    let status = match input.text("status")? {
        Some("ACTIVE") => Status::Active,
        Some("DRAINING") => Status::Draining,
        _ => return Err(invalid("Container instance status should be one of [ACTIVE,DRAINING]")),
    };
    let mut failures = Vec::new();
    let mut ids = Vec::new();
    for wanted in wanted {
        let reason = match cluster.instances.get(id_of(wanted)).map(|instance| instance.status) {
            Some(Status::Active | Status::Draining) => {
                ids.push(id_of(wanted).to_owned());
                continue;
            }
            // What happens to the others of the call is not documented; the least helpful is assumed.
            Some(Status::Registering | Status::Deregistering) => {
                return Err(invalid(format!(
                    "The container instance {wanted} is neither ACTIVE nor DRAINING."
                )));
            }
            Some(Status::Inactive) => "INACTIVE",
            None => "MISSING",
        };
        failures
            .push(json!({"arn": arn_of("container-instance", &name, wanted), "reason": reason}));
    }
    for id in &ids {
        world.set_status(&name, id, status);
    }
    let cluster = &world.clusters[&name];
    let updated: Vec<_> =
        ids.iter().map(|id| describe(&name, cluster, &cluster.instances[id])).collect();
    Ok(json!({"containerInstances": updated, "failures": failures}))
}

/// A container instance as ECS describes it. Unused numeric members come as 0, not absent; the lists of ports name
/// those in use.
fn describe(name: &str, cluster: &Cluster, instance: &ContainerInstance) -> Value {
    let wanted = |before_running: bool| {
        let counts = |running: bool| if before_running { !running } else { running };
        cluster
            .tasks_on(&instance.id)
            .filter(|task| task.is_desired_running() && counts(task.status >= TaskStatus::Running))
            .count()
    };
    let attribute = |name: &str| match instance.attribute(name).unwrap_or_default() {
        "" => json!({"name": name}),
        value => json!({"name": name, "value": value}),
    };
    let attributes: Vec<_> = instance.attribute_names().map(attribute).collect();
    let held = cluster.resources_held_on(&instance.id);
    let (cpu, memory_mib) = held.remaining(instance);
    let has_gpus = !instance.machine.gpus.is_empty();
    let free_gpus = has_gpus.then(|| held.free_gpus(instance).collect());
    let all_gpus = has_gpus.then(|| instance.machine.gpus.iter().collect());
    let mut described = json!({
        "containerInstanceArn": instance.arn(name),
        "ec2InstanceId": instance.instance_id,
        "version": instance.version,
        "versionInfo": {"agentVersion": AGENT_VERSION, "agentHash": "abcdef12", "dockerVersion": "DockerVersion: 25.0.8"},
        "remainingResources": resources(cpu, memory_mib, &held.ports, free_gpus),
        "registeredResources": resources(instance.machine.cpu, instance.machine.memory_mib, &BTreeSet::new(), all_gpus),
        "status": instance.status.as_str(),
        "agentConnected": instance.agent_connected,
        "runningTasksCount": wanted(false),
        "pendingTasksCount": wanted(true),
        "attributes": attributes,
        "registeredAt": instance.registered_at.as_duration().as_secs_f64(),
        "attachments": [],
        "tags": [],
    });
    if let Some(provider) = &instance.capacity_provider {
        described["capacityProviderName"] = json!(provider);
    }
    described
}

/// GPUs are only listed where an instance has some.
fn resources(
    cpu: i64,
    memory_mib: i64,
    ports: &BTreeSet<Port>,
    gpus: Option<Vec<&String>>,
) -> Value {
    let number = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value});
    let set = |name: &str, members: Vec<String>| {
        json!({
            "name": name, "type": "STRINGSET", "doubleValue": 0.0, "longValue": 0, "integerValue": 0,
            "stringSetValue": members,
        })
    };
    let in_use = |protocol: Protocol| {
        let held =
            ports.iter().filter(move |port| port.protocol == protocol).map(|port| port.number);
        held.map(|number| number.to_string())
    };
    let reserved = RESERVED_PORTS.iter().map(u16::to_string);
    let mut resources = vec![
        number("CPU", cpu),
        number("MEMORY", memory_mib),
        set("PORTS", reserved.chain(in_use(Protocol::Tcp)).collect()),
        set("PORTS_UDP", in_use(Protocol::Udp).collect()),
    ];
    resources.extend(gpus.map(|gpus| set("GPU", gpus.into_iter().cloned().collect())));
    Value::Array(resources)
}

/// Reads a filter in the cluster query language.
fn filter(expression: &str) -> Result<Expression, Refusal> {
    if expression.len() > FILTER_LENGTH_MAX {
        return Err(invalid("The filter has more than 2,000 characters."));
    }
    Expression::parse(expression)
        .ok_or_else(|| invalid(format!("Invalid filter expression: {expression}")))
}

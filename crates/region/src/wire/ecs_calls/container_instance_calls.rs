//! ECS's operations on container instances.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, arn_of, id_in, invalid, page};
use crate::world::World;
use crate::world::ecs::cluster_query::Expression;
use crate::world::ecs::task::{Task, TaskStatus};
use crate::world::ecs::{
    AGENT_VERSION, Cluster, ContainerInstance, Port, Protocol, RESERVED_PORTS, Status,
};

/// As in their ARNs.
const KIND: &str = "container-instance";

const UPDATE_STATE_MAX: usize = 10;
/// Source: ECS Developer Guide, cluster-query-language (for constraints).
const FILTER_LENGTH_MAX: usize = 2_000;

pub(super) fn list_container_instances(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let status = input.text("status")?.map(listable_status).transpose()?;
    let filter = input.text("filter")?.filter(|_| input.fault != Some(Fault::FilterIgnored));
    // A filter that is no expression is refused, as one that were ignored would select the whole
    // cluster.
    let filter = filter.map(parse_filter).transpose()?;
    let arns = cluster
        .instances
        .values()
        // Without a status DRAINING instances are listed as well: all but INACTIVE ones (ECS API,
        // `ListContainerInstances`).
        .filter(|instance| instance.status != Status::Inactive)
        .filter(|instance| status.is_none_or(|status| instance.status == status))
        .filter(|instance| filter.as_ref().is_none_or(|filter| cluster.satisfies(instance, filter)))
        .map(|instance| instance.arn(cluster_name))
        .collect();
    page(input, "containerInstanceArns", arns)
}

/// A status to list by. INACTIVE container instances are never listed.
fn listable_status(word: &str) -> Result<Status, Refusal> {
    Status::parse(word)
        .filter(|status| *status != Status::Inactive)
        .ok_or_else(|| invalid(format!("Container instance status {word} is not valid.")))
}

pub(super) fn describe_container_instances(
    world: &World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    // None has tags.
    input.included(&["TAGS"])?;
    for id_or_arn in input.texts("containerInstances", DESCRIBE_MAX)? {
        match visible(world, cluster, id_in(KIND, cluster_name, id_or_arn)?) {
            Some(instance) => described.push(describe(cluster_name, cluster, instance)),
            // A partial failure is an HTTP 200 with `failures`, not an error (ECS Developer Guide,
            // api_failures_messages): a client has to look for it.
            None => failures.push(failure(cluster_name, id_or_arn, "MISSING")),
        }
    }
    Ok(json!({"containerInstances": described, "failures": failures}))
}

/// A container instance that the API still knows.
fn visible<'c>(world: &World, cluster: &'c Cluster, id: &str) -> Option<&'c ContainerInstance> {
    cluster.instances.get(id).filter(|instance| instance.is_visible(world.now()))
}

fn failure(cluster_name: &str, id_or_arn: &str, reason: &str) -> Value {
    json!({"arn": arn_of(KIND, cluster_name, id_or_arn), "reason": reason})
}

pub(super) fn update_container_instances_state(
    world: &mut World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let cluster_name = cluster_name.to_owned();
    let ids_or_arns = input.texts("containerInstances", UPDATE_STATE_MAX)?;
    let status = input
        .text("status")?
        .and_then(Status::parse)
        .filter(|status| matches!(status, Status::Active | Status::Draining))
        .ok_or_else(|| invalid("Container instance status should be one of [ACTIVE,DRAINING]"))?;
    let (mut ids, mut failures) = (Vec::new(), Vec::new());
    for id_or_arn in ids_or_arns {
        let id = id_in(KIND, &cluster_name, id_or_arn)?;
        match visible(world, cluster, id).map(|instance| instance.status) {
            Some(Status::Active | Status::Draining) => ids.push(id.to_owned()),
            // What happens to the other instances of the call is not documented; the least helpful
            // is assumed.
            Some(Status::Registering | Status::Deregistering) => {
                return Err(invalid(format!(
                    "The container instance {id_or_arn} is neither ACTIVE nor DRAINING."
                )));
            }
            Some(Status::Inactive) => failures.push(failure(&cluster_name, id_or_arn, "INACTIVE")),
            None => failures.push(failure(&cluster_name, id_or_arn, "MISSING")),
        }
    }
    // Only after every instance has been looked at, so that a refused call changes nothing.
    for id in &ids {
        world.set_status(&cluster_name, id, status);
    }
    let cluster = &world.clusters[&cluster_name];
    let updated: Vec<_> =
        ids.iter().map(|id| describe(&cluster_name, cluster, &cluster.instances[id])).collect();
    Ok(json!({"containerInstances": updated, "failures": failures}))
}

/// A container instance as ECS describes it. Unused numeric members come as 0, not absent; the
/// lists of ports name those in use.
fn describe(cluster_name: &str, cluster: &Cluster, instance: &ContainerInstance) -> Value {
    let (running, pending): (Vec<&Task>, Vec<&Task>) = cluster
        .tasks_on(&instance.id)
        // A task that was told to stop is in neither count although it still runs, as in AWS (ECS
        // API, `ContainerInstance`): a count of 0 does not mean that the instance is drained.
        .filter(|task| task.is_desired_running())
        .partition(|task| task.status >= TaskStatus::Running);
    let attributes: Vec<_> = instance
        .attribute_names()
        .map(|name| match instance.attribute(name).unwrap_or_default() {
            "" => json!({"name": name}),
            value => json!({"name": name, "value": value}),
        })
        .collect();
    let held = cluster.resources_held_on(&instance.id);
    let (cpu, memory_mib) = held.remaining(instance);
    // `None` leaves the resource out, and an empty list says that every GPU is taken.
    let has_gpus = !instance.machine.gpus.is_empty();
    let free_gpus = has_gpus.then(|| held.free_gpus(instance).collect());
    let all_gpus = has_gpus.then(|| instance.machine.gpus.iter().collect());
    let registered = &instance.machine;
    let mut described = json!({
        "containerInstanceArn": instance.arn(cluster_name),
        "ec2InstanceId": instance.instance_id,
        "version": instance.version,
        "versionInfo": {
            "agentVersion": AGENT_VERSION,
            "agentHash": "abcdef12",
            "dockerVersion": "DockerVersion: 25.0.8",
        },
        "remainingResources": resources(cpu, memory_mib, &held.ports, free_gpus),
        "registeredResources": resources(
            registered.cpu,
            registered.memory_mib,
            &BTreeSet::new(),
            all_gpus,
        ),
        "status": instance.status.as_str(),
        "agentConnected": instance.agent_connected,
        "runningTasksCount": running.len(),
        "pendingTasksCount": pending.len(),
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
    let reserved = RESERVED_PORTS.iter().map(u16::to_string);
    let mut resources = vec![
        integer_resource("CPU", cpu),
        integer_resource("MEMORY", memory_mib),
        set_resource("PORTS", reserved.chain(ports_of(ports, Protocol::Tcp)).collect()),
        set_resource("PORTS_UDP", ports_of(ports, Protocol::Udp).collect()),
    ];
    resources.extend(gpus.map(|gpus| set_resource("GPU", gpus.into_iter().cloned().collect())));
    Value::Array(resources)
}

fn integer_resource(name: &str, value: i64) -> Value {
    json!({
        "name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0,
        "integerValue": value,
    })
}

fn set_resource(name: &str, members: Vec<String>) -> Value {
    json!({
        "name": name, "type": "STRINGSET", "doubleValue": 0.0, "longValue": 0, "integerValue": 0,
        "stringSetValue": members,
    })
}

fn ports_of(ports: &BTreeSet<Port>, protocol: Protocol) -> impl Iterator<Item = String> {
    ports.iter().filter(move |port| port.protocol == protocol).map(|port| port.number.to_string())
}

/// Reads a filter in the cluster query language.
fn parse_filter(expression: &str) -> Result<Expression, Refusal> {
    if expression.len() > FILTER_LENGTH_MAX {
        return Err(invalid("The filter has more than 2,000 characters."));
    }
    Expression::parse(expression)
        .ok_or_else(|| invalid(format!("Invalid filter expression: {expression}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ecs_calls::task_testing::{call, pass, world};

    #[test]
    fn an_instance_that_has_left_is_described_for_an_hour() {
        let (mut world, id, _) = world();
        world.set_status("shop", &id, Status::Inactive);
        let mut answers = |status: &str| {
            let named = json!({"containerInstances": [id]});
            let described = call(&mut world, "DescribeContainerInstances", named).unwrap();
            let drained = json!({"containerInstances": [id], "status": "DRAINING"});
            let drained = call(&mut world, "UpdateContainerInstancesState", drained).unwrap();
            assert_eq!(drained["failures"][0]["reason"], status);
            pass(&mut world, 3_599);
            described
        };

        assert_eq!(answers("INACTIVE")["containerInstances"][0]["status"], "INACTIVE");
        assert_eq!(answers("INACTIVE")["failures"], json!([]));
        assert_eq!(answers("MISSING")["failures"][0]["reason"], "MISSING");
    }
}

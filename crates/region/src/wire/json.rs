//! ECS over awsJson1.1. Limits and error codes are those of the ECS API model; messages are AWS's where they are known.

mod services;
mod tasks;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Answer, Refusal};
use crate::fault::Fault;
use crate::world::World;
use crate::world::ecs::{AGENT_VERSION, Cluster, ContainerInstance, RESERVED_PORTS, Status, arn};
use crate::world::query::Expression;
use crate::world::task::{Port, Protocol, Status as TaskStatus};

const PAGE_MAX: u64 = 100;
const DESCRIBE_MAX: usize = 100;
const UPDATE_STATE_MAX: usize = 10;
/// Source: ECS Developer Guide, cluster-query-language (for constraints).
const FILTER_LENGTH_MAX: usize = 2_000;
const PUT_ATTRIBUTES_MAX: usize = 10;
/// Custom attributes that a resource may have. Source: ECS API, `PutAttributes`.
const CUSTOM_ATTRIBUTES_MAX: usize = 10;

pub(super) fn answer(request_id: String, result: Result<String, Refusal>) -> Answer {
    let content_type = "application/x-amz-json-1.1";
    match result {
        Ok(body) => Answer { status: http::StatusCode::OK, content_type, request_id, body },
        Err(Refusal { status, code, message }) => {
            let body = json!({"__type": code, "message": message}).to_string();
            Answer { status, content_type, request_id, body }
        }
    }
}

pub(super) fn run(
    world: &mut World,
    operation: &str,
    body: &[u8],
    fault: Option<Fault>,
) -> Result<String, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new("SerializationException", error.to_string()))?;
    let input = Input { value: &value, fault };
    let output = match operation {
        "ListClusters" => list_clusters(world, input),
        "ListContainerInstances" => list_container_instances(world, input),
        "DescribeContainerInstances" => describe_container_instances(world, input),
        "UpdateContainerInstancesState" => update_container_instances_state(world, input),
        "PutAttributes" => put_attributes(world, input),
        "ListTasks" => tasks::list_tasks(world, input),
        "DescribeTasks" => tasks::describe_tasks(world, input),
        "StopTask" => tasks::stop_task(world, input),
        "GetTaskProtection" => tasks::get_task_protection(world, input),
        "DescribeServices" => services::describe_services(world, input),
        _ => Err(Refusal::new("UnknownOperationException", "")),
    };
    output.map(|output| output.to_string())
}

fn list_clusters(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let arns = world.clusters.keys().map(|name| arn(&format!("cluster/{name}"))).collect();
    page(input, "clusterArns", arns)
}

fn list_container_instances(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let status = match input.text("status")? {
        None => None,
        Some("ACTIVE") => Some(Status::Active),
        Some("DRAINING") => Some(Status::Draining),
        Some("REGISTERING") => Some(Status::Registering),
        Some("DEREGISTERING") => Some(Status::Deregistering),
        Some(other) => return Err(invalid(format!("Container instance status {other} is not valid."))),
    };
    let filter = input.text("filter")?.filter(|_| input.fault != Some(Fault::FilterIgnored));
    let filter = filter.map(self::filter).transpose()?;
    let listed = |one: &&ContainerInstance| {
        one.status != Status::Inactive
            && status.is_none_or(|status| one.status == status)
            && filter.as_ref().is_none_or(|filter| filter.holds(&|subject| cluster.subject(one, subject)))
    };
    let arns = cluster.instances.values().filter(listed).map(|one| one.arn(name)).collect();
    page(input, "containerInstanceArns", arns)
}

fn describe_container_instances(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let wanted = input.texts("containerInstances", DESCRIBE_MAX)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in wanted {
        match cluster.instances.get(id_of(wanted)) {
            Some(one) => described.push(describe(name, cluster, one)),
            None => {
                failures.push(json!({"arn": arn_of("container-instance", name, wanted), "reason": "MISSING"}))
            }
        }
    }
    Ok(json!({"containerInstances": described, "failures": failures}))
}

fn update_container_instances_state(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
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
        let reason = match cluster.instances.get(id_of(wanted)).map(|one| one.status) {
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
        failures.push(json!({"arn": arn_of("container-instance", &name, wanted), "reason": reason}));
    }
    for id in &ids {
        world.set_status(&name, id, status);
    }
    let cluster = &world.clusters[&name];
    let updated: Vec<_> = ids.iter().map(|id| describe(&name, cluster, &cluster.instances[id])).collect();
    Ok(json!({"containerInstances": updated, "failures": failures}))
}

fn put_attributes(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let name = input.cluster(world)?.0.to_owned();
    let attributes = input.list("attributes", PUT_ATTRIBUTES_MAX)?;
    // Nothing is written unless everything can be.
    let mut instances = world.clusters[&name].instances.clone();
    for attribute in attributes {
        let attribute = Input { value: attribute, fault: None };
        let (Some(key), Some(target)) = (attribute.text("name")?, attribute.text("targetId")?) else {
            return Err(invalid("An attribute must have a name and a target."));
        };
        let value = attribute.text("value")?;
        if !value.is_none_or(is_attribute_value) {
            return Err(invalid("The value of the attribute is not valid."));
        }
        match attribute.text("targetType")? {
            Some("container-instance") => {}
            None if target.contains('/') => {}
            _ => return Err(invalid("The target type must be container-instance.")),
        }
        let instance = instances.get_mut(id_of(target)).filter(|one| one.status != Status::Inactive);
        let Some(instance) = instance else {
            return Err(Refusal::new("TargetNotFoundException", "The specified target wasn't found."));
        };
        instance.attributes.insert(key.to_owned(), value.unwrap_or_default().to_owned());
        let custom = instance.attributes.keys().filter(|name| !name.starts_with("ecs."));
        if custom.count() > CUSTOM_ATTRIBUTES_MAX {
            return Err(Refusal::new(
                "AttributeLimitExceededException",
                "A resource has 10 custom attributes at most.",
            ));
        }
    }
    if let Some(cluster) = world.clusters.get_mut(&name) {
        cluster.instances = instances;
    }
    Ok(json!({"attributes": attributes}))
}

/// Source: ECS API, `Attribute.value`.
fn is_attribute_value(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/\\: ".contains(&byte);
    (1..=128).contains(&value.len()) && value.bytes().all(allowed) && value.trim() == value
}

/// A container instance as ECS describes it. Unused numeric members come as 0, not absent; the lists of ports name
/// those in use.
fn describe(name: &str, cluster: &Cluster, one: &ContainerInstance) -> Value {
    let wanted = |before_running: bool| {
        let counts = |running: bool| if before_running { !running } else { running };
        cluster
            .tasks_on(&one.id)
            .filter(|task| task.is_wanted() && counts(task.status >= TaskStatus::Running))
            .count()
    };
    let attribute = |(name, value): (&str, Option<&str>)| match value {
        Some(value) => json!({"name": name, "value": value}),
        None => json!({"name": name}),
    };
    let attributes: Vec<_> = one.all_attributes().into_iter().map(attribute).collect();
    let held = cluster.held_of(&one.id);
    let (cpu, memory_mib) = held.left_of(one);
    let has_gpus = !one.machine.gpus.is_empty();
    let free_gpus = has_gpus.then(|| held.free_gpus(one).collect());
    let all_gpus = has_gpus.then(|| one.machine.gpus.iter().collect());
    let mut described = json!({
        "containerInstanceArn": one.arn(name),
        "ec2InstanceId": one.instance_id,
        "version": one.version,
        "versionInfo": {"agentVersion": AGENT_VERSION, "agentHash": "abcdef12", "dockerVersion": "DockerVersion: 25.0.8"},
        "remainingResources": resources(cpu, memory_mib, &held.ports, free_gpus),
        "registeredResources": resources(one.machine.cpu, one.machine.memory_mib, &BTreeSet::new(), all_gpus),
        "status": one.status.as_str(),
        "agentConnected": one.agent_connected,
        "runningTasksCount": wanted(false),
        "pendingTasksCount": wanted(true),
        "attributes": attributes,
        "registeredAt": one.registered_at.as_duration().as_secs_f64(),
        "attachments": [],
        "tags": [],
    });
    if let Some(provider) = &one.capacity_provider {
        described["capacityProviderName"] = json!(provider);
    }
    described
}

/// GPUs are only listed where an instance has some.
fn resources(cpu: i64, memory_mib: i64, ports: &BTreeSet<Port>, gpus: Option<Vec<&String>>) -> Value {
    let number = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value});
    let set = |name: &str, members: Vec<String>| {
        json!({
            "name": name, "type": "STRINGSET", "doubleValue": 0.0, "longValue": 0, "integerValue": 0,
            "stringSetValue": members,
        })
    };
    let in_use = |protocol: Protocol| {
        let held = ports.iter().filter(move |port| port.protocol == protocol).map(|port| port.number);
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

/// Cuts a list into pages by `maxResults` and `nextToken`.
fn page(input: Input<'_>, key: &str, items: Vec<String>) -> Result<Value, Refusal> {
    let size = match input.value.get("maxResults") {
        None | Some(Value::Null) => PAGE_MAX,
        Some(value) => value
            .as_u64()
            .filter(|size| (1..=PAGE_MAX).contains(size))
            .ok_or_else(|| invalid(format!("maxResults should be between 1 and {PAGE_MAX}.")))?,
    };
    let size = if input.fault == Some(Fault::EmptyPage) { 0 } else { size };
    // A token says where to go on and how many pages came before, so that no two are alike.
    let (start, pages) = match input.text("nextToken")? {
        None => (0, 0),
        Some(token) => token
            .split_once('-')
            .and_then(|(start, pages)| Some((start.parse::<usize>().ok()?, pages.parse::<usize>().ok()?)))
            .ok_or_else(|| invalid("Invalid token"))?,
    };
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).min(items.len());
    let mut output = Map::new();
    output.insert(key.to_owned(), json!(items.get(start..end).unwrap_or_default()));
    if end < items.len() {
        output.insert("nextToken".to_owned(), json!(format!("{end}-{}", pages.saturating_add(1))));
    }
    Ok(Value::Object(output))
}

/// Reads a filter in the cluster query language.
fn filter(expression: &str) -> Result<Expression, Refusal> {
    if expression.len() > FILTER_LENGTH_MAX {
        return Err(invalid("The filter has more than 2,000 characters."));
    }
    Expression::parse(expression).ok_or_else(|| invalid(format!("Invalid filter expression: {expression}")))
}

/// An input structure, or a part of one.
#[derive(Clone, Copy)]
struct Input<'a> {
    value: &'a Value,
    /// What befalls the call, if it changes the answer.
    fault: Option<Fault>,
}

impl<'a> Input<'a> {
    fn text(self, key: &str) -> Result<Option<&'a str>, Refusal> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::new("SerializationException", format!("{key} must be text"))),
        }
    }

    fn list(self, key: &str, most: usize) -> Result<&'a [Value], Refusal> {
        let list = self.value.get(key).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        match list.len() {
            0 => Err(invalid(format!("{key} can not be empty."))),
            len if len > most => Err(invalid(format!("{key} can have at most {most} items."))),
            _ => Ok(list),
        }
    }

    fn texts(self, key: &str, most: usize) -> Result<Vec<&'a str>, Refusal> {
        let item = |item: &'a Value| {
            item.as_str()
                .ok_or_else(|| Refusal::new("SerializationException", format!("{key} must be texts")))
        };
        self.list(key, most)?.iter().map(item).collect()
    }

    /// The cluster that is meant: by name or ARN, `default` if none is given.
    fn cluster(self, world: &World) -> Result<(&str, &Cluster), Refusal> {
        let wanted = id_of(self.text("cluster")?.unwrap_or("default"));
        world
            .clusters
            .get_key_value(wanted)
            .map(|(name, cluster)| (name.as_str(), cluster))
            .ok_or_else(|| Refusal::new("ClusterNotFoundException", "Cluster not found."))
    }
}

/// The last part of an ARN, or the id itself.
fn id_of(id_or_arn: &str) -> &str {
    id_or_arn.rsplit('/').next().unwrap_or(id_or_arn)
}

fn arn_of(kind: &str, cluster: &str, id_or_arn: &str) -> String {
    arn(&format!("{kind}/{cluster}/{}", id_of(id_or_arn)))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}

//! ECS over awsJson1.1. Limits and error codes are those of the ECS API model; messages are AWS's where they are known.

mod attributes;
mod clusters;
mod definitions;
mod instances;
mod services;
mod tasks;

use serde_json::{Map, Value, json};

use super::{Answer, Refusal};
use crate::fault::Fault;
use crate::world::World;
use crate::world::ecs::{Cluster, arn};

const PAGE_MAX: u64 = 100;
const DESCRIBE_MAX: usize = 100;
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
        "ListClusters" => clusters::list_clusters(world, input),
        "DescribeClusters" => clusters::describe_clusters(world, input),
        "DescribeCapacityProviders" => clusters::describe_capacity_providers(world, input),
        "ListContainerInstances" => instances::list_container_instances(world, input),
        "DescribeContainerInstances" => instances::describe_container_instances(world, input),
        "UpdateContainerInstancesState" => {
            instances::update_container_instances_state(world, input)
        }
        "PutAttributes" => attributes::put_attributes(world, input),
        "DeleteAttributes" => attributes::delete_attributes(world, input),
        "ListTasks" => tasks::list_tasks(world, input),
        "DescribeTasks" => tasks::describe_tasks(world, input),
        "StopTask" => tasks::stop_task(world, input),
        "GetTaskProtection" => tasks::get_task_protection(world, input),
        "UpdateTaskProtection" => tasks::update_task_protection(world, input),
        "ListServices" => services::list_services(world, input),
        "DescribeServices" => services::describe_services(world, input),
        "DescribeTaskDefinition" => definitions::describe_task_definition(world, input),
        _ => Err(Refusal::new("UnknownOperationException", "")),
    };
    output.map(|output| output.to_string())
}

/// Cuts a list into pages by `maxResults` and `nextToken`.
fn page<T: Into<Value>>(input: Input<'_>, key: &str, items: Vec<T>) -> Result<Value, Refusal> {
    page_of(input, key, items, PAGE_MAX, PAGE_MAX)
}

/// Like `page`, with a size of its own unless `maxResults` says otherwise, and a largest one.
fn page_of<T: Into<Value>>(
    input: Input<'_>,
    key: &str,
    items: Vec<T>,
    usual: u64,
    most: u64,
) -> Result<Value, Refusal> {
    let size = match input.value.get("maxResults") {
        None | Some(Value::Null) => usual,
        Some(value) => value
            .as_u64()
            .filter(|size| (1..=most).contains(size))
            .ok_or_else(|| invalid(format!("maxResults should be between 1 and {most}.")))?,
    };
    let size = if input.fault == Some(Fault::EmptyPage) { 0 } else { size };
    // A token says where to go on and how many pages came before, so that no two are alike.
    let (start, pages) = match input.text("nextToken")? {
        None => (0, 0),
        Some(token) => token
            .split_once('-')
            .and_then(|(start, pages)| {
                Some((start.parse::<usize>().ok()?, pages.parse::<usize>().ok()?))
            })
            .ok_or_else(|| invalid("Invalid token"))?,
    };
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).min(items.len());
    let more_follow = end < items.len();
    let items = items.into_iter().take(end).skip(start).map(Into::into).collect();
    let mut output = Map::new();
    output.insert(key.to_owned(), Value::Array(items));
    if more_follow {
        output.insert("nextToken".to_owned(), json!(format!("{end}-{}", pages.saturating_add(1))));
    }
    Ok(Value::Object(output))
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
        let list =
            self.value.get(key).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        match list.len() {
            0 => Err(invalid(format!("{key} can not be empty."))),
            len if len > most => Err(invalid(format!("{key} can have at most {most} items."))),
            _ => Ok(list),
        }
    }

    fn texts(self, key: &str, most: usize) -> Result<Vec<&'a str>, Refusal> {
        let item = |item: &'a Value| {
            item.as_str().ok_or_else(|| {
                Refusal::new("SerializationException", format!("{key} must be texts"))
            })
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

//! Recordings of earlier versions, brought to the present one.
//!
//! Version 1 named a task's services, and those that are on an instance by `distinctInstance`, by
//! their positions among the cluster's services. Whoever took a service out by hand made every task
//! another's. And of a group's managed scaling it only said whether there is any.

use serde_json::{Value, json};

use super::format::{Recording, VERSION};

/// Reads version 1.
pub(super) fn from_version_1(text: &str) -> serde_json::Result<Recording> {
    let mut recording: Value = serde_json::from_str(text)?;
    // What is not such as it should be is left for the reader to say: an index that writes would panic.
    if let Some(members) = recording.as_object_mut() {
        members.insert("version".to_owned(), json!(VERSION));
    }
    for cluster in items(recording.get_mut("clusters")) {
        let services = cluster.get("services").cloned().unwrap_or_default();
        for instance in items(cluster.get_mut("instances")) {
            for task in items(instance.get_mut("tasks")) {
                if let Some(name) = name_of(&task["service"], &services) {
                    task["service"] = name;
                }
            }
            if let Some(distinct) =
                instance.get_mut("distinct_services").and_then(Value::as_array_mut)
            {
                *distinct = distinct.iter().filter_map(|it| name_of(it, &services)).collect();
            }
        }
        let groups = cluster.get_mut("groups").and_then(Value::as_object_mut);
        for group in groups.into_iter().flat_map(|groups| groups.values_mut()) {
            let Some(group) = group.as_object_mut() else { continue };
            let managed_scaling = match group.get("managed_scaling").and_then(Value::as_bool) {
                // The default, and the least that is done with such a group.
                Some(true) => json!({"target_capacity": 100, "termination_protection": false}),
                _ => Value::Null,
            };
            group.insert("managed_scaling".to_owned(), managed_scaling);
        }
    }
    serde_json::from_value(recording)
}

/// The items of a list, if it is one.
fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// The name of the service at a position.
fn name_of(position: &Value, services: &Value) -> Option<Value> {
    let position = usize::try_from(position.as_u64()?).ok()?;
    Some(services.get(position)?.get("name")?.clone())
}

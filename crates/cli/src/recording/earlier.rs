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
    recording["version"] = json!(VERSION);
    for cluster in recording["clusters"].as_array_mut().into_iter().flatten() {
        let services = cluster["services"].take();
        for instance in cluster["instances"].as_array_mut().into_iter().flatten() {
            for task in instance["tasks"].as_array_mut().into_iter().flatten() {
                if let Some(name) = name_of(&task["service"], &services) {
                    task["service"] = name;
                }
            }
            if let Some(distinct) = instance["distinct_services"].as_array_mut() {
                *distinct = distinct.iter().filter_map(|it| name_of(it, &services)).collect();
            }
        }
        cluster["services"] = services;
        for group in cluster["groups"].as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
            group["managed_scaling"] = match group["managed_scaling"].as_bool() {
                // The default, and the least that is done with such a group.
                Some(true) => json!({"target_capacity": 100, "termination_protection": false}),
                _ => Value::Null,
            };
        }
    }
    serde_json::from_value(recording)
}

/// The name of the service at a position.
fn name_of(position: &Value, services: &Value) -> Option<Value> {
    let position = usize::try_from(position.as_u64()?).ok()?;
    Some(services.get(position)?.get("name")?.clone())
}

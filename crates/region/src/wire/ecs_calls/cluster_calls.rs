//! ECS's operations on clusters.

use serde_json::{Value, json};

use super::placement_json::strategy_item_json;
use super::tag_calls::included_tags;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, name_of, page};
use crate::world::World;
use crate::world::ecs::task::{Task, TaskStatus};
use crate::world::ecs::{Cluster, Status, arn};

pub(super) fn list_clusters(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let arns = world.clusters.keys().map(|name| arn(&format!("cluster/{name}"))).collect();
    page(input, "clusterArns", arns)
}

pub(super) fn describe_clusters(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let names = match input.value.get("clusters").and_then(Value::as_array) {
        Some(clusters) if !clusters.is_empty() => input.texts("clusters", DESCRIBE_MAX)?,
        // Without a name the call means the cluster `default`, and not every cluster.
        _ => vec!["default"],
    };
    let included = input.included(&["STATISTICS", "TAGS"])?;
    let includes_statistics = included.contains(&"STATISTICS");
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for name_or_arn in names {
        let name = name_of("cluster", name_or_arn)?;
        match world.clusters.get(name) {
            Some(cluster) => {
                let mut cluster_json = describe_cluster(name, cluster, includes_statistics);
                cluster_json["tags"] = included_tags(&included, &cluster.tags);
                described.push(cluster_json);
            }
            None => {
                let arn = arn(&format!("cluster/{name}"));
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
    }
    Ok(json!({"clusters": described, "failures": failures}))
}

fn describe_cluster(name: &str, cluster: &Cluster, includes_statistics: bool) -> Value {
    let registered = cluster
        .instances
        .values()
        .filter(|instance| matches!(instance.status, Status::Active | Status::Draining))
        .count();
    let (running, pending): (Vec<&Task>, Vec<&Task>) = cluster
        .tasks
        .values()
        .filter(|task| task.is_desired_running())
        .filter(|task| task.status <= TaskStatus::Running)
        .partition(|task| task.status == TaskStatus::Running);
    let (running, pending) = (running.len(), pending.len());
    let statistics = if includes_statistics {
        let numbers = [
            ("runningEC2TasksCount", running),
            ("pendingEC2TasksCount", pending),
            ("activeEC2ServiceCount", cluster.services.len()),
            ("drainingEC2ServiceCount", 0),
            ("runningFargateTasksCount", 0),
            ("pendingFargateTasksCount", 0),
            ("activeFargateServiceCount", 0),
            ("drainingFargateServiceCount", 0),
        ];
        numbers.map(|(name, value)| json!({"name": name, "value": value.to_string()})).to_vec()
    } else {
        Vec::new()
    };
    json!({
        "clusterArn": arn(&format!("cluster/{name}")),
        "clusterName": name,
        "status": "ACTIVE",
        "registeredContainerInstancesCount": registered,
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "activeServicesCount": cluster.services.len(),
        "statistics": statistics,
        "tags": [],
        "settings": [],
        "capacityProviders": cluster.capacity_providers,
        "defaultCapacityProviderStrategy":
            cluster.default_strategy.iter().map(strategy_item_json).collect::<Value>(),
    })
}

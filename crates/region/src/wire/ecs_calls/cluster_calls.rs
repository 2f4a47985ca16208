//! ECS's operations on clusters.

use serde_json::{Value, json};

use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, id_of, page};
use crate::world::World;
use crate::world::ecs::task::{Task, TaskStatus};
use crate::world::ecs::{Cluster, Status, arn};

pub(super) fn list_clusters(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let arns = world.clusters.keys().map(|name| arn(&format!("cluster/{name}"))).collect();
    page(input, "clusterArns", arns)
}

pub(super) fn describe_clusters(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let wanted = match input.value.get("clusters").and_then(Value::as_array) {
        Some(clusters) if !clusters.is_empty() => input.texts("clusters", DESCRIBE_MAX)?,
        _ => vec!["default"],
    };
    let includes = |word: &str| {
        input.value["include"]
            .as_array()
            .is_some_and(|words| words.iter().any(|included| included == word))
    };
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in wanted {
        match world.clusters.get_key_value(id_of(wanted)) {
            Some((name, cluster)) => {
                described.push(describe_cluster(name, cluster, includes("STATISTICS")))
            }
            None => {
                let arn = arn(&format!("cluster/{}", id_of(wanted)));
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
    }
    Ok(json!({"clusters": described, "failures": failures}))
}

fn describe_cluster(name: &str, cluster: &Cluster, statistics: bool) -> Value {
    let registered = |status: Status| matches!(status, Status::Active | Status::Draining);
    let tasks = |is_counted: fn(&Task) -> bool| {
        cluster.tasks.values().filter(|task| is_counted(task)).count()
    };
    let running = tasks(|task| task.is_desired_running() && task.status == TaskStatus::Running);
    let pending = tasks(|task| task.is_desired_running() && task.status < TaskStatus::Running);
    let statistics = if statistics {
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
        "registeredContainerInstancesCount": cluster.instances.values().filter(|instance| registered(instance.status)).count(),
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "activeServicesCount": cluster.services.len(),
        "statistics": statistics,
        "tags": [],
        "settings": [],
        "capacityProviders": cluster.capacity_providers,
        "defaultCapacityProviderStrategy": [],
    })
}

//! ECS's operations on clusters and capacity providers.

use serde_json::{Value, json};

use super::{DESCRIBE_MAX, Input, id_of, page, page_of};
use crate::wire::Refusal;
use crate::world::World;
use crate::world::autoscaling::lifecycle::group_arn;
use crate::world::ecs::{CapacityProvider, Cluster, Status, arn};
use crate::world::task::{Status as TaskStatus, Task};

/// Source: ECS API, `DescribeCapacityProviders`.
const PROVIDERS_PAGE: u64 = 10;
/// The capacity providers of AWS itself.
const FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

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
        input.value["include"].as_array().is_some_and(|words| words.iter().any(|one| one == word))
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
    let running = tasks(|task| task.is_wanted() && task.status == TaskStatus::Running);
    let pending = tasks(|task| task.is_wanted() && task.status < TaskStatus::Running);
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
        "registeredContainerInstancesCount": cluster.instances.values().filter(|one| registered(one.status)).count(),
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

/// Without names, those of the cluster that is given, or all, AWS's own included.
pub(super) fn describe_capacity_providers(
    world: &World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let of_cluster = match input.text("cluster")? {
        Some(_) => Some(input.cluster(world)?.1),
        None => None,
    };
    let is_meant = |name: &str| {
        of_cluster.is_none_or(|here| here.capacity_providers.iter().any(|one| one == name))
    };
    let known = |name: &str| world.capacity_providers.contains_key(name) || FARGATE.contains(&name);
    let (mut names, mut failures) = (Vec::new(), Vec::new());
    if input.value["capacityProviders"].as_array().is_some_and(|names| !names.is_empty()) {
        for wanted in input.texts("capacityProviders", DESCRIBE_MAX)?.into_iter().map(id_of) {
            if known(wanted) && is_meant(wanted) {
                names.push(wanted);
            } else {
                failures.push(json!({"arn": provider_arn(wanted), "reason": "MISSING"}));
            }
        }
    } else {
        let all = FARGATE.into_iter().chain(world.capacity_providers.keys().map(String::as_str));
        names.extend(all.filter(|name| is_meant(name)));
    }
    let described =
        names.into_iter().map(|name| describe_provider(name, world.capacity_providers.get(name)));
    let mut output =
        page_of(input, "capacityProviders", described.collect(), PROVIDERS_PAGE, PROVIDERS_PAGE)?;
    output["failures"] = json!(failures);
    Ok(output)
}

fn provider_arn(name: &str) -> String {
    arn(&format!("capacity-provider/{name}"))
}

fn describe_provider(name: &str, provider: Option<&CapacityProvider>) -> Value {
    let mut described = json!({
        "capacityProviderArn": provider_arn(name),
        "name": name,
        "status": "ACTIVE",
        "tags": [],
    });
    if let Some(provider) = provider {
        let word = |enabled: bool| if enabled { "ENABLED" } else { "DISABLED" };
        described["autoScalingGroupProvider"] = json!({
            "autoScalingGroupArn": group_arn(&provider.group),
            "managedScaling": {
                "status": word(provider.managed_scaling),
                "targetCapacity": 100,
                "minimumScalingStepSize": 1,
                "maximumScalingStepSize": 10000,
                "instanceWarmupPeriod": 300,
            },
            "managedTerminationProtection": word(provider.managed_termination_protection),
            "managedDraining": word(provider.managed_draining),
        });
    }
    described
}

//! ECS's operations on services.

use serde_json::{Value, json};

use super::placement_json::{constraint_json, strategy_item_json, strategy_json};
use super::tag_calls::included_tags;
use super::task_definition_calls::definition_arn;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, PAGE_MAX, arn_of, id_in, invalid, page_of};
use crate::world::ecs::task::{Task, TaskStatus};
use crate::world::ecs::{Capacity, Cluster, Deployments, Service, ServiceKind, Status, arn};
use crate::world::{Entry, Happening, World};

const DESCRIBE_MAX: usize = 10;

/// Source: ECS API, `Service.events`.
const EVENTS_MAX: usize = 100;

/// Source: ECS API, `ListServices`.
const LIST_DEFAULT: u64 = 10;

pub(super) fn list_services(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let strategy = input.text("schedulingStrategy")?;
    if let Some(word) = strategy.filter(|word| !matches!(*word, "DAEMON" | "REPLICA")) {
        return Err(invalid(format!("Scheduling strategy {word} is not valid.")));
    }
    let on_ec2 = input.includes_ec2()?;
    let arns = cluster
        .services
        .iter()
        .filter(|_| on_ec2)
        .filter(|(_, service)| {
            strategy.is_none_or(|word| service.kind.scheduling_strategy() == word)
        })
        .map(|(name, _)| arn_of("service", cluster_name, name))
        .collect();
    // Ten by default, where most lists have 100: a client that does not page misses the rest.
    page_of(input, "serviceArns", arns, LIST_DEFAULT, PAGE_MAX)
}

pub(super) fn describe_services(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    let included = input.included(&["TAGS"])?;
    for name_or_arn in input.texts("services", DESCRIBE_MAX)? {
        match cluster.services.get_key_value(id_in("service", cluster_name, name_or_arn)?) {
            Some((name, service)) => {
                let mut service_json = describe(cluster_name, cluster, name, service);
                service_json["events"] = events(world, name);
                service_json["tags"] = included_tags(&included, &service.tags);
                described.push(service_json);
            }
            None => {
                let arn = arn_of("service", cluster_name, name_or_arn);
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
    }
    Ok(json!({"services": described, "failures": failures}))
}

/// The last events of a service, the newest first: that a task found no place, and how its
/// Availability Zones are rebalanced.
fn events(world: &World, name: &str) -> Value {
    world.history.iter().rev().filter_map(|entry| event(entry, name)).take(EVENTS_MAX).collect()
}

fn event(entry: &Entry, name: &str) -> Option<Value> {
    let message = match &entry.happening {
        Happening::NotPlaced { service, reason } if service == name => format!(
            "(service {name}) was unable to place a task because {reason} For more information, \
             see the Troubleshooting section of the Amazon ECS Developer Guide."
        ),
        Happening::ServiceEvent { service, message } if service == name => message.clone(),
        _ => return None,
    };
    Some(json!({
        "id": format!("{}-{name}", entry.time.as_millisecond()),
        "createdAt": entry.time.as_duration().as_secs_f64(),
        "message": message,
    }))
}

/// What a service's tasks have as `startedBy`: the id of its deployment. Made of the name, so that
/// it stays the same.
pub(super) fn deployment_id(service: &str) -> String {
    let number =
        service.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("ecs-svc/{:019}", number % 10_000_000_000_000_000_000)
}

/// The tasks of a service that it wants, that run, and that are to run soon.
#[derive(Clone, Copy)]
struct TaskCounts {
    desired: usize,
    running: usize,
    pending: usize,
}

pub(super) fn describe(
    cluster_name: &str,
    cluster: &Cluster,
    name: &str,
    service: &Service,
) -> Value {
    let (running, pending): (Vec<&Task>, Vec<&Task>) = cluster
        .tasks
        .values()
        .filter(|task| task.service.as_deref() == Some(name) && task.is_desired_running())
        .partition(|task| task.status >= TaskStatus::Running);
    let (desired, min_percent, max_percent) = match service.kind {
        ServiceKind::Replica { desired, min_percent, max_percent } => {
            (desired, min_percent, max_percent)
        }
        // A daemon wants a task on each ACTIVE instance; its percentages are the API's defaults.
        ServiceKind::Daemon => {
            let active = cluster
                .instances
                .values()
                .filter(|instance| instance.status == Status::Active)
                .count();
            (active, 0, 100)
        }
    };
    let (running, pending) = (running.len(), pending.len());
    let created_at = service.created_at.as_duration().as_secs_f64();
    let definition = definition_arn(&service.spec.definition(name));
    let counts = TaskCounts { desired, running, pending };
    let deployments: Vec<_> = deployment_states(service)
        .iter()
        .map(|state| deployment(name, service, counts, state))
        .collect();
    let constraints: Vec<_> = service.placement.constraints.iter().map(constraint_json).collect();
    let strategies: Vec<_> = service.placement.strategies.iter().map(strategy_json).collect();
    let subnets: Vec<_> = service.placement.subnets.keys().collect();
    let load_balancers: Vec<_> = service
        .target_groups
        .iter()
        .map(|arn| json!({"targetGroupArn": arn, "containerName": name, "containerPort": 80}))
        .collect();
    let rebalancing = if service.zone_rebalancing { "ENABLED" } else { "DISABLED" };
    let mut described = json!({
        "serviceArn": arn_of("service", cluster_name, name),
        "serviceName": name,
        "clusterArn": arn(&format!("cluster/{cluster_name}")),
        "status": "ACTIVE",
        "schedulingStrategy": service.kind.scheduling_strategy(),
        "deploymentConfiguration": {
            "minimumHealthyPercent": min_percent,
            "maximumPercent": max_percent,
            "strategy": service.deployment_strategy,
        },
        "deploymentController": {"type": "ECS"},
        "desiredCount": desired,
        "runningCount": running,
        "pendingCount": pending,
        "taskDefinition": definition,
        "loadBalancers": load_balancers,
        "serviceRegistries": [],
        "deployments": deployments,
        "events": [],
        "createdAt": created_at,
        "placementConstraints": constraints,
        "placementStrategy": strategies,
        "availabilityZoneRebalancing": rebalancing,
    });
    launched_by(&mut described, service);
    if !subnets.is_empty() {
        described["networkConfiguration"] = json!({"awsvpcConfiguration": {"subnets": subnets}});
    }
    described
}

/// Says by what the tasks of a service, or of a deployment, are launched: by a launch type or by a
/// strategy, never by both (ECS API, `CreateService`).
fn launched_by(described: &mut Value, service: &Service) {
    match &service.capacity {
        Capacity::Ec2 => described["launchType"] = json!("EC2"),
        Capacity::Strategy(strategy) => {
            described["capacityProviderStrategy"] =
                strategy.iter().map(strategy_item_json).collect();
        }
        Capacity::ClusterDefault => {}
    }
}

/// The status and the rollout state of each deployment of a service, the newest first.
fn deployment_states(service: &Service) -> &'static [(&'static str, &'static str)] {
    match service.deployments {
        Deployments::Completed => &[("PRIMARY", "COMPLETED")],
        Deployments::FirstInProgress => &[("PRIMARY", "IN_PROGRESS")],
        Deployments::ReplacementInProgress => {
            &[("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")]
        }
        Deployments::Failing => &[("PRIMARY", "IN_PROGRESS")],
        Deployments::Failed => &[("PRIMARY", "FAILED")],
    }
}

fn deployment(
    name: &str,
    service: &Service,
    counts: TaskCounts,
    (status, rollout_state): &(&str, &str),
) -> Value {
    let created_at = service.created_at.as_duration().as_secs_f64();
    let failed_tasks = match service.deployments {
        Deployments::Failing | Deployments::Failed => 3,
        Deployments::Completed
        | Deployments::FirstInProgress
        | Deployments::ReplacementInProgress => 0,
    };
    let mut described = json!({
        "id": deployment_id(name),
        "status": status,
        "taskDefinition": definition_arn(&service.spec.definition(name)),
        "desiredCount": counts.desired,
        "pendingCount": counts.pending,
        "runningCount": counts.running,
        "failedTasks": failed_tasks,
        "createdAt": created_at,
        "updatedAt": created_at,
        "rolloutState": rollout_state,
    });
    launched_by(&mut described, service);
    described
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::wire::ecs_calls::run;
    use crate::world::ecs::{NewInstance, StrategyItem, TaskSpec};

    fn describe(world: &mut World, services: &[&str]) -> Result<Value, Refusal> {
        let input = json!({"cluster": "shop", "services": services}).to_string();
        run(world, "DescribeServices", input.as_bytes(), None)
            .map(|output| serde_json::from_str(&output).unwrap())
    }

    /// The strategy of a described service, its percentages and its counts.
    fn summary(service: &Value) -> Value {
        let percentages = &service["deploymentConfiguration"];
        json!([
            service["serviceName"],
            service["schedulingStrategy"],
            percentages["minimumHealthyPercent"],
            percentages["maximumPercent"],
            service["desiredCount"],
            service["runningCount"],
            service["pendingCount"],
        ])
    }

    #[test]
    fn a_service_tells_its_strategy_its_percentages_and_its_counts() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for id in ["i-1", "i-2"] {
            world.add_instance("shop", NewInstance::new(id));
        }
        let kind = ServiceKind::Replica { desired: 3, min_percent: 50, max_percent: 150 };
        world.add_service("shop", "web", kind, TaskSpec::default());
        world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
        let output = describe(&mut world, &["web", "logs", "x"]).unwrap();

        assert_eq!(summary(&output["services"][0]), json!(["web", "REPLICA", 50, 150, 3, 3, 0]));
        assert_eq!(summary(&output["services"][1]), json!(["logs", "DAEMON", 0, 100, 2, 2, 0]));
        let missing = json!([{
            "arn": "arn:aws:ecs:eu-west-1:111122223333:service/shop/x",
            "reason": "MISSING",
        }]);
        assert_eq!(output["failures"], missing);
        assert!(describe(&mut world, &["x"; 11]).is_err());
    }

    #[test]
    fn a_service_has_a_launch_type_or_a_strategy_and_neither_if_its_cluster_decides() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for name in ["ec2", "own", "default"] {
            world.add_service("shop", name, ServiceKind::replica(0), TaskSpec::default());
        }
        world.set_strategy("shop", "own", [StrategyItem::new("spot", 2, 1)]);
        let services = &mut world.clusters.get_mut("shop").unwrap().services;
        services.get_mut("default").unwrap().capacity = Capacity::ClusterDefault;
        let output = describe(&mut world, &["ec2", "own", "default"]).unwrap();

        let item = json!([{"capacityProvider": "spot", "base": 2, "weight": 1}]);
        for (index, launch_type, strategy) in
            [(0, json!("EC2"), Value::Null), (1, Value::Null, item), (2, Value::Null, Value::Null)]
        {
            let service = &output["services"][index];
            for described in [service, &service["deployments"][0]] {
                assert_eq!(described["launchType"], launch_type);
                assert_eq!(described["capacityProviderStrategy"], strategy);
            }
        }
    }
}

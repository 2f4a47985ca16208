//! ECS's operations on services.

use serde_json::{Value, json};

use super::placement_json::{constraint_json, strategy_json};
use super::task_definition_calls::definition_arn;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, PAGE_MAX, arn_of, id_of, invalid, page_of};
use crate::world::ecs::task::TaskStatus;
use crate::world::ecs::{Cluster, Service, ServiceKind, Status, arn};
use crate::world::{Entry, Happening, World};

const DESCRIBE_MAX: usize = 10;

/// Source: ECS API, `Service.events`.
const EVENTS_MAX: usize = 100;

/// Source: ECS API, `ListServices`.
const LIST_DEFAULT: u64 = 10;

pub(super) fn list_services(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let daemons = match input.text("schedulingStrategy")? {
        None => None,
        Some("DAEMON") => Some(true),
        Some("REPLICA") => Some(false),
        Some(other) => return Err(invalid(format!("Scheduling strategy {other} is not valid."))),
    };
    let on_ec2 = match input.text("launchType")? {
        None | Some("EC2") => true,
        Some("FARGATE" | "EXTERNAL" | "MANAGED_INSTANCES") => false,
        Some(other) => return Err(invalid(format!("Launch type {other} is not valid."))),
    };
    let listed = |service: &Service| {
        on_ec2 && daemons.is_none_or(|daemons| (service.kind == ServiceKind::Daemon) == daemons)
    };
    let services = cluster.services.iter().filter(|(_, service)| listed(service));
    let arns = services.map(|(service, _)| arn_of("service", name, service)).collect();
    page_of(input, "serviceArns", arns, LIST_DEFAULT, PAGE_MAX)
}

pub(super) fn describe_services(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in input.texts("services", DESCRIBE_MAX)? {
        match cluster.services.get_key_value(id_of(wanted)) {
            Some((service_name, service)) => {
                let mut service = describe(name, cluster, service_name, service);
                service["events"] = events(world, service_name);
                described.push(service);
            }
            None => {
                failures.push(json!({"arn": arn_of("service", name, wanted), "reason": "MISSING"}))
            }
        }
    }
    Ok(json!({"services": described, "failures": failures}))
}

/// The last events of a service, the newest first: that a task found no place.
fn events(world: &World, name: &str) -> Value {
    let event = |entry: &Entry| match &entry.happening {
        Happening::NotPlaced { service, reason } if service == name => {
            let message = format!(
                "(service {name}) was unable to place a task because {reason} For more information, see the \
                 Troubleshooting section of the Amazon ECS Developer Guide."
            );
            let id = format!("{}-{name}", entry.time.as_millisecond());
            Some(
                json!({"id": id, "createdAt": entry.time.as_duration().as_secs_f64(), "message": message}),
            )
        }
        _ => None,
    };
    world.history.iter().rev().filter_map(event).take(EVENTS_MAX).collect()
}

/// What a service's tasks have as `startedBy`: the id of its deployment. Made of the name, so that it stays the same.
pub(super) fn deployment_id(service: &str) -> String {
    let number =
        service.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("ecs-svc/{:019}", number % 10_000_000_000_000_000_000)
}

fn describe(cluster_name: &str, cluster: &Cluster, name: &str, service: &Service) -> Value {
    let wanted = |running: bool| {
        cluster
            .tasks
            .values()
            .filter(|task| task.service.as_deref() == Some(name) && task.is_desired_running())
            .filter(|task| (task.status >= TaskStatus::Running) == running)
            .count()
    };
    let (strategy, desired, least, most) = match service.kind {
        ServiceKind::Replica { desired, min_percent, max_percent } => {
            ("REPLICA", desired, min_percent, max_percent)
        }
        // A daemon wants a task on each ACTIVE instance; its percentages are the API's defaults.
        ServiceKind::Daemon => {
            let active = cluster
                .instances
                .values()
                .filter(|instance| instance.status == Status::Active)
                .count();
            ("DAEMON", active, 0, 100)
        }
    };
    let (running, pending) = (wanted(true), wanted(false));
    let created_at = service.created_at.as_duration().as_secs_f64();
    let definition = definition_arn(&service.spec.definition(name));
    let deployment = |status: &str, rollout: &str| {
        json!({
            "id": deployment_id(name),
            "status": status,
            "taskDefinition": definition,
            "desiredCount": desired,
            "pendingCount": pending,
            "runningCount": running,
            "failedTasks": 0,
            "createdAt": created_at,
            "updatedAt": created_at,
            "launchType": "EC2",
            "rolloutState": rollout,
        })
    };
    let deployments = if service.deployment_in_progress {
        vec![deployment("PRIMARY", "IN_PROGRESS"), deployment("ACTIVE", "COMPLETED")]
    } else {
        vec![deployment("PRIMARY", "COMPLETED")]
    };
    let rebalancing = if service.zone_rebalancing { "ENABLED" } else { "DISABLED" };
    json!({
        "serviceArn": arn_of("service", cluster_name, name),
        "serviceName": name,
        "clusterArn": arn(&format!("cluster/{cluster_name}")),
        "status": "ACTIVE",
        "schedulingStrategy": strategy,
        "deploymentConfiguration": {"minimumHealthyPercent": least, "maximumPercent": most},
        "deploymentController": {"type": "ECS"},
        "desiredCount": desired,
        "runningCount": running,
        "pendingCount": pending,
        "launchType": "EC2",
        "taskDefinition": definition,
        "loadBalancers": [],
        "serviceRegistries": [],
        "deployments": deployments,
        "events": [],
        "createdAt": created_at,
        "placementConstraints": service.placement.constraints.iter().map(constraint_json).collect::<Vec<_>>(),
        "placementStrategy": service.placement.strategies.iter().map(strategy_json).collect::<Vec<_>>(),
        "availabilityZoneRebalancing": rebalancing,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::wire::ecs_calls::run;
    use crate::world::ecs::NewInstance;
    use crate::world::ecs::TaskSpec;

    fn describe(world: &mut World, services: &[&str]) -> Result<Value, Refusal> {
        let input = json!({"cluster": "shop", "services": services}).to_string();
        run(world, "DescribeServices", input.as_bytes(), None)
            .map(|output| serde_json::from_str(&output).unwrap())
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

        let tells = |service: &Value| {
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
        };
        assert_eq!(tells(&output["services"][0]), json!(["web", "REPLICA", 50, 150, 3, 3, 0]));
        assert_eq!(tells(&output["services"][1]), json!(["logs", "DAEMON", 0, 100, 2, 2, 0]));
        let missing = json!([{"arn": "arn:aws:ecs:eu-west-1:111122223333:service/shop/x", "reason": "MISSING"}]);
        assert_eq!(output["failures"], missing);
        assert!(describe(&mut world, &["x"; 11]).is_err());
    }
}

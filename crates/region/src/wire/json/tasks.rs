//! ECS's operations on tasks.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definitions::{container_port, definition_arn, memory};
use super::services::deployment_id;
use super::{DESCRIBE_MAX, Input, arn_of, id_of, invalid, page};
use crate::wire::Refusal;
use crate::world::World;
use crate::world::ecs::{Cluster, arn};
use crate::world::task::{Network, Port, Size, Status, Task};

/// Source: ECS API, `UpdateTaskProtection`.
const PROTECT_MAX: usize = 10;
/// See `PROTECT_MAX`.
const PROTECTION_DEFAULT_MINUTES: u64 = 120;
/// See `PROTECT_MAX`.
const PROTECTION_MAX_MINUTES: u64 = 2_880;
/// Filters of `ListTasks` that Ebb does not use.
const LIST_FILTERS_MISSING: [&str; 3] = ["family", "startedBy", "daemonName"];

pub(super) fn list_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    for filter in LIST_FILTERS_MISSING {
        if input.text(filter)?.is_some() {
            return Err(invalid(format!(
                "The simulated Region does not filter tasks by {filter}."
            )));
        }
    }
    let container_instance = input.text("containerInstance")?.map(id_of);
    // What ECS says to an unknown one is not documented.
    if container_instance.is_some_and(|id| !cluster.instances.contains_key(id)) {
        return Err(invalid("The container instance was not found."));
    }
    let service = input.text("serviceName")?.map(id_of);
    if service.is_some_and(|service| !cluster.services.contains_key(service)) {
        return Err(Refusal::new("ServiceNotFoundException", "Service not found."));
    }
    // PENDING is a valid status that no task is ever desired to have (ECS API, `ListTasks`).
    let stopped = match input.text("desiredStatus")? {
        None | Some("RUNNING") => Some(false),
        Some("STOPPED") => Some(true),
        Some("PENDING") => None,
        Some(other) => return Err(invalid(format!("Desired status {other} is not valid."))),
    };
    let on_ec2 = match input.text("launchType")? {
        None | Some("EC2") => true,
        Some("FARGATE" | "EXTERNAL" | "MANAGED_INSTANCES") => false,
        Some(other) => return Err(invalid(format!("Launch type {other} is not valid."))),
    };
    let listed = |task: &&Task| {
        on_ec2
            && stopped == Some(!task.is_wanted())
            && task.is_visible(world.now())
            && container_instance.is_none_or(|id| task.container_instance == id)
            && service.is_none_or(|service| task.service.as_deref() == Some(service))
    };
    let arns =
        cluster.tasks.values().filter(listed).map(|task| arn_of("task", name, &task.id)).collect();
    page(input, "taskArns", arns)
}

pub(super) fn describe_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in input.texts("tasks", DESCRIBE_MAX)? {
        match visible(world, name, wanted) {
            Some(task) => described.push(describe(name, cluster, task)),
            None => {
                failures.push(json!({"arn": arn_of("task", name, wanted), "reason": "MISSING"}))
            }
        }
    }
    Ok(json!({"tasks": described, "failures": failures}))
}

pub(super) fn stop_task(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let name = input.cluster(world)?.0.to_owned();
    let wanted = input.text("task")?.ok_or_else(|| invalid("Task can not be blank."))?;
    let not_found = || invalid("The referenced task was not found.");
    let id = visible(world, &name, wanted).ok_or_else(not_found)?.id.clone();
    world.stop_task(&name, &id);
    let task = visible(world, &name, &id).ok_or_else(not_found)?;
    Ok(json!({"task": describe(&name, &world.clusters[&name], task)}))
}

pub(super) fn get_task_protection(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let name = input.cluster(world)?.0;
    Ok(protections(world, name, &input.texts("tasks", DESCRIBE_MAX)?))
}

pub(super) fn update_task_protection(
    world: &mut World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let name = input.cluster(world)?.0.to_owned();
    let tasks = input.texts("tasks", PROTECT_MAX)?;
    let Some(enabled) = input.value["protectionEnabled"].as_bool() else {
        return Err(invalid("protectionEnabled must be true or false."));
    };
    let minutes = match &input.value["expiresInMinutes"] {
        Value::Null => PROTECTION_DEFAULT_MINUTES,
        minutes => minutes
            .as_u64()
            .filter(|minutes| (1..=PROTECTION_MAX_MINUTES).contains(minutes))
            .ok_or_else(|| invalid("expiresInMinutes must be from 1 to 2880."))?,
    };
    for task in &tasks {
        let period = Duration::from_secs(if enabled { minutes * 60 } else { 0 });
        world.protect_task(&name, id_of(task), period);
    }
    Ok(protections(world, &name, &tasks))
}

/// A standalone task cannot be protected: a failure of its own (ECS Developer Guide, `api_failures_messages`).
fn protections(world: &World, name: &str, tasks: &[&str]) -> Value {
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for wanted in tasks {
        let arn = arn_of("task", name, wanted);
        match visible(world, name, wanted) {
            None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            Some(task) if task.service.is_none() => {
                failures.push(json!({"arn": arn, "reason": "TASK_NOT_VALID"}));
            }
            Some(task) => protected.push(match task.protection(world.now()) {
                Some(until) => {
                    json!({"taskArn": arn, "protectionEnabled": true, "expirationDate": seconds(until)})
                }
                None => json!({"taskArn": arn, "protectionEnabled": false}),
            }),
        }
    }
    json!({"protectedTasks": protected, "failures": failures})
}

/// A task that the API still knows, by its id or ARN.
fn visible<'a>(world: &'a World, cluster: &str, wanted: &str) -> Option<&'a Task> {
    world.clusters[cluster].tasks.get(id_of(wanted)).filter(|task| task.is_visible(world.now()))
}

fn describe(cluster_name: &str, cluster: &Cluster, task: &Task) -> Value {
    let interface = (task.spec.network == Network::Awsvpc).then(|| interface_of(task));
    let mut described = json!({
        "taskArn": arn_of("task", cluster_name, &task.id),
        "taskDefinitionArn": definition_arn(&task.definition()),
        "clusterArn": arn(&format!("cluster/{cluster_name}")),
        "containerInstanceArn": arn_of("container-instance", cluster_name, &task.container_instance),
        "availabilityZone": cluster.instances[&task.container_instance].zone,
        "group": task.group(),
        "launchType": "EC2",
        "lastStatus": task.status.as_str(),
        "desiredStatus": if task.is_wanted() { "RUNNING" } else { "STOPPED" },
        "connectivity": if task.status < Status::Running { "DISCONNECTED" } else { "CONNECTED" },
        "healthStatus": "UNKNOWN",
        "createdAt": seconds(task.created_at),
        "version": 1,
        "attachments": interface.iter().map(attachment).collect::<Vec<_>>(),
        "containers": [container(cluster_name, task, interface.as_ref())],
        "overrides": {"containerOverrides": []},
        "tags": [],
    });
    let has_size = task.spec.size == Size::Task;
    let optional = [
        ("cpu", has_size.then(|| json!(task.spec.cpu.to_string()))),
        ("memory", has_size.then(|| json!(task.spec.memory_mib.to_string()))),
        ("startedBy", task.service.as_deref().map(deployment_id).map(Value::from)),
        ("stoppedAt", task.stopped_at.map(seconds).map(Value::from)),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            described[member] = value;
        }
    }
    described
}

/// The one container of a task. Its ports are known when it runs.
fn container(cluster: &str, task: &Task, interface: Option<&Interface>) -> Value {
    let binding = |(index, (wanted, bound)): (usize, (&Port, &Port))| {
        json!({
            "bindIP": "0.0.0.0",
            "containerPort": container_port(index, *wanted),
            "hostPort": bound.number,
            "protocol": bound.protocol.as_str(),
        })
    };
    let bindings: Vec<_> = if task.is_executing() {
        task.spec.ports.iter().zip(&task.bindings).enumerate().map(binding).collect()
    } else {
        Vec::new()
    };
    let status = match task.status {
        Status::Provisioning | Status::Pending => "PENDING",
        Status::Deprovisioning | Status::Stopped => "STOPPED",
        _ => "RUNNING",
    };
    let interfaces: Vec<_> = interface
        .iter()
        .map(|one| json!({"attachmentId": one.attachment_id, "privateIpv4Address": one.address}))
        .collect();
    let (limit, reservation) = memory(&task.spec);
    let mut described = json!({
        "containerArn": arn_of("container", cluster, &task.id),
        "taskArn": arn_of("task", cluster, &task.id),
        "name": "app",
        "image": "example/app:1",
        "lastStatus": status,
        "networkBindings": bindings,
        "networkInterfaces": interfaces,
        "healthStatus": "UNKNOWN",
        "cpu": task.spec.cpu.to_string(),
        "memory": limit.to_string(),
    });
    if let Some(reservation) = reservation {
        described["memoryReservation"] = json!(reservation.to_string());
    }
    if !task.gpus.is_empty() {
        described["gpuIds"] = json!(task.gpus);
    }
    described
}

/// The network interface of a task in `awsvpc` mode; made of the task's id, so that it stays the same.
struct Interface {
    attachment_id: String,
    interface_id: String,
    address: String,
}

fn interface_of(task: &Task) -> Interface {
    let id = &task.id;
    let byte = |at: usize| {
        id.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0)
    };
    Interface {
        attachment_id: format!(
            "{}-{}-{}-{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..]
        ),
        interface_id: format!("eni-{}", &id[..17]),
        address: format!("10.0.{}.{}", byte(0), byte(2)),
    }
}

fn attachment(interface: &Interface) -> Value {
    let detail = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "id": interface.attachment_id,
        "type": "ElasticNetworkInterface",
        "status": "ATTACHED",
        "details": [
            detail("subnetId", "subnet-0a1b2c3d4e5f60718"),
            detail("networkInterfaceId", &interface.interface_id),
            detail("privateIPv4Address", &interface.address),
        ],
    })
}

/// A time as ECS gives it: seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;
    use crate::world::ecs::{NewInstance, ServiceKind};
    use crate::world::task::TaskSpec;

    /// Two container instances with a service of two tasks and a daemon, and a standalone task on the first.
    fn world() -> (World, String, String) {
        let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        for id in ["i-1", "i-2"] {
            world.add_instance("shop", NewInstance::new(id));
        }
        world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
        world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
        let first = world.clusters["shop"].on("i-1").unwrap().id.clone();
        let standalone = world.run_task("shop", &first, "report", TaskSpec::default());
        pass(&mut world, 60);
        (world, first, standalone)
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn call(world: &mut World, operation: &str, mut input: Value) -> Result<Value, Refusal> {
        input["cluster"] = json!("shop");
        json::run(world, operation, input.to_string().as_bytes(), None)
            .map(|output| serde_json::from_str(&output).unwrap())
    }

    fn list(world: &mut World, input: Value) -> Vec<String> {
        let arns = call(world, "ListTasks", input).unwrap()["taskArns"].clone();
        serde_json::from_value(arns).unwrap()
    }

    #[test]
    fn tasks_are_listed_by_container_instance_service_and_desired_status() {
        let (mut world, first, standalone) = world();

        assert_eq!(list(&mut world, json!({})).len(), 5);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 3);
        assert_eq!(list(&mut world, json!({"serviceName": "web"})).len(), 2);
        for nothing in [
            json!({"desiredStatus": "PENDING"}),
            json!({"desiredStatus": "STOPPED"}),
            json!({"launchType": "FARGATE"}),
        ] {
            assert_eq!(list(&mut world, nothing), [""; 0]);
        }
        world.stop_task("shop", &standalone);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 2);
        let arn = format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{standalone}");
        assert_eq!(
            list(&mut world, json!({"containerInstance": first, "desiredStatus": "STOPPED"})),
            [arn]
        );
    }

    #[test]
    fn a_stopped_task_is_listed_and_described_for_an_hour() {
        let (mut world, _, standalone) = world();
        world.stop_task("shop", &standalone);
        pass(&mut world, 3600);
        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 1);
        pass(&mut world, 60);

        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 0);
        let described = call(&mut world, "DescribeTasks", json!({"tasks": [standalone]})).unwrap();
        assert_eq!(described["failures"][0]["reason"], "MISSING");
    }

    #[test]
    fn tasks_are_listed_page_by_page() {
        let (mut world, ..) = world();
        let first = call(&mut world, "ListTasks", json!({"maxResults": 3})).unwrap();
        let rest = call(&mut world, "ListTasks", json!({"nextToken": first["nextToken"]})).unwrap();

        let len = |page: &Value| page["taskArns"].as_array().unwrap().len();
        assert_eq!((len(&first), len(&rest), rest.get("nextToken")), (3, 2, None));
    }

    #[test]
    fn what_is_listed_must_exist() {
        let (mut world, ..) = world();
        for (input, code) in [
            (json!({"serviceName": "x"}), "ServiceNotFoundException"),
            (json!({"containerInstance": "x"}), "InvalidParameterException"),
            (json!({"desiredStatus": "x"}), "InvalidParameterException"),
        ] {
            assert_eq!(call(&mut world, "ListTasks", input).unwrap_err().code, code);
        }
    }

    #[test]
    fn a_task_says_whom_it_belongs_to_and_where_it_stands() {
        let (mut world, first, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"})).remove(0);
        let output =
            call(&mut world, "DescribeTasks", json!({"tasks": [standalone, web, "x"]})).unwrap();

        let (alone, of_service) = (&output["tasks"][0], &output["tasks"][1]);
        assert_eq!((&alone["group"], alone.get("startedBy")), (&json!("family:report"), None));
        assert_eq!(of_service["group"], "service:web");
        assert!(of_service["startedBy"].as_str().unwrap().starts_with("ecs-svc/"));
        let instance =
            format!("arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/{first}");
        assert_eq!(alone["containerInstanceArn"], json!(instance));
        assert_eq!((&alone["cpu"], &alone["memory"]), (&json!("256"), &json!("512")));
        assert_eq!(
            (&alone["lastStatus"], &alone["desiredStatus"]),
            (&json!("RUNNING"), &json!("RUNNING"))
        );
        let missing =
            json!([{"arn": "arn:aws:ecs:eu-west-1:111122223333:task/shop/x", "reason": "MISSING"}]);
        assert_eq!(output["failures"], missing);
    }

    #[test]
    fn a_task_that_is_told_to_stop_is_desired_stopped_long_before_it_has_stopped() {
        let (mut world, _, standalone) = world();
        let output = call(&mut world, "StopTask", json!({"task": standalone})).unwrap();
        assert_eq!(
            (&output["task"]["desiredStatus"], &output["task"]["lastStatus"]),
            (&json!("STOPPED"), &json!("RUNNING"))
        );

        pass(&mut world, 10);
        assert_eq!(world.clusters["shop"].tasks[&standalone].status, Status::Stopped);
        let refused = call(&mut world, "StopTask", json!({"task": "x"})).unwrap_err();
        assert_eq!(refused.message, "The referenced task was not found.");
    }

    #[test]
    fn the_protection_of_service_tasks_is_told_and_standalone_tasks_have_none() {
        let (mut world, _, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"}));
        world.protect_task("shop", id_of(&web[0]), Duration::from_secs(600));
        let until = seconds(world.now()) + 600.0;
        let input = json!({"tasks": [web[0], web[1], standalone, "x"]});
        let output = call(&mut world, "GetTaskProtection", input).unwrap();

        let protected = json!([
            {"taskArn": web[0], "protectionEnabled": true, "expirationDate": until},
            {"taskArn": web[1], "protectionEnabled": false},
        ]);
        assert_eq!(output["protectedTasks"], protected);
        let reasons: Vec<_> = output["failures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["reason"].as_str().unwrap())
            .collect();
        assert_eq!(reasons, ["TASK_NOT_VALID", "MISSING"]);
    }
}

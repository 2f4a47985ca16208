//! A task as ECS describes it, with its container and its network interface.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::service_calls::deployment_id;
use super::task_definition_calls::{container_port, definition_arn, memory};
use crate::wire::aws_json::arn_of;
use crate::world::ecs::task::{StopCause, Task, TaskStatus};
use crate::world::ecs::{Cluster, ContainerInstance, Network, Size, arn};

pub(super) fn describe(cluster_name: &str, cluster: &Cluster, task: &Task) -> Value {
    let interface = (task.spec.network == Network::Awsvpc).then(|| interface_of(task));
    let attachments: Vec<_> = interface.iter().map(attachment).collect();
    let instance = cluster.instances.get(&task.container_instance);
    let has_started = task.status >= TaskStatus::Running;
    let mut described = json!({
        "taskArn": arn_of("task", cluster_name, &task.id),
        "taskDefinitionArn": definition_arn(&task.definition()),
        "clusterArn": arn(&format!("cluster/{cluster_name}")),
        "group": task.group(),
        "launchType": "EC2",
        "lastStatus": task.status.as_str(),
        "desiredStatus": if task.is_desired_running() { "RUNNING" } else { "STOPPED" },
        "connectivity": if has_started { "CONNECTED" } else { "DISCONNECTED" },
        "healthStatus": "UNKNOWN",
        "createdAt": seconds(task.created_at),
        "version": 1,
        "attachments": attachments,
        "containers": [container(cluster_name, task, interface.as_ref())],
        "overrides": {"containerOverrides": []},
        "tags": [],
    });
    let has_size = task.spec.size == Size::Task;
    let optional = [
        ("containerInstanceArn", instance.map(|instance| json!(instance.arn(cluster_name)))),
        ("availabilityZone", instance.map(|instance| json!(instance.zone))),
        ("capacityProviderName", task.capacity_provider.as_ref().map(|name| json!(name))),
        ("cpu", has_size.then(|| json!(task.spec.cpu.to_string()))),
        ("memory", has_size.then(|| json!(task.spec.memory_mib.to_string()))),
        ("startedBy", task.service.as_deref().map(deployment_id).map(Value::from)),
        ("startedAt", task.started_at.map(seconds).map(Value::from)),
        ("stopCode", task.stop_cause.as_ref().map(|cause| json!(cause.code()))),
        ("stoppedReason", stopped_reason(task, instance).map(Value::from)),
        ("executionStoppedAt", task.execution_stopped_at.map(seconds).map(Value::from)),
        ("stoppingAt", task.stopping_at.map(seconds).map(Value::from)),
        ("stoppedAt", task.stopped_at.map(seconds).map(Value::from)),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            described[member] = value;
        }
    }
    described
}

/// Why a task stops, in AWS's words (ECS Developer Guide, stopped-task-error-codes), or in those of
/// whoever stopped it.
fn stopped_reason(task: &Task, instance: Option<&ContainerInstance>) -> Option<String> {
    Some(match (task.stop_cause.as_ref()?, &task.service) {
        (StopCause::User(reason), _) => {
            reason.clone().unwrap_or_else(|| "Task stopped by user".to_owned())
        }
        (StopCause::Scheduler, service) => {
            let deployment = deployment_id(service.as_deref().unwrap_or_default());
            format!("Scaling activity initiated by (deployment {deployment})")
        }
        (StopCause::Exited, _) => "Essential container in task exited".to_owned(),
        (StopCause::InstanceGone, _) => {
            let id = instance.map_or("", |instance| &instance.instance_id);
            format!("Host EC2 (instance {id}) terminated.")
        }
    })
}

/// The one container of a task. Its ports are known when it runs.
fn container(cluster: &str, task: &Task, interface: Option<&Interface>) -> Value {
    let bindings = if task.is_executing() { bindings(task) } else { Vec::new() };
    let status = match task.status {
        TaskStatus::Provisioning | TaskStatus::Pending => "PENDING",
        TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
        _ => "RUNNING",
    };
    let interfaces: Vec<_> = interface
        .iter()
        .map(|interface| {
            json!({
                "attachmentId": interface.attachment_id,
                "privateIpv4Address": interface.address,
            })
        })
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

fn bindings(task: &Task) -> Vec<Value> {
    let ports = task.spec.ports.iter().zip(&task.bindings).enumerate();
    ports
        .map(|(index, (requested, bound))| {
            json!({
                "bindIP": "0.0.0.0",
                "containerPort": container_port(index, *requested),
                "hostPort": bound.number,
                "protocol": bound.protocol.as_str(),
            })
        })
        .collect()
}

/// The network interface of a task in `awsvpc` mode. It is made of the task's id, so that it stays
/// the same without being kept anywhere.
struct Interface {
    attachment_id: String,
    interface_id: String,
    address: String,
}

fn interface_of(task: &Task) -> Interface {
    let id = &task.id;
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
        address: format!("10.0.{}.{}", byte_at(id, 0), byte_at(id, 2)),
    }
}

/// The byte that two hexadecimal digits of an id stand for.
fn byte_at(id: &str, offset: usize) -> u8 {
    let digits = id.get(offset..offset + 2);
    digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

fn attachment(interface: &Interface) -> Value {
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

fn detail(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// A time as ECS gives it: seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

//! What a person may do to the served Region: what happens to a cluster and cannot be asked of AWS,
//! and what takes several calls there.
//!
//! | `POST /_ebb/…` | body | does |
//! |---|---|---|
//! | `interrupt` | `{"instance_id": "i-1", "action": "stop"}` | EC2 interrupts a Spot Instance; `terminate` unless it says otherwise |
//! | `terminate` | `{"instance_id": "i-1", "hook": "drain", "token": "…"}` | its group terminates an instance, held by a hook with this action token |
//! | `scale-in` | `{"instance_id": "i-1"}` | its group terminates an instance and wants one less |
//! | `protection` | `{"instance_id": "i-1", "protected": true}` | protects an instance from scale-in, or no longer |
//! | `agent` | `{"instance_id": "i-1", "connected": false}` | its agent loses its connection, or has it again |
//! | `task` | `{"instance_id": "i-1", "name": "report"}` | runs a standalone task on an instance |
//! | `service` | `{"cluster": "shop", "service": "web", "stuck": true}` | its percentages leave no room for replacements, or do again |
//! | `cluster` | | adds a second cluster |
//! | `sweep` | | runs the reaper |
//! | `faults` | `{"operation": "ListTasks", "fault": "throttle", "calls": 1}` | the next calls of an operation fail |

use std::time::Duration;

use serde_json::{Value, json};

use crate::fault;
use crate::scenario;
use crate::world::autoscaling::{Group, Hook};
use crate::world::ecs::{Constraint, NewInstance, Placement, ServiceKind, TaskSpec};
use crate::world::spot::Action;
use crate::world::{REGION, World};

/// The second cluster, and the Auto Scaling group of its instances.
const SECOND_CLUSTER: &str = "depot";
/// See [`SECOND_CLUSTER`].
const SECOND_GROUP: &str = "depot-instances";

/// The longest name of a task definition's family. Source: ECS API, `RegisterTaskDefinition`.
const FAMILY_CHARS_MAX: usize = 255;

/// Carries out a control by its name; `None` if there is none of that name.
///
/// # Errors
/// What is wrong with the body, or why the Region refuses, as a sentence for whoever sent it.
pub(crate) fn apply(world: &mut World, name: &str, body: &Value) -> Option<Result<(), String>> {
    let applied = match name {
        "interrupt" => interrupt(world, body),
        "terminate" => terminate(world, body),
        "scale-in" => scale_in(world, body),
        "protection" => protect(world, body),
        "agent" => set_agent(world, body),
        "task" => run_task(world, body),
        "service" => set_stuck(world, body),
        "cluster" => add_second_cluster(world),
        "sweep" => sweep(world),
        "faults" => plan_fault(world, body),
        _ => return None,
    };
    Some(applied)
}

fn interrupt(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    let action = match body.get("action") {
        None => Some(Action::Terminate),
        Some(action) => action.as_str().and_then(Action::parse),
    };
    let action = action.ok_or("action must be terminate, stop or hibernate")?;
    world.interrupt(instance_id, action);
    Ok(())
}

fn terminate(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    let hook = Hook::new(body["hook"].as_str().ok_or("hook must be text")?);
    let token = body["token"].as_str().ok_or("token must be text")?;
    world
        .terminate_under_hook(instance_id, hook, token.to_owned())
        .map_err(|refused| refused.message)
}

fn scale_in(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    world.terminate_in_group(instance_id, true).map_err(|refused| refused.message)?;
    Ok(())
}

fn protect(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    let protected = body["protected"].as_bool().ok_or("protected must be true or false")?;
    let (group, _) = world.group_of(instance_id).ok_or("no group has the instance")?;
    let group = group.to_owned();
    world
        .set_instance_protection(&group, &[instance_id], protected)
        .map_err(|refused| refused.message)
}

fn set_agent(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    match body["connected"].as_bool().ok_or("connected must be true or false")? {
        true => world.reconnect_agent(instance_id),
        false => world.disconnect_agent(instance_id),
    }
    Ok(())
}

fn run_task(world: &mut World, body: &Value) -> Result<(), String> {
    let instance_id = instance_id(world, body)?;
    let name = match body.get("name") {
        None => "report",
        Some(name) => name.as_str().ok_or("name must be text")?,
    };
    let is_of_family = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=FAMILY_CHARS_MAX).contains(&name.len()) || !name.chars().all(is_of_family) {
        return Err("name must be of 1 to 255 letters, digits, hyphens and underscores".to_owned());
    }
    // Its task definition would be the service's too, and say of it what this task needs.
    if world.clusters.values().any(|cluster| cluster.services.contains_key(name)) {
        return Err(format!("name must not be that of the service {name}"));
    }
    let (cluster, _) =
        world.container_instance(instance_id).ok_or("no cluster has the instance")?;
    let cluster = cluster.to_owned();
    let on_instance = Constraint::MemberOf(format!("ec2InstanceId == {instance_id}"));
    let placement = Placement::default().with_constraint(on_instance);
    world
        .run_task_anywhere(&cluster, name, TaskSpec::default(), &placement)
        .map(drop)
        .map_err(|_| format!("the instance {instance_id} takes no task now"))
}

/// ECS refuses percentages of 100 and 100; what makes a service stuck is a maximum that rounds down
/// to what it wants. From 100 tasks on there is none.
fn set_stuck(world: &mut World, body: &Value) -> Result<(), String> {
    let cluster = body["cluster"].as_str().ok_or("cluster must be text")?;
    let name = body["service"].as_str().ok_or("service must be text")?;
    let stuck = body["stuck"].as_bool().ok_or("stuck must be true or false")?;
    let service = world.clusters.get(cluster).and_then(|cluster| cluster.services.get(name));
    let kind = match service.ok_or("there is no such service")?.kind {
        ServiceKind::Daemon => return Err("a daemon service cannot be stuck".to_owned()),
        ServiceKind::Replica { desired: 100.., .. } if stuck => {
            return Err("a service that wants 100 tasks or more cannot be stuck".to_owned());
        }
        ServiceKind::Replica { desired, .. } if stuck => {
            let max_percent = 100 + 99 / desired.max(1);
            ServiceKind::Replica { desired, min_percent: 100, max_percent }
        }
        ServiceKind::Replica { desired, .. } => ServiceKind::replica(desired),
    };
    world.set_service_kind(cluster, name, kind);
    Ok(())
}

/// Four instances, one of which would do, with the hooks of the first cluster's groups.
fn add_second_cluster(world: &mut World) -> Result<(), String> {
    if world.clusters.contains_key(SECOND_CLUSTER) {
        return Err(format!("there is a cluster {SECOND_CLUSTER} already"));
    }
    let ids: Vec<_> = (1..=4).map(|number| format!("i-0d4e5f6a7b8c9{number:04}")).collect();
    for (id, zone) in ids.iter().zip(["a", "b", "c", "a"]) {
        world.add_instance(SECOND_CLUSTER, NewInstance::new(id).zone(format!("{REGION}{zone}")));
    }
    let hooks = world.groups.get(scenario::ON_DEMAND_GROUP).map(|group| group.hooks.clone());
    let group = Group::with_instances(SECOND_CLUSTER, ids);
    let group = Group { min_size: 1, hooks: hooks.unwrap_or_default(), ..group };
    world.add_group(SECOND_GROUP, group);
    let packing = TaskSpec { stops_after: Duration::from_secs(10), ..TaskSpec::default() };
    let logs = TaskSpec { cpu: 64, memory_mib: 128, ..TaskSpec::default() };
    world.add_service(SECOND_CLUSTER, "packing", ServiceKind::replica(5), packing);
    world.add_service(SECOND_CLUSTER, "depot-logs", ServiceKind::Daemon, logs);
    Ok(())
}

fn sweep(world: &mut World) -> Result<(), String> {
    world.invoke(scenario::SCALE_IN_REAPER, json!({}));
    Ok(())
}

fn plan_fault(world: &mut World, body: &Value) -> Result<(), String> {
    let operation = body["operation"].as_str().ok_or("operation must be text")?;
    let fault = body["fault"]
        .as_str()
        .and_then(fault::parse)
        .ok_or("fault must name a fault, such as throttle")?;
    let calls = match body.get("calls") {
        None => Some(1),
        Some(calls) => calls.as_u64().and_then(|calls| u32::try_from(calls).ok()),
    };
    world.faults.plan(operation, fault, calls.ok_or("calls must be a number of calls")?);
    Ok(())
}

/// The instance that a body names, if a cluster or a group has it.
fn instance_id<'a>(world: &World, body: &'a Value) -> Result<&'a str, String> {
    let instance_id = body["instance_id"].as_str().ok_or("instance_id must be text")?;
    let is_known =
        world.container_instance(instance_id).is_some() || world.group_of(instance_id).is_some();
    if is_known {
        Ok(instance_id)
    } else {
        Err(format!("no cluster and no group has the instance {instance_id}"))
    }
}

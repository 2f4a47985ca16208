//! Auto Scaling's operations. Limits are those of the Auto Scaling API model.

use std::time::Duration;

use super::{Form, element, invalid, member};
use crate::wire::Refusal;
use crate::world::World;
use crate::world::autoscaling::lifecycle::{ActionKey, ActionResult, Hook, TERMINATING, group_arn};
use crate::world::autoscaling::{Group, Instance};

/// The records of a page: by default, and at most.
const PAGE_DEFAULT: i32 = 50;
const PAGE_MAX: i32 = 100;
const INSTANCE_IDS_MAX: usize = 50;
const HOOKS_MAX: usize = 50;
const TOKEN_LENGTH: usize = 36;
const METADATA_LENGTH_MAX: usize = 4_000;

pub(super) fn run(world: &mut World, operation: &str, form: &Form) -> Result<String, Refusal> {
    let result = match operation {
        "DescribeAutoScalingGroups" => describe_auto_scaling_groups(world, form),
        "DescribeAutoScalingInstances" => describe_auto_scaling_instances(world, form),
        "DescribeInstanceRefreshes" => describe_instance_refreshes(world, form),
        "SetDesiredCapacity" => return set_desired_capacity(world, form),
        "TerminateInstanceInAutoScalingGroup" => terminate_instance(world, form),
        "DescribeLifecycleHooks" => describe_lifecycle_hooks(world, form),
        "PutLifecycleHook" => put_lifecycle_hook(world, form),
        "CompleteLifecycleAction" => complete_lifecycle_action(world, form),
        "RecordLifecycleActionHeartbeat" => record_heartbeat(world, form),
        _ => Err(Refusal::new("InvalidAction", format!("Could not find operation {operation}"))),
    };
    result.map(|result| format!("<{operation}Result>{result}</{operation}Result>"))
}

fn describe_auto_scaling_groups(world: &World, form: &Form) -> Result<String, Refusal> {
    let names = form.list("AutoScalingGroupNames");
    let most = form.number("MaxRecords", 1, PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    if names.len() > usize::try_from(most).unwrap_or(usize::MAX) {
        return Err(invalid(format!(
            "The number of group names that may be passed in is limited to {most}"
        )));
    }
    let instances = form.text("IncludeInstances") != Some("false");
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let groups = world
        .groups
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, group)| group_xml(world, name, group, instances))
        .collect();
    page(form, "AutoScalingGroups", PAGE_MAX, groups)
}

fn group_xml(world: &World, name: &str, group: &Group, with_instances: bool) -> String {
    let zones: String = group.zones.iter().map(|zone| element("member", zone)).collect();
    let instances: String = group
        .instances
        .iter()
        .filter(|_| with_instances)
        .map(|one| {
            let health = element("HealthStatus", if one.healthy { "Healthy" } else { "Unhealthy" });
            member(&[instance_xml(world, group, one), health].concat())
        })
        .collect();
    let suspended: String = group
        .suspended
        .iter()
        .map(|process| {
            let reason = element("SuspensionReason", "User suspended at 2025-01-01T00:00:00Z");
            member(&[element("ProcessName", process), reason].concat())
        })
        .collect();
    [
        element("AutoScalingGroupName", name),
        element("AutoScalingGroupARN", &group_arn(name)),
        element("MinSize", &group.min_size.to_string()),
        element("MaxSize", &group.max_size.to_string()),
        element("DesiredCapacity", &group.desired_capacity.to_string()),
        element("DefaultCooldown", "300"),
        format!("<AvailabilityZones>{zones}</AvailabilityZones>"),
        element("HealthCheckType", "EC2"),
        element("HealthCheckGracePeriod", "300"),
        element("CreatedTime", "2025-01-01T00:00:00.000Z"),
        element("NewInstancesProtectedFromScaleIn", &group.protects_new.to_string()),
        format!("<SuspendedProcesses>{suspended}</SuspendedProcesses>"),
        format!("<Instances>{instances}</Instances>"),
    ]
    .concat()
}

/// What both descriptions of an instance say alike.
fn instance_xml(world: &World, group: &Group, instance: &Instance) -> String {
    let joined = world.container_instance(&instance.instance_id).map(|(_, one)| &one.machine);
    let weight = group.weight.map(|weight| element("WeightedCapacity", &weight.to_string()));
    [
        element("InstanceId", &instance.instance_id),
        element("InstanceType", &joined.unwrap_or(&group.template).instance_type),
        element("AvailabilityZone", &world.zone_of(&instance.instance_id)),
        element("LifecycleState", instance.state.as_str()),
        element("ProtectedFromScaleIn", &instance.protected_from_scale_in.to_string()),
        weight.unwrap_or_default(),
    ]
    .concat()
}

/// Instances that no group has are left out without a word. This operation, unlike the other, shouts the health status
/// (Auto Scaling API, `AutoScalingInstanceDetails`).
fn describe_auto_scaling_instances(world: &World, form: &Form) -> Result<String, Refusal> {
    let ids = form.list("InstanceIds");
    if ids.len() > INSTANCE_IDS_MAX {
        return Err(invalid(format!(
            "The number of instance ids that may be passed in is limited to {INSTANCE_IDS_MAX}"
        )));
    }
    let wanted =
        |instance: &&Instance| ids.is_empty() || ids.contains(&instance.instance_id.as_str());
    let instances = world
        .groups
        .iter()
        .flat_map(|(name, group)| {
            group.instances.iter().filter(wanted).map(|one| {
                [
                    instance_xml(world, group, one),
                    element("HealthStatus", if one.healthy { "HEALTHY" } else { "UNHEALTHY" }),
                    element("AutoScalingGroupName", name),
                ]
                .concat()
            })
        })
        .collect();
    page(form, "AutoScalingInstances", PAGE_DEFAULT, instances)
}

fn describe_instance_refreshes(world: &World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    let group = world.groups.get(name).ok_or_else(|| {
        invalid("AutoScalingGroup name not found - AutoScalingGroup with that name does not exist")
    })?;
    let refresh = group.refresh.iter().map(|status| {
        [
            element("InstanceRefreshId", "08b91cf7-8fa6-48af-b6a6-d227f40f1b9b"),
            element("AutoScalingGroupName", name),
            element("Status", status),
        ]
        .concat()
    });
    page(form, "InstanceRefreshes", PAGE_MAX, refresh.collect())
}

fn set_desired_capacity(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    form.required("DesiredCapacity")?;
    let desired_capacity = form.number("DesiredCapacity", 0, i32::MAX)?.unwrap_or_default();
    world.set_desired_capacity(name, desired_capacity)?;
    Ok(String::new())
}

/// Only the form for one instance.
fn terminate_instance(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let instance_id = form.required("InstanceId")?;
    let decrement = match form.required("ShouldDecrementDesiredCapacity")? {
        "true" => true,
        "false" => false,
        _ => return Err(invalid("ShouldDecrementDesiredCapacity must be true or false")),
    };
    let activity = world.terminate_in_group(instance_id, decrement)?;
    let start = format!("{:.3}", activity.started_at);
    let cause = format!(
        "At {start} instance {instance_id} was taken out of service in response to a user request."
    );
    let activity = [
        element("ActivityId", &activity.id),
        element("AutoScalingGroupName", &activity.group),
        element("Description", &format!("Terminating EC2 instance: {}", activity.instance_id)),
        element("Cause", &cause),
        element("StartTime", &start),
        element("StatusCode", "InProgress"),
        element("Progress", "0"),
        element("Details", "{}"),
    ];
    Ok(format!("<Activity>{}</Activity>", activity.concat()))
}

fn describe_lifecycle_hooks(world: &World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    let wanted = form.list("LifecycleHookNames");
    let hooks = world.groups.get(name).map(|group| group.hooks.as_slice()).unwrap_or_default();
    let hooks: String = hooks
        .iter()
        .filter(|hook| wanted.is_empty() || wanted.contains(&hook.name.as_str()))
        .map(|hook| member(&hook_xml(name, hook)))
        .collect();
    Ok(format!("<LifecycleHooks>{hooks}</LifecycleHooks>"))
}

fn hook_xml(group: &str, hook: &Hook) -> String {
    let optional = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| element(name, text)).unwrap_or_default()
    };
    [
        element("LifecycleHookName", &hook.name),
        element("AutoScalingGroupName", group),
        element("LifecycleTransition", TERMINATING),
        optional("NotificationTargetARN", &hook.topic_arn),
        optional("RoleARN", &hook.role_arn),
        optional("NotificationMetadata", &hook.metadata),
        element("HeartbeatTimeout", &hook.heartbeat_timeout.as_secs().to_string()),
        element("GlobalTimeout", &hook.global_timeout().as_secs().to_string()),
        element("DefaultResult", hook.default_result.as_str()),
    ]
    .concat()
}

/// Changes the hook of that name, or adds one. Only hooks for the termination of instances are simulated.
fn put_lifecycle_hook(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let (group, name) =
        (form.required("AutoScalingGroupName")?, form.required("LifecycleHookName")?);
    let hooks = world.groups.get(group).map(|group| group.hooks.as_slice()).unwrap_or_default();
    let known = hooks.iter().find(|hook| hook.name == name);
    if known.is_none() && hooks.len() >= HOOKS_MAX {
        return Err(Refusal::new("LimitExceeded", "A group has 50 lifecycle hooks at most."));
    }
    match form.text("LifecycleTransition") {
        Some(TERMINATING) => {}
        None if known.is_some() => {}
        None => return Err(invalid("LifecycleTransition must be given for a new hook")),
        Some(other) => {
            return Err(invalid(format!("The simulated Region has no hooks for {other}")));
        }
    }
    let mut hook = known.cloned().unwrap_or_else(|| Hook::new(name));
    if let Some(seconds) = form.number("HeartbeatTimeout", 30, 7_200)? {
        hook.heartbeat_timeout = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    }
    if let Some(word) = form.text("DefaultResult") {
        hook.default_result = result(word)?;
    }
    for (key, value) in [
        ("NotificationTargetARN", &mut hook.topic_arn),
        ("RoleARN", &mut hook.role_arn),
        ("NotificationMetadata", &mut hook.metadata),
    ] {
        if let Some(text) = form.text(key) {
            *value = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
    }
    if hook.metadata.as_ref().is_some_and(|metadata| metadata.len() > METADATA_LENGTH_MAX) {
        return Err(invalid("NotificationMetadata has more than 4,000 characters"));
    }
    if hook.topic_arn.is_some() && hook.role_arn.is_none() {
        return Err(invalid("A hook with a notification target needs a role."));
    }
    world.put_hook(group, hook)?;
    Ok(String::new())
}

fn complete_lifecycle_action(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let result = result(form.required("LifecycleActionResult")?)?;
    world.complete_action(action_key(form)?, result)?;
    Ok(String::new())
}

fn record_heartbeat(world: &mut World, form: &Form) -> Result<String, Refusal> {
    world.record_heartbeat(action_key(form)?)?;
    Ok(String::new())
}

fn action_key(form: &Form) -> Result<ActionKey<'_>, Refusal> {
    let token = form.text("LifecycleActionToken");
    if token.is_some_and(|token| token.len() != TOKEN_LENGTH) {
        return Err(invalid(format!(
            "1 validation error detected: the length of LifecycleActionToken must be {TOKEN_LENGTH}"
        )));
    }
    Ok(ActionKey {
        group: form.required("AutoScalingGroupName")?,
        hook: form.required("LifecycleHookName")?,
        token,
        instance_id: form.text("InstanceId"),
    })
}

fn result(word: &str) -> Result<ActionResult, Refusal> {
    ActionResult::parse(word).ok_or_else(|| invalid("The result must be CONTINUE or ABANDON"))
}

/// A page of a list by `MaxRecords` and `NextToken`.
fn page(form: &Form, list: &str, most: i32, items: Vec<String>) -> Result<String, Refusal> {
    let size = form.number("MaxRecords", 1, most)?.unwrap_or(PAGE_DEFAULT);
    let start: usize = match form.text("NextToken") {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| Refusal::new("InvalidNextToken", "The token is not valid."))?,
    };
    let end = start.saturating_add(usize::try_from(size).unwrap_or(0)).min(items.len());
    let members: String =
        items.get(start..end).unwrap_or_default().iter().map(|xml| member(xml)).collect();
    let token =
        if end < items.len() { element("NextToken", &end.to_string()) } else { String::new() };
    Ok(format!("<{list}>{members}</{list}>{token}"))
}

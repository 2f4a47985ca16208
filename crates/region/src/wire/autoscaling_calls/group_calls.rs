//! Auto Scaling's operations on groups and their instances.

use serde_json::json;

use super::launch_calls::{instance_source_xml, source_xml};
use super::tag_calls::tag_xml;
use crate::wire::answer::Refusal;
use crate::wire::query_protocol::{Form, element, invalid, member};
use crate::world::World;
use crate::world::autoscaling::{Group, Instance, group_arn};

/// The records of a page: by default, and at most.
const PAGE_DEFAULT: i32 = 50;

const PAGE_MAX: i32 = 100;

const INSTANCE_IDS_MAX: usize = 50;

pub(super) fn describe_auto_scaling_groups(world: &World, form: &Form) -> Result<String, Refusal> {
    let names = form.list("AutoScalingGroupNames");
    let page_size = form.number("MaxRecords", 1, PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    if names.len() > usize::try_from(page_size).unwrap_or(usize::MAX) {
        return Err(invalid(format!(
            "The number of group names that may be passed in is limited to {page_size}"
        )));
    }
    let with_instances = form.bool("IncludeInstances")?.unwrap_or(true);
    let groups = world
        .groups
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()))
        .map(|(name, group)| group_xml(world, name, group, with_instances))
        .collect();
    page(form, "AutoScalingGroups", PAGE_MAX, groups)
}

fn group_xml(world: &World, name: &str, group: &Group, with_instances: bool) -> String {
    let zones: String = group.zones.iter().map(|zone| element("member", zone)).collect();
    let instances: String = group
        .instances
        .iter()
        .filter(|_| with_instances)
        .map(|instance| {
            let health =
                element("HealthStatus", if instance.healthy { "Healthy" } else { "Unhealthy" });
            member(&[instance_xml(world, name, group, instance), health].concat())
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
        source_xml(name, group),
        element("MinSize", &group.min_size.to_string()),
        element("MaxSize", &group.max_size.to_string()),
        element("DesiredCapacity", &group.desired_capacity.to_string()),
        element("DefaultCooldown", "300"),
        format!("<AvailabilityZones>{zones}</AvailabilityZones>"),
        element("HealthCheckType", "EC2"),
        element("HealthCheckGracePeriod", "300"),
        element("CreatedTime", "2025-01-01T00:00:00.000Z"),
        element("NewInstancesProtectedFromScaleIn", &group.protects_new_instances.to_string()),
        format!("<SuspendedProcesses>{suspended}</SuspendedProcesses>"),
        lifecycle_policy(group),
        tags_xml(name, group),
        format!("<Instances>{instances}</Instances>"),
    ]
    .concat()
}

fn tags_xml(name: &str, group: &Group) -> String {
    let tags = group.tags.iter().map(|(key, value)| tag_xml(name, group, key, value));
    format!("<Tags>{}</Tags>", tags.collect::<String>())
}

/// A group has an instance lifecycle policy only if it retains something.
fn lifecycle_policy(group: &Group) -> String {
    if !group.retains_abandoned {
        return String::new();
    }
    let triggers = element("TerminateHookAbandon", "retain");
    format!(
        "<InstanceLifecyclePolicy><RetentionTriggers>{triggers}</RetentionTriggers>\
         </InstanceLifecyclePolicy>"
    )
}

/// What both descriptions of an instance have in common.
fn instance_xml(world: &World, name: &str, group: &Group, instance: &Instance) -> String {
    // An instance that still boots has no container instance yet, but it is made from the template.
    let machine = match world.container_instance(&instance.instance_id) {
        Some((_, registered)) => &registered.machine,
        None => &group.template,
    };
    let weight = group.weight.map(|weight| element("WeightedCapacity", &weight.to_string()));
    [
        element("InstanceId", &instance.instance_id),
        element("InstanceType", &machine.instance_type),
        element("AvailabilityZone", &world.zone_of(&instance.instance_id)),
        element("LifecycleState", instance.state.as_str()),
        element("ProtectedFromScaleIn", &instance.protected_from_scale_in.to_string()),
        instance_source_xml(name, instance.template_version),
        weight.unwrap_or_default(),
    ]
    .concat()
}

/// Instances that no group has are left out without a word. This operation, unlike the other,
/// shouts the health status (Auto Scaling API, `AutoScalingInstanceDetails`).
pub(super) fn describe_auto_scaling_instances(
    world: &World,
    form: &Form,
) -> Result<String, Refusal> {
    let ids = form.list("InstanceIds");
    if ids.len() > INSTANCE_IDS_MAX {
        return Err(invalid(format!(
            "The number of instance ids that may be passed in is limited to {INSTANCE_IDS_MAX}"
        )));
    }
    let instances = world
        .groups
        .iter()
        .flat_map(|(name, group)| {
            group.instances.iter().map(move |instance| (name, group, instance))
        })
        .filter(|(.., instance)| ids.is_empty() || ids.contains(&instance.instance_id.as_str()))
        .map(|(name, group, instance)| {
            [
                instance_xml(world, name, group, instance),
                element("HealthStatus", if instance.healthy { "HEALTHY" } else { "UNHEALTHY" }),
                element("AutoScalingGroupName", name),
            ]
            .concat()
        })
        .collect();
    page(form, "AutoScalingInstances", PAGE_DEFAULT, instances)
}

pub(super) fn describe_instance_refreshes(world: &World, form: &Form) -> Result<String, Refusal> {
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

pub(super) fn set_desired_capacity(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    // An absent number must not pass for 0, which would scale the group in to nothing.
    form.required("DesiredCapacity")?;
    let desired_capacity = form.number("DesiredCapacity", 0, i32::MAX)?.unwrap_or_default();
    if form.bool("HonorCooldown")? == Some(true) {
        return Err(invalid("The simulated Region honors no cooldown"));
    }
    world.set_desired_capacity(name, desired_capacity)?;
    Ok(String::new())
}

pub(super) fn set_instance_protection(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    let protected = form.required_bool("ProtectedFromScaleIn")?;
    let ids = form.list("InstanceIds");
    if ids.is_empty() || ids.len() > INSTANCE_IDS_MAX {
        return Err(invalid(format!("InstanceIds must name 1 to {INSTANCE_IDS_MAX} instances")));
    }
    world.set_instance_protection(name, &ids, protected)?;
    Ok(String::new())
}

/// Only the form for one instance.
pub(super) fn terminate_instance(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let instance_id = form.required("InstanceId")?;
    let decrement = form.required_bool("ShouldDecrementDesiredCapacity")?;
    let activity = world.terminate_in_group(instance_id, decrement)?;
    // The cause has seconds, the start milliseconds. The words are those of the User Guide
    // (ec2-auto-scaling-scaling-activities), and of AWS's answers to those who posted them.
    let shrinking = activity
        .shrinks
        .map(|(from, to)| format!(", shrinking the capacity from {from} to {to}"))
        .unwrap_or_default();
    let cause = format!(
        "At {:.0} instance {instance_id} was taken out of service in response to a user \
         request{shrinking}.",
        activity.started_at
    );
    let details = json!({
        "Subnet ID": "subnet-0a1b2c3d4e5f60718",
        "Availability Zone": world.zone_of(instance_id),
    });
    let activity = [
        element("ActivityId", &activity.id),
        element("AutoScalingGroupName", &activity.group),
        element("Description", &format!("Terminating EC2 instance: {}", activity.instance_id)),
        element("Cause", &cause),
        element("StartTime", &format!("{:.3}", activity.started_at)),
        element("StatusCode", "InProgress"),
        element("Progress", "0"),
        element("Details", &details.to_string()),
    ];
    Ok(format!("<Activity>{}</Activity>", activity.concat()))
}

/// A page of a list by `MaxRecords` and `NextToken`.
fn page(form: &Form, list: &str, max_records: i32, items: Vec<String>) -> Result<String, Refusal> {
    let size = form.number("MaxRecords", 1, max_records)?.unwrap_or(PAGE_DEFAULT);
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

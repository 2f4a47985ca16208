//! Container instances as the planner takes them: resources, ports and attributes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{Attribute, ContainerInstance, Resource};
use ebb_core::ids::{ContainerInstanceArn, InstanceId};
use ebb_planner::{CAPACITY_PROVIDER, HostPort, Instance, Protocol, Resources};
use jiff::Timestamp;

/// A container instance in the planner's words, without what Auto Scaling knows of it and without
/// its tasks, and with no network interfaces but those that its tasks may hold. `None` if it is not on an EC2 instance (an external instance has an SSM id): Ebb
/// never removes it, and tasks that may run on EC2 are not placed on it.
pub(super) fn planner_instance(described: &ContainerInstance) -> Option<Instance> {
    let attributes = attributes(described);
    let (registered, remaining) =
        (described.registered_resources(), described.remaining_resources());
    let id = InstanceId::parse(described.ec2_instance_id()?)?;
    let arn = ContainerInstanceArn::new(described.container_instance_arn()?);
    let mut instance = Instance {
        zone: attributes.get("ecs.availability-zone").cloned().unwrap_or_default(),
        instance_type: attributes.get("ecs.instance-type").cloned().unwrap_or_default(),
        status: described.status().unwrap_or_default().into(),
        agent_connected: described.agent_connected(),
        registered_at: described
            .registered_at()
            .and_then(|time| Timestamp::from_second(time.secs()).ok()),
        registered: resources(registered),
        remaining: resources(remaining),
        unknown_resource: unknown_resource(registered).or_else(|| unknown_resource(remaining)),
        host_ports: host_ports(remaining),
        attributes,
        ..Instance::new(id, arn)
    };
    // In network mode awsvpc, a task holds a network interface of its own. Which tasks do is known
    // for few instances only, so each is taken to hold one.
    let tasks =
        i64::from(described.running_tasks_count()) + i64::from(described.pending_tasks_count());
    if let Some(registered) = &mut instance.registered {
        registered.network_interfaces = tasks;
    }
    Some(instance)
}

fn attributes(described: &ContainerInstance) -> BTreeMap<String, String> {
    let mut attributes: BTreeMap<_, _> =
        described.attributes().iter().map(name_and_value).collect();
    if let Some(provider) = described.capacity_provider_name() {
        attributes.insert(CAPACITY_PROVIDER.to_owned(), provider.to_owned());
    }
    attributes
}

fn name_and_value(attribute: &Attribute) -> (String, String) {
    (attribute.name().to_owned(), attribute.value().unwrap_or_default().to_owned())
}

/// CPU, memory and GPUs. `None` if CPU or memory is missing: the instance is kept then.
fn resources(resources: &[Resource]) -> Option<Resources> {
    let gpus = find(resources, "GPU").map_or(0, |gpu| gpu.string_set_value().len());
    Some(Resources {
        cpu: amount(find(resources, "CPU")?)?,
        memory_mib: amount(find(resources, "MEMORY")?)?,
        gpus: i64::try_from(gpus).ok()?,
        network_interfaces: 0,
    })
}

fn find<'a>(resources: &'a [Resource], name: &str) -> Option<&'a Resource> {
    resources.iter().find(|resource| resource.name() == Some(name))
}

/// An amount is read as its type says: ECS sends zeros for the other types.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an amount out of range is no amount, and shown as a contradiction"
)]
fn amount(resource: &Resource) -> Option<i64> {
    match resource.r#type() {
        Some("INTEGER") => Some(i64::from(resource.integer_value())),
        Some("LONG") => Some(resource.long_value()),
        Some("DOUBLE") => Some(resource.double_value().floor() as i64),
        _ => None,
    }
}

/// The host ports in use: ECS lists them, and not the free ones, among what remains (ECS API,
/// `Resource`).
fn host_ports(remaining: &[Resource]) -> BTreeSet<HostPort> {
    let tcp_ports = ports(remaining, "PORTS", Protocol::Tcp);
    tcp_ports.chain(ports(remaining, "PORTS_UDP", Protocol::Udp)).collect()
}

fn ports<'a>(
    remaining: &'a [Resource],
    name: &'a str,
    protocol: Protocol,
) -> impl Iterator<Item = HostPort> + 'a {
    let resources = remaining.iter().filter(move |resource| resource.name() == Some(name));
    let numbers =
        resources.flat_map(Resource::string_set_value).filter_map(|text| text.parse().ok());
    numbers.map(move |number| HostPort { protocol, number })
}

/// The name of a resource that Ebb does not know: tasks may need it, so its instance is kept.
fn unknown_resource(resources: &[Resource]) -> Option<String> {
    const KNOWN: [&str; 5] = ["CPU", "MEMORY", "PORTS", "PORTS_UDP", "GPU"];
    let mut names = resources.iter().map(|resource| resource.name().unwrap_or("without a name"));
    names.find(|name| !KNOWN.contains(name)).map(str::to_owned)
}

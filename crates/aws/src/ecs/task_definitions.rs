//! What a task definition says about where its tasks may run.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    Attribute, Compatibility, ContainerDefinition, CpuArchitecture, NetworkMode, OsFamily,
    PortMapping, ResourceRequirement, ResourceType, RuntimePlatform, TaskDefinition,
    TaskDefinitionPlacementConstraint, TaskDefinitionPlacementConstraintType, TransportProtocol,
};
use ebb_core::reaper::services::TaskRequirements;
use ebb_planner::{HostPort, Protocol, Resources};

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;

impl Ecs {
    /// Reads a task definition.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn task_definition(&self, arn: &str) -> Result<TaskRequirements, AwsError> {
        let operation = format!("describe task definition {arn}");
        self.pace.task_definitions.turn().await;
        let request = self.client.describe_task_definition().task_definition(arn);
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        let described = ok.task_definition();
        described
            .map(task_requirements)
            .ok_or_else(|| AwsError::unusable_answer(operation, "nothing is answered"))
    }
}

fn task_requirements(described: &TaskDefinition) -> TaskRequirements {
    let containers = described.container_definitions();
    let gpus: Option<i64> = containers.iter().map(gpus).sum();
    let cpu = containers.iter().map(|container| i64::from(container.cpu())).sum();
    let memory_mib = containers.iter().map(memory_mib).sum();
    let demand = Resources {
        cpu: task_size(described.cpu(), cpu),
        memory_mib: task_size(described.memory(), memory_mib),
        gpus: gpus.unwrap_or(0),
        network_interfaces: (described.network_mode() == Some(&NetworkMode::Awsvpc)).into(),
    };
    let platform = described.runtime_platform();
    let os_type = platform.and_then(RuntimePlatform::operating_system_family).map(os_type);
    let architecture = platform.and_then(RuntimePlatform::cpu_architecture).map(architecture);
    let unclear = if gpus.is_none() {
        Some("it needs a device that Ebb does not know")
    } else if demand.cpu < 0 || demand.memory_mib < 0 {
        Some("its CPU or its memory is not a number")
    } else if described.compatibilities() == [Compatibility::Fargate] {
        Some("its task definition is for Fargate only")
    } else if os_type == Some(None) || architecture == Some(None) {
        Some("its runtime platform is not one that Ebb knows")
    } else {
        None
    };
    TaskRequirements {
        demand,
        host_ports: host_ports(described),
        constraints: constraints(described),
        os_type: os_type.flatten().map(str::to_owned),
        cpu_architecture: architecture.flatten().map(str::to_owned),
        unclear: unclear.map(str::to_owned),
    }
}

/// The size of the whole task if it is set, or else the sum of its containers'. Negative if it is
/// not a number.
fn task_size(size: Option<&str>, containers_size: i64) -> i64 {
    size.map_or(containers_size, |text| text.parse().unwrap_or(-1))
}

/// What counts for placement: the reservation if there is one. Source: ECS API,
/// `ContainerDefinition.memory`.
fn memory_mib(container: &ContainerDefinition) -> i64 {
    container.memory_reservation().or_else(|| container.memory()).unwrap_or(0).into()
}

/// How many GPUs a container needs. `None` if it needs another device, or a share of a GPU.
fn gpus(container: &ContainerDefinition) -> Option<i64> {
    container.resource_requirements().iter().map(whole_gpus).sum()
}

fn whole_gpus(requirement: &ResourceRequirement) -> Option<i64> {
    match requirement.r#type() {
        ResourceType::Gpu if requirement.sharing_strategy().is_none() => {
            requirement.value().parse().ok()
        }
        _ => None,
    }
}

/// The ports that a task takes on its instance, whichever instance that is.
fn host_ports(described: &TaskDefinition) -> BTreeSet<HostPort> {
    let containers = described.container_definitions().iter();
    let mappings = containers.flat_map(ContainerDefinition::port_mappings);
    mappings.filter_map(|mapping| host_port(mapping, described.network_mode())).collect()
}

/// The host port that a mapping takes. In network mode `bridge`, port 0 or none is assigned by the
/// agent; in mode `host` it is the container's; in the other modes a task takes none of its
/// instance's. Source: ECS API, `PortMapping.hostPort`.
fn host_port(mapping: &PortMapping, network_mode: Option<&NetworkMode>) -> Option<HostPort> {
    let mapped_port = mapping.host_port().filter(|number| *number != 0);
    let number = match network_mode {
        Some(NetworkMode::Host) => mapped_port.or_else(|| mapping.container_port()),
        Some(NetworkMode::Bridge) | None => mapped_port,
        Some(_) => None,
    };
    let protocol = match mapping.protocol() {
        Some(TransportProtocol::Udp) => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    Some(HostPort { protocol, number: u16::try_from(number?).ok()? })
}

/// The `memberOf` expressions, and what the task definition requires as an attribute.
fn constraints(described: &TaskDefinition) -> Vec<String> {
    let expressions = described.placement_constraints().iter().map(expression);
    let attributes = described.requires_attributes().iter().map(required_attribute);
    expressions.chain(attributes).collect()
}

fn expression(constraint: &TaskDefinitionPlacementConstraint) -> String {
    match constraint.r#type() {
        Some(TaskDefinitionPlacementConstraintType::MemberOf) => {
            constraint.expression().unwrap_or_default().to_owned()
        }
        // An empty expression is one that Ebb cannot read: it keeps the task where it is.
        _ => String::new(),
    }
}

fn required_attribute(attribute: &Attribute) -> String {
    match attribute.value() {
        Some(value) if !value.is_empty() => format!("attribute:{} == {value}", attribute.name()),
        _ => format!("attribute:{} exists", attribute.name()),
    }
}

/// The word of the attribute `ecs.os-type`. `None` for an operating system that is not known.
fn os_type(family: &OsFamily) -> Option<&'static str> {
    match family.as_str() {
        "LINUX" => Some("linux"),
        // One word for each version: `WINDOWS_SERVER_2022_CORE`.
        family if family.starts_with("WINDOWS_") => Some("windows"),
        _ => None,
    }
}

/// The word of the attribute `ecs.cpu-architecture`. `None` for one that is not known.
fn architecture(architecture: &CpuArchitecture) -> Option<&'static str> {
    match architecture {
        CpuArchitecture::Arm64 => Some("arm64"),
        CpuArchitecture::X8664 => Some("x86_64"),
        _ => None,
    }
}

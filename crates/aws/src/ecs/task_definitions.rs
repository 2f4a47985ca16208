//! What a task definition says about where its tasks may run.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, CpuArchitecture, NetworkMode, PortMapping,
    ResourceRequirement, ResourceType, TaskDefinition, TaskDefinitionPlacementConstraintType,
    TransportProtocol,
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
        let operation = || format!("describe task definition {arn}");
        self.pace.task_definitions.turn().await;
        let answer = self.client.describe_task_definition().task_definition(arn).send().await;
        let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
        let described = answer.task_definition();
        described
            .map(definition)
            .ok_or_else(|| AwsError::unusable_answer(operation(), "nothing is answered"))
    }
}

fn definition(described: &TaskDefinition) -> TaskRequirements {
    let containers = described.container_definitions();
    let awsvpc = described.network_mode() == Some(&NetworkMode::Awsvpc);
    let fargate_only = described.compatibilities() == [Compatibility::Fargate];
    let gpus: Option<i64> = containers.iter().map(gpus).sum();
    let cpu = containers.iter().map(|one| i64::from(one.cpu())).sum();
    let memory_mib = containers.iter().map(memory_mib).sum();
    let demand = Resources {
        cpu: described.cpu().map_or(Some(cpu), |text| text.parse().ok()).unwrap_or(-1),
        memory_mib: described
            .memory()
            .map_or(Some(memory_mib), |text| text.parse().ok())
            .unwrap_or(-1),
        gpus: gpus.unwrap_or(0),
        network_interfaces: i64::from(awsvpc),
    };
    let unclear = if gpus.is_none() {
        Some("it needs a device that Ebb does not know")
    } else if demand.cpu < 0 || demand.memory_mib < 0 {
        Some("its CPU or its memory is not a number")
    } else {
        fargate_only.then_some("its task definition is for Fargate only")
    };
    TaskRequirements {
        demand,
        host_ports: host_ports(described),
        constraints: constraints(described),
        unclear: unclear.map(str::to_owned),
    }
}

/// What counts for placement: the reservation where there is one. Source: ECS API, `ContainerDefinition.memory`.
fn memory_mib(container: &ContainerDefinition) -> i64 {
    container.memory_reservation().or_else(|| container.memory()).unwrap_or(0).into()
}

/// `None` if it needs something else, or a share of one.
fn gpus(container: &ContainerDefinition) -> Option<i64> {
    let of = |one: &ResourceRequirement| match one.r#type() {
        ResourceType::Gpu if one.sharing_strategy().is_none() => one.value().parse::<i64>().ok(),
        _ => None,
    };
    container.resource_requirements().iter().map(of).sum()
}

/// The ports that a task takes on its instance, whichever that is. In network mode `bridge`, port 0 or none is one that
/// the agent assigns; in mode `host` it is the container's. Source: ECS API, `PortMapping.hostPort`.
fn host_ports(described: &TaskDefinition) -> BTreeSet<HostPort> {
    let host = match described.network_mode() {
        Some(NetworkMode::Host) => true,
        Some(NetworkMode::Bridge) | None => false,
        Some(_) => return BTreeSet::new(),
    };
    let number = |port: &PortMapping| {
        let given = port.host_port().filter(|number| *number != 0);
        u16::try_from(given.or_else(|| port.container_port().filter(|_| host))?).ok()
    };
    let port = |port: &PortMapping| {
        let udp = port.protocol() == Some(&TransportProtocol::Udp);
        Some(HostPort {
            protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            number: number(port)?,
        })
    };
    let mappings =
        described.container_definitions().iter().flat_map(ContainerDefinition::port_mappings);
    mappings.filter_map(port).collect()
}

/// Its `memberOf` expressions, and the attributes that it requires as such.
fn constraints(described: &TaskDefinition) -> Vec<String> {
    let member_of = described.placement_constraints().iter().map(|one| match one.r#type() {
        Some(TaskDefinitionPlacementConstraintType::MemberOf) => {
            one.expression().unwrap_or_default().to_owned()
        }
        // No expression is one that nobody understands: it pins the task.
        _ => String::new(),
    });
    let required = described.requires_attributes().iter().map(|one| match one.value() {
        Some(value) if !value.is_empty() => format!("attribute:{} == {value}", one.name()),
        _ => format!("attribute:{} exists", one.name()),
    });
    let architecture =
        described.runtime_platform().and_then(|platform| platform.cpu_architecture());
    let architecture = architecture.and_then(|architecture| match architecture {
        CpuArchitecture::Arm64 => Some("attribute:ecs.cpu-architecture == arm64".to_owned()),
        CpuArchitecture::X8664 => Some("attribute:ecs.cpu-architecture == x86_64".to_owned()),
        _ => None,
    });
    member_of.chain(required).chain(architecture).collect()
}

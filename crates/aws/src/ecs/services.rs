//! The services of a whole cluster, and what their task definitions say about where their tasks may run.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, CpuArchitecture, DeploymentRolloutState, LaunchType,
    NetworkMode, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, PortMapping,
    ResourceType, SchedulingStrategy, Service as Described, TaskDefinition,
    TaskDefinitionPlacementConstraintType, TransportProtocol,
};
use ebb_core::ids::Cluster;
use ebb_core::lifecycle::diagnosis::placement_failure;
use ebb_core::reaper::services::{ServiceDescription, TaskRequirements};
use ebb_planner::{HostPort, Protocol, Resources, Strategy};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::tasks::DESCRIBE_SERVICES_MAX;
use super::{Ecs, reason};
use crate::AwsError;

/// A cluster has 5,000 services at most (ECS service quotas, not adjustable), listed by up to 100; pages may hold fewer.
const LIST_PAGES_MAX: usize = 200;
/// Source: ECS API, `ListServices`: 10 by default.
const LIST_MAX_RESULTS: i32 = 100;
/// A Region has some dozens of capacity providers, listed by 10. A list that goes on after this is an error.
const PROVIDER_PAGES_MAX: usize = 100;

impl Ecs {
    /// Describes every service of a cluster. Those that were deleted meanwhile are left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so.
    pub async fn all_services(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<ServiceDescription>, AwsError> {
        let arns = self.list_services(cluster).await?;
        let mut chunks = Vec::new();
        for arns in arns.chunks(DESCRIBE_SERVICES_MAX) {
            chunks.push(self.describe_services(cluster, arns));
        }
        let described: Vec<_> =
            stream::iter(chunks).buffered(self.pace.concurrent_reads_max).try_collect().await?;
        Ok(described.into_iter().flatten().collect())
    }

    async fn list_services(&self, cluster: &Cluster) -> Result<Vec<String>, AwsError> {
        let operation = || format!("list the services of cluster {}", cluster.name());
        let request =
            self.client.list_services().cluster(cluster.as_str()).max_results(LIST_MAX_RESULTS);
        let mut pages = request.into_paginator().stop_on_duplicate_token(false).send();
        let mut arns = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            self.pace.services.turn().await;
            let Some(page) = pages.next().await else { return Ok(arns) };
            let page = page.map_err(|error| AwsError::new(operation(), error))?;
            arns.extend(page.service_arns.unwrap_or_default());
        }
        Err(AwsError::unusable_answer(operation(), format!("more than {LIST_PAGES_MAX} pages")))
    }

    async fn describe_services(
        &self,
        cluster: &Cluster,
        arns: &[String],
    ) -> Result<Vec<ServiceDescription>, AwsError> {
        let operation = || format!("describe services of cluster {}", cluster.name());
        self.pace.services.turn().await;
        let request = self.client.describe_services().cluster(cluster.as_str());
        let answer = request.set_services(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
        if let Some(failure) = answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
        {
            return Err(AwsError::unusable_answer(operation(), reason(failure)));
        }
        if answer.services().len() + answer.failures().len() < arns.len() {
            return Err(AwsError::unusable_answer(
                operation(),
                "the answer does not mention every one",
            ));
        }
        Ok(answer.services().iter().filter_map(service).collect())
    }

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

    /// The ARNs of the Auto Scaling groups whose size a capacity provider's managed scaling decides.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn managed_groups(&self) -> Result<BTreeSet<String>, AwsError> {
        let operation = "describe the capacity providers";
        let (mut groups, mut token) = (BTreeSet::new(), None);
        for _ in 0..PROVIDER_PAGES_MAX {
            let answer =
                self.client.describe_capacity_providers().set_next_token(token).send().await;
            let answer = answer.map_err(|error| AwsError::new(operation, error))?;
            for provider in answer.capacity_providers() {
                let Some(group) = provider.auto_scaling_group_provider() else { continue };
                let managed = group.managed_scaling().and_then(|scaling| scaling.status());
                if managed.is_some_and(|status| status.as_str() != "DISABLED") {
                    groups.insert(group.auto_scaling_group_arn().to_owned());
                }
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(groups);
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {PROVIDER_PAGES_MAX} pages")))
    }
}

/// `None` for one without a name.
fn service(described: &Described) -> Option<ServiceDescription> {
    let percent = described.deployment_configuration();
    let percent_of = |value: Option<i32>, default| {
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
    };
    let constraints = described.placement_constraints();
    let of_type = |kind| constraints.iter().filter(move |one| one.r#type() == Some(&kind));
    let strategy: Option<Vec<_>> = described.placement_strategy().iter().map(strategy).collect();
    let odd_constraint = constraints.iter().find(|one| {
        !matches!(
            one.r#type(),
            Some(PlacementConstraintType::DistinctInstance | PlacementConstraintType::MemberOf)
        )
    });
    let unclear = if !described.task_sets().is_empty() || described.task_definition().is_none() {
        Some("its deployments are controlled from outside")
    } else if strategy.is_none() {
        Some("its placement strategy is not known")
    } else {
        odd_constraint.map(|_| "a placement constraint of it is not known")
    };
    let deployments = described.deployments();
    let definitions = deployments.iter().filter_map(|one| one.task_definition());
    let in_progress = deployments
        .iter()
        .any(|one| one.rollout_state() == Some(&DeploymentRolloutState::InProgress));
    Some(ServiceDescription {
        name: described.service_name()?.to_owned(),
        daemon: described.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
        elsewhere: elsewhere(described),
        definitions: definitions.chain(described.task_definition()).map(str::to_owned).collect(),
        desired: described.desired_count().into(),
        running: described.running_count().into(),
        pending: described.pending_count().into(),
        deploying: deployments.len() > 1 || in_progress,
        distinct_instance: of_type(PlacementConstraintType::DistinctInstance).next().is_some(),
        constraints: of_type(PlacementConstraintType::MemberOf)
            .map(|one| one.expression().unwrap_or_default().to_owned())
            .collect(),
        strategy: strategy.unwrap_or_default(),
        // ECS's defaults for replica services.
        minimum_healthy_percent: percent_of(
            percent.and_then(|one| one.minimum_healthy_percent()),
            100,
        ),
        maximum_percent: percent_of(percent.and_then(|one| one.maximum_percent()), 200),
        capacity_providers: described
            .capacity_provider_strategy()
            .iter()
            .map(|one| one.capacity_provider().to_owned())
            .collect(),
        unclear: unclear.map(str::to_owned),
        placement_failures: placement_failures(described),
    })
}

/// Whether its tasks run on something else than the cluster's EC2 instances.
fn elsewhere(described: &Described) -> bool {
    let providers = described.capacity_provider_strategy();
    let fargate = |name: &str| matches!(name, "FARGATE" | "FARGATE_SPOT");
    match described.launch_type() {
        Some(LaunchType::Ec2) => false,
        Some(_) => true,
        None => {
            !providers.is_empty() && providers.iter().all(|one| fargate(one.capacity_provider()))
        }
    }
}

/// When ECS said that it could not place a task, newest first.
fn placement_failures(described: &Described) -> Vec<Timestamp> {
    let events = described
        .events()
        .iter()
        .filter(|event| event.message().and_then(placement_failure).is_some());
    let mut at: Vec<_> = events
        .filter_map(|event| Timestamp::from_second(event.created_at()?.secs()).ok())
        .collect();
    at.sort_by(|one, other| other.cmp(one));
    at
}

/// `None` for a strategy that is not known.
fn strategy(described: &PlacementStrategy) -> Option<Strategy> {
    let field = described.field().unwrap_or_default();
    Some(match (described.r#type()?, field.to_ascii_lowercase().as_str()) {
        (PlacementStrategyType::Random, _) => Strategy::Random,
        (PlacementStrategyType::Binpack, "cpu") => Strategy::BinpackCpu,
        (PlacementStrategyType::Binpack, "memory") => Strategy::BinpackMemory,
        // Source: ECS API, `PlacementStrategy.field`: `host` has the same effect as `instanceId`.
        (PlacementStrategyType::Spread, "instanceid" | "host") => {
            Strategy::Spread("instanceId".to_owned())
        }
        (PlacementStrategyType::Spread, _) => {
            Strategy::Spread(field.strip_prefix("attribute:").unwrap_or(field).to_owned())
        }
        _ => return None,
    })
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
    let of = |one: &aws_sdk_ecs::types::ResourceRequirement| match one.r#type() {
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

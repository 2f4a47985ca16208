//! The container instances of a whole cluster, with all that planning a removal takes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{Attribute, ContainerInstance as Described, Resource, TargetType};
use ebb_core::ids::{Cluster, ContainerInstanceArn, InstanceId};
use ebb_core::reaper::services::{CAPACITY_PROVIDER, network_interfaces};
use ebb_planner::{HostPort, Instance, Protocol, Resources};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{DESCRIBE_MAX, Ecs, LIST_PAGES_MAX, reason, strings};
use crate::{AwsError, AwsErrorKind};

/// Source: ECS API, `DeleteAttributes`.
const DELETE_ATTRIBUTES_MAX: usize = 10;

impl Ecs {
    /// Reads every container instance of a cluster on an EC2 instance, in whatever status but INACTIVE. What Auto Scaling
    /// knows of them is left open, and so are their tasks. Those that leave the cluster meanwhile are left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so: a cluster that was read in part is not known.
    pub async fn container_instances(&self, cluster: &Cluster) -> Result<Vec<Instance>, AwsError> {
        let arns = self.list_all(cluster).await?;
        let mut chunks = Vec::new();
        for arns in arns.chunks(DESCRIBE_MAX) {
            chunks.push(self.describe_chunk(cluster, arns));
        }
        let described: Vec<_> =
            stream::iter(chunks).buffered(self.pace.concurrent_reads_max).try_collect().await?;
        Ok(described.into_iter().flatten().collect())
    }

    async fn list_all(&self, cluster: &Cluster) -> Result<Vec<ContainerInstanceArn>, AwsError> {
        let operation = || format!("list the container instances of cluster {}", cluster.name());
        let request = self.client.list_container_instances().cluster(cluster.as_str());
        let mut pages = request.into_paginator().stop_on_duplicate_token(false).send();
        let mut arns = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            self.pace.resources.turn().await;
            let Some(page) = pages.next().await else { return Ok(arns) };
            let page = page.map_err(|error| AwsError::new(operation(), error))?;
            arns.extend(page.container_instance_arns().iter().map(ContainerInstanceArn::new));
        }
        Err(AwsError::unusable_answer(operation(), format!("more than {LIST_PAGES_MAX} pages")))
    }

    async fn describe_chunk(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<Instance>, AwsError> {
        let operation = || format!("describe container instances of cluster {}", cluster.name());
        self.pace.resources.turn().await;
        let request = self.client.describe_container_instances().cluster(cluster.as_str());
        let answer = request.set_container_instances(Some(strings(arns))).send().await;
        let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
        if let Some(failure) = answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
        {
            return Err(AwsError::unusable_answer(operation(), reason(failure)));
        }
        if answer.container_instances().len() + answer.failures().len() < arns.len() {
            return Err(AwsError::unusable_answer(
                operation(),
                "the answer does not mention every one",
            ));
        }
        Ok(answer.container_instances().iter().filter_map(instance).collect())
    }

    /// Removes one attribute from container instances, in tens. One that does not have it, or has left the cluster, is
    /// as good as without it.
    ///
    /// # Errors
    /// If a call fails; from those of the tens before it, it is removed.
    pub async fn delete_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        arns: &[ContainerInstanceArn],
    ) -> Result<(), AwsError> {
        let operation = || {
            format!(
                "delete attribute {name} from container instances of cluster {}",
                cluster.name()
            )
        };
        for arns in arns.chunks(DELETE_ATTRIBUTES_MAX) {
            let mut request = self.client.delete_attributes().cluster(cluster.as_str());
            for arn in arns {
                let attribute = Attribute::builder()
                    .name(name)
                    .target_type(TargetType::ContainerInstance)
                    .target_id(arn.as_str())
                    .build()
                    .map_err(|error| AwsError::unusable_answer(operation(), error.to_string()))?;
                request = request.attributes(attribute);
            }
            match request.send().await.map_err(|error| AwsError::new(operation(), error)) {
                Err(error) if error.kind != AwsErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// `None` for one that is not on an EC2 instance (an external instance has an SSM id): it is nobody's to remove, and
/// tasks that may run on EC2 are not placed on it.
fn instance(described: &Described) -> Option<Instance> {
    let attributes = attributes(described);
    let text = |name: &str| attributes.get(name).cloned().unwrap_or_default();
    let (registered, remaining) =
        (described.registered_resources(), described.remaining_resources());
    let mut instance = Instance {
        instance_id: InstanceId::parse(described.ec2_instance_id()?)?,
        arn: ContainerInstanceArn::new(described.container_instance_arn()?),
        group: None,
        lifecycle_state: String::new(),
        protected_from_scale_in: false,
        weight: 1,
        zone: text("ecs.availability-zone"),
        instance_type: text("ecs.instance-type"),
        status: described.status().unwrap_or_default().into(),
        agent_connected: described.agent_connected(),
        registered_at: described
            .registered_at()
            .and_then(|at| Timestamp::from_second(at.secs()).ok()),
        registered: resources(registered),
        remaining: resources(remaining),
        unknown_resource: unknown(registered).or_else(|| unknown(remaining)),
        host_ports: host_ports(remaining),
        tasks: None,
        distinct_services: BTreeSet::new(),
        price_microusd: None,
        attributes,
    };
    let interfaces = network_interfaces(&instance);
    // Each of its tasks may hold one: which do is known for few instances only.
    let held =
        i64::from(described.running_tasks_count()) + i64::from(described.pending_tasks_count());
    if let Some(registered) = &mut instance.registered {
        registered.network_interfaces = interfaces;
    }
    if let Some(remaining) = &mut instance.remaining {
        remaining.network_interfaces = (interfaces - held).max(0);
    }
    Some(instance)
}

fn attributes(described: &Described) -> BTreeMap<String, String> {
    let of = |one: &Attribute| (one.name().to_owned(), one.value().unwrap_or_default().to_owned());
    let mut attributes: BTreeMap<_, _> = described.attributes().iter().map(of).collect();
    if let Some(provider) = described.capacity_provider_name() {
        attributes.insert(CAPACITY_PROVIDER.to_owned(), provider.to_owned());
    }
    attributes
}

/// Resources are told apart by name, and read as their type says: ECS sends zeros for the other types. `None` if CPU or
/// memory is missing.
fn resources(resources: &[Resource]) -> Option<Resources> {
    let find = |name: &str| resources.iter().find(|one| one.name() == Some(name));
    let gpus = find("GPU").map_or(0, |gpu| gpu.string_set_value().len());
    Some(Resources {
        cpu: amount(find("CPU")?)?,
        memory_mib: amount(find("MEMORY")?)?,
        gpus: i64::try_from(gpus).ok()?,
        network_interfaces: 0,
    })
}

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

/// The host ports in use: ECS lists them, and not the free ones, among what remains (ECS API, `Resource`).
fn host_ports(remaining: &[Resource]) -> BTreeSet<HostPort> {
    let of = |name: &str, protocol| {
        let ports = remaining.iter().filter(move |one| one.name() == Some(name));
        let numbers =
            ports.flat_map(Resource::string_set_value).filter_map(|text| text.parse().ok());
        numbers.map(move |number| HostPort { protocol, number }).collect::<Vec<_>>()
    };
    of("PORTS", Protocol::Tcp).into_iter().chain(of("PORTS_UDP", Protocol::Udp)).collect()
}

fn unknown(resources: &[Resource]) -> Option<String> {
    const KNOWN: [&str; 5] = ["CPU", "MEMORY", "PORTS", "PORTS_UDP", "GPU"];
    let mut names = resources.iter().map(|one| one.name().unwrap_or("without a name"));
    names.find(|name| !KNOWN.contains(name)).map(str::to_owned)
}

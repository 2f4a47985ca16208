//! Container instances: finding them by their EC2 instance, and all of a cluster with what planning a removal takes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{
    Attribute, ContainerInstance as Described, ContainerInstanceStatus as SdkStatus, Resource,
};
use ebb_core::ecs::{ContainerInstance, ContainerInstanceStatus, Room};
use ebb_core::ids::{Cluster, ContainerInstanceArn, InstanceId};
use ebb_core::reaper::services::{CAPACITY_PROVIDER, network_interfaces};
use ebb_planner::{HostPort, Instance, Protocol, Resources};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::reason;
use crate::error::AwsError;

/// Source: ECS API, `DescribeContainerInstances`.
const DESCRIBE_MAX: usize = 100;

/// A cluster has 5,000 container instances at most (ECS service quotas, not adjustable), listed by up to 100; pages
/// may hold fewer. A list that goes on after this is an error.
const LIST_PAGES_MAX: usize = 200;

/// Which container instances a look-up takes into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// Those that can be drained. What is found for a single EC2 instance needs no second call.
    Active,
    /// Those in any state but INACTIVE. Each is described, to learn its status.
    AnyStatus,
}

impl Ecs {
    /// How many EC2 instance ids a look-up names at most: 80 ids of 19 characters, quoted, stay below the 2,000
    /// characters of a filter expression. Source: ECS Developer Guide, cluster-query-language.
    pub const FIND_IDS_MAX: usize = 80;

    /// Finds the container instances on up to [`Ecs::FIND_IDS_MAX`] EC2 instances in one cluster; those that the
    /// cluster does not have are left out. Where the answer could be about anything but the one instance that was
    /// asked for, a Describe tells which is which: a filter that was ignored must not drain a cluster.
    ///
    /// # Errors
    /// If any call fails, so that an absent instance is really absent.
    pub async fn find(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        status_filter: StatusFilter,
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let arns = self.list(cluster, &filter(instance_ids), status_filter).await?;
        match (status_filter, instance_ids, arns.as_slice()) {
            (_, _, []) => Ok(Vec::new()),
            (StatusFilter::Active, [instance_id], [arn]) => Ok(vec![ContainerInstance {
                arn: arn.clone(),
                cluster: cluster.clone(),
                instance_id: instance_id.clone(),
                status: ContainerInstanceStatus::Active,
            }]),
            _ => {
                let mut described = self.describe(cluster, &arns).await?;
                described.retain(|one| instance_ids.contains(&one.instance_id));
                Ok(described)
            }
        }
    }

    async fn list(
        &self,
        cluster: &Cluster,
        filter: &str,
        status_filter: StatusFilter,
    ) -> Result<Vec<ContainerInstanceArn>, AwsError> {
        let operation = || format!("list the container instances of cluster {}", cluster.name());
        let status = match status_filter {
            StatusFilter::Active => Some(SdkStatus::Active),
            StatusFilter::AnyStatus => None,
        };
        let request =
            self.client.list_container_instances().cluster(cluster.as_str()).filter(filter);
        let mut pages =
            request.set_status(status).into_paginator().stop_on_duplicate_token(false).send();
        let mut arns = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            let Some(page) = pages.next().await else { return Ok(arns) };
            let page = page.map_err(|error| AwsError::new(operation(), error))?;
            arns.extend(page.container_instance_arns().iter().map(ContainerInstanceArn::new));
        }
        Err(AwsError::unusable_answer(operation(), format!("more than {LIST_PAGES_MAX} pages")))
    }

    /// Describes container instances. Those that left the cluster meanwhile (reason `MISSING`) are left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn describe(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let described = self.describe_raw(cluster, arns).await?;
        Ok(described.iter().filter_map(|one| container_instance(cluster, one)).collect())
    }

    pub(super) async fn describe_raw(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<Described>, AwsError> {
        let operation = || format!("describe container instances of cluster {}", cluster.name());
        let mut described = Vec::new();
        for arns in arns.chunks(DESCRIBE_MAX) {
            let request = self.client.describe_container_instances().cluster(cluster.as_str());
            let request = request.set_container_instances(Some(strings(arns)));
            let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
            if let Some(failure) =
                answer.failures().iter().find(|one| one.reason() != Some("MISSING"))
            {
                return Err(AwsError::unusable_answer(operation(), reason(failure)));
            }
            described.extend(answer.container_instances.unwrap_or_default());
        }
        Ok(described)
    }

    /// Whether the agent of a container instance is connected, and what is free on the ACTIVE ones of its cluster: on a
    /// hundred of them at most, for two calls.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn agent_and_rooms(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
    ) -> Result<(bool, Vec<Room>), AwsError> {
        let operation = || format!("list the container instances of cluster {}", cluster.name());
        let request = self.client.list_container_instances().cluster(cluster.as_str());
        let answer = request.status(SdkStatus::Active).max_results(99).send().await;
        let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
        let mut arns: Vec<_> =
            answer.container_instance_arns().iter().map(ContainerInstanceArn::new).collect();
        arns.retain(|other| other != arn);
        arns.push(arn.clone());
        let (mut agent_connected, mut rooms) = (false, Vec::new());
        for one in self.describe_raw(cluster, &arns).await? {
            if one.container_instance_arn() == Some(arn.as_str()) {
                agent_connected = one.agent_connected();
            } else if one.agent_connected() {
                rooms.extend(room(&one));
            }
        }
        Ok((agent_connected, rooms))
    }

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
}

/// The expression that selects container instances by their EC2 instance.
/// Source: ECS Developer Guide, cluster-query-language.
fn filter(instance_ids: &[InstanceId]) -> String {
    match instance_ids {
        [instance_id] => format!("ec2InstanceId == {instance_id}"),
        _ => {
            let quoted: Vec<_> = instance_ids.iter().map(|id| format!("'{id}'")).collect();
            format!("ec2InstanceId in [{}]", quoted.join(","))
        }
    }
}

pub(super) fn strings(arns: &[ContainerInstanceArn]) -> Vec<String> {
    arns.iter().map(|arn| arn.as_str().to_owned()).collect()
}

/// `None` for one that is not on an EC2 instance (an external instance has an SSM id).
fn container_instance(cluster: &Cluster, described: &Described) -> Option<ContainerInstance> {
    Some(ContainerInstance {
        arn: ContainerInstanceArn::new(described.container_instance_arn()?),
        cluster: cluster.clone(),
        instance_id: InstanceId::parse(described.ec2_instance_id()?)?,
        status: described.status().unwrap_or_default().into(),
    })
}

/// What is free on a container instance. Resources are told apart by name; `None` if CPU or memory is missing.
fn room(described: &Described) -> Option<Room> {
    let free = |name: &str| {
        let resource =
            described.remaining_resources().iter().find(|one| one.name() == Some(name))?;
        Some(i64::from(resource.integer_value()))
    };
    Some(Room { cpu: free("CPU")?, memory_mib: free("MEMORY")? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_filter_fits_into_an_expression() {
        let ids = vec![InstanceId::parse("i-0a1b2c3d4e5f60001").unwrap(); Ecs::FIND_IDS_MAX];
        assert!(filter(&ids).len() <= 2_000, "{}", filter(&ids).len());
        assert_eq!(filter(&ids[..1]), "ec2InstanceId == i-0a1b2c3d4e5f60001");
        assert_eq!(
            filter(&ids[..2]),
            "ec2InstanceId in ['i-0a1b2c3d4e5f60001','i-0a1b2c3d4e5f60001']"
        );
    }
}

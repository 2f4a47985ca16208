//! Amazon ECS: finding container instances by their EC2 instance, draining them, and the attributes on them.
//!
//! ECS reports partial failures inside an HTTP 200 (`failures[]`): no method here lets one pass as a success. Nor is a
//! list ever taken for complete that is not: the SDK would end one silently at a token that comes twice.

mod inventory;
mod placed;
mod services;
mod tasks;

use std::collections::HashMap;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Attribute, ContainerInstanceStatus as SdkStatus, Failure, TargetType};
use ebb_core::ecs::{ContainerInstance, ContainerInstanceStatus, Room};
use ebb_core::ids::{Cluster, ContainerInstanceArn, InstanceId};

pub use self::placed::PlacedTask;
use crate::AwsError;
use crate::pace::Pace;

/// Source: ECS API, `DescribeContainerInstances`.
const DESCRIBE_MAX: usize = 100;
/// Source: ECS API, `PutAttributes`.
const PUT_ATTRIBUTES_MAX: usize = 10;
/// A cluster has 5,000 container instances at most (ECS service quotas, not adjustable), listed by up to 100; pages
/// may hold fewer. A list that goes on after this is an error.
const LIST_PAGES_MAX: usize = 200;
/// A Region has 10,000 clusters by default (ECS service quotas), listed by up to 100.
const CLUSTER_PAGES_MAX: usize = 200;

/// Which container instances a look-up takes into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// Those that can be drained. What is found for a single EC2 instance needs no second call.
    Active,
    /// Those in any state but INACTIVE. Each is described, to learn its status.
    AnyStatus,
}

/// How setting one container instance to DRAINING came off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainResult {
    /// It is DRAINING.
    Draining,
    /// It has left its cluster. The text is ECS's reason.
    Gone(String),
    /// ECS refused, or said nothing about it. The text is ECS's reason.
    Refused(String),
}

/// Amazon ECS.
#[derive(Debug, Clone)]
pub struct Ecs {
    client: Client,
    pace: Pace,
}

impl Ecs {
    /// How many EC2 instance ids a look-up names at most: 80 ids of 19 characters, quoted, stay below the 2,000
    /// characters of a filter expression. Source: ECS Developer Guide, cluster-query-language.
    pub const FIND_IDS_MAX: usize = 80;

    /// How many container instances are set to DRAINING at once. Source: ECS API, `UpdateContainerInstancesState`.
    pub const SET_DRAINING_MAX: usize = 10;

    /// Wraps the SDK's client. Calls are made at once, as a function that has two minutes must.
    pub fn new(client: Client) -> Self {
        Self { client, pace: Pace::unlimited() }
    }

    /// The same client for a function that can wait: its reads of container instances, tasks, services and task
    /// definitions keep within ECS's request rates. Clones share one pace.
    #[must_use]
    pub fn paced(&self) -> Self {
        Self { pace: Pace::within_request_rates(), ..self.clone() }
    }

    /// The clusters to look through: those that are configured, or else every cluster of the Region.
    ///
    /// # Errors
    /// If they must be listed, as [`Ecs::list_clusters`].
    pub async fn clusters(&self, configured: Option<&[Cluster]>) -> Result<Vec<Cluster>, AwsError> {
        match configured {
            Some(clusters) => Ok(clusters.to_vec()),
            None => self.list_clusters().await,
        }
    }

    /// Lists every cluster of the Region, by ARN.
    ///
    /// # Errors
    /// If a page cannot be read, or there are more than 200 of them.
    pub async fn list_clusters(&self) -> Result<Vec<Cluster>, AwsError> {
        let operation = "list the clusters";
        let mut pages =
            self.client.list_clusters().into_paginator().stop_on_duplicate_token(false).send();
        let mut clusters = Vec::new();
        for _ in 0..CLUSTER_PAGES_MAX {
            let Some(page) = pages.next().await else { return Ok(clusters) };
            let page = page.map_err(|error| AwsError::new(operation, error))?;
            clusters.extend(page.cluster_arns().iter().map(Cluster::new));
        }
        Err(AwsError::unusable_answer(operation, format!("more than {CLUSTER_PAGES_MAX} pages")))
    }

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

    async fn describe_raw(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<aws_sdk_ecs::types::ContainerInstance>, AwsError> {
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

    /// Sets up to [`Ecs::SET_DRAINING_MAX`] container instances of one cluster to DRAINING, and says for each, in
    /// their order, how it came off. One that is DRAINING already stays so and counts as [`DrainResult::Draining`].
    ///
    /// # Errors
    /// If the call fails as a whole. It may have taken effect all the same.
    pub async fn set_draining(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<DrainResult>, AwsError> {
        let operation =
            || format!("set container instances of cluster {} to DRAINING", cluster.name());
        let request = self.client.update_container_instances_state().cluster(cluster.as_str());
        let request =
            request.status(SdkStatus::Draining).set_container_instances(Some(strings(arns)));
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        Ok(arns
            .iter()
            .map(|arn| drain_result(arn, answer.container_instances(), answer.failures()))
            .collect())
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

    /// Sets a container instance to ACTIVE again.
    ///
    /// # Errors
    /// If the call fails, or ECS says that it did not do so.
    pub async fn set_active(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
    ) -> Result<(), AwsError> {
        let operation =
            || format!("set a container instance of cluster {} to ACTIVE", cluster.name());
        let request = self.client.update_container_instances_state().cluster(cluster.as_str());
        let request = request.status(SdkStatus::Active).container_instances(arn.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        match answer.failures().first() {
            Some(failure) => Err(AwsError::unusable_answer(operation(), reason(failure))),
            None => Ok(()),
        }
    }

    /// Reads one attribute of container instances; one that does not have it, or has left the cluster, is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn read_attribute(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        name: &str,
    ) -> Result<HashMap<ContainerInstanceArn, String>, AwsError> {
        let value = |one: &aws_sdk_ecs::types::ContainerInstance| {
            let arn = ContainerInstanceArn::new(one.container_instance_arn()?);
            let attribute = one.attributes().iter().find(|attribute| attribute.name() == name)?;
            Some((arn, attribute.value()?.to_owned()))
        };
        Ok(self.describe_raw(cluster, arns).await?.iter().filter_map(value).collect())
    }

    /// Writes one attribute on container instances, in tens. Writing it again replaces its value.
    ///
    /// # Errors
    /// If a call fails; those of the tens before it are written.
    pub async fn put_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        values: &[(&ContainerInstanceArn, String)],
    ) -> Result<(), AwsError> {
        let operation =
            || format!("put attribute {name} on container instances of cluster {}", cluster.name());
        for values in values.chunks(PUT_ATTRIBUTES_MAX) {
            let mut request = self.client.put_attributes().cluster(cluster.as_str());
            for (arn, value) in values {
                let attribute = Attribute::builder()
                    .name(name)
                    .value(value)
                    .target_type(TargetType::ContainerInstance)
                    .target_id(arn.as_str())
                    .build()
                    .map_err(|error| AwsError::unusable_answer(operation(), error.to_string()))?;
                request = request.attributes(attribute);
            }
            request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        }
        Ok(())
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

fn strings(arns: &[ContainerInstanceArn]) -> Vec<String> {
    arns.iter().map(|arn| arn.as_str().to_owned()).collect()
}

/// `None` for one that is not on an EC2 instance (an external instance has an SSM id).
fn container_instance(
    cluster: &Cluster,
    described: &aws_sdk_ecs::types::ContainerInstance,
) -> Option<ContainerInstance> {
    Some(ContainerInstance {
        arn: ContainerInstanceArn::new(described.container_instance_arn()?),
        cluster: cluster.clone(),
        instance_id: InstanceId::parse(described.ec2_instance_id()?)?,
        status: described.status().unwrap_or_default().into(),
    })
}

/// What is free on a container instance. Resources are told apart by name; `None` if CPU or memory is missing.
fn room(described: &aws_sdk_ecs::types::ContainerInstance) -> Option<Room> {
    let free = |name: &str| {
        let resource =
            described.remaining_resources().iter().find(|one| one.name() == Some(name))?;
        Some(i64::from(resource.integer_value()))
    };
    Some(Room { cpu: free("CPU")?, memory_mib: free("MEMORY")? })
}

fn drain_result(
    arn: &ContainerInstanceArn,
    updated: &[aws_sdk_ecs::types::ContainerInstance],
    failures: &[Failure],
) -> DrainResult {
    if let Some(failure) = failures.iter().find(|failure| failure.arn() == Some(arn.as_str())) {
        // `INACTIVE` is what clients see for an instance that was terminated meanwhile; `MISSING` is documented for
        // the Describe calls. The list of reasons for this call is not published.
        return match failure.reason() {
            Some("INACTIVE" | "MISSING") => DrainResult::Gone(reason(failure)),
            _ => DrainResult::Refused(reason(failure)),
        };
    }
    match updated.iter().find(|one| one.container_instance_arn() == Some(arn.as_str())) {
        Some(one) if one.status() == Some("DRAINING") => DrainResult::Draining,
        Some(one) => {
            DrainResult::Refused(format!("its status is {}", one.status().unwrap_or("not given")))
        }
        None => DrainResult::Refused("the answer does not mention it".to_owned()),
    }
}

fn reason(failure: &Failure) -> String {
    let reason = failure.reason().unwrap_or("no reason given");
    failure.detail().map_or_else(|| reason.to_owned(), |detail| format!("{reason}: {detail}"))
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

    #[test]
    fn no_answer_about_a_container_instance_passes_as_a_success() {
        let arn = ContainerInstanceArn::new("arn-1");
        let updated = |status: &str| {
            aws_sdk_ecs::types::ContainerInstance::builder()
                .container_instance_arn("arn-1")
                .status(status)
                .build()
        };
        let failure = |reason: &str| Failure::builder().arn("arn-1").reason(reason).build();
        let gone = |reason: &str| DrainResult::Gone(reason.to_owned());
        let refused = |reason: &str| DrainResult::Refused(reason.to_owned());

        assert_eq!(drain_result(&arn, &[updated("DRAINING")], &[]), DrainResult::Draining);
        assert_eq!(drain_result(&arn, &[updated("ACTIVE")], &[]), refused("its status is ACTIVE"));
        assert_eq!(drain_result(&arn, &[], &[failure("INACTIVE")]), gone("INACTIVE"));
        assert_eq!(drain_result(&arn, &[], &[failure("MISSING")]), gone("MISSING"));
        assert_eq!(drain_result(&arn, &[], &[failure("AGENT")]), refused("AGENT"));
        assert_eq!(
            drain_result(&arn, &[updated("DRAINING")], &[failure("AGENT")]),
            refused("AGENT")
        );
        assert_eq!(drain_result(&arn, &[], &[]), refused("the answer does not mention it"));
    }
}

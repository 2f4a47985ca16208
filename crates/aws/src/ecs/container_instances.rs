//! Container instances: finding them by their EC2 instance, describing them, and reading all of a
//! cluster.

use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::operation::list_container_instances::builders::ListContainerInstancesFluentBuilder;
use aws_sdk_ecs::types::{
    ContainerInstance as SdkContainerInstance, ContainerInstanceStatus as SdkStatus,
};
use ebb_core::ecs::{ContainerInstance, ContainerInstanceStatus, ObservedContainerInstance, Room};
use ebb_core::ids::{Cluster, ContainerInstanceArn, InstanceId};
use ebb_planner::Instance;

use crate::ecs::attributes::attribute_value;
use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::check_complete;
use crate::ecs::inventory::planner_instance;
use crate::error::AwsError;
use crate::reads::{join_batches, list};

/// Source: ECS API, `DescribeContainerInstances`.
const DESCRIBE_MAX: usize = 100;

/// A cluster has 5,000 container instances at most (ECS service quotas, not adjustable), listed by
/// up to 100 per page; pages may hold fewer. A list that goes on after this is an error.
const INSTANCE_PAGES_MAX: usize = 200;

/// How many other container instances are looked at for free room: with the one in question, as
/// many as one Describe takes.
const ROOMS_MAX: i32 = 99;

/// What decides whether tasks can be placed on a container instance now.
struct AgentAndRoom {
    arn: Option<ContainerInstanceArn>,
    agent_connected: bool,
    room: Option<Room>,
}

impl Ecs {
    /// How many EC2 instance ids a look-up names at most: 80 ids of 19 characters, quoted, stay
    /// below the 2,000 characters of a filter expression. Source: ECS Developer Guide,
    /// cluster-query-language.
    pub const FIND_IDS_MAX: usize = 80;

    /// Finds the ACTIVE container instances on up to [`Ecs::FIND_IDS_MAX`] EC2 instances in one
    /// cluster; instances that the cluster does not have are left out.
    ///
    /// Where the answer could be about anything but the one instance that was asked for, a Describe
    /// tells which is which: a filter that was ignored must not drain a cluster.
    ///
    /// # Errors
    /// If any call fails, so that an absent instance is really absent.
    pub async fn find_active(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let arns = self.list_on(cluster, instance_ids, Some(SdkStatus::Active)).await?;
        match (instance_ids, arns.as_slice()) {
            // One id was asked for and one container instance came back: a Describe would cost a
            // call and tell nothing new.
            ([instance_id], [arn]) => Ok(vec![ContainerInstance {
                arn: arn.clone(),
                cluster: cluster.clone(),
                instance_id: instance_id.clone(),
                status: ContainerInstanceStatus::Active,
            }]),
            _ => self.describe_on(cluster, &arns, instance_ids).await,
        }
    }

    /// Finds the container instances on an EC2 instance in one cluster, in any status but INACTIVE,
    /// those that are `known` left out: where there are no others, that takes one call.
    ///
    /// # Errors
    /// If any call fails, so that an absent one is really absent.
    pub async fn find_others(
        &self,
        cluster: &Cluster,
        instance_id: &InstanceId,
        known: &[ContainerInstanceArn],
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let instance_ids = std::slice::from_ref(instance_id);
        let mut arns = self.list_on(cluster, instance_ids, None).await?;
        arns.retain(|arn| !known.contains(arn));
        self.describe_on(cluster, &arns, instance_ids).await
    }

    /// Which of up to [`Ecs::FIND_IDS_MAX`] EC2 instances have an ACTIVE container instance in a
    /// cluster. Not tried again where ECS throttles the list: for a question that can wait, and that
    /// must not take requests from what cannot.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn active_among(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
    ) -> Result<Vec<InstanceId>, AwsError> {
        let request = self.list_request(cluster, Some(SdkStatus::Active));
        let request = request.filter(instance_filter(instance_ids)).customize();
        let once = aws_sdk_ecs::config::Builder::new().retry_config(RetryConfig::disabled());
        let page = request.config_override(once).send().await;
        let page = page.map_err(|error| AwsError::new(listing(cluster), error))?;
        let arns: Vec<_> =
            page.container_instance_arns().iter().map(ContainerInstanceArn::new).collect();
        let active = self.describe_on(cluster, &arns, instance_ids).await?;
        Ok(active.into_iter().map(|instance| instance.instance_id).collect())
    }

    /// Finds the container instances on up to [`Ecs::FIND_IDS_MAX`] EC2 instances in one cluster, in
    /// any status but INACTIVE, and describes them as [`Ecs::observe`] does; instances that the
    /// cluster does not have are left out.
    ///
    /// # Errors
    /// If any call fails, so that an absent instance is really absent.
    pub async fn observe_on(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        attribute: &str,
    ) -> Result<Vec<ObservedContainerInstance>, AwsError> {
        let arns = self.list_on(cluster, instance_ids, None).await?;
        let mut observed = self.observe(cluster, &arns, attribute).await?;
        // A filter that was ignored must not lead to other instances.
        observed.retain(|observed| instance_ids.contains(&observed.container_instance.instance_id));
        Ok(observed)
    }

    /// Describes container instances. Those that left the cluster meanwhile (reason `MISSING`) are
    /// left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so.
    pub async fn describe(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let convert = |described: &SdkContainerInstance| container_instance(cluster, described);
        self.describe_as(cluster, arns, &convert).await
    }

    /// Describes container instances with what changes while they drain, and the value of one
    /// attribute. Those that left the cluster (reason `MISSING`) are left out.
    ///
    /// # Errors
    /// As [`Ecs::describe`].
    pub async fn observe(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        attribute: &str,
    ) -> Result<Vec<ObservedContainerInstance>, AwsError> {
        let convert = |described: &SdkContainerInstance| {
            Some(ObservedContainerInstance {
                container_instance: container_instance(cluster, described)?,
                agent_connected: described.agent_connected(),
                tasks_wanted: described.running_tasks_count() + described.pending_tasks_count(),
                attribute: attribute_value(described, attribute).map(|(_, value)| value),
            })
        };
        self.describe_as(cluster, arns, &convert).await
    }

    /// Reads every container instance of a cluster on an EC2 instance, in any status but INACTIVE.
    /// What Auto Scaling knows of them is left open, and so are their tasks, and the network
    /// interfaces that these do not hold. Those that leave the cluster meanwhile are left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so: a cluster that was read in
    /// part is not known.
    pub async fn container_instances(&self, cluster: &Cluster) -> Result<Vec<Instance>, AwsError> {
        let request = self.list_request(cluster, None);
        let arns = self.list_container_instances(cluster, request).await?;
        self.describe_as(cluster, &arns, &planner_instance).await
    }

    /// A container instance of a cluster that has an attribute: of several, always the same. Where
    /// none has it, any that is ACTIVE; `None` if there is none either.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn attribute_holder(
        &self,
        cluster: &Cluster,
        attribute: &str,
    ) -> Result<Option<ContainerInstanceArn>, AwsError> {
        let request = self.list_request(cluster, None);
        let request = request.filter(format!("attribute:{attribute} exists"));
        let holders = self.list_container_instances(cluster, request).await?;
        if let Some(holder) = holders.into_iter().min() {
            return Ok(Some(holder));
        }
        self.pace.resources.turn().await;
        let request = self.list_request(cluster, Some(SdkStatus::Active)).max_results(1);
        let page = request.send().await.map_err(|error| AwsError::new(listing(cluster), error))?;
        Ok(page.container_instance_arns().first().map(ContainerInstanceArn::new))
    }

    /// Whether the agent of a container instance is connected, and what is free on the other ACTIVE
    /// ones of its cluster: on 99 of them at most, with two calls.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn agent_and_rooms(
        &self,
        cluster: &Cluster,
        arn: &ContainerInstanceArn,
    ) -> Result<(bool, Vec<Room>), AwsError> {
        self.pace.resources.turn().await;
        let request = self.list_request(cluster, Some(SdkStatus::Active)).max_results(ROOMS_MAX);
        let page = request.send().await.map_err(|error| AwsError::new(listing(cluster), error))?;
        let mut arns: Vec<_> =
            page.container_instance_arns().iter().map(ContainerInstanceArn::new).collect();
        arns.retain(|listed| listed != arn);
        arns.push(arn.clone());
        let convert = |described: &SdkContainerInstance| Some(agent_and_room(described));
        let described = self.describe_as(cluster, &arns, &convert).await?;
        let (drained, rest_of_cluster): (Vec<_>, Vec<_>) =
            described.into_iter().partition(|instance| instance.arn.as_ref() == Some(arn));
        let agent_connected = drained.iter().any(|instance| instance.agent_connected);
        // Tasks are placed only where an agent is connected.
        let connected = rest_of_cluster.into_iter().filter(|instance| instance.agent_connected);
        Ok((agent_connected, connected.filter_map(|instance| instance.room).collect()))
    }

    /// Describes container instances in batches, each taken down to what is needed before the next
    /// ones arrive. `None` leaves a container instance out.
    pub(super) async fn describe_as<T>(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        convert: &(impl Fn(&SdkContainerInstance) -> Option<T> + Sync),
    ) -> Result<Vec<T>, AwsError> {
        let mut batches = Vec::new();
        for batch in arns.chunks(DESCRIBE_MAX) {
            batches.push(self.describe_batch(cluster, batch, convert));
        }
        join_batches(&self.pace, batches).await
    }

    async fn describe_batch<T>(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        convert: &(impl Fn(&SdkContainerInstance) -> Option<T> + Sync),
    ) -> Result<Vec<T>, AwsError> {
        let operation = format!("describe container instances of cluster {}", cluster.name());
        self.pace.resources.turn().await;
        let request = self.client.describe_container_instances().cluster(cluster.as_str());
        let request = request.set_container_instances(Some(to_strings(arns)));
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        // ECS reports what it could not describe inside an HTTP 200 (ECS Developer Guide,
        // api_failures_messages), which the SDK takes for a success.
        check_complete(&operation, arns.len(), ok.container_instances().len(), ok.failures())?;
        Ok(ok.container_instances().iter().filter_map(convert).collect())
    }

    /// Describes those of the container instances that are on these EC2 instances.
    async fn describe_on(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        instance_ids: &[InstanceId],
    ) -> Result<Vec<ContainerInstance>, AwsError> {
        let mut described = self.describe(cluster, arns).await?;
        // A filter that was ignored must not lead to other instances.
        described.retain(|instance| instance_ids.contains(&instance.instance_id));
        Ok(described)
    }

    /// Lists the container instances on these EC2 instances, in one status or in any but INACTIVE.
    async fn list_on(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        status: Option<SdkStatus>,
    ) -> Result<Vec<ContainerInstanceArn>, AwsError> {
        let request = self.list_request(cluster, status).filter(instance_filter(instance_ids));
        self.list_container_instances(cluster, request).await
    }

    fn list_request(
        &self,
        cluster: &Cluster,
        status: Option<SdkStatus>,
    ) -> ListContainerInstancesFluentBuilder {
        self.client.list_container_instances().cluster(cluster.as_str()).set_status(status)
    }

    async fn list_container_instances(
        &self,
        cluster: &Cluster,
        request: ListContainerInstancesFluentBuilder,
    ) -> Result<Vec<ContainerInstanceArn>, AwsError> {
        let operation = listing(cluster);
        let pages = list(&operation, INSTANCE_PAGES_MAX, &self.pace.resources, |token| {
            let page = request.clone().set_next_token(token).send();
            async {
                page.await
                    .map(|page| (page.container_instance_arns.unwrap_or_default(), page.next_token))
            }
        });
        Ok(pages.await?.iter().map(ContainerInstanceArn::new).collect())
    }
}

/// The ARNs as the SDK takes them.
pub(super) fn to_strings(arns: &[ContainerInstanceArn]) -> Vec<String> {
    arns.iter().map(|arn| arn.as_str().to_owned()).collect()
}

fn listing(cluster: &Cluster) -> String {
    format!("list the container instances of cluster {}", cluster.name())
}

/// The expression that selects container instances by their EC2 instance.
/// Source: ECS Developer Guide, cluster-query-language.
fn instance_filter(instance_ids: &[InstanceId]) -> String {
    match instance_ids {
        [instance_id] => format!("ec2InstanceId == {instance_id}"),
        _ => {
            let quoted: Vec<_> = instance_ids.iter().map(|id| format!("'{id}'")).collect();
            format!("ec2InstanceId in [{}]", quoted.join(","))
        }
    }
}

/// `None` if it is not on an EC2 instance (an external instance has an SSM id).
fn container_instance(
    cluster: &Cluster,
    described: &SdkContainerInstance,
) -> Option<ContainerInstance> {
    Some(ContainerInstance {
        arn: ContainerInstanceArn::new(described.container_instance_arn()?),
        cluster: cluster.clone(),
        instance_id: InstanceId::parse(described.ec2_instance_id()?)?,
        status: described.status().unwrap_or_default().into(),
    })
}

fn agent_and_room(described: &SdkContainerInstance) -> AgentAndRoom {
    AgentAndRoom {
        arn: described.container_instance_arn().map(ContainerInstanceArn::new),
        agent_connected: described.agent_connected(),
        room: room(described),
    }
}

/// What is free on a container instance. `None` if CPU or memory is missing.
fn room(described: &SdkContainerInstance) -> Option<Room> {
    Some(Room { cpu: remaining(described, "CPU")?, memory_mib: remaining(described, "MEMORY")? })
}

fn remaining(described: &SdkContainerInstance, name: &str) -> Option<i64> {
    let mut resources = described.remaining_resources().iter();
    let resource = resources.find(|resource| resource.name() == Some(name))?;
    Some(i64::from(resource.integer_value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_filter_fits_into_an_expression() {
        let ids = vec![InstanceId::parse("i-0a1b2c3d4e5f60001").unwrap(); Ecs::FIND_IDS_MAX];
        assert!(instance_filter(&ids).len() <= 2_000, "{}", instance_filter(&ids).len());
        assert_eq!(instance_filter(&ids[..1]), "ec2InstanceId == i-0a1b2c3d4e5f60001");
        assert_eq!(
            instance_filter(&ids[..2]),
            "ec2InstanceId in ['i-0a1b2c3d4e5f60001','i-0a1b2c3d4e5f60001']"
        );
    }
}

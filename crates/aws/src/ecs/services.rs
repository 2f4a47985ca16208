//! The services of a cluster: those that some tasks belong to, for the drainers, and all of them
//! with what decides where their tasks may run, for the reaper.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    AdvancedConfiguration, AvailabilityZoneRebalancing, AwsVpcConfiguration,
    CapacityProviderStrategyItem as SdkStrategyItem, Deployment, DeploymentConfiguration,
    DeploymentRolloutState, DeploymentStrategy, LaunchType, LoadBalancer, NetworkConfiguration,
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType,
    SchedulingStrategy, Service as SdkService, ServiceEvent, ServiceField, TaskSet,
};
use ebb_core::ids::Cluster;
use ebb_core::lifecycle::diagnosis::{Service, placement_failure};
use ebb_core::reaper::capacity_providers::{CapacityProviderStrategyItem, runs_on_fargate};
use ebb_core::reaper::services::ServiceDescription;
use ebb_core::reaper::tags::keeps_tasks;
use ebb_core::reaper::zone_rebalancing::zones_uneven;
use ebb_planner::Strategy;
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::check_complete;
use crate::ecs::tags::tags;
use crate::error::AwsError;
use crate::reads::{join_batches, list};

/// Source: ECS API, `DescribeServices`.
const DESCRIBE_SERVICES_MAX: usize = 10;

/// A cluster has 5,000 services at most (ECS service quotas, not adjustable), listed by up to 100
/// per page; pages may hold fewer. A list that goes on after this is an error.
const SERVICE_PAGES_MAX: usize = 200;

/// The most that a page can hold, for fewer calls. Source: ECS API, `ListServices`: 10 by default.
const SERVICES_PER_PAGE: i32 = 100;

/// ECS's defaults for replica services. Source: ECS API, `DeploymentConfiguration`.
const MINIMUM_HEALTHY_PERCENT: i32 = 100;
const MAXIMUM_PERCENT: i32 = 200;

impl Ecs {
    /// Describes services of a cluster, with what they could not place `since` a moment. One that
    /// ECS no longer knows is left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so.
    pub async fn services(
        &self,
        cluster: &Cluster,
        services: &BTreeSet<String>,
        since: Timestamp,
    ) -> Result<Vec<Service>, AwsError> {
        let names: Vec<_> = services.iter().cloned().collect();
        let convert = |described: &SdkService| service(described, since);
        self.describe_services_as(cluster, &names, &convert).await
    }

    /// Describes every service of a cluster. Those that were deleted meanwhile are left out.
    ///
    /// # Errors
    /// If a call fails, or an answer leaves one out without saying so.
    pub async fn all_services(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<ServiceDescription>, AwsError> {
        let arns = self.list_services(cluster).await?;
        self.describe_services_as(cluster, &arns, &service_description).await
    }

    async fn list_services(&self, cluster: &Cluster) -> Result<Vec<String>, AwsError> {
        let operation = format!("list the services of cluster {}", cluster.name());
        let request = self.client.list_services().cluster(cluster.as_str());
        let request = request.max_results(SERVICES_PER_PAGE);
        let pages = list(&operation, SERVICE_PAGES_MAX, &self.pace.services, |token| {
            let page = request.clone().set_next_token(token).send();
            async {
                page.await.map(|page| (page.service_arns.unwrap_or_default(), page.next_token))
            }
        });
        pages.await
    }

    /// Describes services, by name or ARN, in batches. Each is taken down to what is needed before
    /// the next ones arrive: a description carries up to a hundred events.
    async fn describe_services_as<T>(
        &self,
        cluster: &Cluster,
        services: &[String],
        convert: &(impl Fn(&SdkService) -> Option<T> + Sync),
    ) -> Result<Vec<T>, AwsError> {
        let mut batches = Vec::new();
        for batch in services.chunks(DESCRIBE_SERVICES_MAX) {
            batches.push(self.describe_service_batch(cluster, batch, convert));
        }
        join_batches(&self.pace, batches).await
    }

    async fn describe_service_batch<T>(
        &self,
        cluster: &Cluster,
        services: &[String],
        convert: &(impl Fn(&SdkService) -> Option<T> + Sync),
    ) -> Result<Vec<T>, AwsError> {
        let operation = format!("describe services of cluster {}", cluster.name());
        self.pace.services.turn().await;
        let request = self.client.describe_services().cluster(cluster.as_str());
        let request = request.set_services(Some(services.to_vec()));
        // Tags come only if they are asked for (ECS API, `DescribeServices`), and cost no call.
        let request = request.include(ServiceField::Tags);
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        check_complete(&operation, services.len(), ok.services().len(), ok.failures())?;
        Ok(ok.services().iter().filter_map(convert).collect())
    }
}

/// A service as the drainers take it. `None` without a name.
fn service(described: &SdkService, since: Timestamp) -> Option<Service> {
    // ECS lists the newest event first.
    let mut events = described.events().iter().filter(|event| is_recent(event, since));
    let configuration = described.deployment_configuration();
    Some(Service {
        name: described.service_name()?.to_owned(),
        daemon: is_daemon(described),
        minimum_healthy_percent: configuration
            .and_then(|configuration| configuration.minimum_healthy_percent())
            .unwrap_or(MINIMUM_HEALTHY_PERCENT),
        maximum_percent: configuration
            .and_then(|configuration| configuration.maximum_percent())
            .unwrap_or(MAXIMUM_PERCENT),
        unplaced: events.find_map(|event| placement_failure(event.message()?)),
    })
}

fn is_recent(event: &ServiceEvent, since: Timestamp) -> bool {
    event.created_at().is_some_and(|time| time.secs() >= since.as_second())
}

fn is_daemon(described: &SdkService) -> bool {
    described.scheduling_strategy() == Some(&SchedulingStrategy::Daemon)
}

/// A service as the reaper takes it. `None` without a name.
fn service_description(described: &SdkService) -> Option<ServiceDescription> {
    let deployments = described.deployments();
    let definitions = deployments.iter().filter_map(Deployment::task_definition);
    // Where a controller from outside deploys, task sets stand in the place of deployments.
    let task_sets = described.task_sets();
    let definitions = definitions.chain(task_sets.iter().filter_map(TaskSet::task_definition));
    let configuration = described.deployment_configuration();
    let minimum = configuration.and_then(|configuration| configuration.minimum_healthy_percent());
    let maximum = configuration.and_then(|configuration| configuration.maximum_percent());
    let constraints = described.placement_constraints();
    let strategy = strategy_items(described.capacity_provider_strategy());
    Some(ServiceDescription {
        name: described.service_name()?.to_owned(),
        daemon: is_daemon(described),
        elsewhere: runs_elsewhere(described),
        definitions: definitions.chain(described.task_definition()).map(str::to_owned).collect(),
        desired: described.desired_count().into(),
        running: described.running_count().into(),
        pending: described.pending_count().into(),
        deployments: deployments.iter().filter(|deployment| !is_replaced(deployment)).count()
            + task_sets.len(),
        side_by_side: configuration.is_some_and(is_side_by_side) || !task_sets.is_empty(),
        distinct_instance: constraints.iter().any(is_distinct_instance),
        constraints: constraints.iter().filter_map(member_of).collect(),
        strategy: strategies(described).unwrap_or_default(),
        minimum_healthy_percent: percent(minimum, MINIMUM_HEALTHY_PERCENT),
        maximum_percent: percent(maximum, MAXIMUM_PERCENT),
        subnets: subnets(described.network_configuration()),
        target_groups: target_groups(
            described
                .load_balancers()
                .iter()
                .chain(task_sets.iter().flat_map(TaskSet::load_balancers)),
        ),
        uses_default_strategy: described.launch_type().is_none() && strategy.is_empty(),
        capacity_provider_strategy: strategy,
        zone_rebalancing: described.availability_zone_rebalancing()
            == Some(&AvailabilityZoneRebalancing::Enabled),
        // ECS lists the newest event first.
        zones_uneven: described
            .events()
            .iter()
            .find_map(|event| zones_uneven(event.message()?))
            .unwrap_or(false),
        keep_tasks: keeps_tasks(&tags(described.tags())),
        unclear: unclear(described).map(str::to_owned),
        deployment_fails: deployments.iter().any(is_failing),
        placement_failures: placement_failures(described),
    })
}

fn subnets(configuration: Option<&NetworkConfiguration>) -> BTreeSet<String> {
    let configuration = configuration.and_then(NetworkConfiguration::awsvpc_configuration);
    let subnets = configuration.map(AwsVpcConfiguration::subnets).unwrap_or_default();
    subnets.iter().cloned().collect()
}

/// The target groups of load balancers, those that a deployment shifts traffic to included. Source: ECS API, `LoadBalancer`.
fn target_groups<'a>(load_balancers: impl Iterator<Item = &'a LoadBalancer>) -> BTreeSet<String> {
    let arns = load_balancers.flat_map(|load_balancer| {
        let advanced = load_balancer.advanced_configuration();
        let alternate = advanced.and_then(AdvancedConfiguration::alternate_target_group_arn);
        load_balancer.target_group_arn().into_iter().chain(alternate)
    });
    arns.map(str::to_owned).collect()
}

/// Whether a deployment starts its tasks in other subnets than the service's.
fn is_in_other_subnets(described: &SdkService, deployment: &Deployment) -> bool {
    let of_deployment = subnets(deployment.network_configuration());
    !of_deployment.is_empty() && of_deployment != subnets(described.network_configuration())
}

/// Whether it was replaced completely. Source: ECS API, `Deployment.status`.
fn is_replaced(deployment: &Deployment) -> bool {
    deployment.status() == Some("INACTIVE")
}

/// Whether it fails. One that was replaced does not any more. Source: ECS API,
/// `Deployment.rolloutState`: failed, or in progress until it is in a steady
/// state.
fn is_failing(deployment: &Deployment) -> bool {
    let fails = match deployment.rollout_state() {
        Some(DeploymentRolloutState::Failed) => true,
        Some(DeploymentRolloutState::InProgress) => deployment.failed_tasks() > 0,
        _ => false,
    };
    fails && !is_replaced(deployment)
}

/// Blue/green, linear and canary deployments: all that are named and not rolling ones. Source: ECS
/// API, `DeploymentConfiguration.strategy`.
fn is_side_by_side(configuration: &DeploymentConfiguration) -> bool {
    configuration.strategy().is_some_and(|strategy| *strategy != DeploymentStrategy::Rolling)
}

fn is_distinct_instance(constraint: &PlacementConstraint) -> bool {
    constraint.r#type() == Some(&PlacementConstraintType::DistinctInstance)
}

/// The expression of a `memberOf` constraint; `None` for a constraint of another type.
fn member_of(constraint: &PlacementConstraint) -> Option<String> {
    let is_member_of = constraint.r#type() == Some(&PlacementConstraintType::MemberOf);
    is_member_of.then(|| constraint.expression().unwrap_or_default().to_owned())
}

/// A percentage that ECS sent, or its default where it sent none or a negative number.
fn percent(percent: Option<i32>, default: i32) -> u32 {
    let percent = percent.and_then(|percent| u32::try_from(percent).ok());
    percent.unwrap_or_else(|| default.unsigned_abs())
}

/// Why it is not known where the service's tasks may run, if it is not.
fn unclear(described: &SdkService) -> Option<&'static str> {
    if !described.task_sets().is_empty() || described.task_definition().is_none() {
        Some("its deployments are controlled from outside")
    } else if strategies(described).is_none() {
        Some("its placement strategy is not known")
    } else if described.placement_constraints().iter().any(is_unknown) {
        Some("a placement constraint of it is not known")
    } else if described.deployments().iter().any(|each| is_in_other_subnets(described, each)) {
        Some("its deployments are in different subnets")
    } else {
        None
    }
}

fn is_unknown(constraint: &PlacementConstraint) -> bool {
    !matches!(
        constraint.r#type(),
        Some(PlacementConstraintType::DistinctInstance | PlacementConstraintType::MemberOf)
    )
}

/// Whether the service's tasks run on something else than the cluster's EC2 instances.
fn runs_elsewhere(described: &SdkService) -> bool {
    match described.launch_type() {
        Some(LaunchType::Ec2) => false,
        Some(_) => true,
        None => runs_on_fargate(&strategy_items(described.capacity_provider_strategy())),
    }
}

/// A capacity provider strategy in our words.
pub(super) fn strategy_items(strategy: &[SdkStrategyItem]) -> Vec<CapacityProviderStrategyItem> {
    let items = strategy.iter().map(|item| CapacityProviderStrategyItem {
        capacity_provider: item.capacity_provider().to_owned(),
        base: item.base(),
        weight: item.weight(),
    });
    items.collect()
}

/// When ECS said that it could not place a task, newest first.
fn placement_failures(described: &SdkService) -> Vec<Timestamp> {
    let failures = described
        .events()
        .iter()
        .filter(|event| event.message().and_then(placement_failure).is_some());
    let mut times: Vec<_> = failures
        .filter_map(|event| Timestamp::from_second(event.created_at()?.secs()).ok())
        .collect();
    times.sort_by(|a, b| b.cmp(a));
    times
}

/// `None` if any of the strategies is not known.
fn strategies(described: &SdkService) -> Option<Vec<Strategy>> {
    described.placement_strategy().iter().map(strategy).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_subnets(subnets: &[&str]) -> NetworkConfiguration {
        let subnets = subnets.iter().map(|&subnet| subnet.to_owned()).collect();
        let configuration = AwsVpcConfiguration::builder().set_subnets(Some(subnets)).build();
        NetworkConfiguration::builder().awsvpc_configuration(configuration.unwrap()).build()
    }

    fn service_with_a_deployment_in(subnets: &[&str]) -> SdkService {
        let deployment = Deployment::builder().network_configuration(in_subnets(subnets)).build();
        SdkService::builder()
            .task_definition("web:1")
            .network_configuration(in_subnets(&["subnet-1", "subnet-2"]))
            .deployments(deployment)
            .build()
    }

    #[test]
    fn a_deployment_in_other_subnets_than_the_service_is_unclear() {
        let service = service_with_a_deployment_in(&["subnet-2", "subnet-1"]);
        assert_eq!(unclear(&service), None);
        let service = service_with_a_deployment_in(&["subnet-1"]);
        assert_eq!(unclear(&service), Some("its deployments are in different subnets"));
    }

    /// How many deployments a service has, and whether their tasks run side by side.
    fn deploying(
        statuses: &[&str],
        task_sets: usize,
        strategy: Option<&str>,
    ) -> (usize, bool, BTreeSet<String>) {
        let deployments = statuses
            .iter()
            .map(|status| Deployment::builder().status(*status).task_definition("web:1").build());
        let task_sets = (0..task_sets)
            .map(|number| TaskSet::builder().task_definition(format!("set:{number}")));
        let configuration =
            DeploymentConfiguration::builder().set_strategy(strategy.map(DeploymentStrategy::from));
        let described = SdkService::builder()
            .service_name("web")
            .set_deployments(Some(deployments.collect()))
            .set_task_sets(Some(task_sets.map(|task_set| task_set.build()).collect()))
            .deployment_configuration(configuration.build())
            .build();
        let service = service_description(&described).unwrap();
        (service.deployments, service.side_by_side, service.definitions)
    }

    #[test]
    fn deployments_count_until_they_are_replaced_and_their_strategy_says_how_they_run() {
        let web = BTreeSet::from(["web:1".to_owned()]);
        assert_eq!(deploying(&["PRIMARY", "INACTIVE"], 0, None), (1, false, web.clone()));
        let strategies = [
            (None, false),
            (Some("ROLLING"), false),
            (Some("BLUE_GREEN"), true),
            (Some("LINEAR"), true),
            (Some("CANARY"), true),
            (Some("A_NEW_ONE"), true),
        ];
        for (strategy, side_by_side) in strategies {
            let expected = (2, side_by_side, web.clone());
            assert_eq!(deploying(&["PRIMARY", "ACTIVE"], 0, strategy), expected, "{strategy:?}");
        }
    }

    #[test]
    fn task_sets_stand_in_the_place_of_deployments_side_by_side() {
        let definitions = BTreeSet::from(["set:0", "set:1"].map(str::to_owned));
        assert_eq!(deploying(&[], 2, None), (2, true, definitions));
    }
}

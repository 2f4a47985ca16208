//! The services of a cluster: those of some tasks, and all of them with what placement takes.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    DeploymentRolloutState, LaunchType, PlacementConstraintType, PlacementStrategy,
    PlacementStrategyType, SchedulingStrategy, Service as Described, ServiceEvent,
};
use ebb_core::ids::Cluster;
use ebb_core::lifecycle::diagnosis::{Service, placement_failure};
use ebb_core::reaper::services::ServiceDescription;
use ebb_planner::Strategy;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::reason;
use crate::error::AwsError;

/// Source: ECS API, `DescribeServices`.
const DESCRIBE_SERVICES_MAX: usize = 10;

/// A cluster has 5,000 services at most (ECS service quotas, not adjustable), listed by up to 100; pages may hold fewer.
const LIST_PAGES_MAX: usize = 200;

/// Source: ECS API, `ListServices`: 10 by default.
const LIST_MAX_RESULTS: i32 = 100;

impl Ecs {
    /// Describes services of a cluster, with what they could not place `since` a moment. One that ECS no longer knows is
    /// left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn services(
        &self,
        cluster: &Cluster,
        services: &BTreeSet<String>,
        since: Timestamp,
    ) -> Result<Vec<Service>, AwsError> {
        let operation = || format!("describe services of cluster {}", cluster.name());
        let names: Vec<_> = services.iter().cloned().collect();
        let mut described = Vec::new();
        for names in names.chunks(DESCRIBE_SERVICES_MAX) {
            let request = self.client.describe_services().cluster(cluster.as_str());
            let answer = request.set_services(Some(names.to_vec())).send().await;
            let answer = answer.map_err(|error| AwsError::new(operation(), error))?;
            described.extend(answer.services().iter().filter_map(|one| diagnosed(one, since)));
        }
        Ok(described)
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
}

/// `None` if ECS left out what every service has.
fn diagnosed(described: &Described, since: Timestamp) -> Option<Service> {
    let recent =
        |event: &&ServiceEvent| event.created_at().is_some_and(|at| at.secs() >= since.as_second());
    // ECS lists the newest event first.
    let mut events = described.events().iter().filter(recent);
    let percent = described.deployment_configuration();
    Some(Service {
        name: described.service_name()?.to_owned(),
        daemon: described.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
        // ECS's defaults for replica services.
        minimum_healthy_percent: percent
            .and_then(|one| one.minimum_healthy_percent())
            .unwrap_or(100),
        maximum_percent: percent.and_then(|one| one.maximum_percent()).unwrap_or(200),
        unplaced: events.find_map(|event| placement_failure(event.message()?)),
    })
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

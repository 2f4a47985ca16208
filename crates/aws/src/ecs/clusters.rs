//! Which clusters a function works on, how large they are, and where they place tasks by default.

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use aws_sdk_ecs::types::ClusterField;
use ebb_core::ids::Cluster;
use ebb_core::reaper::capacity_providers::CapacityProviderStrategyItem;
use ebb_core::reaper::tags::Tags;

use crate::ecs::ecs_client::Ecs;
use crate::ecs::failures::check_complete;
use crate::ecs::services::strategy_items;
use crate::ecs::tags::tags;
use crate::error::AwsError;
use crate::pace::Pacer;
use crate::reads::list;

/// A Region has 10,000 clusters by default (ECS service quotas), listed by up to 100 per page.
const CLUSTER_PAGES_MAX: usize = 200;

/// Source: ECS API, `DescribeClusters`.
const DESCRIBE_MAX: usize = 100;

/// What is asked about a cluster beside what is in it. Nothing of one that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterDescription {
    /// Its tags.
    pub tags: Tags,
    /// Its default capacity provider strategy, by which services that name neither a launch type nor
    /// a strategy place their tasks. Empty if it has none.
    pub default_strategy: Vec<CapacityProviderStrategyItem>,
}

impl Ecs {
    /// The clusters that are configured, or else every cluster of the Region.
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
        let request = self.client.list_clusters();
        // A few calls per invocation need no pace.
        let pacer = Pacer::unlimited();
        let pages = list("list the clusters", CLUSTER_PAGES_MAX, &pacer, |token| {
            let page = request.clone().set_next_token(token).send();
            async {
                page.await.map(|page| (page.cluster_arns.unwrap_or_default(), page.next_token))
            }
        });
        Ok(pages.await?.iter().map(Cluster::new).collect())
    }

    /// Describes a cluster.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn cluster(&self, cluster: &Cluster) -> Result<ClusterDescription, AwsError> {
        let operation = format!("describe cluster {}", cluster.name());
        let request = self.client.describe_clusters().clusters(cluster.as_str());
        // Tags come only if they are asked for (ECS API, `DescribeClusters`).
        let request = request.include(ClusterField::Tags);
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        check_complete(&operation, 1, ok.clusters().len(), ok.failures())?;
        let described = ok.clusters().first().map(|described| ClusterDescription {
            tags: tags(described.tags()),
            default_strategy: strategy_items(described.default_capacity_provider_strategy()),
        });
        Ok(described.unwrap_or_default())
    }

    /// How many container instances are registered in each cluster, ACTIVE or DRAINING, by its name.
    /// A cluster that has gone is left out. Not tried again where ECS throttles a call: for a guess
    /// that nothing may wait for.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn registered_counts(
        &self,
        clusters: &[Cluster],
    ) -> Result<BTreeMap<String, i32>, AwsError> {
        let mut counts = BTreeMap::new();
        for batch in clusters.chunks(DESCRIBE_MAX) {
            let arns = batch.iter().map(|cluster| cluster.as_str().to_owned()).collect();
            let request = self.client.describe_clusters().set_clusters(Some(arns)).customize();
            let once = aws_sdk_ecs::config::Builder::new().retry_config(RetryConfig::disabled());
            let described = request.config_override(once).send().await;
            let described =
                described.map_err(|error| AwsError::new("describe the clusters", error))?;
            for cluster in described.clusters() {
                let name =
                    Cluster::new(cluster.cluster_arn().unwrap_or_default()).name().to_owned();
                counts.insert(name, cluster.registered_container_instances_count());
            }
        }
        Ok(counts)
    }
}

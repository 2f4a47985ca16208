//! Which clusters a function looks through.

use ebb_core::ids::Cluster;

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;

/// A Region has 10,000 clusters by default (ECS service quotas), listed by up to 100.
const CLUSTER_PAGES_MAX: usize = 200;

impl Ecs {
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
}

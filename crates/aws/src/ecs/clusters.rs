//! Which clusters a function works on.

use ebb_core::ids::Cluster;

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;
use crate::pace::Pacer;
use crate::reads::list;

/// A Region has 10,000 clusters by default (ECS service quotas), listed by up to 100 per page.
const CLUSTER_PAGES_MAX: usize = 200;

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
}

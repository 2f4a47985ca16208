//! Finds the container instance on an EC2 instance: in the cluster where an earlier hop found it,
//! in the one that the hook's metadata names, or in any other.
//!
//! The answer "no cluster has one" completes the action, so it is given only if every cluster
//! was searched.

use ebb_aws::{AwsErrorKind, Problem, StatusFilter};
use ebb_core::ecs::{ContainerInstance, MissingCluster, missing_cluster};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::action::cluster_hint;
use futures_util::{StreamExt, stream};

use crate::drain::Drain;

/// How many clusters are searched at once: few enough that a Region of many clusters does not use
/// up ECS's request rate, which is shared with everything else in the account.
const CONCURRENT_SEARCHES_MAX: usize = 8;

/// Finds the container instance. `None` means that every cluster was searched and none has it.
pub(crate) async fn find_container_instance(
    drain: Drain<'_>,
) -> Result<Option<ContainerInstance>, Problem> {
    if let Some((cluster, arn)) = &drain.state.container_instance
        && let Some(container_instance) = describe_carried(drain, cluster, arn).await?
    {
        return Ok(Some(container_instance));
    }
    // Nothing was carried, or what was carried is not on this instance: its agent may have
    // registered anew, in any cluster.
    search_all_clusters(drain).await
}

/// Describes the container instance that the carried state names. That state came over a topic and
/// may be forged: what it names counts only if it is on the instance of the message. One that has
/// left its cluster is described, too, as INACTIVE, though no list names it any more.
async fn describe_carried(
    drain: Drain<'_>,
    cluster: &Cluster,
    arn: &ContainerInstanceArn,
) -> Result<Option<ContainerInstance>, Problem> {
    let described = drain.clients.ecs.describe(cluster, std::slice::from_ref(arn)).await?;
    Ok(described
        .into_iter()
        .find(|container_instance| container_instance.instance_id == drain.action.instance_id))
}

/// Searches the cluster that the hook's metadata names, and then all others. The hint only says
/// where to begin: what it names must be a cluster that may be searched.
async fn search_all_clusters(drain: Drain<'_>) -> Result<Option<ContainerInstance>, Problem> {
    let clusters = drain.clients.ecs.clusters(drain.settings.clusters.as_deref()).await?;
    let hint = drain.action.metadata.as_deref().and_then(cluster_hint);
    let (hinted, unhinted): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|cluster| Some(cluster.name()) == hint.as_deref());
    match search_clusters(drain, &hinted).await? {
        Some(container_instance) => Ok(Some(container_instance)),
        None => search_clusters(drain, &unhinted).await,
    }
}

/// Searches several clusters at once. One that cannot be searched is a problem only if no other
/// one has the instance.
async fn search_clusters(
    drain: Drain<'_>,
    clusters: &[Cluster],
) -> Result<Option<ContainerInstance>, Problem> {
    let mut searches = Vec::new();
    for cluster in clusters {
        searches.push(search_cluster(drain, cluster));
    }
    let mut searches = stream::iter(searches).buffer_unordered(CONCURRENT_SEARCHES_MAX);
    let mut problem = None;
    while let Some(result) = searches.next().await {
        match result {
            Ok(Some(container_instance)) => return Ok(Some(container_instance)),
            Ok(None) => {}
            // The search goes on: if another cluster has the instance, this failure does not
            // matter.
            Err(failed) => problem = Some(failed),
        }
    }
    // "None" completes the action and ends the instance, so a single cluster that could not be
    // searched forbids that answer.
    problem.map_or(Ok(None), Err)
}

async fn search_cluster(
    drain: Drain<'_>,
    cluster: &Cluster,
) -> Result<Option<ContainerInstance>, Problem> {
    let ids = std::slice::from_ref(&drain.action.instance_id);
    // Most instances are ACTIVE when they are terminated, and those need no second call.
    for status_filter in [StatusFilter::Active, StatusFilter::AnyStatus] {
        match drain.clients.ecs.find(cluster, ids, status_filter).await {
            Ok(matches) if matches.is_empty() => {}
            Ok(matches) => return Ok(matches.into_iter().next()),
            // An instance must not be given up for a mistake in the settings.
            Err(error)
                if error.kind == AwsErrorKind::NotFound
                    && missing_cluster(drain.settings.clusters.as_deref())
                        == MissingCluster::Deleted =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

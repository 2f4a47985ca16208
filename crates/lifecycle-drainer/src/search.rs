//! Finds the container instances on an EC2 instance: where an earlier hop found them, in the
//! cluster that the hook's metadata names, and in all others. Most have one. An agent that lost its
//! state registers anew, in any cluster, and the registration before stays with its tasks
//! (amazon-ecs-agent#782, containers-roadmap#1901).
//!
//! The answer "no cluster has one" completes the action, so it is given only if every cluster
//! was searched.

use std::collections::BTreeMap;

use ebb_aws::{AwsErrorKind, Problem};
use ebb_core::ecs::{
    ContainerInstanceStatus, MissingCluster, ObservedContainerInstance, missing_cluster,
};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::action::cluster_hint;
use ebb_core::lifecycle::handoff::CONTAINER_INSTANCES_MAX;
use futures_util::{StreamExt, stream};
use tracing::warn;

use crate::chain::ATTRIBUTE;
use crate::drain::Drain;

/// How many clusters are searched at once: few enough that a Region of many clusters does not use
/// up ECS's request rate, which is shared with everything else in the account.
const CONCURRENT_SEARCHES_MAX: usize = 8;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The container instances.
    pub(crate) found: Vec<ObservedContainerInstance>,
    /// Whether clusters are left in which more may be.
    pub(crate) incomplete: bool,
}

/// Finds the container instances. Those that are known are described; unless they are all that
/// there can be, the clusters are searched as well.
///
/// # Errors
/// If nothing was found and something could not be searched. What was found is drained without
/// waiting for the rest.
pub(crate) async fn find_container_instances(
    drain: Drain<'_>,
    known: &[(Cluster, ContainerInstanceArn)],
    known_are_all: bool,
) -> Result<Search, Problem> {
    let described = describe_known(drain, known).await?;
    // Where all that is known is gone, the agent may have registered anew.
    if known_are_all && described.iter().any(is_registered) {
        return Ok(Search { found: described, incomplete: false });
    }
    let searched = search_clusters(drain, known.is_empty()).await;
    let Search { found, incomplete } = match searched {
        Ok(search) => search,
        Err(problem) if described.is_empty() => return Err(problem),
        Err(problem) => {
            warn!("Some clusters are searched again later: {}", problem.text);
            Search { found: Vec::new(), incomplete: true }
        }
    };
    let mut all = described;
    let is_new = |observed: &ObservedContainerInstance| {
        all.iter().all(|known| known.container_instance.arn != observed.container_instance.arn)
    };
    let new: Vec<_> = found.into_iter().filter(is_new).collect();
    all.extend(new);
    Ok(Search { found: all, incomplete })
}

fn is_registered(observed: &ObservedContainerInstance) -> bool {
    !matches!(
        observed.container_instance.status,
        ContainerInstanceStatus::Inactive | ContainerInstanceStatus::RegistrationFailed
    )
}

/// Describes the container instances that are known. What an earlier hop carried came over a topic
/// and may be forged: it counts only if it is on the instance of the message, and in a cluster that
/// may be looked in. One that has left its cluster is described, too, as INACTIVE, though no list
/// names it any more.
pub(crate) async fn describe_known(
    drain: Drain<'_>,
    known: &[(Cluster, ContainerInstanceArn)],
) -> Result<Vec<ObservedContainerInstance>, Problem> {
    let mut by_cluster = BTreeMap::<&Cluster, Vec<ContainerInstanceArn>>::new();
    for (cluster, arn) in known.iter().take(CONTAINER_INSTANCES_MAX) {
        if drain.may_look_in(cluster) {
            by_cluster.entry(cluster).or_default().push(arn.clone());
        }
    }
    let mut described = Vec::new();
    for (cluster, arns) in by_cluster {
        match drain.clients.ecs.observe(cluster, &arns, ATTRIBUTE).await {
            Ok(observed) => described.extend(observed),
            // It was deleted, and nothing is in it any more.
            Err(error) if is_deleted(drain, error.kind) => {}
            Err(error) => return Err(error.into()),
        }
    }
    described
        .retain(|observed| observed.container_instance.instance_id == drain.action.instance_id);
    Ok(described)
}

/// Searches the clusters. At first only that which the hook's metadata names, if it has the
/// instance: the drain begins there, and the others are searched after that.
async fn search_clusters(drain: Drain<'_>, is_first: bool) -> Result<Search, Problem> {
    let clusters = drain.clients.ecs.clusters(drain.settings.clusters.as_deref()).await?;
    let hint = drain.action.metadata.as_deref().and_then(cluster_hint);
    let (hinted, unhinted): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|cluster| Some(cluster.name()) == hint.as_deref());
    let in_hinted = search_each(drain, &hinted).await;
    if is_first
        && let Ok(Search { found, .. }) = &in_hinted
        && !found.is_empty()
    {
        return in_hinted.map(|search| Search { incomplete: !unhinted.is_empty(), ..search });
    }
    let in_unhinted = search_each(drain, &unhinted).await;
    match (in_hinted, in_unhinted) {
        (Ok(hinted), Ok(unhinted)) => Ok(Search {
            incomplete: hinted.incomplete || unhinted.incomplete,
            found: hinted.found.into_iter().chain(unhinted.found).collect(),
        }),
        (Ok(search), Err(_)) | (Err(_), Ok(search)) if !search.found.is_empty() => {
            Ok(Search { incomplete: true, ..search })
        }
        (Err(problem), _) | (_, Err(problem)) => Err(problem),
    }
}

/// Searches several clusters at once.
///
/// # Errors
/// If nothing was found and one of them could not be searched: "none" completes the action and ends
/// the instance, so a single cluster that could not be searched forbids that answer.
async fn search_each(drain: Drain<'_>, clusters: &[Cluster]) -> Result<Search, Problem> {
    let mut searches = Vec::new();
    for cluster in clusters {
        searches.push(search_cluster(drain, cluster));
    }
    let mut searches = stream::iter(searches).buffer_unordered(CONCURRENT_SEARCHES_MAX);
    let (mut found, mut failure) = (Vec::new(), None);
    while let Some(result) = searches.next().await {
        match result {
            Ok(observed) => found.extend(observed),
            // The search goes on: what is found elsewhere is drained all the same.
            Err(problem) => failure = Some(problem),
        }
    }
    match failure {
        Some(problem) if found.is_empty() => Err(problem),
        Some(problem) => {
            warn!("Searching again later: {}", problem.text);
            Ok(Search { found, incomplete: true })
        }
        None => Ok(Search { found, incomplete: false }),
    }
}

async fn search_cluster(
    drain: Drain<'_>,
    cluster: &Cluster,
) -> Result<Vec<ObservedContainerInstance>, Problem> {
    let instance_id = &drain.action.instance_id;
    match drain.clients.ecs.observe_all_on(cluster, instance_id, ATTRIBUTE).await {
        Ok(observed) => Ok(observed),
        // An instance must not be given up for a mistake in the settings.
        Err(error) if is_deleted(drain, error.kind) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn is_deleted(drain: Drain<'_>, error: AwsErrorKind) -> bool {
    error == AwsErrorKind::NotFound
        && missing_cluster(drain.settings.clusters.as_deref()) == MissingCluster::Deleted
}

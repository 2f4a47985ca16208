//! Finds the container instances on an EC2 instance: where an earlier hop found them, in the
//! cluster that the hook's metadata names, and in all others. Most have one. An agent that lost its
//! state registers anew, in any cluster, and the registration before stays with its tasks
//! (amazon-ecs-agent#782, containers-roadmap#1901).
//!
//! What is ACTIVE is searched for first, as it must be drained at once. Others, which drain already,
//! are searched for before the action is completed. The answer "no cluster has one" completes it, so
//! it is given only if every cluster was searched.

use std::collections::BTreeMap;

use ebb_aws::{AwsErrorKind, Problem};
use ebb_core::ecs::{
    ContainerInstance, ContainerInstanceStatus, MissingCluster, ObservedContainerInstance,
    missing_cluster,
};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::action::cluster_hint;
use ebb_core::lifecycle::handoff::CONTAINER_INSTANCES_MAX;
use futures_util::{StreamExt, stream};
use tracing::warn;

use crate::drain::Drain;

/// The attribute that bears the mark of the last hop: it is read with each container instance. See
/// `chain.rs`, which writes it.
pub(crate) const MARK_ATTRIBUTE: &str = "ebb.lifecycle-drainer-hop";

/// How many clusters are searched at once: few enough that a Region of many clusters does not use
/// up ECS's request rate, which is shared with everything else in the account.
const CONCURRENT_SEARCHES_MAX: usize = 8;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The container instances.
    pub(crate) found: Vec<ContainerInstance>,
    /// Whether there may be more: in other statuses, or in clusters that were not searched.
    pub(crate) incomplete: bool,
}

/// What is searched for.
enum Wanted {
    /// Container instances that are ACTIVE.
    Active,
    /// Those in any status but INACTIVE, without these.
    AllBut(Vec<ContainerInstanceArn>),
}

/// Finds the container instances: those that are known, as long as one of them is registered, or
/// else those that are ACTIVE, or else all there are.
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
    let described: Vec<_> =
        described.into_iter().map(|observed| observed.container_instance).collect();
    if described.iter().any(is_registered) {
        return Ok(Search { found: described, incomplete: !known_are_all });
    }
    // Where all that was known is gone, the agent may have registered anew.
    let clusters = drain.clients.ecs.clusters(drain.settings.clusters.as_deref()).await?;
    drain.clusters.set(&clusters);
    let active = search_active(drain, &clusters).await;
    if let Ok(found) = &active
        && !found.is_empty()
    {
        return active.map(|found| Search { found, incomplete: true });
    }
    let Search { found, incomplete } =
        search_each(drain, &clusters, &Wanted::AllBut(Vec::new())).await?;
    let gone = described.into_iter().filter(|known| found.iter().all(|new| new.arn != known.arn));
    let found = gone.chain(found.iter().cloned()).collect();
    // What is ACTIVE where the search for that failed is found here as well.
    Ok(Search { found, incomplete })
}

/// Finds container instances in any status and any cluster, those that are `known` left out.
///
/// # Errors
/// If a cluster could not be searched and nothing new was found.
pub(crate) async fn find_others(
    drain: Drain<'_>,
    known: &[(Cluster, ContainerInstanceArn)],
) -> Result<Search, Problem> {
    // As they were listed when the search began, in the same hop or else now.
    let clusters = match drain.clusters.get() {
        Some(clusters) => clusters,
        None => drain.clients.ecs.clusters(drain.settings.clusters.as_deref()).await?,
    };
    let known = known.iter().map(|(_, arn)| arn.clone()).collect();
    let Search { found, incomplete } =
        search_each(drain, &clusters, &Wanted::AllBut(known)).await?;
    if incomplete && found.is_empty() {
        return Err(Problem::other("some clusters could not be searched"));
    }
    Ok(Search { found, incomplete })
}

fn is_registered(container_instance: &ContainerInstance) -> bool {
    !matches!(
        container_instance.status,
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
        match drain.clients.ecs.observe(cluster, &arns, MARK_ATTRIBUTE).await {
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

/// Searches for what is ACTIVE: in the cluster that the hook's metadata names, and if that has
/// nothing in all others.
async fn search_active(
    drain: Drain<'_>,
    clusters: &[Cluster],
) -> Result<Vec<ContainerInstance>, Problem> {
    let hint = drain.action.metadata.as_deref().and_then(cluster_hint);
    let (hinted, unhinted): (Vec<_>, Vec<_>) =
        clusters.iter().cloned().partition(|cluster| Some(cluster.name()) == hint.as_deref());
    let in_hinted = search_each(drain, &hinted, &Wanted::Active).await;
    match in_hinted {
        Ok(Search { found, .. }) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Ok(search_each(drain, &unhinted, &Wanted::Active).await?.found),
    }
}

/// Searches several clusters at once.
///
/// # Errors
/// If nothing was found and one of them could not be searched: "none" completes the action and ends
/// the instance, so a single cluster that could not be searched forbids that answer.
async fn search_each(
    drain: Drain<'_>,
    clusters: &[Cluster],
    wanted: &Wanted,
) -> Result<Search, Problem> {
    let mut searches = Vec::new();
    for cluster in clusters {
        searches.push(search_cluster(drain, cluster, wanted));
    }
    let mut searches = stream::iter(searches).buffer_unordered(CONCURRENT_SEARCHES_MAX);
    let (mut found, mut failure) = (Vec::new(), None);
    while let Some(result) = searches.next().await {
        match result {
            Ok(in_cluster) => found.extend(in_cluster),
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
    wanted: &Wanted,
) -> Result<Vec<ContainerInstance>, Problem> {
    let (ecs, instance_id) = (&drain.clients.ecs, &drain.action.instance_id);
    let found = match wanted {
        Wanted::Active => ecs.find_active(cluster, std::slice::from_ref(instance_id)).await,
        Wanted::AllBut(known) => ecs.find_others(cluster, instance_id, known).await,
    };
    match found {
        Ok(found) => Ok(found),
        // An instance must not be given up for a mistake in the settings.
        Err(error) if is_deleted(drain, error.kind) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn is_deleted(drain: Drain<'_>, error: AwsErrorKind) -> bool {
    error == AwsErrorKind::NotFound
        && missing_cluster(drain.settings.clusters.as_deref()) == MissingCluster::Deleted
}

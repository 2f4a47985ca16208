//! Finds the container instances on an EC2 instance: where an earlier hop found them, in the
//! cluster that the hook's metadata names, and in all others. Most have one. An agent that lost its
//! state registers anew, in any cluster, and the registration before stays with its tasks
//! (amazon-ecs-agent#782, containers-roadmap#1901).
//!
//! A search ends early with what is ACTIVE, as it must be drained at once. The clusters that were not
//! asked then are asked before the action is completed. The answer "no cluster has one" completes it,
//! so it is given only if every cluster was searched. Which clusters are still to be asked is decided
//! by `ebb_core::lifecycle::ClusterSearch`.

use std::collections::BTreeMap;

use ebb_aws::{AwsErrorKind, Problem};
use ebb_core::ecs::{
    ContainerInstance, ContainerInstanceStatus, MissingCluster, ObservedContainerInstance,
    missing_cluster,
};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::action::cluster_hint;
use ebb_core::lifecycle::handoff::CONTAINER_INSTANCES_MAX;
use ebb_core::lifecycle::search_time;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;
use tracing::warn;

use crate::drain::Drain;

/// The attribute that bears the mark of the last hop: it is read with each container instance. See
/// `chain.rs`, which writes it.
pub(crate) const MARK_ATTRIBUTE: &str = "ebb.lifecycle-drainer-hop";

/// How many clusters are searched at once. They keep the pace that ECS grants, and one that does not
/// answer holds up none but its own.
const CONCURRENT_SEARCHES_MAX: usize = 8;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The container instances.
    pub(crate) found: Vec<ContainerInstance>,
    /// Whether there may be more: in other statuses, or in clusters that were not searched.
    pub(crate) incomplete: bool,
}

/// Finds the container instances: those that are known, as long as one of them is registered, or
/// else one that is ACTIVE, or else all there are.
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
    drain.search.lock().go_on(clusters, known, drain.clock.now());
    let Search { found, incomplete } = search(drain, &[]).await?;
    let gone = described.into_iter().filter(|known| found.iter().all(|new| new.arn != known.arn));
    let found = gone.chain(found.iter().cloned()).collect();
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
    let mut clusters = drain.search.lock().clusters().to_vec();
    if clusters.is_empty() {
        clusters = drain.clients.ecs.clusters(drain.settings.clusters.as_deref()).await?;
    }
    drain.search.lock().go_on_beside(clusters, drain.clock.now());
    let known: Vec<_> = known.iter().map(|(_, arn)| arn.clone()).collect();
    search(drain, &known).await
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

/// Searches the clusters that are still to be asked, those container instances that are `known` left
/// out: until one is found that is ACTIVE, or for as long as the heartbeats allow.
///
/// # Errors
/// If nothing was found and some clusters have not answered: "none" completes the action and ends the
/// instance, so a single cluster that could not be searched forbids that answer.
async fn search(drain: Drain<'_>, known: &[ContainerInstanceArn]) -> Result<Search, Problem> {
    let mut found = Vec::new();
    let ask = Box::pin(ask_clusters(drain, known, &mut found));
    let time = search_time(drain.state.action_expires, drain.clock.now());
    let result = timeout(time, ask).await.unwrap_or_else(|_| Err(out_of_time(drain)));
    match result {
        Err(problem) if found.is_empty() => return Err(problem),
        Err(problem) => warn!("Searching again later: {}", problem.text),
        Ok(()) => {}
    }
    // Where something was found, there may be more.
    Ok(Search { incomplete: !found.is_empty(), found })
}

fn out_of_time(drain: Drain<'_>) -> Problem {
    let search = drain.search.lock();
    let left = search.unanswered(drain.clock.now()).len();
    Problem::other(format!(
        "{left} of {} clusters have still to be searched",
        search.clusters().len()
    ))
}

async fn ask_clusters(
    drain: Drain<'_>,
    known: &[ContainerInstanceArn],
    found: &mut Vec<ContainerInstance>,
) -> Result<(), Problem> {
    let hint = drain.action.metadata.as_deref().and_then(cluster_hint);
    // A search that takes some seconds has clusters that must be asked once more.
    loop {
        let unanswered = drain.search.lock().unanswered(drain.clock.now());
        if unanswered.is_empty() {
            return Ok(());
        }
        let (hinted, unhinted): (Vec<_>, Vec<_>) =
            unanswered.into_iter().partition(|cluster| Some(cluster.name()) == hint.as_deref());
        let in_hinted = ask_each(drain, &hinted, known, found).await;
        if !found.iter().any(is_active) {
            ask_each(drain, &unhinted, known, found).await?;
        }
        in_hinted?;
        if !found.is_empty() {
            return Ok(());
        }
    }
}

/// Asks several clusters at once. Once one has a container instance that is ACTIVE, no more are
/// asked.
async fn ask_each(
    drain: Drain<'_>,
    clusters: &[Cluster],
    known: &[ContainerInstanceArn],
    found: &mut Vec<ContainerInstance>,
) -> Result<(), Problem> {
    let mut next = clusters.iter();
    let mut asked = FuturesUnordered::new();
    for cluster in next.by_ref().take(CONCURRENT_SEARCHES_MAX) {
        asked.push(search_cluster(drain, cluster, known));
    }
    let mut result = Ok(());
    while let Some(in_cluster) = asked.next().await {
        match in_cluster {
            Ok(in_cluster) => found.extend(in_cluster),
            // The search goes on: what is found elsewhere is drained all the same.
            Err(problem) => result = Err(problem),
        }
        if !found.iter().any(is_active)
            && let Some(cluster) = next.next()
        {
            asked.push(search_cluster(drain, cluster, known));
        }
    }
    result
}

fn is_active(container_instance: &ContainerInstance) -> bool {
    container_instance.status == ContainerInstanceStatus::Active
}

async fn search_cluster(
    drain: Drain<'_>,
    cluster: &Cluster,
    known: &[ContainerInstanceArn],
) -> Result<Vec<ContainerInstance>, Problem> {
    let (ecs, instance_id) = (&drain.clients.ecs, &drain.action.instance_id);
    let has_many_clusters = drain.search.lock().clusters().len() > 1;
    // A few lists keep no pace.
    if has_many_clusters {
        ecs.turn_to_search().await;
    }
    let asked_at = drain.clock.now();
    let found = async {
        // Where no other cluster can have it, one that is ACTIVE is enough: that saves a call.
        if !has_many_clusters && known.is_empty() {
            let active = ecs.find_active(cluster, std::slice::from_ref(instance_id)).await?;
            if !active.is_empty() {
                return Ok(active);
            }
        }
        ecs.find_others(cluster, instance_id, known).await
    };
    let found = match found.await {
        Ok(found) => found,
        // An instance must not be given up for a mistake in the settings.
        Err(error) if is_deleted(drain, error.kind) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if found.is_empty() {
        drain.search.lock().note_none(cluster, asked_at);
    }
    Ok(found)
}

fn is_deleted(drain: Drain<'_>, error: AwsErrorKind) -> bool {
    error == AwsErrorKind::NotFound
        && missing_cluster(drain.settings.clusters.as_deref()) == MissingCluster::Deleted
}

//! Sets a container instance ACTIVE again that was drained for a new root volume, once its instance
//! is back. That is a stage of its own, after the action was completed.
//!
//! What is waited for, and for how long, is decided by `ebb_core::lifecycle::reactivation`.

use ebb_aws::Problem;
use ebb_core::lifecycle::ClusterSearch;
use ebb_core::lifecycle::reactivation::{Reactivation, decide_reactivation};
use jiff::Timestamp;
use tracing::info;

use crate::drain::Drain;
use crate::search::{describe_known, find_others};

/// Looks where the instance is, and sets its container instances ACTIVE if it is back. Returns what
/// was decided.
pub(crate) async fn look_and_reactivate(
    drain: Drain<'_>,
    since: Timestamp,
) -> Result<Reactivation, Problem> {
    let drained = &drain.state.container_instances;
    let state = drain.clients.auto_scaling.lifecycle_state(&drain.action.instance_id).await?;
    let state = state.filter(|(group, _)| *group == drain.action.group).map(|(_, state)| state);
    // Asked anew in every look: its agent may register in any cluster meanwhile.
    *drain.search.lock() = ClusterSearch::default();
    let others = find_others(drain, drained).await?.found.into_iter();
    let others = others.map(|found| (found.cluster, found.arn));
    let all: Vec<_> = drained.iter().cloned().chain(others).collect();
    let found = describe_known(drain, &all).await?;
    let now = drain.clock.now();
    let decision = decide_reactivation(state.as_ref(), &found, drained, since, now);
    if let Reactivation::SetActive(container_instances) = &decision {
        for (cluster, arn) in container_instances {
            drain.clients.ecs.set_active(cluster, arn).await?;
            info!(
                ec2.instance_id = %drain.action.instance_id,
                ecs.cluster = cluster.name(),
                "ACTIVE again: {} is back", drain.action.instance_id
            );
        }
    }
    Ok(decision)
}

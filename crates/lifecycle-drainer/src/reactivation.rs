//! Sets a container instance ACTIVE again that was drained for a new root volume, once its instance
//! is back. That is a stage of its own, after the action was completed.
//!
//! No action is open then whose token could be proven, so the container instances are marked when
//! the action is completed. What is waited for, and for how long, is decided by
//! `ebb_core::lifecycle::reactivation`.

use ebb_aws::{AwsError, Problem};
use ebb_core::lifecycle::ClusterSearch;
use ebb_core::lifecycle::reactivation::{
    Reactivation, decide_reactivation, is_marked, return_mark,
};
use jiff::Timestamp;
use tracing::info;

use crate::drain::Drain;
use crate::observation::Observation;
use crate::search::{MARK_ATTRIBUTE, describe_known, find_others};

/// Marks the container instances that are to be ACTIVE again once their instance is back.
pub(crate) async fn mark_for_return(
    drain: Drain<'_>,
    observation: &Observation,
    since: Timestamp,
) -> Result<(), AwsError> {
    for drained in &observation.container_instances {
        let values = [(drained.arn(), return_mark(since))];
        drain.clients.ecs.put_attribute(drained.cluster(), MARK_ATTRIBUTE, &values).await?;
    }
    Ok(())
}

/// Looks where the instance is, and sets its container instances ACTIVE if it is back. Returns what
/// was decided.
pub(crate) async fn look_and_reactivate(
    drain: Drain<'_>,
    since: Timestamp,
) -> Result<Reactivation, Problem> {
    let drained = &drain.state.container_instances;
    let state = drain.clients.auto_scaling.lifecycle_state(&drain.action.instance_id).await?;
    let state = state.filter(|(group, _)| *group == drain.action.group).map(|(_, state)| state);
    let mut found = describe_known(drain, drained).await?;
    // An agent that lost its state has registered anew. A message without a proof is worth no search.
    if found.iter().any(|observed| is_marked(observed, since)) {
        // Asked anew in every look, as it may register in any cluster meanwhile.
        *drain.search.lock() = ClusterSearch::default();
        let others = find_others(drain, drained).await?.found.into_iter();
        let others: Vec<_> = others.map(|found| (found.cluster, found.arn)).collect();
        found.extend(describe_known(drain, &others).await?);
    }
    let decision = decide_reactivation(state.as_ref(), &found, since, drain.clock.now());
    if let Reactivation::SetActive(container_instances) = &decision {
        for (cluster, arn) in container_instances {
            drain.clients.ecs.set_active(cluster, arn).await?;
            info!("ACTIVE again: {} is back", drain.action.instance_id);
        }
    }
    Ok(decision)
}

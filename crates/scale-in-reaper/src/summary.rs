//! What a week came to, of each cluster: the metrics of all three functions are read, and the clusters
//! looked at. Nothing is changed.
//!
//! What it comes to is decided by `ebb_core::reaper::summary`; telling people is left to `people`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, AwsErrorKind, Clock, Groups, MetricName, Problem};
use ebb_core::ecs::{MissingCluster, missing_cluster};
use ebb_core::ids::Cluster;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::summary::{ClusterState, Counted, Summary, Week};
use jiff::Timestamp;
use tokio::time::timeout_at;

use crate::observe::Candidates;
use crate::sweep::Sweep;
use crate::{ANSWER_MARGIN, ScaleInReaper};

impl ScaleInReaper {
    /// Sums the last week up, cluster by cluster. One that cannot be looked at hides no other. Without
    /// the metrics there is no summary at all, so that none is told by halves. How many clusters there
    /// may be is bounded by the time, as it is for a sweep.
    pub(crate) async fn sum_up(
        &self,
        clock: Clock,
        deadline: Timestamp,
    ) -> (Vec<Summary>, Vec<Problem>) {
        let time_left = deadline.duration_since(clock.now());
        let answer_by = clock.instant(deadline - ANSWER_MARGIN.min(time_left / 4));
        let (clients, settings, prices) = (&self.clients, &self.settings, &self.prices);
        let sweep = Sweep::new(clients, settings, prices, ReaperMode::Plan, clock, deadline);
        let (summaries, mut problems) = match timeout_at(answer_by, summaries(&sweep)).await {
            Ok(Ok(summaries)) => summaries,
            Ok(Err(error)) => (Vec::new(), vec![error.into()]),
            Err(_) => (Vec::new(), vec![clients.out_of_time(clock)]),
        };
        problems.extend(sweep.shift_looks.into_inner().problem);
        (summaries, problems)
    }
}

async fn summaries(sweep: &Sweep<'_>) -> Result<(Vec<Summary>, Vec<Problem>), AwsError> {
    let named = sweep.settings.clusters.as_deref();
    let look = async || {
        let clusters = sweep.clients.ecs.clusters(named).await?;
        Ok((clusters, sweep.observe_groups().await?))
    };
    let (clusters, groups) = sweep.looking(look).await?;
    let (mut states, mut problems) = (Vec::new(), Vec::new());
    for cluster in &clusters {
        // Boxed, as the SDK's futures are large and deeply nested.
        match sweep.looking(|| Box::pin(state(sweep, cluster, &groups))).await {
            Ok(state) => states.push(state),
            Err(error)
                if error.kind == AwsErrorKind::NotFound
                    && missing_cluster(named) == MissingCluster::Deleted => {}
            Err(error) => {
                let Problem { error_type, text } = error.into();
                let text = format!("cluster {}: {text}", cluster.name());
                problems.push(Problem { error_type, text });
            }
        }
    }
    let week = Week::before(sweep.clock.now());
    let by_cluster = sweep.settings.metrics_by_cluster;
    let parts: Vec<_> = if by_cluster {
        states.into_iter().map(|state| vec![state]).collect()
    } else if problems.is_empty() {
        vec![states]
    } else {
        // The whole is not told without one of its parts.
        Vec::new()
    };
    let names: Vec<_> = parts.iter().flat_map(|states| metrics(sweep, states)).collect();
    let sums = sweep
        .looking(|| sweep.clients.cloudwatch.hourly_sums(&names, week.begin, week.end))
        .await?;
    let summaries = parts.into_iter().zip(sums.chunks(Counted::ALL.len())).map(|(states, sums)| {
        let sums: BTreeMap<_, _> = Counted::ALL.into_iter().zip(sums.iter().cloned()).collect();
        Summary::new(states, by_cluster, &sums, week)
    });
    Ok((summaries.filter(Summary::is_worth_telling).collect(), problems))
}

/// A cluster as it is now. Of tasks, those of draining instances matter.
async fn state(
    sweep: &Sweep<'_>,
    cluster: &Cluster,
    groups: &Groups,
) -> Result<ClusterState, AwsError> {
    let none = BTreeSet::new();
    let observation = sweep.observe(cluster, groups, Candidates::Only(&none)).await?;
    let now = sweep.clock.now();
    let halt = sweep.halted(groups, &observation, &[], now).await;
    Ok(ClusterState::new(&observation.inventory, &observation.unplaced, halt, now))
}

/// What is counted of a cluster; of several, what is counted of all together.
fn metrics<'a>(sweep: &Sweep<'a>, states: &'a [ClusterState]) -> Vec<MetricName<'a>> {
    let cluster = match states {
        [state] if sweep.settings.metrics_by_cluster => Some(state.cluster.name()),
        _ => None,
    };
    let metric = |counted: Counted| {
        let (function, name) = counted.source();
        MetricName { namespace: &sweep.settings.metrics_namespace, function, cluster, name }
    };
    Counted::ALL.into_iter().map(metric).collect()
}

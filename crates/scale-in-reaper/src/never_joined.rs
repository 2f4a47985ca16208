//! Asks the clusters that the sweep left out about members of its groups that it found in none.
//! What the answers come to is said in `ebb_core::reaper::never_joined`.

use std::collections::BTreeSet;

use ebb_aws::{AwsError, AwsErrorKind, Ecs, Problem};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::ClusterReport;
use ebb_core::reaper::never_joined::{in_no_swept_cluster, settle};
use tokio::time::{Instant, timeout_at};
use tracing::info;

use crate::sweep::Sweep;

/// How many look-ups are made at most, one for each cluster and 80 members: the pace spreads them
/// over some ten seconds. Where it takes more, nothing is asked.
const LOOK_UPS_MAX: usize = 150;

impl Sweep<'_> {
    /// Leaves those members of the groups in the reports that are in no cluster of the Region. Where
    /// that is not known by `answer_by`, they are counted only: a cluster could not be asked, or
    /// there are too many. `clusters` are those that were to be swept.
    pub(crate) async fn settle_never_joined(
        &self,
        reports: &mut [ClusterReport],
        clusters: &[Cluster],
        answer_by: Instant,
    ) {
        let unswept = in_no_swept_cluster(reports);
        let swept: BTreeSet<_> =
            reports.iter().map(|report| report.plan.cluster.name().to_owned()).collect();
        let look = self.registered_elsewhere(&unswept, &swept, clusters);
        // Nothing that a sweep is for depends on it, so that a failure is none of the sweep.
        let elsewhere = match timeout_at(answer_by, look).await {
            Ok(Ok(elsewhere)) => elsewhere,
            Ok(Err(error)) => {
                let cause = Problem::from(error).text;
                info!("Whether other clusters have members of the groups is not known: {cause}");
                None
            }
            Err(_) => None,
        };
        settle(reports, &unswept, elsewhere.as_ref());
    }

    /// Which of the instances are in another cluster of the Region than the `swept` ones; `None` if
    /// asking them all takes too long.
    async fn registered_elsewhere(
        &self,
        instance_ids: &BTreeSet<InstanceId>,
        swept: &BTreeSet<String>,
        clusters: &[Cluster],
    ) -> Result<Option<BTreeSet<InstanceId>>, AwsError> {
        if instance_ids.is_empty() {
            return Ok(Some(BTreeSet::new()));
        }
        let mut unswept = match self.settings.clusters {
            // They are not all that there are.
            Some(_) => self.clients.ecs.list_clusters().await?,
            None => clusters.to_vec(),
        };
        unswept.retain(|cluster| !swept.contains(cluster.name()));
        self.registered_in(instance_ids, &unswept).await
    }

    /// Which of the instances are in one of the clusters; `None` if asking them all takes too long.
    pub(crate) async fn registered_in(
        &self,
        instance_ids: &BTreeSet<InstanceId>,
        clusters: &[Cluster],
    ) -> Result<Option<BTreeSet<InstanceId>>, AwsError> {
        let mut found = BTreeSet::new();
        let instance_ids: Vec<_> = instance_ids.iter().cloned().collect();
        if clusters.len() * instance_ids.len().div_ceil(Ecs::FIND_IDS_MAX) > LOOK_UPS_MAX {
            return Ok(None);
        }
        for cluster in clusters {
            for batch in instance_ids.chunks(Ecs::FIND_IDS_MAX) {
                if !self.has_time() {
                    return Ok(None);
                }
                match self.paced_ecs.observe_on(cluster, batch, DRAINED_BY).await {
                    Ok(observed) => found.extend(
                        observed
                            .into_iter()
                            .map(|observed| observed.container_instance.instance_id),
                    ),
                    // It was deleted, and has none.
                    Err(error) if error.kind == AwsErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Some(found))
    }
}

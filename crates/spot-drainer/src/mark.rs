//! Marks what was drained on a notice that the instance may outlive, so that it is known as ours when
//! it is back. Which notices those are is decided by `ebb_core::spot::marking`.

use std::collections::BTreeMap;

use ebb_aws::Problem;
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::mark::DRAINED_BY;
use ebb_core::spot::Marking;
use jiff::Timestamp;
use tracing::warn;

use crate::drainer::SpotDrainer;
use crate::work::Work;

/// How many marks one call writes. Source: ECS API, `PutAttributes`.
const MARKS_MAX: usize = 10;

impl SpotDrainer {
    /// Marks what drains by now. This comes after the drains: these are what cannot wait. A mark
    /// that could not be written is a warning; the instance drains all the same, and a person sets
    /// it to ACTIVE when it is back.
    pub(crate) async fn mark_drained(&self, work: &mut Work, now: Timestamp) {
        if self.settings.dry_run {
            return;
        }
        let mut to_write = BTreeMap::<Cluster, Vec<(ContainerInstanceArn, String)>>::new();
        let mut to_remove = BTreeMap::<Cluster, Vec<ContainerInstanceArn>>::new();
        for (instance, marking) in work.items().flat_map(|item| item.markings(now)) {
            match marking {
                Marking::Write(mark) => {
                    let mark = (instance.arn, mark.to_string());
                    to_write.entry(instance.cluster).or_default().push(mark);
                }
                Marking::Remove => {
                    to_remove.entry(instance.cluster).or_default().push(instance.arn);
                }
            }
        }
        for (cluster, marks) in &to_write {
            for batch in marks.chunks(MARKS_MAX) {
                self.write_marks(cluster, batch).await;
            }
        }
        for (cluster, arns) in &to_remove {
            if let Err(error) = self.clients.ecs.delete_attribute(cluster, DRAINED_BY, arns).await {
                warn!(
                    ecs.cluster = cluster.name(),
                    "Left the mark of an earlier notice: {}",
                    Problem::from(error).text
                );
            }
        }
    }

    async fn write_marks(&self, cluster: &Cluster, marks: &[(ContainerInstanceArn, String)]) {
        let values: Vec<_> = marks.iter().map(|(arn, mark)| (arn, mark.clone())).collect();
        match self.clients.ecs.put_attribute(cluster, DRAINED_BY, &values).await {
            Ok(()) => {}
            // One that has left the cluster, or that can bear no more attributes, fails the call for
            // the whole batch.
            Err(error) if error.may_be_about_one() && marks.len() > 1 => {
                for mark in marks {
                    Box::pin(self.write_marks(cluster, std::slice::from_ref(mark))).await;
                }
            }
            Err(error) => warn!(
                ecs.cluster = cluster.name(),
                "Drained without a mark, so that nobody sets it to ACTIVE again by itself: {}",
                Problem::from(error).text
            ),
        }
    }
}

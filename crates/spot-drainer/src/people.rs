//! Tells people what is being drained, what is ACTIVE again, and what is not replaced.
//!
//! Best effort: that is so already, and running the event again for want of a notice would help
//! nobody. What is told, and how often, is decided by `ebb_core::spot::notification` and
//! `ebb_core::notification::cause`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ebb_aws::{Clock, Problem, claim_for_cluster, note_told, notify};
use ebb_core::event::Origin;
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::mark::DRAINED_BY;
use ebb_core::notification::Notification;
use ebb_core::notification::cause::Cause;
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::notification::{interrupted, not_replaced};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tracing::warn;

use crate::drainer::SpotDrainer;
use crate::work::Conclusion;

/// What is kept of the invocation's time for the answer itself.
const ANSWER_TIME: SignedDuration = SignedDuration::from_millis(300);

/// How long each of the calls for people may take, where there is that much time: the look at the
/// tasks, a notice, and the note that it is sent.
const CALL_TIME_MAX: Duration = Duration::from_millis(2_500);

impl SpotDrainer {
    pub(crate) async fn tell_people(
        &self,
        conclusion: &Conclusion,
        home: &Origin,
        clock: Clock,
        deadline: Timestamp,
    ) {
        if self.settings.notification_topic.is_none() {
            return;
        }
        let end = deadline - ANSWER_TIME;
        let Conclusion { answer, shortages, .. } = conclusion;
        if interrupted(answer, None, home).is_some() {
            let tasks = self.tasks_on_drained(conclusion, clock, end).await;
            if let Some(notification) = interrupted(answer, tasks, home) {
                self.publish(&notification, clock, end).await;
            }
        }
        if let Some(group) = &self.settings.fallback_group
            && let Some(notification) = not_replaced(answer, shortages, group, home)
        {
            self.tell_not_replaced(&notification, clock, end).await;
        }
    }

    /// Publishes it. Whether that could be done.
    async fn publish(&self, notification: &Notification, clock: Clock, end: Timestamp) -> bool {
        let Some(topic) = &self.settings.notification_topic else { return false };
        let message = notification.message(self.settings.notification_format);
        notify(&self.clients.topics, topic, &message, call_time(clock, end)).await
    }

    /// Tells that the group does not replace what is interrupted in these clusters, unless that was
    /// told within the hour. It is noted in the first of them.
    async fn tell_not_replaced(&self, notification: &Notification, clock: Clock, end: Timestamp) {
        let Some(cluster) = notification.clusters.first().map(Cluster::new) else {
            self.publish(notification, clock, end).await;
            return;
        };
        let (ecs, cause, time) = (&self.clients.ecs, Cause::NotReplaced, call_time(clock, end) / 2);
        let claimed = claim_for_cluster(ecs, &cluster, cause, clock.now(), time).await;
        let Some(claimed) = claimed else { return };
        if self.publish(notification, clock, end).await {
            note_told(ecs, &cluster, &claimed, clock.now(), call_time(clock, end) / 2).await;
        }
    }

    /// How many tasks are on what this invocation has drained; `None` if that could not be read.
    async fn tasks_on_drained(
        &self,
        conclusion: &Conclusion,
        clock: Clock,
        end: Timestamp,
    ) -> Option<usize> {
        let mut drained = BTreeMap::<&str, BTreeSet<ContainerInstanceArn>>::new();
        for outcome in conclusion.answer.of_kind(OutcomeKind::Draining) {
            let (cluster, arn) =
                (outcome.cluster.as_deref()?, outcome.container_instance_arn.clone()?);
            drained.entry(cluster).or_default().insert(arn);
        }
        let mut tasks = 0;
        for (cluster, arns) in drained {
            let (cluster, arns) = (Cluster::new(cluster), Vec::from_iter(arns));
            let look = self.clients.ecs.observe(&cluster, &arns, DRAINED_BY);
            match timeout(call_time(clock, end) / 2, look).await.ok()? {
                Ok(observed) => {
                    let counts = observed.iter().map(|observed| observed.tasks_wanted);
                    tasks += usize::try_from(counts.sum::<i32>()).unwrap_or_default();
                }
                Err(error) => {
                    warn!("How many tasks are drained is not known: {}", Problem::from(error).text);
                    return None;
                }
            }
        }
        Some(tasks)
    }
}

fn call_time(clock: Clock, end: Timestamp) -> Duration {
    let left = Duration::try_from(end.duration_since(clock.now())).unwrap_or_default();
    left.min(CALL_TIME_MAX)
}

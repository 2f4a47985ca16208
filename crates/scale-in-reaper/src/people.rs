//! Tells people of a sweep, over the notification topic if there is one: for each cluster what was
//! done, why nothing is removed there, and what could be if sweeps only plan and that is wanted; or what
//! a week came to.
//!
//! What is told is decided by `ebb_core::reaper::{notification, summary}`, and how often by
//! `ebb_core::notification::cause`.

use std::time::Duration;

use ebb_aws::{Claimed, Clients, Clock, claim, claim_for_cluster, note_told, notify};
use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::notification::Notification;
use ebb_core::notification::cause::Cause;
use ebb_core::reaper::notification::{halt, halt_news, news, plan, sweep};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::summary::Summary;
use ebb_core::reaper::{Answer, ClusterReport};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// What is kept of the invocation's time for the answer itself.
const ANSWER_TIME: SignedDuration = SignedDuration::from_millis(500);

/// How long the notes of a cluster, and its notice, may each take, where there is that much time.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// Sends the notices of a sweep or a week, cluster by cluster, as long as there is time before
/// `deadline`.
pub(crate) async fn tell_people(
    clients: &Clients,
    settings: &ReaperSettings,
    answer: &Answer,
    clock: Clock,
    deadline: Timestamp,
) {
    let Some(topic) = &settings.notification_topic else { return };
    let people = People { clients, settings, topic, clock, end: deadline - ANSWER_TIME };
    for summary in answer.summaries.iter().flatten() {
        if let Some(cluster) = noted_in(summary) {
            let claimed = people.claim(cluster, Cause::Summary).await;
            people.tell(cluster, claimed.map(|it| (summary.notification(), it))).await;
        }
    }
    for report in &answer.clusters {
        let cluster = &report.plan.cluster;
        // Each is told before the next is claimed, as a claim holds for half a minute only.
        people.tell(cluster, people.sweep(report).await).await;
        // Who asks for a plan while sweeps act reads it in the answer.
        let tells_plans = settings.mode == ReaperMode::Plan && settings.notify_plans;
        // Where nothing would be removed anyway, a halt is news to whom plans are.
        if report.mode == ReaperMode::Act || tells_plans {
            people.tell(cluster, people.halt(report).await).await;
        }
        if tells_plans {
            people.tell(cluster, people.plan(report).await).await;
        }
    }
}

/// Where it is noted that a week was told, as an event may come twice, or be run again as another
/// cluster could not be looked at: in the first of several clusters that has instances.
fn noted_in(summary: &Summary) -> Option<&Cluster> {
    let with_instances = summary.clusters.iter().find(|state| state.instances > 0);
    Some(&with_instances.or_else(|| summary.clusters.first())?.cluster)
}

/// A notice, and the causes that it tells.
type Due = (Notification, Claimed);

struct People<'a> {
    clients: &'a Clients,
    settings: &'a ReaperSettings,
    topic: &'a TopicArn,
    clock: Clock,
    end: Timestamp,
}

impl People<'_> {
    /// What was done in a cluster, as far as it is news.
    async fn sweep(&self, report: &ClusterReport) -> Option<Due> {
        let (cluster, found) = (&report.plan.cluster, news(report));
        if found.is_empty() {
            return None;
        }
        let ecs = &self.clients.ecs;
        let claimed = claim(ecs, cluster, &found, self.clock.now(), self.call_time() / 2).await;
        Some((sweep(report, &claimed.causes)?, claimed))
    }

    /// Why nothing goes in a cluster, unless that was told within the hour.
    async fn halt(&self, report: &ClusterReport) -> Option<Due> {
        let claimed = self.claim(&report.plan.cluster, halt_news(report)?).await?;
        Some((halt(report)?, claimed))
    }

    /// What could go in a cluster, unless that was told within a day.
    async fn plan(&self, report: &ClusterReport) -> Option<Due> {
        let notification = plan(report)?;
        Some((notification, self.claim(&report.plan.cluster, Cause::Plan).await?))
    }

    /// Whether a cause about a cluster is to be told now.
    async fn claim(&self, cluster: &Cluster, cause: Cause) -> Option<Claimed> {
        let (ecs, now) = (&self.clients.ecs, self.clock.now());
        claim_for_cluster(ecs, cluster, cause, now, self.call_time() / 2).await
    }

    /// Tells what is due in a cluster, if anything is.
    async fn tell(&self, cluster: &Cluster, due: Option<Due>) {
        let Some((notification, claimed)) = due else { return };
        let message = notification.message(self.settings.notification_format);
        if self.call_time().is_zero() {
            warn!("No notice to people for want of time: {}", notification.title);
        }
        if notify(&self.clients.topics, self.topic, &message, self.call_time()).await {
            let (ecs, now) = (&self.clients.ecs, self.clock.now());
            note_told(ecs, cluster, &claimed, now, self.call_time() / 2).await;
        }
    }

    fn call_time(&self) -> Duration {
        let left = self.end.duration_since(self.clock.now());
        Duration::try_from(left).unwrap_or_default().min(CALL_TIME_MAX)
    }
}

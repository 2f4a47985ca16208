//! Tells people of a sweep, over the notification topic if there is one: for each cluster what was
//! done, why nothing is removed there, and what could be if sweeps only plan and that is wanted; or what
//! a week came to.
//!
//! What is told is decided by `ebb_core::reaper::{notification, summary}`, and how often by
//! `ebb_core::notification::cause`.

use std::time::Duration;

use ebb_aws::{Clients, Clock, claim, claim_for_cluster, notify};
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
        if people.is_summary_due(summary).await {
            people.tell(&summary.notification()).await;
        }
    }
    for report in &answer.clusters {
        let mut notifications = Vec::from_iter(people.sweep(report).await);
        // Who asks for a plan while sweeps act reads it in the answer.
        let tells_plans = settings.mode == ReaperMode::Plan && settings.notify_plans;
        // Where nothing would be removed anyway, a halt is news to whom plans are.
        if report.mode == ReaperMode::Act || tells_plans {
            notifications.extend(people.halt(report).await);
        }
        if tells_plans {
            notifications.extend(people.plan(report).await);
        }
        for notification in notifications {
            people.tell(&notification).await;
        }
    }
}

struct People<'a> {
    clients: &'a Clients,
    settings: &'a ReaperSettings,
    topic: &'a TopicArn,
    clock: Clock,
    end: Timestamp,
}

impl People<'_> {
    /// What was done in a cluster, as far as it is news.
    async fn sweep(&self, report: &ClusterReport) -> Option<Notification> {
        let (cluster, found) = (&report.plan.cluster, news(report));
        if found.is_empty() {
            return None;
        }
        let ecs = &self.clients.ecs;
        let told = claim(ecs, cluster, &found, self.clock.now(), self.call_time() / 2).await;
        sweep(report, &told)
    }

    /// Why nothing goes in a cluster, unless that was told within the hour.
    async fn halt(&self, report: &ClusterReport) -> Option<Notification> {
        self.is_due(&report.plan.cluster, halt_news(report)?).await.then(|| halt(report))?
    }

    /// What could go in a cluster, unless that was told within a day.
    async fn plan(&self, report: &ClusterReport) -> Option<Notification> {
        let notification = plan(report)?;
        self.is_due(&report.plan.cluster, Cause::Plan).await.then_some(notification)
    }

    /// Whether a week is to be told now: an event may come twice, or be run again as another cluster
    /// could not be looked at. That of several clusters is noted in the first that has instances.
    async fn is_summary_due(&self, summary: &Summary) -> bool {
        let with_instances = summary.clusters.iter().find(|state| state.instances > 0);
        match with_instances.or_else(|| summary.clusters.first()) {
            Some(state) => self.is_due(&state.cluster, Cause::Summary).await,
            None => false,
        }
    }

    /// Whether a cause about a cluster is to be told now.
    async fn is_due(&self, cluster: &Cluster, cause: Cause) -> bool {
        let (ecs, now) = (&self.clients.ecs, self.clock.now());
        claim_for_cluster(ecs, cluster, cause, now, self.call_time() / 2).await
    }

    async fn tell(&self, notification: &Notification) {
        let message = notification.message(self.settings.notification_format);
        if self.call_time().is_zero() {
            warn!("No notice to people for want of time: {}", notification.title);
        }
        notify(&self.clients.topics, self.topic, &message, self.call_time()).await;
    }

    fn call_time(&self) -> Duration {
        let left = self.end.duration_since(self.clock.now());
        Duration::try_from(left).unwrap_or_default().min(CALL_TIME_MAX)
    }
}

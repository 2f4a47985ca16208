//! Tells people of a sweep, over the notification topic if there is one: for each cluster what was
//! done, and what could be if sweeps only plan and that is wanted.
//!
//! What is told is decided by `ebb_core::reaper::notification`, and how often by
//! `ebb_core::notification::cause`.

use std::time::Duration;

use ebb_aws::{Clients, Clock, claim, claim_for_cluster, notify};
use ebb_core::notification::Notification;
use ebb_core::notification::cause::Cause;
use ebb_core::reaper::notification::{news, plan, sweep};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{Answer, ClusterReport};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// What is kept of the invocation's time for the answer itself.
const ANSWER_TIME: SignedDuration = SignedDuration::from_millis(500);

/// How long the notes of a cluster, and its notice, may each take, where there is that much time.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// Sends the notices of a sweep, cluster by cluster, as long as there is time before `deadline`.
pub(crate) async fn tell_people(
    clients: &Clients,
    settings: &ReaperSettings,
    answer: &Answer,
    clock: Clock,
    deadline: Timestamp,
) {
    let Some(topic) = &settings.notification_topic else { return };
    let people = People { clients, clock, end: deadline - ANSWER_TIME };
    for report in &answer.clusters {
        let mut notifications = Vec::from_iter(people.sweep(report).await);
        // Who asks for a plan while sweeps act reads it in the answer.
        if settings.mode == ReaperMode::Plan && settings.notify_plans {
            notifications.extend(people.plan(report).await);
        }
        for notification in notifications {
            let message = notification.message(settings.notification_format);
            if people.call_time().is_zero() {
                warn!("No notice to people for want of time: {}", notification.title);
            }
            notify(&clients.topics, topic, &message, people.call_time()).await;
        }
    }
}

struct People<'a> {
    clients: &'a Clients,
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

    /// What could go in a cluster, unless that was told within a day.
    async fn plan(&self, report: &ClusterReport) -> Option<Notification> {
        let notification = plan(report)?;
        let (ecs, cluster, now) = (&self.clients.ecs, &report.plan.cluster, self.clock.now());
        let is_news = claim_for_cluster(ecs, cluster, Cause::Plan, now, self.call_time() / 2).await;
        is_news.then_some(notification)
    }

    fn call_time(&self) -> Duration {
        let left = self.end.duration_since(self.clock.now());
        Duration::try_from(left).unwrap_or_default().min(CALL_TIME_MAX)
    }
}

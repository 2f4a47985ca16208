//! Tells people what holds a drain: in the log, as a metric, and over the notification topic if there is one.
//!
//! Best effort: whatever cannot be looked up is left out, and nothing waits for it.

use std::time::Duration;

use ebb_core::lifecycle::diagnosis::{DrainFacts, diagnose};
use tokio::time::timeout;
use tracing::warn;

use crate::hop::Hop;
use crate::report;

/// The whole of it must not cost a drain more than a pause.
const TIME: Duration = Duration::from_secs(10);

impl Hop<'_> {
    /// Looks up what holds the instance and says so, after a `subject` such as "Ebb still drains".
    pub(crate) async fn tell_what_holds(&self, subject: &str) {
        if timeout(TIME, self.tell(subject)).await.is_err() {
            warn!(ec2.instance_id = %self.action.instance_id, "Could not tell in time what holds the drain");
        }
    }

    async fn tell(&self, subject: &str) {
        let lines = match self.scene().await {
            Some(scene) => diagnose(&scene),
            None => Vec::new(),
        };
        let held = if lines.is_empty() {
            "nothing is known of what holds it".to_owned()
        } else {
            lines.join("; ")
        };
        warn!(
            ec2.instance_id = %self.action.instance_id,
            asg.name = %self.action.group,
            drain.deadline = %self.state.deadline,
            "{subject} {}: {held}", self.action.instance_id
        );
        report::print_stuck(self.drain());
        let Some(topic) = &self.settings.notification_topic else { return };
        let message = format!(
            "Instance {} of group {}, until {}:\n{}",
            self.action.instance_id,
            self.action.group,
            self.state.deadline,
            lines.join("\n")
        );
        let subject = format!("{subject} {}", self.action.instance_id);
        if let Err(error) = self.clients.topics.publish(topic, &subject, &message).await {
            warn!("Could not {error}: {:?}", error.kind);
        }
    }

    /// `None` if the container instance was never found, or cannot be looked at: a wrong diagnosis is worse than none.
    async fn scene(&self) -> Option<DrainFacts> {
        let (cluster, arn) = self.state.found.clone()?;
        let ecs = &self.clients.ecs;
        let tasks: Vec<_> = self.tasks.iter().filter(|task| self.holds(task)).cloned().collect();
        let (agent_connected, rooms) = ecs.agent_and_rooms(&cluster, &arn).await.ok()?;
        let names = tasks.iter().filter_map(|task| task.service.clone()).collect();
        let services = ecs.services(&cluster, &names, self.state.first_seen).await;
        Some(DrainFacts {
            tasks,
            services: services.unwrap_or_else(|_| self.services.clone()),
            agent_connected,
            rooms,
            protected_until: self.protected.clone(),
        })
    }
}

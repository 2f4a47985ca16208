//! Reports what holds a drain: in the log, as a metric, and over the notification topic if there
//! is one.
//!
//! Best effort: what cannot be looked up is left out, and nothing waits for it. What holds a task
//! is judged by `ebb_core::lifecycle::diagnosis`.

use std::time::Duration;

use ebb_aws::notify;
use ebb_core::lifecycle::diagnosis::{DrainFacts, diagnose};
use tokio::time::timeout;
use tracing::warn;

use crate::drain::Drain;
use crate::observation::{DrainedContainerInstance, Observation};
use crate::report;

/// How long a report may take, look-ups and notice together: no longer than the pause between two
/// looks at the drain. What is not reported by then stays unreported.
const REPORT_TIME: Duration = Duration::from_secs(10);

/// Looks up what holds the instance and reports it, after a `subject` such as "Ebb still drains".
pub(crate) async fn report_holding_tasks(
    drain: Drain<'_>,
    observation: &Observation,
    subject: &str,
) {
    if timeout(REPORT_TIME, diagnose_and_report(drain, observation, subject)).await.is_err() {
        warn!("Could not report in time what holds the drain");
    }
}

async fn diagnose_and_report(drain: Drain<'_>, observation: &Observation, subject: &str) {
    let Drain { action, state, .. } = drain;
    let mut lines = Vec::new();
    for drained in &observation.container_instances {
        if let Some(facts) = gather_facts(drain, drained).await {
            lines.extend(diagnose(&facts));
        }
    }
    let reasons = if lines.is_empty() {
        "nothing is known of what holds it".to_owned()
    } else {
        lines.join("; ")
    };
    let subject = format!("{subject} {}", action.instance_id);
    warn!(drain.deadline = %state.deadline, "{subject}: {reasons}");
    report::print_stuck(drain);
    let Some(topic) = &drain.settings.notification_topic else { return };
    let message = format!(
        "Instance {} of group {}, until {}:\n{}",
        action.instance_id,
        action.group,
        state.deadline,
        lines.join("\n")
    );
    notify(&drain.clients.topics, topic, &subject, &message, REPORT_TIME).await;
}

/// `None` if its tasks were never counted, or it cannot be looked at: a wrong diagnosis is worse than
/// none.
async fn gather_facts(drain: Drain<'_>, drained: &DrainedContainerInstance) -> Option<DrainFacts> {
    let (cluster, ecs) = (drained.cluster(), &drain.clients.ecs);
    let counted = drained.tasks.as_ref()?.with_protection(drain, cluster).await;
    let (agent_connected, rooms) = ecs.agent_and_rooms(cluster, drained.arn()).await.ok()?;
    let tasks = counted.holding(drain.settings.standalone_tasks);
    let names = tasks.iter().filter_map(|task| task.service.clone()).collect();
    // Asked for again, as ECS may have said meanwhile why a replacement finds no place.
    let services = ecs.services(cluster, &names, drain.state.first_seen).await.ok();
    Some(DrainFacts {
        tasks: tasks.into_iter().cloned().collect(),
        services: services.unwrap_or_else(|| counted.services.clone()),
        agent_connected,
        rooms,
        protected_until: counted.protected_until.clone(),
    })
}

//! Reports what holds a drain: in the log, as a metric, and to people.
//!
//! Best effort: what cannot be looked up is left out, and nothing waits for it. What holds a task
//! is judged by `ebb_core::lifecycle::diagnosis`.

use std::time::Duration;

use ebb_core::lifecycle::diagnosis::{DrainFacts, diagnose};
use ebb_core::lifecycle::notification::Diagnosis;
use ebb_core::notification::cause::Cause;
use tokio::time::timeout;
use tracing::warn;

use crate::drain::Drain;
use crate::observation::{DrainedContainerInstance, Observation};
use crate::people::{drain_report, tell_once};
use crate::report;

/// How long a report may take, look-ups and notice together: no longer than the pause between two
/// looks at the drain. What is not reported by then stays unreported.
const REPORT_TIME: Duration = Duration::from_secs(10);

/// What there is to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The drain has taken half of its time.
    HalfTime,
    /// The drain is given up.
    GivenUp,
}

/// Looks up what holds the instance and reports it.
pub(crate) async fn report_holding_tasks(drain: Drain<'_>, observation: &Observation, held: Held) {
    if timeout(REPORT_TIME, diagnose_and_report(drain, observation, held)).await.is_err() {
        warn!("Could not report in time what holds the drain");
    }
}

async fn diagnose_and_report(drain: Drain<'_>, observation: &Observation, held: Held) {
    let mut diagnosis = Diagnosis::default();
    for drained in &observation.container_instances {
        if let Some(facts) = gather_facts(drain, drained).await {
            let Diagnosis { reasons, remedies } = diagnose(&facts);
            diagnosis.reasons.extend(reasons);
            diagnosis.remedies.extend(remedies);
        }
    }
    let reasons = match &diagnosis.reasons[..] {
        [] => "nothing is known of what holds it".to_owned(),
        reasons => reasons.join("; "),
    };
    let report = drain_report(drain, observation);
    let (notification, cause) = match held {
        Held::HalfTime => (report.still_drains(&diagnosis), Cause::StillDrains),
        Held::GivenUp => (report.gives_up(&diagnosis), Cause::GivesUp),
    };
    warn!(drain.deadline = %drain.state.deadline, "{}: {reasons}", notification.title);
    report::print_stuck(drain);
    tell_once(drain, observation, cause, &notification).await;
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

//! What an invocation leaves behind for people: each cluster's plan as text, its closing log line,
//! its metrics, and a notice to a topic.

use std::time::Duration;

use ebb_aws::metrics::{self, Metric, Unit};
use ebb_aws::{Clients, Clock, Problem, notify};
use ebb_core::reaper::request::{Purpose, Request};
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::reaper::{Answer, ClusterReport, Notice, OutcomeKind, notice, stranded_text, text};
use tracing::{info, warn};

use crate::sweep::FUNCTION;

/// A notice to people must not cost the function its answer: less than what is kept for that.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports how the invocation came off. It was no sweep without a `request`. An error is left to the
/// runtime, which logs it.
pub(crate) async fn report(
    clients: &Clients,
    settings: &ReaperSettings,
    request: Option<Request>,
    answer: &Answer,
    problems: &[Problem],
    clock: Clock,
) {
    for report in &answer.clusters {
        info!(ecs.cluster = report.plan.cluster.name(), "{}", text(report));
        if let Some(stranded) = stranded_text(report) {
            warn!(ecs.cluster = report.plan.cluster.name(), "{stranded}");
        }
    }
    if let Some(topic) = &settings.notification_topic
        && let Some(Notice { subject, message }) = notice(answer)
    {
        notify(&clients.topics, topic, &subject, &message, NOTICE_TIMEOUT).await;
    }
    for metrics in metrics_of(request, answer, problems, clock) {
        metrics::print(&settings.metrics_namespace, FUNCTION, clock.now(), &metrics);
    }
    info!(
        answer = %answer.to_log(),
        failed = problems.len(),
        duration_ms = clock.elapsed().as_millis(),
        "{answer}"
    );
}

fn removed(answer: &Answer) -> usize {
    answer.of_kind(OutcomeKind::Terminating).count()
}

fn reactivated(answer: &Answer) -> usize {
    let outcomes = answer.clusters.iter().flat_map(ClusterReport::all_outcomes);
    outcomes.filter(|outcome| outcome.reactivated).count()
}

/// One line for the sweep, and one for each cluster: CloudWatch puts the values of several clusters
/// together.
fn metrics_of(
    request: Option<Request>,
    answer: &Answer,
    problems: &[Problem],
    clock: Clock,
) -> Vec<Vec<Metric>> {
    // Who names a mode is a person, who says nothing about whether the schedule works.
    let is_scheduled =
        request.is_some_and(|request| request.mode.is_none() && request.purpose == Purpose::Remove);
    let removable = answer.clusters.iter().map(|report| report.plan.remove.len()).sum();
    let outcomes = answer.clusters.iter().flat_map(ClusterReport::all_outcomes);
    let failed = problems.len() + outcomes.filter(|outcome| outcome.outcome.is_failure()).count();
    let mut lines = vec![vec![
        metric("Sweeps", usize::from(is_scheduled && problems.is_empty())),
        metric("SweepsFailed", usize::from(request.is_some() && !problems.is_empty())),
        metric("InstancesRemovable", removable),
        metric("InstancesRemoved", removed(answer)),
        metric("InstancesLeftToEcs", answer.of_kind(OutcomeKind::LeftToEcs).count()),
        metric("InstancesReactivated", reactivated(answer)),
        metric(
            "InstancesToReplace",
            answer.clusters.iter().map(|report| report.replacements.len()).sum(),
        ),
        metric("ReplacementsFailed", answer.of_kind(OutcomeKind::ReplacementFailed).count()),
        Metric { name: "SweepSeconds", unit: Unit::Seconds, value: clock.elapsed().as_secs_f64() },
        metric("Failed", failed),
    ]];
    lines.extend(answer.clusters.iter().map(|ClusterReport { plan, potential, .. }| {
        vec![
            percent("HeadroomCpuPercent", plan.headroom_after.cpu_percent()),
            percent("HeadroomMemoryPercent", plan.headroom_after.memory_percent()),
            percent("SavingPercent", plan.saving.planned * 100.0),
            percent("SavingPotentialPercent", potential.saving.planned * 100.0),
            percent("SavingBoundPercent", potential.saving.bound * 100.0),
        ]
    }));
    lines
}

#[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
fn metric(name: &'static str, value: usize) -> Metric {
    Metric { name, unit: Unit::Count, value: value as f64 }
}

fn percent(name: &'static str, value: f64) -> Metric {
    Metric { name, unit: Unit::Percent, value }
}

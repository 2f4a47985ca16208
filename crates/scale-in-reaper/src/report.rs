//! What an invocation leaves behind for people: each cluster's plan as text, its closing log line,
//! and its metrics. Notices are left to `people`.

use std::slice;

use ebb_aws::metrics::{self, Dimensions, Metric, Source, Unit};
use ebb_aws::{Clock, Problem, log_answer};
use ebb_core::ids::Cluster;
use ebb_core::reaper::request::{Purpose, SweepRequest};
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::reaper::{Answer, ClusterReport, OutcomeKind, hold_text, stranded_text, text};
use tracing::{Span, error_span, info, warn};

use crate::sweep::FUNCTION;

/// What every log line about a cluster is about. At level ERROR, so that warnings have it as well
/// where nothing less is logged.
pub(crate) fn cluster_span(cluster: &Cluster) -> Span {
    error_span!("cluster", ecs.cluster = cluster.name())
}

/// Reports how the invocation came off. It was no sweep without a request for one. An error is left to the
/// runtime, which logs it.
pub(crate) fn report(
    settings: &ReaperSettings,
    sweep: Option<SweepRequest>,
    answer: &Answer,
    problems: &[Problem],
    clock: Clock,
) {
    for report in &answer.clusters {
        let _span = cluster_span(&report.plan.cluster).entered();
        info!(event.name = "plan", "{}", text(report));
        for hold in report.plan.holds.iter().filter(|hold| hold.is_unclear()) {
            warn!("{}", hold_text(hold));
        }
        if let Some(stranded) = stranded_text(report) {
            warn!("{stranded}");
        }
    }
    let print = |dimensions, metrics: &[Metric]| {
        let namespace = &settings.metrics_namespace;
        metrics::print(Source { namespace, function: FUNCTION, dimensions }, clock.now(), metrics);
    };
    print(Dimensions::Function, &metrics_of(sweep, answer, problems, clock));
    for report in &answer.clusters {
        let shares = shares_of(report);
        if settings.metrics_by_cluster {
            let cluster = report.plan.cluster.name();
            print(Dimensions::FunctionAndCluster(cluster), &shares);
            print(Dimensions::Cluster(cluster), &counts_of(slice::from_ref(report)));
        } else {
            print(Dimensions::Function, &shares);
        }
    }
    log_answer(clock, answer, answer.to_log(), problems.len());
}

/// The metrics of a sweep as a whole.
fn metrics_of(
    sweep: Option<SweepRequest>,
    answer: &Answer,
    problems: &[Problem],
    clock: Clock,
) -> Vec<Metric> {
    // Who names a mode is a person, who says nothing about whether the schedule works.
    let is_scheduled =
        sweep.is_some_and(|asked| asked.mode.is_none() && asked.purpose == Purpose::Remove);
    let outcomes = answer.clusters.iter().flat_map(ClusterReport::all_outcomes);
    let failed = outcomes.filter(|outcome| outcome.outcome.is_failure()).count();
    let mut metrics = vec![
        metric("Sweeps", usize::from(is_scheduled && problems.is_empty())),
        metric("SweepsFailed", usize::from(sweep.is_some() && !problems.is_empty())),
        Metric { name: "SweepSeconds", unit: Unit::Seconds, value: clock.elapsed().as_secs_f64() },
        metric("Failed", problems.len() + failed),
    ];
    metrics.extend(counts_of(&answer.clusters));
    metrics
}

/// How many instances of these clusters go, or might.
fn counts_of(reports: &[ClusterReport]) -> Vec<Metric> {
    let outcomes = || reports.iter().flat_map(ClusterReport::all_outcomes);
    let of_kind = |kind| outcomes().filter(|outcome| outcome.outcome == kind).count();
    vec![
        metric("InstancesRemovable", reports.iter().map(|report| report.plan.remove.len()).sum()),
        metric("InstancesRemoved", of_kind(OutcomeKind::Terminating)),
        metric("InstancesLeftToEcs", of_kind(OutcomeKind::LeftToEcs)),
        metric("InstancesReactivated", outcomes().filter(|outcome| outcome.reactivated).count()),
        metric("InstancesToReplace", reports.iter().map(|report| report.replacements.len()).sum()),
        metric("ReplacementsFailed", of_kind(OutcomeKind::ReplacementFailed)),
    ]
}

/// What is free in a cluster, and what is saved there. Without the cluster as a dimension,
/// CloudWatch puts the values of several together.
fn shares_of(ClusterReport { plan, potential, .. }: &ClusterReport) -> Vec<Metric> {
    vec![
        percent("HeadroomCpuPercent", plan.headroom_after.cpu_percent()),
        percent("HeadroomMemoryPercent", plan.headroom_after.memory_percent()),
        percent("SavingPercent", plan.saving.planned * 100.0),
        percent("SavingPotentialPercent", potential.saving.planned * 100.0),
        percent("SavingBoundPercent", potential.saving.bound * 100.0),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
fn metric(name: &'static str, value: usize) -> Metric {
    Metric { name, unit: Unit::Count, value: value as f64 }
}

fn percent(name: &'static str, value: f64) -> Metric {
    Metric { name, unit: Unit::Percent, value }
}

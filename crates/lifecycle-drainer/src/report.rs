//! What the function leaves behind for people: its closing log line and its metrics.

use std::collections::BTreeMap;

use ebb_aws::metrics::{self, Dimensions, Metric, Source, Unit};
use ebb_aws::{Clock, HandlerError, Problem, log_answer};
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_core::lifecycle::{Answer, Outcome, OutcomeKind};
use serde_json::json;
use tracing::warn;

use crate::drain::Drain;

/// The function's name, as in logs and metrics.
pub const FUNCTION: &str = "lifecycle-drainer";

/// Reports the outcome of an invocation. An error is left to the runtime, which logs it.
pub(crate) fn report_invocation(
    settings: &LifecycleSettings,
    answer: &Answer,
    problems: &[Problem],
    error: Option<&HandlerError>,
    clock: Clock,
) {
    if error.is_none() {
        for problem in problems {
            warn!("error.type" = %problem.error_type, "To be delivered again: {}", problem.text);
        }
    }
    let print = |dimensions, metrics: &[Metric]| {
        metrics::print(source(settings, dimensions), clock.now(), metrics);
    };
    print(Dimensions::Function, &metrics_of(answer, problems, settings.on_timeout));
    if settings.metrics_by_cluster {
        for (cluster, metrics) in metrics_by_cluster(answer, settings.on_timeout) {
            print(Dimensions::Cluster(cluster), &metrics);
        }
    }
    log_answer(clock, answer, json!(answer), problems.len());
}

/// Prints how long an instance was held.
pub(crate) fn print_drain_seconds(drain: Drain<'_>) {
    let held = drain.clock.now().duration_since(drain.began());
    print_metric(drain, "DrainSeconds", Unit::Seconds, held.as_secs_f64().max(0.0));
}

/// Prints that a drain takes long enough to tell people about it.
pub(crate) fn print_stuck(drain: Drain<'_>) {
    print_metric(drain, "Stuck", Unit::Count, 1.0);
}

/// Prints that a heartbeat failed, after all attempts.
pub(crate) fn print_heartbeat_failed(drain: Drain<'_>) {
    print_metric(drain, "HeartbeatsFailed", Unit::Count, 1.0);
}

fn print_metric(drain: Drain<'_>, name: &'static str, unit: Unit, value: f64) {
    let mut found = drain.state.container_instances.iter();
    let dimensions = match found.next() {
        Some((cluster, _)) if drain.settings.metrics_by_cluster => {
            Dimensions::FunctionAndCluster(cluster.name())
        }
        _ => Dimensions::Function,
    };
    let source = source(drain.settings, dimensions);
    metrics::print(source, drain.clock.now(), &[Metric { name, unit, value }]);
}

fn source<'a>(settings: &'a LifecycleSettings, dimensions: Dimensions<'a>) -> Source<'a> {
    Source { namespace: &settings.metrics_namespace, function: FUNCTION, dimensions }
}

/// The same of each cluster. What did not happen is left out: CloudWatch bills for each metric and
/// hour.
fn metrics_by_cluster(answer: &Answer, on_timeout: OnTimeout) -> BTreeMap<&str, Vec<Metric>> {
    let mut outcomes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for outcome in &answer.outcomes {
        if let Some(cluster) = &outcome.cluster {
            outcomes.entry(cluster.as_str()).or_default().push(outcome.clone());
        }
    }
    let metrics = |outcomes| {
        let answer = Answer { outcomes, batch_item_failures: Vec::new() };
        let metrics = metrics_of(&answer, &[], on_timeout);
        metrics.into_iter().filter(|metric| metric.value > 0.0).collect()
    };
    outcomes.into_iter().map(|(cluster, outcomes)| (cluster, metrics(outcomes))).collect()
}

/// The metrics of an invocation: how many messages had which outcome, how many drains it began, how
/// many tasks a deadline or a hook cut off, and how many messages must be tried again.
fn metrics_of(answer: &Answer, problems: &[Problem], on_timeout: OnTimeout) -> Vec<Metric> {
    let mut metrics: Vec<_> = OutcomeKind::ALL
        .into_iter()
        .map(|kind| count(kind.metric(), answer.of_kind(kind).count()))
        .collect();
    metrics.push(count(
        "Started",
        answer.outcomes.iter().filter(|outcome| starts_drain(outcome)).count(),
    ));
    metrics.push(count("TasksCutOff", tasks_cut_off(answer, on_timeout)));
    metrics.push(count("Failed", problems.len()));
    metrics
}

#[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
fn count(name: &'static str, value: usize) -> Metric {
    Metric { name, unit: Unit::Count, value: value as f64 }
}

/// Whether a drain began with this outcome: its first hop did more than to look.
fn starts_drain(outcome: &Outcome) -> bool {
    let drains = match outcome.outcome {
        OutcomeKind::Completed
        | OutcomeKind::Republished
        | OutcomeKind::TimedOut
        | OutcomeKind::HookTimedOut
        | OutcomeKind::Retained => true,
        OutcomeKind::Reactivated | OutcomeKind::Ignored | OutcomeKind::WouldDrain => false,
    };
    drains && outcome.hop == Some(1)
}

/// The tasks that ran when their instance was let go. Daemon tasks are not counted: they run until
/// the end.
fn tasks_cut_off(answer: &Answer, on_timeout: OnTimeout) -> usize {
    let by_hook = answer.of_kind(OutcomeKind::HookTimedOut);
    let by_deadline = answer.of_kind(OutcomeKind::TimedOut).filter(|_| match on_timeout {
        // One that was retained keeps its tasks, and has an outcome of its own.
        OnTimeout::Continue | OnTimeout::Abandon | OnTimeout::Retain => true,
        OnTimeout::Reactivate => false,
    });
    by_hook
        .chain(by_deadline)
        .filter_map(|outcome| outcome.tasks_left)
        .map(|tasks| tasks.service + tasks.standalone + tasks.standalone_stopping)
        .sum()
}

#[cfg(test)]
mod tests {
    use ebb_core::lifecycle::TasksLeft;

    use super::*;

    fn outcome(outcome: OutcomeKind, hop: u64, tasks_left: TasksLeft) -> Outcome {
        Outcome {
            instance_id: None,
            outcome,
            cluster: None,
            reason: None,
            tasks_left: Some(tasks_left),
            hop: Some(hop),
        }
    }

    fn value(name: &str, outcomes: Vec<Outcome>, on_timeout: OnTimeout) -> f64 {
        let metrics =
            metrics_of(&Answer { outcomes, batch_item_failures: Vec::new() }, &[], on_timeout);
        metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value).unwrap()
    }

    #[test]
    fn a_drain_starts_once_however_many_hops_it_takes() {
        let tasks_left = TasksLeft::default();
        let hops = vec![
            outcome(OutcomeKind::Republished, 1, tasks_left),
            outcome(OutcomeKind::Republished, 2, tasks_left),
            outcome(OutcomeKind::Completed, 3, tasks_left),
            outcome(OutcomeKind::Ignored, 1, tasks_left),
        ];
        assert_eq!(value("Started", hops, OnTimeout::Continue).to_bits(), 1_f64.to_bits());
    }

    #[test]
    fn each_cluster_has_the_metrics_of_what_happened_there() {
        let in_cluster = |cluster: &str, kind| Outcome {
            cluster: Some(cluster.to_owned()),
            ..outcome(kind, 1, TasksLeft::default())
        };
        let outcomes = vec![
            in_cluster("shop", OutcomeKind::Completed),
            in_cluster("shop", OutcomeKind::Completed),
            in_cluster("back", OutcomeKind::Republished),
            outcome(OutcomeKind::Ignored, 1, TasksLeft::default()),
        ];
        let answer = Answer { outcomes, batch_item_failures: Vec::new() };
        let by_cluster = metrics_by_cluster(&answer, OnTimeout::Continue);
        let expected = [
            ("back", vec![count("Republished", 1), count("Started", 1)]),
            ("shop", vec![count("Completed", 2), count("Started", 2)]),
        ];
        assert_eq!(by_cluster, expected.into());
    }

    #[test]
    fn tasks_are_cut_off_where_an_instance_is_let_go_at_its_deadline() {
        let tasks_left = TasksLeft {
            service: 2,
            protected: 1,
            daemon: 4,
            standalone_stopping: 1,
            standalone: 1,
        };
        for (on_timeout, cut_off) in
            [(OnTimeout::Continue, 4_f64), (OnTimeout::Abandon, 4.0), (OnTimeout::Reactivate, 0.0)]
        {
            let timed_out = vec![
                outcome(OutcomeKind::TimedOut, 2, tasks_left),
                outcome(OutcomeKind::Republished, 1, tasks_left),
            ];
            assert_eq!(value("TasksCutOff", timed_out, on_timeout).to_bits(), cut_off.to_bits());
            let by_hook = vec![outcome(OutcomeKind::HookTimedOut, 1, tasks_left)];
            assert_eq!(value("TasksCutOff", by_hook, on_timeout).to_bits(), 4_f64.to_bits());
        }
    }
}

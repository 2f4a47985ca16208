//! What an invocation leaves behind for people: its closing log line, its metrics, and a notice to
//! a topic.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use ebb_aws::metrics::{self, Dimensions, Metric, Source, Unit};
use ebb_aws::{Clock, log_answer, notify};
use ebb_core::spot::{Answer, Outcome, OutcomeKind};
use ebb_core::words::count;
use serde_json::json;
use tracing::warn;

use crate::drainer::{FUNCTION, SpotDrainer};
use crate::work::Conclusion;

/// A notice to people must not cost the function its answer: less than what is kept for that.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How many container instances a notice to people names; the rest are counted.
const NOTICE_INSTANCES_MAX: usize = 50;

impl SpotDrainer {
    /// Reports how the invocation came off. An error is left to the runtime, which logs it.
    pub(crate) async fn report(&self, conclusion: &Conclusion, clock: Clock) {
        let Conclusion { answer, error, problems, shortages, .. } = conclusion;
        if error.is_none() {
            for problem in problems {
                warn!("error.type" = %problem.error_type, "To be delivered again: {}", problem.text);
            }
        }
        for (reason, number) in shortages {
            warn!("{}", shortage_line(reason, *number));
        }
        self.notify(conclusion).await;
        let print = |dimensions, metrics: &[Metric]| {
            let namespace = &self.settings.metrics_namespace;
            metrics::print(
                Source { namespace, function: FUNCTION, dimensions },
                clock.now(),
                metrics,
            );
        };
        print(Dimensions::Function, &metrics_of(conclusion, clock));
        if self.settings.metrics_by_cluster {
            for (cluster, metrics) in metrics_by_cluster(answer) {
                print(Dimensions::Cluster(cluster), &metrics);
            }
        }
        log_answer(clock, answer, json!(answer), problems.len());
    }

    /// Tells people what is being drained, what is ACTIVE again, and what is not replaced. Best
    /// effort: that is so already, and running the event again for want of a notice would help
    /// nobody.
    async fn notify(&self, conclusion: &Conclusion) {
        let Some(topic) = &self.settings.notification_topic else { return };
        let Some((subject, message)) = notice(conclusion) else { return };
        notify(&self.clients.topics, topic, &subject, &message, NOTICE_TIMEOUT).await;
    }
}

/// `None` if nothing was done that people should know.
fn notice(Conclusion { answer, shortages, .. }: &Conclusion) -> Option<(String, String)> {
    let drained: Vec<_> = answer.of_kind(OutcomeKind::Draining).collect();
    let reactivated: Vec<_> = answer.of_kind(OutcomeKind::Reactivated).collect();
    let instances = |number| count(number, "container instance");
    let missing = shortages.values().sum();
    let done = [
        (drained.len(), format!("drains {}", instances(drained.len()))),
        (reactivated.len(), format!("sets {} to ACTIVE again", instances(reactivated.len()))),
        (missing, format!("cannot replace {}", count(missing, "interrupted instance"))),
    ];
    let done: Vec<_> =
        done.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect();
    if done.is_empty() {
        return None;
    }
    let mut lines: Vec<_> =
        shortages.iter().map(|(reason, number)| shortage_line(reason, *number)).collect();
    let named = drained.iter().chain(&reactivated).take(NOTICE_INSTANCES_MAX);
    lines.extend(named.map(|outcome| notice_line(outcome)));
    let all = drained.len() + reactivated.len();
    if all > NOTICE_INSTANCES_MAX {
        lines.push(format!("and {} more", all - NOTICE_INSTANCES_MAX));
    }
    Some((format!("Ebb {}", done.join(", and ")), lines.join("\n")))
}

fn shortage_line(reason: &str, number: usize) -> String {
    format!("{} not replaced: {reason}", count(number, "interrupted instance"))
}

fn notice_line(outcome: &Outcome) -> String {
    format!(
        "{} in cluster {}: {}",
        outcome.instance_id.as_ref().map_or("an instance", |id| id.as_str()),
        outcome.cluster.as_deref().unwrap_or("(unknown)"),
        outcome.reason.as_deref().unwrap_or("interrupted"),
    )
}

/// The metrics of an invocation: how many instances came off which way, how many must be tried
/// again, and how long the slowest drain came after its notice.
fn metrics_of(conclusion: &Conclusion, clock: Clock) -> Vec<Metric> {
    let Conclusion { answer, problems, notices, shortages, .. } = conclusion;
    let mut metrics: Vec<_> = OutcomeKind::ALL
        .into_iter()
        .map(|kind| metric(kind.metric(), answer.of_kind(kind).count()))
        .collect();
    metrics.push(metric("Failed", problems.len()));
    metrics.push(metric("NotReplaced", shortages.values().sum()));

    let drained: HashSet<_> = answer
        .of_kind(OutcomeKind::Draining)
        .filter_map(|outcome| outcome.instance_id.as_ref())
        .collect();
    let latency = notices
        .iter()
        .filter(|notice| drained.contains(&notice.instance_id))
        .filter_map(|notice| Some(clock.now().duration_since(notice.time?).as_secs_f64()))
        .reduce(f64::max);
    metrics.extend(latency.map(|value| Metric {
        name: "DrainLatency",
        unit: Unit::Seconds,
        value,
    }));
    metrics
}

/// How many instances of each cluster came off which way. What did not happen is left out: CloudWatch
/// bills for each metric and hour.
fn metrics_by_cluster(answer: &Answer) -> BTreeMap<&str, Vec<Metric>> {
    let mut counts: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
    for Outcome { cluster, outcome, .. } in &answer.outcomes {
        if let Some(cluster) = cluster {
            *counts.entry(cluster.as_str()).or_default().entry(outcome.metric()).or_default() += 1;
        }
    }
    let metrics = |counts: BTreeMap<_, _>| {
        counts.into_iter().map(|(name, number)| metric(name, number)).collect()
    };
    counts.into_iter().map(|(cluster, counts)| (cluster, metrics(counts))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
fn metric(name: &'static str, value: usize) -> Metric {
    Metric { name, unit: Unit::Count, value: value as f64 }
}

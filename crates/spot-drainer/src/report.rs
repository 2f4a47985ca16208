//! What an invocation leaves behind for people: its closing log line, its metrics, and a notice to
//! a topic.

use std::collections::{BTreeMap, HashSet};

use ebb_aws::metrics::{self, Dimensions, Metric, Source, Unit};
use ebb_aws::{Clock, log_answer};
use ebb_core::event::Origin;
use ebb_core::spot::notice::NoticeKind;
use ebb_core::spot::notification::shortage;
use ebb_core::spot::{Answer, Outcome, OutcomeKind};
use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use crate::drainer::{FUNCTION, SpotDrainer};
use crate::work::Conclusion;

impl SpotDrainer {
    /// Reports how the invocation at `home` came off, which is cut off at `deadline`. An error is left
    /// to the runtime, which logs it.
    pub(crate) async fn report(
        &self,
        conclusion: &Conclusion,
        home: &Origin,
        clock: Clock,
        deadline: Timestamp,
    ) {
        let Conclusion { answer, error, problems, shortages, .. } = conclusion;
        if error.is_none() {
            for problem in problems {
                warn!("error.type" = %problem.error_type, "To be delivered again: {}", problem.text);
            }
        }
        for (reason, number) in shortages {
            warn!("{}", shortage(reason, *number));
        }
        // Boxed, as the SDK's futures are large and deeply nested.
        Box::pin(self.tell_people(conclusion, home, clock, deadline)).await;
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
        // Nobody waits for what is only recommended, and an alarm on lateness must not count it.
        .filter(|notice| notice.kind != NoticeKind::RebalanceRecommendation)
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

#[cfg(test)]
mod tests {
    use ebb_core::ids::InstanceId;
    use ebb_core::spot::notice::Notice;
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_drain_on_a_recommendation_is_never_late() {
        let now = Timestamp::UNIX_EPOCH;
        let instance_id = InstanceId::parse("i-1a2b3c4d").unwrap();
        for (kind, is_measured) in
            [(NoticeKind::RebalanceRecommendation, false), (NoticeKind::CapacityBlockExpiry, true)]
        {
            let time = Some(now - SignedDuration::from_mins(5));
            let outcome = Outcome {
                instance_id: Some(instance_id.clone()),
                outcome: OutcomeKind::Draining,
                cluster: None,
                container_instance_arn: None,
                reason: None,
            };
            let conclusion = Conclusion {
                answer: Answer { outcomes: vec![outcome], ..Answer::default() },
                error: None,
                problems: Vec::new(),
                notices: vec![Notice { instance_id: instance_id.clone(), kind, time }],
                shortages: BTreeMap::new(),
            };
            let metrics = metrics_of(&conclusion, Clock::start(now));
            let is_latency = |metric: &Metric| metric.name == "DrainLatency";
            assert_eq!(metrics.iter().any(is_latency), is_measured);
        }
    }
}

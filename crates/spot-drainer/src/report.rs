//! What an invocation leaves behind for people: its closing log line, its metrics, and a notice to
//! a topic.

use std::collections::HashSet;

use ebb_aws::Clock;
use ebb_aws::metrics::{self, Metric, Unit};
use ebb_core::event::Origin;
use ebb_core::spot::OutcomeKind;
use ebb_core::spot::notification::shortage;
use jiff::Timestamp;
use tracing::{info, warn};

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
                warn!(error_type = %problem.error_type, "To be delivered again: {}", problem.text);
            }
        }
        for (reason, number) in shortages {
            warn!("{}", shortage(reason, *number));
        }
        // Boxed, as the SDK's futures are large and deeply nested.
        Box::pin(self.tell_people(conclusion, home, clock, deadline)).await;
        metrics::print(
            &self.settings.metrics_namespace,
            FUNCTION,
            clock.now(),
            &metrics_of(conclusion, clock),
        );
        info!(
            answer = %serde_json::to_string(answer).unwrap_or_default(),
            failed = problems.len(),
            duration_ms = clock.elapsed().as_millis(),
            "{answer}"
        );
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
        .filter_map(|notice| Some(clock.now().duration_since(notice.time?).as_secs_f64()))
        .reduce(f64::max);
    metrics.extend(latency.map(|value| Metric {
        name: "DrainLatency",
        unit: Unit::Seconds,
        value,
    }));
    metrics
}

#[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
fn metric(name: &'static str, value: usize) -> Metric {
    Metric { name, unit: Unit::Count, value: value as f64 }
}

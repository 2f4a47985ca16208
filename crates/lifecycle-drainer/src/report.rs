//! What an invocation leaves behind for people: its closing log line and its metrics.

use ebb_aws::metrics::{self, Metric, Unit};
use ebb_aws::{Clock, Problem};
use ebb_core::lifecycle::{Answer, OutcomeKind};
use tracing::info;

use crate::{FUNCTION, LifecycleDrainer};

impl LifecycleDrainer {
    /// Reports how the invocation came off. An error is left to the runtime, which logs it.
    pub(crate) fn report(&self, answer: &Answer, problems: &[Problem], clock: Clock) {
        metrics::print(
            &self.settings.metrics_namespace,
            FUNCTION,
            clock.now(),
            &metrics_of(answer, problems),
        );
        info!(
            answer = %serde_json::to_string(answer).unwrap_or_default(),
            failed = problems.len(),
            duration_ms = clock.elapsed().as_millis(),
            "{answer}"
        );
    }
}

fn metrics_of(answer: &Answer, problems: &[Problem]) -> Vec<Metric> {
    #[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
    let count = |name, value: usize| Metric { name, unit: Unit::Count, value: value as f64 };
    let of_kind = |&kind| count(metric_name(kind), answer.of_kind(kind).count());
    let mut metrics: Vec<_> = OutcomeKind::ALL.iter().map(of_kind).collect();
    metrics.push(count("Failed", problems.len()));
    metrics
}

fn metric_name(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Completed => "Completed",
        OutcomeKind::Republished => "Republished",
        OutcomeKind::TimedOut => "TimedOut",
        OutcomeKind::Ignored => "Ignored",
        OutcomeKind::WouldDrain => "WouldDrain",
    }
}

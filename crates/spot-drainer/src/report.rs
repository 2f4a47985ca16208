//! What an invocation leaves behind for people: its closing log line, its metrics, and a notice to a topic.

use std::time::Duration;

use ebb_aws::metrics::{self, Metric, Unit};
use ebb_core::spot::{Answer, Outcome, OutcomeKind};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::work::Concluded;
use crate::{Clock, FUNCTION, SpotDrainer};

/// A notice to people must not cost the function its answer: less than what is kept for that.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How many container instances a notice to people names; the rest are counted.
const NOTICE_INSTANCES_MAX: usize = 50;

impl SpotDrainer {
    /// Reports how the invocation came off.
    pub(crate) async fn report(&self, concluded: &Concluded, clock: Clock) {
        if concluded.reports_items() {
            for problem in &concluded.problems {
                warn!(error_type = ?problem.error_type, "To be delivered again: {}", problem.text);
            }
        }
        let drained: Vec<_> =
            concluded.outcomes.iter().filter(|outcome| outcome.outcome == OutcomeKind::Draining).collect();
        self.notify(&drained).await;

        let answer = Answer { outcomes: concluded.outcomes.clone(), batch_item_failures: Vec::new() };
        metrics::print(
            &self.settings.metrics_namespace,
            FUNCTION,
            clock.now(),
            &metrics_of(&answer, concluded, clock),
        );
        info!(
            outcomes = %serde_json::to_string(&answer.outcomes).unwrap_or_default(),
            failed = concluded.problems.len(),
            duration_ms = clock.started.elapsed().as_millis(),
            "{answer}{}",
            if concluded.problems.is_empty() { String::new() } else { format!(", {} failed", concluded.problems.len()) }
        );
    }

    /// Tells people what is being drained. Best effort: the instance is DRAINING already, and running the event again
    /// for want of a notice would help nobody.
    async fn notify(&self, drained: &[&Outcome]) {
        let Some(topic) = self.settings.notification_topic.as_ref().filter(|_| !drained.is_empty()) else {
            return;
        };
        let (subject, message) = notice(drained);
        match timeout(NOTICE_TIMEOUT, self.clients.topics.publish(topic, &subject, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("Could not {error}: {:?}", error.kind),
            Err(_) => warn!("Could not publish to topic {topic} in time"),
        }
    }
}

fn notice(drained: &[&Outcome]) -> (String, String) {
    let line = |outcome: &&Outcome| {
        format!(
            "{} in cluster {}: {}",
            outcome.instance_id.as_ref().map_or("an instance", |id| id.as_str()),
            outcome.cluster.as_deref().unwrap_or("(unknown)"),
            outcome.reason.as_deref().unwrap_or("interrupted"),
        )
    };
    let mut lines: Vec<_> = drained.iter().take(NOTICE_INSTANCES_MAX).map(line).collect();
    if drained.len() > NOTICE_INSTANCES_MAX {
        lines.push(format!("and {} more", drained.len() - NOTICE_INSTANCES_MAX));
    }
    let plural = if drained.len() == 1 { "" } else { "s" };
    (format!("Ebb drains {} container instance{plural}", drained.len()), lines.join("\n"))
}

/// The metrics of an invocation: how many instances came off which way, how many must be tried again, and how long the
/// slowest drain came after its notice.
fn metrics_of(answer: &Answer, concluded: &Concluded, clock: Clock) -> Vec<Metric> {
    #[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
    let count = |name, value: usize| Metric { name, unit: Unit::Count, value: value as f64 };
    let mut metrics: Vec<_> =
        OutcomeKind::ALL.iter().map(|&kind| count(metric_name(kind), answer.count(kind))).collect();
    metrics.push(count("Failed", concluded.problems.len()));
    let drained = |instance_id| {
        answer
            .outcomes
            .iter()
            .any(|one| one.outcome == OutcomeKind::Draining && one.instance_id.as_ref() == Some(instance_id))
    };
    let latency = concluded
        .notices
        .iter()
        .filter(|notice| drained(&notice.instance_id))
        .filter_map(|notice| Some(clock.now().duration_since(notice.time?).as_secs_f64()))
        .reduce(f64::max);
    metrics.extend(latency.map(|value| Metric { name: "DrainLatency", unit: Unit::Seconds, value }));
    metrics
}

fn metric_name(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Draining => "Draining",
        OutcomeKind::AlreadyDraining => "AlreadyDraining",
        OutcomeKind::NotInCluster => "NotInCluster",
        OutcomeKind::Ignored => "Ignored",
        OutcomeKind::Gone => "Gone",
        OutcomeKind::WouldDrain => "WouldDrain",
    }
}

//! What an invocation leaves behind for people: each cluster's plan as text, its closing log line, its metrics, and a
//! notice to a topic.

use std::time::Duration;

use ebb_aws::metrics::{self, Metric, Unit};
use ebb_aws::{Clock, Problem, notify};
use ebb_core::reaper::{Answer, ClusterReport, OutcomeKind, RemovalOutcome, text};
use tracing::info;

use crate::{FUNCTION, ScaleInReaper};

/// A notice to people must not cost the function its answer: less than what is kept for that.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many characters a notice has at most: SNS takes 256 KiB (SNS API, `Publish`), and people read less.
const NOTICE_CHARACTERS_MAX: usize = 20_000;

impl ScaleInReaper {
    /// Reports how the invocation came off. An error is left to the runtime, which logs it.
    pub(crate) async fn report(&self, answer: &Answer, problems: &[Problem], clock: Clock) {
        for swept in &answer.clusters {
            info!(ecs.cluster = swept.plan.cluster.name(), "{}", text(swept));
        }
        self.notify(answer).await;
        for metrics in metrics_of(answer, problems, clock) {
            metrics::print(&self.settings.metrics_namespace, FUNCTION, clock.now(), &metrics);
        }
        info!(
            answer = %answer.to_log(),
            failed = problems.len(),
            duration_ms = clock.elapsed().as_millis(),
            "{answer}"
        );
    }

    /// Tells people what was removed, and which drains were taken back. Best effort: it is done already.
    async fn notify(&self, answer: &Answer) {
        let Some(topic) = &self.settings.notification_topic else { return };
        let clusters = answer.clusters.iter().filter(|swept| swept.all_done().any(told));
        let texts: Vec<_> = clusters.map(text).collect();
        if texts.is_empty() {
            return;
        }
        let (removed, reactivated) = (removed(answer), reactivated(answer));
        let subject =
            format!("Ebb removes {removed} container instances, {reactivated} are ACTIVE again");
        let message: String = texts.join("\n").chars().take(NOTICE_CHARACTERS_MAX).collect();
        notify(&self.clients.topics, topic, &subject, &message, NOTICE_TIMEOUT).await;
    }
}

fn told(done: &RemovalOutcome) -> bool {
    let removed = matches!(done.outcome, OutcomeKind::Terminating | OutcomeKind::Draining);
    removed || done.reactivated || done.outcome.is_failure()
}

fn removed(answer: &Answer) -> usize {
    answer.of_kind(OutcomeKind::Terminating).count()
}

fn reactivated(answer: &Answer) -> usize {
    answer.clusters.iter().flat_map(ClusterReport::all_done).filter(|done| done.reactivated).count()
}

/// One line for the sweep, and one for each cluster: CloudWatch puts the values of several clusters together.
fn metrics_of(answer: &Answer, problems: &[Problem], clock: Clock) -> Vec<Vec<Metric>> {
    #[expect(clippy::cast_precision_loss, reason = "counts of one invocation")]
    let count = |name, value: usize| Metric { name, unit: Unit::Count, value: value as f64 };
    let percent = |name, value| Metric { name, unit: Unit::Percent, value };
    let done = || answer.clusters.iter().flat_map(ClusterReport::all_done);
    let removable = answer.clusters.iter().map(|swept| swept.plan.remove.len()).sum();
    let failed = problems.len() + done().filter(|done| done.outcome.is_failure()).count();
    let mut lines = vec![vec![
        count("Sweeps", usize::from(answer.ignored.is_none())),
        count("InstancesRemovable", removable),
        count("InstancesRemoved", removed(answer)),
        count("InstancesReactivated", reactivated(answer)),
        Metric { name: "SweepSeconds", unit: Unit::Seconds, value: clock.elapsed().as_secs_f64() },
        count("Failed", failed),
    ]];
    lines.extend(answer.clusters.iter().map(|ClusterReport { plan, .. }| {
        vec![
            percent("HeadroomCpuPercent", plan.headroom_after.cpu_percent()),
            percent("HeadroomMemoryPercent", plan.headroom_after.memory_percent()),
            percent("SavingPercent", plan.saving.planned * 100.0),
            percent("SavingBoundPercent", plan.saving.bound * 100.0),
        ]
    }));
    lines
}

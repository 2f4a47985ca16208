//! Lets chains of hops for one action become one again. A message that is delivered twice, and a
//! publication whose answer is lost, begin a second chain beside the first, and each would hold an
//! execution until the drain ends.
//!
//! A hop that has waited for a while writes its mark on the container instance. The last mark
//! stays, so that each hop but the one that wrote it ends at its next look. What merges is only what
//! waits long: a short drain costs no call more.

use std::time::Duration;

use ebb_aws::Problem;
use ebb_core::lifecycle::READ_LAG_MAX;
use tokio::time::Instant;
use tracing::warn;

use crate::drain::Drain;
use crate::observation::{DrainedContainerInstance, Observation};
use crate::search::MARK_ATTRIBUTE;

/// How long a hop waits before it writes its mark: longer than most drains last.
const MARK_AFTER: Duration = Duration::from_secs(120);

/// How long a look after that may still show an older mark: twice the lag of a read. A hop that took
/// an older mark for a newer one would end, and leave the drain to nobody.
const MARK_IS_READ_AFTER: Duration = Duration::from_secs(2 * READ_LAG_MAX.as_secs().unsigned_abs());

/// The mark of a hop.
#[derive(Debug)]
pub(crate) struct HopMark {
    value: String,
    due: Instant,
    written: Option<Instant>,
}

impl HopMark {
    /// A mark that no other hop has, of a hop that begins now.
    pub(crate) fn new(hop: u64) -> Self {
        Self {
            value: format!("{hop}:{:016x}", fastrand::u64(..)),
            due: Instant::now() + MARK_AFTER,
            written: None,
        }
    }

    /// Writes the mark once it is due. Best effort, and once: without it chains stay apart, which
    /// costs calls and executions and nothing else.
    pub(crate) async fn write_if_due(&mut self, drain: Drain<'_>, observation: &Observation) {
        if self.written.is_some() || Instant::now() < self.due {
            return;
        }
        let Some(marked) = marked(observation) else { return };
        let values = [(marked.arn(), self.value.clone())];
        let written =
            drain.clients.ecs.put_attribute(marked.cluster(), MARK_ATTRIBUTE, &values).await;
        self.written = Some(Instant::now());
        if let Err(error) = written {
            warn!("A second chain of hops would not end early: {}", Problem::from(error).text);
        }
    }

    /// Whether another hop has written its mark since this one did.
    pub(crate) fn is_superseded(&self, observation: &Observation) -> bool {
        let mark = marked(observation).and_then(|marked| marked.mark.as_deref());
        let is_foreign = mark.is_some_and(|mark| mark != self.value);
        is_foreign && self.written.is_some_and(|at| at.elapsed() >= MARK_IS_READ_AFTER)
    }
}

/// The container instance that bears the marks: the same for every hop, in whatever order they were
/// found.
fn marked(observation: &Observation) -> Option<&DrainedContainerInstance> {
    observation.container_instances.iter().min_by_key(|drained| drained.arn().clone())
}

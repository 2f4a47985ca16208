//! Keeps a lifecycle action from timing out while its instance drains, within the bound that Auto
//! Scaling sets to that.

use std::time::Duration;

use ebb_aws::{ActionStatus, AwsError, AwsErrorKind, Problem};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use crate::drain::Drain;
use crate::report;

/// The longest that an action may wait, however often it gets a heartbeat: 48 hours, or a hundred
/// heartbeat time-outs, whichever is shorter.
/// Source: EC2 Auto Scaling User Guide, lifecycle-hooks.
const GLOBAL_TIMEOUT: SignedDuration = SignedDuration::from_hours(48);
/// See [`GLOBAL_TIMEOUT`].
const GLOBAL_TIMEOUT_HEARTBEATS: i32 = 100;

/// How long before its global time-out an action is given up. Auto Scaling would end it with the
/// hook's default result; this is the time that it takes to end it as the operator chose instead.
const GLOBAL_TIMEOUT_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// How many heartbeats fall into one heartbeat time-out: two of them may be lost. More would cost
/// calls, fewer would trust a single one.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// When an action needs its next heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    timeout: Duration,
    pub(crate) due: Instant,
    /// When the action ends unless another one comes.
    pub(crate) expires: Timestamp,
}

impl Heartbeat {
    /// Sends the first heartbeat of a hop. It comes before anything is done: it proves that the
    /// action is open, and a message that was long on its way may have left it little time.
    /// `None` if the action is over.
    ///
    /// # Errors
    /// If the call fails: what is not proven is not acted on.
    pub(crate) async fn start(
        drain: Drain<'_>,
        timeout: Duration,
    ) -> Result<Option<Self>, Problem> {
        // Counted from before the call: by then it may have taken effect.
        let expires = expiry(drain.clock.now(), timeout);
        let status = record(drain).await?;
        let due = Instant::now() + timeout / HEARTBEATS_PER_TIMEOUT;
        Ok(match status {
            ActionStatus::Active => Some(Self { timeout, due, expires }),
            ActionStatus::Over => None,
        })
    }

    /// Sends a heartbeat. One that fails is not repeated, the next one is due soon enough: but for
    /// one that is denied, as all that follow would be.
    pub(crate) async fn send(&mut self, drain: Drain<'_>) -> Result<ActionStatus, Problem> {
        let expires = expiry(drain.clock.now(), self.timeout);
        let recorded = record(drain).await;
        // Counted from the end of the call, and also after a failure: a call that was slow or
        // throttled is not followed by another at once.
        self.due = Instant::now() + self.timeout / HEARTBEATS_PER_TIMEOUT;
        match recorded {
            Ok(ActionStatus::Active) => {
                self.expires = expires;
                Ok(ActionStatus::Active)
            }
            Ok(ActionStatus::Over) => Ok(ActionStatus::Over),
            Err(error) if error.kind == AwsErrorKind::Denied => Err(error.into()),
            Err(error) => {
                warn!("Waiting for the next heartbeat: {}", Problem::from(error).text);
                Ok(ActionStatus::Active)
            }
        }
    }
}

/// Records a heartbeat, and counts one that fails: after a few in a row the hook cuts tasks off.
async fn record(drain: Drain<'_>) -> Result<ActionStatus, AwsError> {
    let recorded = drain.clients.auto_scaling.heartbeat(drain.action).await;
    if recorded.is_err() {
        report::print_heartbeat_failed(drain);
    }
    recorded
}

/// When an action ends that was kept alive at a moment, or began then.
pub(crate) fn expiry(moment: Timestamp, timeout: Duration) -> Timestamp {
    moment.checked_add(timeout).unwrap_or(Timestamp::MAX)
}

/// When the action must be ended, lest its global time-out ends it. It is proven to be open.
pub(crate) fn global_deadline(drain: Drain<'_>, timeout: Duration) -> Timestamp {
    let timeout = SignedDuration::try_from(timeout).unwrap_or(GLOBAL_TIMEOUT);
    let global_timeout = (timeout * GLOBAL_TIMEOUT_HEARTBEATS).min(GLOBAL_TIMEOUT);
    let mut began = drain.began();
    // What is open did not begin so long ago: the message's time is wrong.
    if drain.clock.now().duration_since(began) >= global_timeout {
        began = drain.state.first_seen;
    }
    let end = began.checked_add(global_timeout - GLOBAL_TIMEOUT_MARGIN);
    end.unwrap_or(Timestamp::MAX)
}

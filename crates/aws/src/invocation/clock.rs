//! The time within an invocation, counted from the `now` that it began with: virtual time while
//! tokio's clock is paused.

use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::Context;
use tokio::time::Instant;

/// Lambda's longest time-out (Lambda Developer Guide, gettingstarted-limits): no moment further
/// ahead matters.
const INVOCATION_MAX: Duration = Duration::from_secs(900);

/// The time that a function gives itself where no deadline is set, as under `cargo lambda watch`.
const DEFAULT_TIME: Duration = Duration::from_secs(30);

/// When Lambda cuts off an invocation that begins `now`. `cargo lambda watch` names a moment in
/// 1970 and cuts nothing off.
pub fn deadline(context: &Context, now: Timestamp) -> Timestamp {
    let deadline = Timestamp::try_from(context.deadline()).ok();
    deadline.filter(|deadline| *deadline > now).unwrap_or(now + DEFAULT_TIME)
}

/// The clock of one invocation.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts the clock: it is `now`.
    pub fn start(now: Timestamp) -> Self {
        Self { now, started: Instant::now() }
    }

    /// The time.
    pub fn now(self) -> Timestamp {
        self.now + self.started.elapsed()
    }

    /// How long the invocation has run.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// Whether a moment is one of this invocation.
    pub(crate) fn covers(self, moment: Instant) -> bool {
        moment >= self.started
    }

    /// When `time` will be. A time in the past is the moment at which the invocation began.
    pub fn instant(self, time: Timestamp) -> Instant {
        let ahead = Duration::try_from(time.duration_since(self.now)).unwrap_or(Duration::ZERO);
        self.started + ahead.min(INVOCATION_MAX)
    }
}

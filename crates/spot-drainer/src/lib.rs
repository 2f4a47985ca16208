#![doc = include_str!("../README.md")]

mod drainer;
mod early;
mod fallback;
mod item;
mod mark;
mod people;
mod report;
mod reservations;
mod returns;
mod round;
mod work;

use std::time::Duration;

use ebb_aws::{Clock, HandlerError};
use ebb_core::event::{Origin, parse};
use ebb_core::spot::{Answer, notice, retry_until};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

pub use crate::drainer::{FUNCTION, SpotDrainer};
use crate::work::Work;

/// What is kept of the invocation's time for the answer, so that Lambda never cuts the function off
/// without one.
const ANSWER_MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// Pauses between rounds, on top of the SDK's own attempts: one second, then twice as long each
/// time, up to the longest; each is drawn from half to one and a half of that, so that many
/// invocations do not call in step.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How many problems of a round are logged before it is tried again. Those of the last round are all
/// in the error or, for a queue, in the log.
const LOGGED_PROBLEMS_MAX: usize = 3;

impl SpotDrainer {
    /// Handles one invocation, which began at `now` and is cut off at `deadline`, of the function at
    /// `home`: it acts on notices from there only.
    ///
    /// # Errors
    /// Only for "run this event again": a malformed notice, or one that could not be dealt
    /// with in time. For an SQS batch these are named in the answer instead, so that only they are
    /// delivered again. Every other notice of the invocation is dealt with first.
    pub async fn handle(
        &self,
        payload: &Value,
        home: &Origin,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        let clock = Clock::start(now);
        let work = Work::triage(parse(payload, notice::read), &self.settings, home, now);
        let (mut answer, mut failed) = (Answer::default(), None);
        for part in work.into_parts() {
            match self.deal_with(part, home, clock, deadline).await {
                Ok(dealt_with) => {
                    answer.outcomes.extend(dealt_with.outcomes);
                    answer.batch_item_failures.extend(dealt_with.batch_item_failures);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(answer), Err)
    }

    /// Deals with a part of what the invocation brought, and reports how that came off.
    async fn deal_with(
        &self,
        mut work: Work,
        home: &Origin,
        clock: Clock,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        self.settle(&mut work, clock, deadline - ANSWER_MARGIN).await;
        let conclusion = work.conclude(&self.clients.out_of_time(clock));
        // Reported also when the invocation fails: what was drained was drained, and its metrics
        // count.
        self.report(&conclusion, home, clock, deadline).await;
        conclusion.error.map_or(Ok(conclusion.answer), Err)
    }

    /// Goes through rounds until everything is dealt with or trying again helps no more. The first
    /// round is always tried: a late notice is still acted on.
    async fn settle(&self, work: &mut Work, clock: Clock, answer_by: Timestamp) {
        let retry_until = clock.instant(retry_until(&work.notices(), answer_by));
        let answer_by = clock.instant(answer_by);
        let mut pause = FIRST_PAUSE;
        while work.is_open() {
            // Boxed, as the SDK's futures are large and deeply nested.
            let round = Box::pin(async {
                self.round(work, clock).await;
                // After the others, which have less time than the instances of a Capacity Block.
                if self.resolve_reservations(work).await {
                    self.round(work, clock).await;
                }
                self.raise_fallback_groups(work, clock).await;
            });
            // A call that hangs past the time for an answer is dropped with its round; what the
            // round had settled stays in `work`.
            let timed_out = timeout_at(answer_by, round).await.is_err();
            let jittered = pause.mul_f64(0.5 + fastrand::f64());
            if timed_out || !work.may_improve() || Instant::now() + jittered >= retry_until {
                return;
            }
            for problem in work.distinct_problems().into_iter().take(LOGGED_PROBLEMS_MAX) {
                warn!("Trying again after a pause: {problem}");
            }
            sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

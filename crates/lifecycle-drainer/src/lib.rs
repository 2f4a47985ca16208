#![doc = include_str!("../README.md")]

mod act;
mod diagnosis;
mod drain;
mod heartbeat;
mod hop;
mod observation;
mod report;
mod search;

use ebb_aws::{Clients, Clock, HandlerError, Problem};
use ebb_core::event::{Event, Record, parse};
use ebb_core::lifecycle::action::{self, LifecycleAction};
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{Answer, Outcome, OutcomeKind};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::timeout_at;

pub use self::report::FUNCTION;
use crate::hop::Hop;
use crate::report::report_invocation;

/// What is kept of the invocation's time for the answer, so that Lambda never cuts the function off
/// without one. A hop ends earlier by itself; this is for one whose last call hangs.
const ANSWER_MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// The function, with everything that it keeps between invocations.
#[derive(Debug)]
pub struct LifecycleDrainer {
    clients: Clients,
    settings: LifecycleSettings,
}

impl LifecycleDrainer {
    /// Puts the function together.
    pub fn new(clients: Clients, settings: LifecycleSettings) -> Self {
        Self { clients, settings }
    }

    /// Handles one invocation, which began at `now` and is cut off at `deadline`. Its messages are
    /// handled at once, as each may wait for as long as the invocation lasts.
    ///
    /// # Errors
    /// Only for "run this event again": a malformed message, one that could not be dealt with, or
    /// one that must be waited for and came over no topic to be published to again.
    pub async fn handle(
        &self,
        payload: &Value,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        let clock = Clock::start(now);
        let records = parse(payload, action::read).records.into_iter();
        let hops = records.map(|record| self.handle_record(record, clock, deadline));
        let (mut outcomes, mut problems) = (Vec::new(), Vec::new());
        // Every message is waited for, also after one has failed: the others' outcomes must not be
        // lost with it.
        for result in join_all(hops).await {
            match result {
                Ok(outcome) => outcomes.push(outcome),
                Err(problem) => problems.push(problem),
            }
        }
        let answer = Answer { outcomes };
        report_invocation(&self.settings, &answer, &problems, clock);
        HandlerError::of(&problems).map_or(Ok(answer), Err)
    }

    async fn handle_record(
        &self,
        record: Record<LifecycleAction>,
        clock: Clock,
        deadline: Timestamp,
    ) -> Result<Outcome, Problem> {
        match record.event {
            Ok(Event::Ours(action)) => self.run_hop(action, clock, deadline).await,
            Ok(Event::Ignored { instance_id, why }) => Ok(Outcome {
                instance_id,
                outcome: OutcomeKind::Ignored,
                reason: Some(why),
                tasks_left: None,
                hop: None,
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn run_hop(
        &self,
        action: LifecycleAction,
        clock: Clock,
        deadline: Timestamp,
    ) -> Result<Outcome, Problem> {
        let answer_by = clock.instant(deadline - ANSWER_MARGIN);
        // Boxed, as the SDK's futures are large and deeply nested.
        let run = Box::pin(async {
            Hop::begin(&self.clients, &self.settings, &action, clock, deadline)?.run().await
        });
        let result = timeout_at(answer_by, run).await;
        let result = result.unwrap_or_else(|_| Err(Problem::other("ran out of time")));
        result.map_err(|Problem { error_type, text }| Problem {
            error_type,
            text: format!("{}: {text}", action.instance_id),
        })
    }
}

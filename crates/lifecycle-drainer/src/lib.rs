#![doc = include_str!("../README.md")]

mod act;
mod chain;
mod cut_off;
mod diagnosis;
mod drain;
mod heartbeat;
mod hop;
mod looks;
mod observation;
mod people;
mod reactivation;
mod report;
mod search;
mod tasks;
mod unattended;

use std::collections::BTreeSet;
use std::iter;

use ebb_aws::{Clients, Clock, HandlerError, Problem};
use ebb_core::event::{Event, Record, batch_item_failures, parse};
use ebb_core::ids::InstanceId;
use ebb_core::lifecycle::action::{self, LifecycleAction};
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{Answer, Outcome, OutcomeKind, UNATTENDED_MAX};
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, join, join_all, ready};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::timeout_at;
use tracing::{Instrument, info, warn};

pub use self::report::FUNCTION;
use crate::hop::{AtEnd, Hop};
use crate::report::report_invocation;
use crate::unattended::{Surroundings, UnattendedLooks};

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
    /// one that must be waited for and came over no topic to be published to again. Messages of an
    /// SQS batch are named in the answer instead, so that only they are delivered again: running the
    /// others again would begin a second chain of hops.
    pub async fn handle(
        &self,
        payload: &Value,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Answer, HandlerError> {
        let clock = Clock::start(now);
        let records = parse(payload, action::read).into_iter();
        let hops = records.map(|record| self.handle_record(record, clock, deadline));
        let (mut outcomes, mut problems) = (Vec::new(), Vec::new());
        let mut failed_message_ids = BTreeSet::new();
        // Every message is waited for, also after one has failed: the others' outcomes must not be
        // lost with it.
        for (message_id, result) in join_all(hops).await {
            match result {
                Ok(settled) => outcomes.extend(settled),
                Err(problem) => {
                    problems.push(problem);
                    failed_message_ids.insert(message_id);
                }
            }
        }
        // What no message id stands for can only be run again as a whole.
        let error = HandlerError::of(&problems).filter(|_| failed_message_ids.contains(&None));
        let answer =
            Answer { outcomes, batch_item_failures: batch_item_failures(failed_message_ids) };
        report_invocation(&self.settings, &answer, &problems, error.as_ref(), clock);
        error.map_or(Ok(answer), Err)
    }

    /// Deals with a record. Returns the id of its message with what came of it.
    async fn handle_record(
        &self,
        record: Record<LifecycleAction>,
        clock: Clock,
        deadline: Timestamp,
    ) -> (Option<String>, Result<Vec<Outcome>, Problem>) {
        let result = match record.event {
            Ok(Event::Ours(action)) if self.settings.is_own_hook(&action.hook) => {
                self.run_hops(action, clock, deadline).await
            }
            Ok(Event::Ours(LifecycleAction { instance_id, hook, .. })) => {
                let why = format!("its hook {hook} is not among LIFECYCLE_HOOKS");
                Ok(vec![ignored(Some(instance_id), why)])
            }
            Ok(Event::Ignored { instance_id, why }) => Ok(vec![ignored(instance_id, why)]),
            Err(error) => Err(error.into()),
        };
        (record.message_id, result)
    }

    /// Runs the hop of a message, and those of instances of its group that nobody attends to
    /// meanwhile. Returns the outcomes, that of the message first.
    async fn run_hops(
        &self,
        action: LifecycleAction,
        clock: Clock,
        deadline: Timestamp,
    ) -> Result<Vec<Outcome>, Problem> {
        let surroundings = Surroundings::default();
        let (is_over, on_over) = AbortHandle::new_pair();
        let own = async {
            let hop = self.hop(&action, AtEnd::Publish, clock, deadline).observing(&surroundings);
            let outcome = self.run_hop(hop, &action, clock, deadline).await;
            is_over.abort();
            outcome
        };
        let looks = UnattendedLooks::new(&self.settings, &self.clients, &action, &surroundings);
        // Nobody looks for others any more once the message's own hop is over, but what was taken up
        // is brought to its end.
        let others = Abortable::new(looks.actions(), on_over)
            .map(|action| self.stand_in(action, clock, deadline))
            .buffer_unordered(UNATTENDED_MAX)
            .filter_map(ready);
        let (own, others) = join(own, Box::pin(others.collect::<Vec<_>>())).await;
        own.map(|outcome| iter::once(outcome).chain(others).collect())
    }

    /// Runs the first hop of an action whose message has not come yet. `None` if it did not end: it
    /// is left to its message.
    async fn stand_in(
        &self,
        action: LifecycleAction,
        clock: Clock,
        deadline: Timestamp,
    ) -> Option<Outcome> {
        info!(
            host.id = %action.instance_id,
            "Draining {} as well: its message waits for a free execution", action.instance_id
        );
        let hop = self.hop(&action, AtEnd::Leave, clock, deadline);
        match self.run_hop(hop, &action, clock, deadline).await {
            Ok(outcome) => (outcome.outcome != OutcomeKind::Ignored).then_some(outcome),
            // Its own message is run all the same, and fails visibly if that does not help.
            Err(problem) => {
                warn!("Left to its own message: {}", problem.text);
                None
            }
        }
    }

    fn hop<'a>(
        &'a self,
        action: &'a LifecycleAction,
        at_end: AtEnd,
        clock: Clock,
        deadline: Timestamp,
    ) -> Hop<'a> {
        Hop::begin(&self.clients, &self.settings, action, at_end, clock, deadline)
    }

    async fn run_hop(
        &self,
        hop: Hop<'_>,
        action: &LifecycleAction,
        clock: Clock,
        deadline: Timestamp,
    ) -> Result<Outcome, Problem> {
        let answer_by = clock.instant(deadline - ANSWER_MARGIN);
        // Boxed, as the SDK's futures are large and deeply nested.
        let span = hop.span();
        let result = timeout_at(answer_by, Box::pin(hop.run().instrument(span))).await;
        let result = result.unwrap_or_else(|_| Err(self.clients.out_of_time(clock)));
        result.map_err(|Problem { error_type, text }| Problem {
            error_type,
            text: format!("{}: {text}", action.instance_id),
        })
    }
}

fn ignored(instance_id: Option<InstanceId>, why: String) -> Outcome {
    Outcome {
        instance_id,
        outcome: OutcomeKind::Ignored,
        cluster: None,
        reason: Some(why),
        tasks_left: None,
        hop: None,
    }
}

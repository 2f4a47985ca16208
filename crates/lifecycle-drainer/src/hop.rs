//! One hop: observe, decide, act, and wait, until the drain is over or the hop is, which publishes
//! the message again for the next hop.
//!
//! - What is known of the drain is a value: an [`Observation`], see `observation.rs`.
//! - What comes next, and why, is decided by [`decide`] in `ebb-core`: whether the action is
//!   completed, given up, waited for, or left alone.
//! - The decided step is taken by [`act`], see `act.rs`.
//!
//! Every step is idempotent, so two chains of hops for one action may run side by side: both end
//! when the first of them has completed it. A call that fails is a pause; it never completes an
//! action.

use std::time::Duration;

use ebb_aws::{ActionStatus, Clients, Clock, ErrorType, Problem};
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::lifecycle::handoff::HandoffState;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{ActionState, DrainProgress, Outcome, OutcomeKind, decide};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::act::{Effect, act};
use crate::diagnosis::report_holding_tasks;
use crate::drain::Drain;
use crate::heartbeat::{self, Heartbeat};
use crate::observation::{
    Observation, observe_action_state, observe_container_instance, recheck_tasks,
};

/// What a hop keeps of the invocation's time for its last look at the drain and for publishing the
/// message. With less, slow calls would cut it off; with more, hops would be shorter, and each of
/// them observes everything anew.
const HOP_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// One hop of a drain.
pub(crate) struct Hop<'a> {
    clients: &'a Clients,
    settings: &'a LifecycleSettings,
    action: &'a LifecycleAction,
    /// What the next hop will get.
    state: HandoffState,
    clock: Clock,
    /// When the hop ends.
    end: Instant,
    /// `None` until the hook is read, and for good if it is gone.
    heartbeat: Option<Heartbeat>,
}

/// What a hop does next.
enum Step {
    /// Observe everything, the action included.
    Observe,
    /// Decide about what is known, and act.
    Decide(Observation),
    /// Return: the message is settled.
    Settle(Outcome),
}

impl<'a> Hop<'a> {
    /// Takes up an action. The invocation can wait for it until `cut_off`.
    pub(crate) fn begin(
        clients: &'a Clients,
        settings: &'a LifecycleSettings,
        action: &'a LifecycleAction,
        clock: Clock,
        cut_off: Timestamp,
    ) -> Result<Self, Problem> {
        let now = clock.now();
        let state = match &action.carried {
            Some(carried) => HandoffState { hop: carried.hop + 1, ..carried.clone() },
            None => first_state(settings, action, now)?,
        };
        // A function with little time waits for half of it, so that its hops do not chase each
        // other.
        let time = cut_off.duration_since(now);
        let end = clock.instant(now + settings.hop.min(time - HOP_MARGIN.min(time / 2)));
        Ok(Self { clients, settings, action, state, clock, end, heartbeat: None })
    }

    /// Runs the hop to its end. Every wait on the way ends with the hop.
    pub(crate) async fn run(mut self) -> Result<Outcome, Problem> {
        let mut known = None;
        let mut step = Step::Observe;
        loop {
            let next = match step {
                Step::Observe => self.observe(known.as_ref()).await.map(Step::Decide),
                Step::Decide(observation) => self.decide_and_act(known.insert(observation)).await,
                Step::Settle(outcome) => return Ok(outcome),
            };
            step = match next {
                Ok(next) => next,
                // A failed call says nothing about the tasks, so it is a pause and never an end of
                // the drain.
                Err(problem) => self.pause_after(problem, known.as_ref()).await?,
            };
        }
    }

    /// Observes the action, and the container instance if the action is waited for.
    async fn observe(&mut self, known: Option<&Observation>) -> Result<Observation, Problem> {
        let action_state = observe_action_state(self.drain()).await?;
        if action_state != ActionState::Waiting {
            return Ok(Observation::not_waiting(action_state, known));
        }
        // Before the search: if that fails there is a pause, which the action must outlive.
        self.start_heartbeats().await?;
        let observation = observe_container_instance(self.drain(), known).await?;
        if let Some(container_instance) = &observation.container_instance {
            // Carried to the next hop, which describes it with one call and need not search the
            // clusters.
            self.state.container_instance = Some(container_instance.clone());
        }
        Ok(observation)
    }

    /// Decides about what is known, and takes the decided step.
    async fn decide_and_act(&mut self, observation: &Observation) -> Result<Step, Problem> {
        let Observation { action_state, progress, .. } = observation;
        let (deadline, now) = (self.state.deadline, self.clock.now());
        let decision = decide(action_state, progress, self.settings, deadline, now);
        match act(self.drain(), decision, observation).await? {
            Effect::Settled(kind, why) => {
                Ok(Step::Settle(self.outcome(kind, why, Some(observation))))
            }
            Effect::Observed(observation) => Ok(Step::Decide(observation)),
            Effect::Waiting(why) => self.wait(&why, observation).await,
        }
    }

    /// Waits for a while, and looks again. When half of the drain's time is over, people are told
    /// once what holds it.
    async fn wait(&mut self, why: &str, observation: &Observation) -> Result<Step, Problem> {
        let half_time = self.state.deadline.duration_since(self.state.first_seen) / 2;
        if !self.state.stuck_reported && self.clock.now() >= self.state.first_seen + half_time {
            // Set before the report, which may fail: one that did is not tried again in every turn
            // of the loop.
            self.state.stuck_reported = true;
            report_holding_tasks(self.drain(), observation, "Ebb still drains").await;
        }
        if let Some(outcome) = self.pause(why, Some(observation)).await? {
            return Ok(Step::Settle(outcome));
        }
        match observation.progress {
            // Whether the action is still there is not asked again: a heartbeat or its completion
            // finds out, and asking in each turn would double the calls of a drain.
            DrainProgress::Draining(_) => {
                recheck_tasks(self.drain(), observation).await.map(Step::Decide)
            }
            DrainProgress::NotInCluster | DrainProgress::Status(_) => Ok(Step::Observe),
        }
    }

    /// What follows upon a failure: a pause, and then everything is observed again.
    async fn pause_after(
        &mut self,
        problem: Problem,
        known: Option<&Observation>,
    ) -> Result<Step, Problem> {
        // Past the deadline nothing is waited for any more, not even for a call that succeeds. Nor
        // does a permission come by waiting: whoever has to grant it should hear of it at once.
        let is_over = self.clock.now() >= self.state.deadline;
        if is_over || problem.error_type == ErrorType::AwsDenied {
            return Err(problem);
        }
        warn!(
            ec2.instance_id = %self.action.instance_id,
            "Looking again after a pause: {}", problem.text
        );
        let settled = self.pause(&problem.text, known).await?;
        Ok(settled.map_or(Step::Observe, Step::Settle))
    }

    /// Waits for a while, keeping the action alive. At the end of the hop the message is published
    /// again instead, and that settles it.
    async fn pause(
        &mut self,
        why: &str,
        known: Option<&Observation>,
    ) -> Result<Option<Outcome>, Problem> {
        let wake = self.next_wake();
        if wake >= self.end {
            // The hop is used to its end before it publishes: an earlier message would only mean
            // more hops.
            sleep_until(self.end).await;
            self.republish(why).await?;
            return Ok(Some(self.outcome(OutcomeKind::Republished, why.to_owned(), known)));
        }
        while let Some(mut heartbeat) = self.heartbeat.filter(|next| next.due <= wake) {
            sleep_until(heartbeat.due).await;
            let status = heartbeat.send(self.drain()).await;
            self.heartbeat = Some(heartbeat);
            // Nobody waits for the drain any more. Whoever ended the action has decided about the
            // instance.
            if status == ActionStatus::Over {
                let why = "the action is over".to_owned();
                return Ok(Some(self.outcome(OutcomeKind::Ignored, why, known)));
            }
        }
        sleep_until(wake).await;
        Ok(None)
    }

    /// When a pause that begins now ends: by the deadline, if that is still ahead.
    fn next_wake(&self) -> Instant {
        let interval =
            Duration::try_from(self.settings.poll_interval).unwrap_or(Duration::from_secs(15));
        // Up to a quarter less by chance, so that many drains do not call in step.
        let wake = Instant::now() + interval.mul_f64(0.75 + fastrand::f64() / 4.0);
        let deadline = self.clock.instant(self.state.deadline);
        if deadline > Instant::now() { wake.min(deadline) } else { wake }
    }

    /// Starts the heartbeats, and bounds the drain by the action's global time-out. Later hops get
    /// the heartbeat time-out handed on; where the hook is gone there is none to keep.
    async fn start_heartbeats(&mut self) -> Result<(), Problem> {
        if self.heartbeat.is_some() {
            return Ok(());
        }
        if self.state.heartbeat_timeout_seconds.is_none() {
            self.state.heartbeat_timeout_seconds = heartbeat::read_timeout(self.drain()).await?;
        }
        if let Some(seconds) = self.state.heartbeat_timeout_seconds {
            let timeout = Duration::from_secs(seconds);
            let global_deadline = heartbeat::global_deadline(self.drain(), timeout);
            self.state.deadline = self.state.deadline.min(global_deadline);
            self.heartbeat = Some(Heartbeat::start(timeout, self.state.hop));
        }
        Ok(())
    }

    /// Publishes the message, with the state for the next hop, to the topic that it came over.
    async fn republish(&self, why: &str) -> Result<(), Problem> {
        let Some(topic) = self.action.topic() else {
            return Err(Problem::other(format!(
                "still waiting ({why}), and it came over no topic to go on by"
            )));
        };
        let message = self
            .state
            .write(&self.action.message.text)
            .map_err(|error| Problem::other(format!("write the message: {error}")))?;
        let subject = format!("Ebb: hop {} for {}", self.state.hop + 1, self.action.instance_id);
        Ok(self.clients.topics.publish(topic, &subject, &message).await?)
    }

    fn drain(&self) -> Drain<'_> {
        let Self { clients, settings, action, ref state, clock, .. } = *self;
        Drain { clients, settings, action, state, clock }
    }

    fn outcome(&self, kind: OutcomeKind, why: String, known: Option<&Observation>) -> Outcome {
        Outcome {
            instance_id: Some(self.action.instance_id.clone()),
            outcome: kind,
            reason: Some(why),
            tasks_left: known.and_then(Observation::tasks_left),
            hop: Some(self.state.hop),
        }
    }
}

/// The state of a drain that no hop has handled yet. Its time counts from the message's own, so
/// that a message which was long on its way does not get more of it.
fn first_state(
    settings: &LifecycleSettings,
    action: &LifecycleAction,
    now: Timestamp,
) -> Result<HandoffState, Problem> {
    let deadline = action.time.unwrap_or(now).checked_add(settings.drain_timeout);
    Ok(HandoffState {
        hop: 1,
        first_seen: now,
        deadline: deadline
            .map_err(|error| Problem::other(format!("the message's time: {error}")))?,
        container_instance: None,
        heartbeat_timeout_seconds: None,
        stuck_reported: false,
    })
}

//! One hop: look, decide, act, and wait, until the drain is over or the hop is, which publishes the message again.
//!
//! Every step is idempotent, so two chains for one action may run side by side: both end when the first of them has
//! completed it. A call that fails is a pause; it never completes an action.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ebb_aws::{ActionResult, ActionStatus, Clients, Clock, DrainResult, ErrorType, Problem};
use ebb_core::ecs::{ContainerInstanceStatus, Task};
use ebb_core::ids::TaskArn;
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::lifecycle::diagnosis::Service;
use ebb_core::lifecycle::handoff::HandoffState;
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_core::lifecycle::{
    ActionState, Decision, DrainProgress, Outcome, OutcomeKind, TasksLeft, decide,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::drain::Drain;
use crate::heartbeat::{self, Heartbeat};
use crate::report;

/// What a hop keeps of the invocation's time for its last look and for publishing the message.
const HOP_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// One hop of a drain.
pub(crate) struct Hop<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) settings: &'a LifecycleSettings,
    pub(crate) action: &'a LifecycleAction,
    pub(crate) state: HandoffState,
    clock: Clock,
    /// When the hop ends.
    end: Instant,
    /// `None` until the hook is read, and for good if it is gone.
    heartbeat: Option<Heartbeat>,
    /// The tasks that had not stopped when they were last looked at.
    pub(crate) tasks: Vec<Task>,
    /// How many of each kind.
    pub(crate) left: Option<TasksLeft>,
    /// The services of the tasks, and the names by which they were described.
    pub(crate) services: Vec<Service>,
    pub(crate) described: BTreeSet<String>,
    /// Until when tasks are protected from scale-in.
    pub(crate) protected: BTreeMap<TaskArn, Timestamp>,
}

impl<'a> Hop<'a> {
    /// Takes up a message, which the invocation can wait for until `cut_off`.
    pub(crate) fn begin(
        clients: &'a Clients,
        settings: &'a LifecycleSettings,
        action: &'a LifecycleAction,
        clock: Clock,
        cut_off: Timestamp,
    ) -> Result<Self, Problem> {
        let now = clock.now();
        let state = match action.carried.clone() {
            Some(carried) => HandoffState { hop: carried.hop + 1, ..carried },
            None => {
                let sent = action.time.unwrap_or(now);
                let deadline = sent.checked_add(settings.drain_timeout);
                let deadline = deadline
                    .map_err(|error| Problem::other(format!("the message's time: {error}")))?;
                HandoffState {
                    hop: 1,
                    first_seen: now,
                    deadline,
                    found: None,
                    heartbeat_timeout_seconds: None,
                    told: false,
                }
            }
        };
        // A function with little time waits for half of it, so that its hops do not chase each other.
        let time = cut_off.duration_since(now);
        let end = clock.instant(now + settings.hop.min(time - HOP_MARGIN.min(time / 2)));
        Ok(Self {
            clients,
            settings,
            action,
            state,
            clock,
            end,
            heartbeat: None,
            tasks: Vec::new(),
            left: None,
            services: Vec::new(),
            described: BTreeSet::new(),
            protected: BTreeMap::new(),
        })
    }

    pub(crate) fn drain(&self) -> Drain<'_> {
        let Self { clients, settings, action, ref state, clock, .. } = *self;
        Drain { clients, settings, action, state, clock }
    }

    /// Runs the hop to its end. Each turn either settles the message, or moves what was seen a step on, or waits; the
    /// waits end with the hop.
    pub(crate) async fn run(mut self) -> Result<Outcome, Problem> {
        let mut seen = None;
        loop {
            match self.turn(seen.take()).await {
                Ok(Turn::Settled(outcome)) => return Ok(outcome),
                Ok(Turn::Observed(next)) => seen = Some(next),
                Ok(Turn::Reobserve) => {}
                // Past the deadline nothing is waited for any more, not even for a look that succeeds.
                Err(problem) if self.clock.now() >= self.state.deadline => return Err(problem),
                Err(problem) if problem.error_type == ErrorType::AwsDenied => return Err(problem),
                Err(problem) => {
                    warn!(ec2.instance_id = %self.action.instance_id, "Looking again after a pause: {}", problem.text);
                    if let Some(outcome) = self.pause(&problem.text).await? {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    /// One turn. `seen` is what the turn before left to decide about; without it the hop looks afresh.
    async fn turn(&mut self, seen: Option<DrainProgress>) -> Result<Turn, Problem> {
        let (action_state, seen) = match seen {
            Some(seen) => (ActionState::Waiting, seen),
            None => self.look_afresh().await?,
        };
        match decide(&action_state, &seen, self.settings, self.state.deadline, self.clock.now()) {
            Decision::Ignore { why } => Ok(self.settle(OutcomeKind::Ignored, why)),
            other if self.settings.dry_run => {
                Ok(self.settle(OutcomeKind::WouldDrain, format!("DRY_RUN is set; next: {other}")))
            }
            Decision::StartDrain => self.start_drain().await,
            Decision::CountTasks => self.count_tasks().await.map(Turn::Observed),
            Decision::StopStandaloneTasks => self.stop_standalone_tasks().await,
            Decision::Complete { why } => {
                self.complete(ActionResult::Continue, OutcomeKind::Completed, why).await
            }
            Decision::GiveUp { on_timeout, why } => self.give_up(on_timeout, why).await,
            Decision::Wait { why } => match self.wait(&why).await? {
                Some(outcome) => Ok(Turn::Settled(outcome)),
                None if matches!(seen, DrainProgress::Draining(_)) => {
                    self.look_again().await.map(Turn::Observed)
                }
                None => Ok(Turn::Reobserve),
            },
        }
    }

    async fn look_afresh(&mut self) -> Result<(ActionState, DrainProgress), Problem> {
        let action_state = self.action_state().await?;
        if action_state != ActionState::Waiting {
            return Ok((action_state, DrainProgress::NotInCluster));
        }
        self.start_heartbeats().await?;
        let seen = self.find().await?;
        Ok((action_state, seen))
    }

    async fn start_drain(&mut self) -> Result<Turn, Problem> {
        let (cluster, arn) = self.found()?;
        let results = self.clients.ecs.set_draining(&cluster, &[arn]).await;
        let status = match results.map_err(|error| Problem::from(&error))?.into_iter().next() {
            Some(DrainResult::Draining) => {
                info!(
                    ec2.instance_id = %self.action.instance_id,
                    ecs.cluster = cluster.name(),
                    asg.name = %self.action.group,
                    "Draining {} until {}", self.action.instance_id, self.state.deadline
                );
                ContainerInstanceStatus::Draining
            }
            Some(DrainResult::Gone(_)) => ContainerInstanceStatus::Inactive,
            Some(DrainResult::Refused(why)) => {
                return Err(Problem::other(format!("ECS did not set it to DRAINING: {why}")));
            }
            None => return Err(Problem::other("ECS did not say whether it is DRAINING")),
        };
        Ok(Turn::Observed(DrainProgress::Status(status)))
    }

    /// Tells the standalone tasks to stop. They count as told from then on: if ECS does not show it yet, the next look
    /// finds out, after a pause.
    async fn stop_standalone_tasks(&mut self) -> Result<Turn, Problem> {
        let (cluster, _) = self.found()?;
        for task in
            self.tasks.iter_mut().filter(|task| task.service.is_none() && !task.told_to_stop)
        {
            let reason = "Ebb: its container instance is drained";
            let stopped = self.clients.ecs.stop_task(&cluster, &task.arn, reason).await;
            stopped.map_err(|error| Problem::from(&error))?;
            task.told_to_stop = true;
        }
        Ok(Turn::Observed(self.counted()))
    }

    async fn complete(
        &self,
        result: ActionResult,
        outcome: OutcomeKind,
        why: String,
    ) -> Result<Turn, Problem> {
        let completed = self.clients.auto_scaling.complete(self.action, result).await;
        Ok(match completed.map_err(|error| Problem::from(&error))? {
            ActionStatus::Active => {
                report::print_drain_seconds(self.drain());
                self.settle(outcome, why)
            }
            ActionStatus::Over => {
                self.settle(outcome, format!("{why}; the action was over already"))
            }
        })
    }

    async fn give_up(&self, on_timeout: OnTimeout, why: String) -> Result<Turn, Problem> {
        let why = format!("its deadline {} has passed: {why}", self.state.deadline);
        self.tell_what_holds("Ebb gives up draining").await;
        match on_timeout {
            OnTimeout::Continue => {
                self.complete(ActionResult::Continue, OutcomeKind::TimedOut, why).await
            }
            OnTimeout::Abandon => {
                self.complete(ActionResult::Abandon, OutcomeKind::TimedOut, why).await
            }
            OnTimeout::Reactivate => {
                if let Some((cluster, arn)) = &self.state.found {
                    let active = self.clients.ecs.set_active(cluster, arn).await;
                    active.map_err(|error| Problem::from(&error))?;
                }
                Ok(self.settle(OutcomeKind::TimedOut, why))
            }
        }
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

    /// Waits for a while. When half of the time is over, people are told once what holds the drain.
    async fn wait(&mut self, why: &str) -> Result<Option<Outcome>, Problem> {
        let half = self.state.deadline.duration_since(self.state.first_seen) / 2;
        if !self.state.told && self.clock.now() >= self.state.first_seen + half {
            self.state.told = true;
            self.tell_what_holds("Ebb still drains").await;
        }
        self.pause(why).await
    }

    /// Waits for a while, keeping the action alive. At the end of the hop the message is published again instead, and
    /// that settles it.
    async fn pause(&mut self, why: &str) -> Result<Option<Outcome>, Problem> {
        let interval =
            Duration::try_from(self.settings.poll_interval).unwrap_or(Duration::from_secs(15));
        // Up to a quarter less by chance, so that many drains do not call in step.
        let pause = Instant::now() + interval.mul_f64(0.75 + fastrand::f64() / 4.0);
        let deadline = self.clock.instant(self.state.deadline);
        let wake = if deadline > Instant::now() { pause.min(deadline) } else { pause };
        if wake >= self.end {
            sleep_until(self.end).await;
            return self.republish(why).await.map(Some);
        }
        while let Some(mut heartbeat) = self.heartbeat.filter(|next| next.due <= wake) {
            sleep_until(heartbeat.due).await;
            let status = heartbeat.send(self.drain()).await;
            self.heartbeat = Some(heartbeat);
            if status == ActionStatus::Over {
                let why = "the action is over".to_owned();
                return Ok(Some(self.outcome(OutcomeKind::Ignored, why)));
            }
        }
        sleep_until(wake).await;
        Ok(None)
    }

    /// Publishes the message, with the state for the next hop, to the topic that it came over.
    async fn republish(&self, why: &str) -> Result<Outcome, Problem> {
        let Some(topic) = self.action.topic() else {
            return Err(Problem::other(format!(
                "still waiting ({why}), and it came over no topic to go on by"
            )));
        };
        let message = self.state.write(&self.action.message.text);
        let message =
            message.map_err(|error| Problem::other(format!("write the message: {error}")))?;
        let subject = format!("Ebb: hop {} for {}", self.state.hop + 1, self.action.instance_id);
        let published = self.clients.topics.publish(topic, &subject, &message).await;
        published.map_err(|error| Problem::from(&error))?;
        Ok(self.outcome(OutcomeKind::Republished, why.to_owned()))
    }

    fn settle(&self, outcome: OutcomeKind, why: String) -> Turn {
        Turn::Settled(self.outcome(outcome, why))
    }

    fn outcome(&self, outcome: OutcomeKind, why: String) -> Outcome {
        Outcome {
            instance_id: Some(self.action.instance_id.clone()),
            outcome,
            reason: Some(why),
            tasks_left: self.left,
            hop: Some(self.state.hop),
        }
    }
}

/// What a turn comes to.
enum Turn {
    /// The message is settled.
    Settled(Outcome),
    /// This is to be decided about next.
    Observed(DrainProgress),
    /// The next turn looks afresh, at the action as well.
    Reobserve,
}

//! One hop: observe, decide, act, and wait, until the drain is over or the hop is, which publishes
//! the message again for the next hop.
//!
//! - What is known of the drain is a value: an [`Observation`], see `observation.rs`.
//! - What comes next, and why, is decided by [`decide`] in `ebb-core`: whether the action is
//!   completed, given up, waited for, or left alone.
//! - The decided step is taken by [`act`], see `act.rs`.
//!
//! Every step is idempotent, so two chains of hops for one action may run side by side: both end
//! when the first of them has completed it, or earlier, see `chain.rs`. A call that fails is a
//! pause; it never completes an action.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_aws::{ActionStatus, Clients, Clock, ErrorType, Problem};
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::Cluster;
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::lifecycle::handoff::HandoffState;
use ebb_core::lifecycle::reactivation::Reactivation;
use ebb_core::lifecycle::settings::{LifecycleSettings, OnTimeout};
use ebb_core::lifecycle::{
    ActionState, Decision, DrainProgress, LookTarget, Outcome, OutcomeKind, decide, drain_deadline,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tracing::{Span, error_span, warn};

use crate::act::{Effect, act};
use crate::chain::HopMark;
use crate::cut_off;
use crate::diagnosis::{Held, report_holding_tasks};
use crate::drain::{Drain, SearchMemory};
use crate::heartbeat::{self, Heartbeat};
use crate::looks::Looks;
use crate::observation::{
    Observation, count_tasks, observe_action_state, observe_container_instances, observe_others,
    observe_protection, recheck_statuses, recheck_tasks,
};
use crate::reactivation::{look_and_reactivate, mark_for_return};
use crate::report;
use crate::unattended::{Surroundings, waiting_members};

/// What a hop keeps of the invocation's time for its last look at the drain and for publishing the
/// message. With less, slow calls would cut it off; with more, hops would be shorter, and each of
/// them observes everything anew.
const HOP_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// What a hop that stands in for another leaves behind at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// The message, published again: the next hop goes on.
    Publish,
    /// Nothing: a message about the drain is on its way already.
    Leave,
}

/// One hop of a drain.
pub(crate) struct Hop<'a> {
    clients: &'a Clients,
    settings: &'a LifecycleSettings,
    action: &'a LifecycleAction,
    at_end: AtEnd,
    /// Where to leave what it sees of other instances, if anybody asks.
    surroundings: Option<&'a Surroundings>,
    /// What the next hop will get.
    state: HandoffState,
    search: SearchMemory,
    clock: Clock,
    /// When the hop ends.
    end: Instant,
    looks: Looks,
    mark: HopMark,
    /// `None` until the first one has proven the action.
    heartbeat: Option<Heartbeat>,
    /// When the action must be ended at the latest, once its hook is read.
    action_end: Timestamp,
    /// What the action was to be completed with, if no answer has come to that.
    unanswered: Option<(OutcomeKind, String)>,
    /// Whether people have been told that the drain is given up.
    give_up_reported: bool,
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
        at_end: AtEnd,
        clock: Clock,
        cut_off: Timestamp,
    ) -> Self {
        let now = clock.now();
        let state = match &action.carried {
            Some(carried) => HandoffState {
                hop: carried.hop + 1,
                ..carried.clone().bounded(action.time, settings.drain_timeout, now)
            },
            None => first_state(settings, action, now),
        };
        // A function with little time waits for half of it, so that its hops do not chase each
        // other.
        let time = cut_off.duration_since(now);
        let end = clock.instant(now + settings.hop.min(time - HOP_MARGIN.min(time / 2)));
        // The time of a message that was published again says nothing about its group's lag.
        let message_time = if state.hop == 1 { action.time } else { Some(state.first_seen) };
        Self {
            clients,
            settings,
            action,
            at_end,
            surroundings: None,
            mark: HopMark::new(state.hop),
            search: SearchMemory::default(),
            looks: Looks::new(message_time, now),
            state,
            clock,
            end,
            heartbeat: None,
            action_end: Timestamp::MAX,
            unanswered: None,
            give_up_reported: false,
        }
    }

    /// Has the hop leave what it sees of other instances.
    pub(crate) fn observing(self, surroundings: &'a Surroundings) -> Self {
        Self { surroundings: Some(surroundings), ..self }
    }

    /// What every log line of the hop is about. At level ERROR, so that warnings have it as well
    /// where nothing less is logged.
    pub(crate) fn span(&self) -> Span {
        let LifecycleAction { instance_id, group, .. } = self.action;
        let cluster = self.cluster();
        error_span!("drain", host.id = %instance_id, asg.name = %group, ecs.cluster = cluster)
    }

    /// Runs the hop to its end. Every wait on the way ends with the hop.
    pub(crate) async fn run(mut self) -> Result<Outcome, Problem> {
        if let Some(since) = self.state.returning_since {
            if self.settings.dry_run {
                let why = "DRY_RUN is set, and its action is completed".to_owned();
                return Ok(self.outcome(OutcomeKind::Ignored, why, None));
            }
            return self.reactivate(since).await;
        }
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

    /// Observes the action, and the container instances if the action is waited for.
    async fn observe(&mut self, known: Option<&Observation>) -> Result<Observation, Problem> {
        let action_state = observe_action_state(self.drain()).await?;
        if !action_state.is_waiting() && action_state != ActionState::AboutToWait {
            return Ok(Observation::not_waiting(action_state, known));
        }
        // Before all else: nobody is waited for, told or drained on a message that is not proven.
        // And if the search fails there is a pause, which the action must outlive.
        if self.start_heartbeats().await? == ActionStatus::Over {
            return Ok(Observation::not_waiting(ActionState::Over, known));
        }
        if !action_state.is_waiting() {
            return Ok(Observation::not_waiting(action_state, known));
        }
        let observation = observe_container_instances(self.drain(), action_state, known).await?;
        self.carry(&observation);
        if let (Some(surroundings), false) =
            (self.surroundings, self.state.container_instances.is_empty())
        {
            surroundings.clusters.get_or_init(|| self.clusters());
        }
        Ok(observation)
    }

    /// Carries what was found to the next hop, which describes it with one call and need not search
    /// the clusters.
    fn carry(&mut self, observation: &Observation) {
        let was_found = !self.state.container_instances.is_empty();
        self.state.container_instances = observation.keys();
        // Once: a span keeps what it was given before.
        if let (false, Some(cluster)) = (was_found, self.cluster()) {
            Span::current().record("ecs.cluster", cluster);
        }
        self.state.search_incomplete = observation.search_incomplete;
    }

    /// Decides about what is known, and takes the decided step.
    async fn decide_and_act(&mut self, observation: &Observation) -> Result<Step, Problem> {
        let now = self.clock.now();
        self.note_draining(observation, now);
        self.looks.add(observation, self.settings, now);
        let Observation { action_state, progress, .. } = observation;
        let (evidence, deadline) = (self.looks.evidence, self.state.deadline);
        let decision = decide(action_state, progress, &evidence, self.settings, deadline, now);
        if let Decision::Ignore { why } = decision {
            let settled = self.settle_over(OutcomeKind::Ignored, why, Some(observation)).await;
            return settled.map(Step::Settle);
        }
        let gives_up = matches!(decision, Decision::GiveUp { .. });
        // What is not proven is told to nobody, and a dry run cannot prove anything.
        if gives_up && !self.settings.dry_run {
            self.report_give_up(observation).await;
        }
        let completion = completion_of(&decision);
        let effect = act(self.drain(), decision, observation).await;
        if effect.is_err() && completion.is_some() {
            self.unanswered = completion;
        }
        match effect? {
            Effect::Settled(kind, why) => {
                if gives_up && kind == OutcomeKind::TimedOut {
                    cut_off::mark_counted(self.drain(), observation).await;
                }
                self.settle(kind, why, Some(observation)).await.map(Step::Settle)
            }
            Effect::OverBefore(kind, why) => {
                // A call that had no answer did just this.
                self.unanswered = self.unanswered.take().map(|_| (kind, why.clone()));
                // If there was none: a drain that is over needs nobody else, however its action
                // ended. One that is given up was ended by a chain of hops beside this one, which
                // counts its tasks, or by a person.
                let kind = if gives_up { OutcomeKind::Ignored } else { kind };
                let why = format!("{why}; the action was over already");
                self.settle_over(kind, why, Some(observation)).await.map(Step::Settle)
            }
            Effect::Observed(observation) => Ok(Step::Decide(observation)),
            Effect::Doubted(why) => self.look_again(&why, observation).await,
            Effect::Waiting(why) => self.wait(&why, observation).await,
        }
    }

    /// Settles a message whose action is over, although no call of this hop is known to have ended
    /// it.
    async fn settle_over(
        &mut self,
        kind: OutcomeKind,
        why: String,
        known: Option<&Observation>,
    ) -> Result<Outcome, Problem> {
        // A call of this hop had no answer, and did it.
        if let Some((kind, why)) = self.unanswered.take() {
            report::print_drain_seconds(self.drain());
            return self.settle(kind, why, known).await;
        }
        match cut_off::find(self.drain(), self.action_end, known).await? {
            Some(left) => {
                cut_off::report(self.drain(), &left).await;
                Ok(self.outcome(OutcomeKind::HookTimedOut, cut_off::WHY.to_owned(), Some(&left)))
            }
            None => Ok(self.outcome(kind, why, known)),
        }
    }

    /// Settles the message. An instance that only gets a new root volume comes back: the next hops
    /// wait for that.
    async fn settle(
        &mut self,
        kind: OutcomeKind,
        why: String,
        known: Option<&Observation>,
    ) -> Result<Outcome, Problem> {
        let returns = matches!(kind, OutcomeKind::Completed | OutcomeKind::TimedOut)
            && self.at_end == AtEnd::Publish
            && self.action.topic().is_some();
        if let Some(observation) = known
            && returns
            && observation.action_state == ActionState::WaitingToReplaceRootVolume
        {
            let since = self.clock.now();
            match mark_for_return(self.drain(), observation, since).await {
                Ok(()) => {
                    self.state.returning_since = Some(since);
                    self.publish().await?;
                }
                // What bears no mark would be left alone by the next hop.
                Err(error) => {
                    warn!("It will stay DRAINING when it is back: {}", Problem::from(error).text);
                }
            }
        }
        Ok(self.outcome(kind, why, known))
    }

    /// Tells people what holds the drain that is given up, once.
    async fn report_give_up(&mut self, observation: &Observation) {
        if self.give_up_reported {
            return;
        }
        self.give_up_reported = true;
        // Before the action is completed: its group terminates the instance then, and its tasks
        // cannot be looked up any more.
        report_holding_tasks(self.drain(), observation, Held::GivenUp).await;
    }

    /// Notes when the drain began, which gives a late one more time.
    fn note_draining(&mut self, observation: &Observation, now: Timestamp) {
        let is_draining = match observation.progress {
            DrainProgress::Draining(_) => true,
            DrainProgress::NotInCluster | DrainProgress::Status(_) => false,
        };
        if is_draining && self.state.draining_since.is_none() {
            self.state.draining_since = Some(now);
            let HandoffState { first_seen, draining_since, deadline, .. } = self.state;
            let timeout = self.settings.drain_timeout;
            let extended = drain_deadline(self.action.time, first_seen, draining_since, timeout);
            // Never beyond the end of the action, where that is known to be nearer.
            self.state.deadline = deadline.max(extended).min(self.action_end);
        }
    }

    /// Looks again within seconds, to confirm a look or to refute it.
    async fn look_again(&mut self, why: &str, observation: &Observation) -> Result<Step, Problem> {
        // What is found by the rest of the search may refute it as well, and waits for nothing.
        if observation.search_incomplete {
            return self.observe_others(observation).await.map(Step::Decide);
        }
        let pause = self.looks.confirming_pause(self.settings, self.clock.now());
        if let Some(outcome) = self.pause(pause, why, Some(observation)).await? {
            return Ok(Step::Settle(outcome));
        }
        match observation.progress {
            DrainProgress::Draining(_) => {
                count_tasks(self.drain(), observation).await.map(Step::Decide)
            }
            _ => Ok(Step::Observe),
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
            report_holding_tasks(self.drain(), observation, Held::HalfTime).await;
        }
        let (pause, target) = self.looks.next(observation, self.settings, self.clock.now());
        if let Some(outcome) = self.pause(pause, why, Some(observation)).await? {
            return Ok(Step::Settle(outcome));
        }
        if !matches!(observation.progress, DrainProgress::Draining(_)) {
            return Ok(Step::Observe);
        }
        if !observation.search_incomplete {
            return self.look_at(target, observation).await;
        }
        let searched = self.observe_others(observation).await.unwrap_or_else(|problem| {
            // It is tried again at the next look; what is known is not kept waiting for it.
            warn!("Searching again later: {}", problem.text);
            observation.clone()
        });
        match searched.progress {
            DrainProgress::Draining(_) => self.look_at(target, &searched).await,
            // Something was found that does not drain yet, or whose tasks were not counted.
            DrainProgress::NotInCluster | DrainProgress::Status(_) => Ok(Step::Decide(searched)),
        }
    }

    /// Finds the container instances that are not known yet.
    async fn observe_others(&mut self, known: &Observation) -> Result<Observation, Problem> {
        let observation = observe_others(self.drain(), known).await?;
        self.carry(&observation);
        Ok(observation)
    }

    /// Looks at a drain that goes on.
    async fn look_at(
        &mut self,
        target: LookTarget,
        observation: &Observation,
    ) -> Result<Step, Problem> {
        // Whether the action is still there is not asked again: a heartbeat or its completion finds
        // out, and asking in each turn would double the calls of a drain.
        let observation = match target {
            LookTarget::Group if self.look_at_group().await => observation.clone(),
            LookTarget::Group => return Ok(Step::Observe),
            LookTarget::Statuses => recheck_statuses(self.drain(), observation).await?,
            LookTarget::Tasks => recheck_tasks(self.drain(), observation).await?,
        };
        // Only a look at the container instances reads the mark anew.
        if target == LookTarget::Statuses && self.mark.is_superseded(&observation) {
            let why = "another invocation looks after this drain".to_owned();
            return Ok(Step::Settle(self.outcome(OutcomeKind::Ignored, why, Some(&observation))));
        }
        let Self { clients, settings, action, ref state, ref search, clock, ref mut mark, .. } =
            *self;
        let drain = Drain { clients, settings, action, state, search, clock };
        mark.write_if_due(drain, &observation).await;
        Ok(Step::Decide(observation))
    }

    /// Looks at the group. Returns whether it still waits for the instance, as far as it says. Which
    /// others it waits for is left to whoever stands in for them, see `unattended.rs`.
    async fn look_at_group(&mut self) -> bool {
        let members = match self.clients.auto_scaling.group(&self.action.group).await {
            Ok(group) => group.members,
            Err(error) => {
                // The drain does not need it.
                warn!("Could not look for other instances: {}", Problem::from(error).text);
                return true;
            }
        };
        let own = members.iter().find(|member| member.instance_id == self.action.instance_id);
        // One of its warm pool is not among them.
        let still_waits = own
            .is_none_or(|own| ActionState::from_lifecycle_state(&own.lifecycle_state).is_waiting());
        let waiting = waiting_members(&members);
        self.looks.share_with(waiting.len());
        if let Some(surroundings) = self.surroundings {
            surroundings.waiting.get_or_init(|| waiting);
        }
        still_waits
    }

    /// What follows upon a failure: a pause, and then what failed is tried again. Unless it drains
    /// already, everything is observed anew.
    async fn pause_after(
        &mut self,
        problem: Problem,
        known: Option<&Observation>,
    ) -> Result<Step, Problem> {
        // A permission does not come by waiting: whoever has to grant it should hear of it at once.
        if problem.error_type == ErrorType::AwsDenied {
            return Err(problem);
        }
        warn!("Looking again after a pause: {}", problem.text);
        let pause = Looks::pause_after_failure(self.settings);
        // Past the deadline the hop still tries to its end, but no other hop follows: the event is
        // run again, and then it is for people to see.
        let is_over = self.clock.now() >= self.state.deadline;
        let ends_here = is_over || self.action.topic().is_none();
        if ends_here && Instant::now() + pause >= self.end {
            return Err(problem);
        }
        if let Some(outcome) = self.pause(pause, &problem.text, known).await? {
            return Ok(Step::Settle(outcome));
        }
        // What is DRAINING is known for long enough to go on with its tasks: many drains at once
        // that began anew after each throttle would be throttled for it. That nothing is left is
        // known for no longer than the look: somebody may have set it ACTIVE meanwhile.
        let is_draining = known.filter(|known| match &known.progress {
            DrainProgress::Draining(_) => !known.progress.is_over(self.settings.standalone_tasks),
            DrainProgress::Status(status) => *status == ContainerInstanceStatus::Draining,
            DrainProgress::NotInCluster => false,
        });
        Ok(is_draining.map_or(Step::Observe, |known| Step::Decide(known.clone())))
    }

    /// Waits for a while, keeping the action alive. At the end of the hop the message is published
    /// again instead, and that settles it.
    async fn pause(
        &mut self,
        pause: Duration,
        why: &str,
        known: Option<&Observation>,
    ) -> Result<Option<Outcome>, Problem> {
        // The hop is used to its end before it publishes: an earlier message would only mean more
        // hops.
        let wake = self.wake_after(pause).min(self.end);
        while let Some(mut heartbeat) = self.heartbeat.filter(|next| next.due <= wake) {
            sleep_until(heartbeat.due).await;
            let status = heartbeat.send(self.drain()).await?;
            self.heartbeat = Some(heartbeat);
            self.state.action_expires = Some(heartbeat.expires);
            // Nobody waits for the drain any more.
            if status == ActionStatus::Over {
                let why = "the action is over".to_owned();
                return self.settle_over(OutcomeKind::Ignored, why, known).await.map(Some);
            }
        }
        sleep_until(wake).await;
        if wake >= self.end { self.end_hop(why, known).await.map(Some) } else { Ok(None) }
    }

    async fn end_hop(
        &mut self,
        why: &str,
        known: Option<&Observation>,
    ) -> Result<Outcome, Problem> {
        if self.at_end == AtEnd::Leave {
            let why = format!("{why}; its own message goes on");
            return Ok(self.outcome(OutcomeKind::Ignored, why, known));
        }
        let known = match known {
            Some(known) => Some(observe_protection(self.drain(), known).await),
            None => None,
        };
        let why = match &known {
            Some(Observation { progress: DrainProgress::Draining(left), .. }) => left.to_string(),
            _ => why.to_owned(),
        };
        if self.action.topic().is_none() {
            return Err(Problem::other(format!(
                "still waiting: {why}. The event came over no topic that it could be published to \
                 again: have the hook notify an SNS topic that the function subscribes to"
            )));
        }
        self.publish().await?;
        Ok(self.outcome(OutcomeKind::Republished, why, known.as_ref()))
    }

    /// When a pause that begins now ends: by the deadline, if that is still ahead.
    fn wake_after(&self, pause: Duration) -> Instant {
        let wake = Instant::now() + pause;
        let deadline = self.clock.instant(self.state.deadline);
        if deadline > Instant::now() { wake.min(deadline) } else { wake }
    }

    /// Proves the action by the first heartbeat of the hop, and bounds the drain by the action's
    /// global time-out. A dry run sends none.
    async fn start_heartbeats(&mut self) -> Result<ActionStatus, Problem> {
        if self.heartbeat.is_some() {
            return Ok(ActionStatus::Active);
        }
        // The actions of a hook end with it (Auto Scaling API, `DeleteLifecycleHook`).
        let Some(timeout) = self.clients.auto_scaling.heartbeat_timeout(self.action).await? else {
            return Ok(ActionStatus::Over);
        };
        if self.settings.dry_run {
            return Ok(ActionStatus::Active);
        }
        self.action_end = heartbeat::global_deadline(self.drain(), timeout);
        self.state.deadline = self.state.deadline.min(self.action_end);
        self.heartbeat = Heartbeat::start(self.drain(), timeout).await?;
        let Some(heartbeat) = &self.heartbeat else { return Ok(ActionStatus::Over) };
        self.state.action_expires = Some(heartbeat.expires);
        Ok(ActionStatus::Active)
    }

    /// Waits for an instance that is away for a new root volume, and sets it ACTIVE again.
    async fn reactivate(mut self, since: Timestamp) -> Result<Outcome, Problem> {
        loop {
            let why = match look_and_reactivate(self.drain(), since).await {
                Ok(Reactivation::SetActive(_)) => {
                    let why = "its instance is back with a new root volume".to_owned();
                    return Ok(self.outcome(OutcomeKind::Reactivated, why, None));
                }
                Ok(Reactivation::Leave { why }) => {
                    return Ok(self.outcome(OutcomeKind::Ignored, why, None));
                }
                Ok(Reactivation::Wait) => "its root volume is replaced".to_owned(),
                Err(problem) if problem.error_type == ErrorType::AwsDenied => return Err(problem),
                Err(problem) => problem.text,
            };
            let pause = Looks::pause_after_failure(self.settings);
            if let Some(outcome) = self.pause(pause, &why, None).await? {
                return Ok(outcome);
            }
        }
    }

    /// Publishes the message, with the state for the next hop, to the topic that it came over.
    async fn publish(&self) -> Result<(), Problem> {
        let Some(topic) = self.action.topic() else {
            return Err(Problem::other("it came over no topic"));
        };
        let message = self
            .state
            .write(&self.action.message.text)
            .map_err(|error| Problem::other(format!("write the message: {error}")))?;
        let subject = format!("Ebb: hop {} for {}", self.state.hop + 1, self.action.instance_id);
        Ok(self.clients.topics.publish(topic, &subject, &message).await?)
    }

    /// The clusters in which the container instances are.
    fn clusters(&self) -> Vec<Cluster> {
        let found = self.state.container_instances.iter();
        let clusters: BTreeSet<_> = found.map(|(cluster, _)| cluster.clone()).collect();
        clusters.into_iter().collect()
    }

    /// The name of the cluster where it was found; of the first, should there be several.
    fn cluster(&self) -> Option<&str> {
        let mut found = self.state.container_instances.iter();
        found.next().map(|(cluster, _)| cluster.name())
    }

    fn drain(&self) -> Drain<'_> {
        let Self { clients, settings, action, ref state, ref search, clock, .. } = *self;
        Drain { clients, settings, action, state, search, clock }
    }

    fn outcome(&self, kind: OutcomeKind, why: String, known: Option<&Observation>) -> Outcome {
        Outcome {
            instance_id: Some(self.action.instance_id.clone()),
            outcome: kind,
            cluster: self.cluster().map(str::to_owned),
            reason: Some(why),
            tasks_left: known.and_then(Observation::tasks_left),
            hop: Some(self.state.hop),
        }
    }
}

/// What a step completes the action with, if it does.
fn completion_of(decision: &Decision) -> Option<(OutcomeKind, String)> {
    match decision {
        Decision::Complete { why } => Some((OutcomeKind::Completed, why.clone())),
        Decision::GiveUp { on_timeout: OnTimeout::Reactivate, .. } => None,
        Decision::GiveUp { why, .. } => Some((OutcomeKind::TimedOut, why.clone())),
        _ => None,
    }
}

/// The state of a drain that no hop has handled yet.
fn first_state(
    settings: &LifecycleSettings,
    action: &LifecycleAction,
    now: Timestamp,
) -> HandoffState {
    HandoffState {
        hop: 1,
        first_seen: now,
        deadline: drain_deadline(action.time, now, None, settings.drain_timeout),
        draining_since: None,
        container_instances: Vec::new(),
        search_incomplete: false,
        returning_since: None,
        action_expires: None,
        stuck_reported: false,
    }
}

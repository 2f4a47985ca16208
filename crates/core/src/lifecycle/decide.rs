//! What to do next about an instance that Auto Scaling waits to terminate, and why.
//!
//! The decision is [`decide`]: from the states of the action, the container instance and its tasks
//! to the next step. Observing them, waiting, keeping the action alive and publishing it again is
//! left to the `lifecycle-drainer`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter::Sum;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::auto_scaling::LifecycleState;
use crate::ecs::{ContainerInstanceStatus, Task};
use crate::ids::TaskArn;
use crate::lifecycle::settings::{LifecycleSettings, OnTimeout, StandaloneTasks};
use crate::words;

/// For how long what a look does not show may still be on its way: ECS and Auto Scaling answer
/// reads with what was true some seconds ago. Sources: ECS API Reference,
/// `ListContainerInstances` and `ListTasks`; EC2 Auto Scaling API Reference, welcome ("eventually
/// consistent").
pub const READ_LAG_MAX: SignedDuration = SignedDuration::from_secs(5);

/// A message younger than this may be faster than what its group says of itself.
const YOUNG_MESSAGE: SignedDuration = SignedDuration::from_secs(60);

/// For how long a hop looks again at a group that does not wait yet for what a young message
/// says: twice the lag of a read, after which the message counts as forged or stale.
const GROUP_LAG_MAX: SignedDuration = SignedDuration::from_secs(10);

/// Where the instance stands in its group. Source: EC2 Auto Scaling User Guide,
/// ec2-auto-scaling-lifecycle and warm-pool-instance-lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionState {
    /// The group waits for its hooks: the one state in which an action can be completed.
    Waiting,
    /// The group waits for its hooks before it replaces the instance's root volume. The instance
    /// stays, and comes back.
    WaitingToReplaceRootVolume,
    /// The group is about to wait.
    AboutToWait,
    /// The group waits for nothing any more: it goes on to terminate the instance, or has done so.
    /// The text is what it says.
    LetGo(String),
    /// It is in no group: gone, or never there.
    InNoGroup,
    /// The group does not wait, or not yet. The text is what it says instead.
    NotWaiting(String),
    /// The instance waits, but not for this action: it is over.
    Over,
    /// The group keeps the instance, outside its capacity, after an action that was abandoned.
    Retained(String),
}

impl ActionState {
    /// Reads an instance's `LifecycleState`, in the group that the message names. An instance of a
    /// warm pool, or on its way back to one, waits in states of its own.
    pub fn from_lifecycle_state(state: &LifecycleState) -> Self {
        match state {
            LifecycleState::TerminatingWait
            | LifecycleState::WarmedPendingWait
            | LifecycleState::WarmedTerminatingWait => Self::Waiting,
            LifecycleState::ReplacingRootVolumeWait => Self::WaitingToReplaceRootVolume,
            LifecycleState::Terminating
            | LifecycleState::WarmedPending
            | LifecycleState::WarmedTerminating
            | LifecycleState::ReplacingRootVolume => Self::AboutToWait,
            LifecycleState::TerminatingRetained
            | LifecycleState::WarmedPendingRetained
            | LifecycleState::WarmedTerminatingRetained => Self::Retained(state.to_string()),
            LifecycleState::TerminatingProceed
            | LifecycleState::Terminated
            | LifecycleState::WarmedPendingProceed
            | LifecycleState::WarmedTerminatingProceed
            | LifecycleState::WarmedTerminated
            | LifecycleState::ReplacingRootVolumeProceed => Self::LetGo(state.to_string()),
            state => Self::NotWaiting(state.to_string()),
        }
    }

    /// Whether the group waits for the drain.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting | Self::WaitingToReplaceRootVolume)
    }
}

/// Tasks on a container instance that have not stopped, by kind. A task that is stopping counts:
/// its containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TasksLeft {
    /// Tasks of replica services.
    pub service: usize,
    /// Those of them that are protected from scale-in.
    pub protected: usize,
    /// Tasks of daemon services. ECS stops them last; they hold nothing up.
    pub daemon: usize,
    /// Standalone tasks that have been told to stop.
    pub standalone_stopping: usize,
    /// Standalone tasks that have not.
    pub standalone: usize,
}

impl TasksLeft {
    /// Counts tasks by kind; `daemons` are the daemon services among theirs, `protected` the tasks
    /// that are protected.
    pub fn count(
        tasks: &[Task],
        daemons: &BTreeSet<String>,
        protected: &BTreeMap<TaskArn, Timestamp>,
    ) -> Self {
        let mut counts = Self::default();
        for task in tasks.iter().filter(|task| !task.stopped) {
            match &task.service {
                // Daemon services come first, as their tasks name a service like any other.
                Some(service) if daemons.contains(service) => counts.daemon += 1,
                Some(_) => {
                    counts.service += 1;
                    counts.protected += usize::from(protected.contains_key(&task.arn));
                }
                None if task.told_to_stop => counts.standalone_stopping += 1,
                None => counts.standalone += 1,
            }
        }
        counts
    }

    /// How many of them are waited for.
    pub fn holding(&self, policy: StandaloneTasks) -> usize {
        match policy {
            StandaloneTasks::Wait | StandaloneTasks::Stop => {
                // Daemon tasks never count: ECS stops them last, so that waiting for them would
                // hold up every drain (ECS Developer Guide, managed-instance-draining).
                self.service + self.standalone_stopping + self.standalone
            }
            StandaloneTasks::Ignore => self.service,
        }
    }
}

impl Sum for TasksLeft {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, next| Self {
            service: sum.service + next.service,
            protected: sum.protected + next.protected,
            daemon: sum.daemon + next.daemon,
            standalone_stopping: sum.standalone_stopping + next.standalone_stopping,
            standalone: sum.standalone + next.standalone,
        })
    }
}

/// `2 service tasks (1 protected), 1 standalone task and 1 daemon task left`. Kinds of which there
/// is none are left out.
impl fmt::Display for TasksLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = Vec::new();
        match (self.service, self.protected) {
            (0, _) => {}
            (service, 0) => kinds.push(words::count(service, "service task")),
            (service, protected) => kinds
                .push(format!("{} ({protected} protected)", words::count(service, "service task"))),
        }
        let standalone = self.standalone + self.standalone_stopping;
        if standalone > 0 {
            kinds.push(words::count(standalone, "standalone task"));
        }
        if self.daemon > 0 {
            kinds.push(words::count(self.daemon, "daemon task"));
        }
        if kinds.is_empty() {
            return f.write_str("no tasks left");
        }
        write!(f, "{} left", words::list(&kinds))
    }
}

/// How far the drain of an EC2 instance has come. It may have several container instances: an
/// agent that lost its state registers anew, in the same cluster or in another
/// (amazon-ecs-agent#782, containers-roadmap#1901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainProgress {
    /// Every cluster was looked through and none has it. A look-up that failed must not be passed
    /// as this.
    NotInCluster,
    /// Its container instances are in this status, see [`DrainProgress::of_statuses`]; their tasks
    /// were not counted.
    Status(ContainerInstanceStatus),
    /// It is DRAINING, with these tasks left on all its container instances.
    Draining(TasksLeft),
}

impl DrainProgress {
    /// The progress of an EC2 instance whose container instances are in these statuses: that of
    /// the one that is furthest from its end, as the drain ends with the last of them.
    pub fn of_statuses<'a>(
        statuses: impl IntoIterator<Item = &'a ContainerInstanceStatus>,
    ) -> Self {
        let slowest = statuses.into_iter().min_by_key(|status| match status {
            ContainerInstanceStatus::Active => 0,
            ContainerInstanceStatus::Registering | ContainerInstanceStatus::Other(_) => 1,
            ContainerInstanceStatus::Draining => 2,
            ContainerInstanceStatus::Deregistering
            | ContainerInstanceStatus::Inactive
            | ContainerInstanceStatus::RegistrationFailed => 3,
        });
        slowest.map_or(Self::NotInCluster, |status| Self::Status(status.clone()))
    }

    /// Whether nothing is left that the drain waits for.
    pub fn is_over(&self, policy: StandaloneTasks) -> bool {
        match self {
            Self::NotInCluster
            | Self::Status(
                ContainerInstanceStatus::Deregistering
                | ContainerInstanceStatus::Inactive
                | ContainerInstanceStatus::RegistrationFailed,
            ) => true,
            Self::Status(_) => false,
            Self::Draining(tasks_left) => tasks_left.holding(policy) == 0,
        }
    }
}

/// What the looks of a hop have shown so far. A single one may be wrong by some seconds, so that
/// nothing is ended by it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// When the hop looked first.
    pub first_look: Timestamp,
    /// When Auto Scaling sent the message; `None` if that is not known.
    pub message_time: Option<Timestamp>,
    /// Whether a cluster could not be searched: more container instances may be in it.
    pub search_incomplete: bool,
    /// Whether tasks that are waited for have been seen: what was seen and has gone is no error of
    /// a single look.
    pub tasks_seen: bool,
    /// Since when every look has found nothing to wait for; `None` if the last one found
    /// something.
    pub nothing_since: Option<Timestamp>,
}

impl Evidence {
    /// Whether it is certain that nothing is left. Tasks that were seen and have stopped are no
    /// error of a single look; that no container instance is there may be, however many tasks were
    /// seen: the agent may have registered anew.
    fn confirms_end(&self, progress: &DrainProgress, now: Timestamp) -> bool {
        let tasks_stopped = self.tasks_seen && matches!(progress, DrainProgress::Draining(_));
        let is_certain =
            tasks_stopped || self.nothing_since.is_some_and(|since| now >= since + READ_LAG_MAX);
        is_certain && !self.search_incomplete
    }

    /// Whether a group that does not wait may not know yet what the message says.
    fn group_may_lag(&self, now: Timestamp) -> bool {
        let is_young = self
            .message_time
            .is_none_or(|time| self.first_look.duration_since(time) < YOUNG_MESSAGE);
        is_young && now < self.first_look + GROUP_LAG_MAX
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The action is not ours to touch: nothing is done.
    Ignore {
        /// Why.
        why: String,
    },
    /// Set the container instance to DRAINING.
    StartDrain,
    /// Tell the standalone tasks to stop.
    StopStandaloneTasks,
    /// Count the tasks that are left.
    CountTasks,
    /// Observe again within seconds: a single look does not end anything.
    LookAgain {
        /// What it showed.
        why: String,
    },
    /// Wait, and observe again.
    Wait {
        /// For what.
        why: String,
    },
    /// Complete the action with CONTINUE.
    Complete {
        /// Why.
        why: String,
    },
    /// The deadline has passed: do what the operator chose.
    GiveUp {
        /// What that is.
        on_timeout: OnTimeout,
        /// What was left.
        why: String,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignore { why } => write!(f, "ignore it: {why}"),
            Self::StartDrain => f.write_str("set its container instance to DRAINING"),
            Self::StopStandaloneTasks => f.write_str("tell its standalone tasks to stop"),
            Self::CountTasks => f.write_str("count its tasks"),
            Self::LookAgain { why } => write!(f, "look again: {why}"),
            Self::Wait { why } => write!(f, "wait: {why}"),
            Self::Complete { why } => write!(f, "complete its action: {why}"),
            Self::GiveUp { why, .. } => write!(f, "give up: {why}"),
        }
    }
}

/// Decides the next step for an instance whose group is in state `action`, whose container
/// instances were observed as `progress`, and whose drain must end by `deadline`. The first rule
/// that applies decides.
pub fn decide(
    action: &ActionState,
    progress: &DrainProgress,
    evidence: &Evidence,
    settings: &LifecycleSettings,
    deadline: Timestamp,
    now: Timestamp,
) -> Decision {
    // 1. The group must wait for the instance: a message may be stale or forged, and must not drain
    //    a healthy instance.
    if let Some(decision) = decide_by_group(action, evidence, deadline, now) {
        return decision;
    }
    let is_over = progress.is_over(settings.standalone_tasks);
    match progress {
        // 2. A drain that is over completes the action, even if it is late.
        progress if is_over && evidence.confirms_end(progress, now) => {
            Decision::Complete { why: describe_end(progress) }
        }
        // 3. Whether it is over is found out before anything is given up.
        DrainProgress::Status(ContainerInstanceStatus::Draining) => Decision::CountTasks,
        progress if is_over && now < deadline + READ_LAG_MAX => {
            Decision::LookAgain { why: describe_end(progress) }
        }
        // 4. At the deadline the operator's choice is carried out.
        progress if now >= deadline => {
            Decision::GiveUp { on_timeout: settings.on_timeout, why: describe_progress(progress) }
        }
        // 5. Until then the drain goes on. Only an ACTIVE container instance can be set to DRAINING
        //    (ECS API, UpdateContainerInstancesState), so any other is waited for.
        DrainProgress::Status(ContainerInstanceStatus::Active) => Decision::StartDrain,
        DrainProgress::Draining(tasks_left) if must_stop_standalone_tasks(tasks_left, settings) => {
            Decision::StopStandaloneTasks
        }
        progress => Decision::Wait { why: describe_progress(progress) },
    }
}

/// Ignores a message, unless it may be faster than what its group says.
fn ignore_unless_young(why: String, evidence: &Evidence, now: Timestamp) -> Decision {
    if evidence.group_may_lag(now) { Decision::LookAgain { why } } else { Decision::Ignore { why } }
}

/// What to do if the group does not wait, or not yet.
fn decide_by_group(
    action: &ActionState,
    evidence: &Evidence,
    deadline: Timestamp,
    now: Timestamp,
) -> Option<Decision> {
    match action {
        ActionState::Waiting | ActionState::WaitingToReplaceRootVolume => None,
        // The message may be faster than the group; soon it waits, and the action can be completed.
        ActionState::AboutToWait if now < deadline => {
            Some(Decision::Wait { why: "the group is about to wait".to_owned() })
        }
        // Nothing is given up here: an action that does not wait cannot be completed.
        ActionState::AboutToWait => {
            Some(Decision::Ignore { why: "its group never came to wait for it".to_owned() })
        }
        ActionState::LetGo(state) | ActionState::NotWaiting(state) => {
            let why = format!("its group does not wait to terminate it: it is {state}");
            Some(ignore_unless_young(why, evidence, now))
        }
        ActionState::InNoGroup => {
            let why = "its group does not wait to terminate it: it is in no group".to_owned();
            Some(ignore_unless_young(why, evidence, now))
        }
        ActionState::Over => {
            Some(ignore_unless_young("the action is over".to_owned(), evidence, now))
        }
        ActionState::Retained(state) => Some(Decision::Ignore {
            why: format!("its group retains it, {state}, until somebody terminates it there"),
        }),
    }
}

/// Why nothing is waited for. Tasks may be left all the same: those of daemon services end with the
/// instance, and standalone ones may be ignored.
fn describe_end(progress: &DrainProgress) -> String {
    match progress {
        DrainProgress::Draining(tasks_left) if *tasks_left == TasksLeft::default() => {
            "its tasks have stopped".to_owned()
        }
        DrainProgress::Draining(tasks_left) => {
            format!("its tasks that are waited for have stopped: {tasks_left}")
        }
        progress => describe_progress(progress),
    }
}

/// How far the drain has come.
fn describe_progress(progress: &DrainProgress) -> String {
    match progress {
        DrainProgress::NotInCluster => "no cluster has a container instance on it".to_owned(),
        DrainProgress::Status(ContainerInstanceStatus::Active) => {
            "its drain never began".to_owned()
        }
        DrainProgress::Status(status) => format!("its container instance is {status}"),
        DrainProgress::Draining(tasks_left) => tasks_left.to_string(),
    }
}

/// Those that have been told to stop are not told again: they are waited for.
fn must_stop_standalone_tasks(tasks_left: &TasksLeft, settings: &LifecycleSettings) -> bool {
    settings.standalone_tasks == StandaloneTasks::Stop && tasks_left.standalone > 0
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn draining(
        service: usize,
        daemon: usize,
        standalone_stopping: usize,
        standalone: usize,
    ) -> DrainProgress {
        DrainProgress::Draining(TasksLeft {
            service,
            daemon,
            standalone_stopping,
            standalone,
            protected: 0,
        })
    }

    /// Evidence that leaves no doubt.
    fn certain() -> Evidence {
        Evidence {
            first_look: NOW,
            message_time: Some(NOW - SignedDuration::from_hours(1)),
            search_incomplete: false,
            tasks_seen: true,
            nothing_since: Some(NOW - SignedDuration::from_hours(1)),
        }
    }

    fn every_progress() -> Vec<(String, DrainProgress)> {
        let statuses = [
            "REGISTERING",
            "REGISTRATION_FAILED",
            "ACTIVE",
            "DRAINING",
            "DEREGISTERING",
            "INACTIVE",
            "NEW_WORD",
        ];
        let mut progresses = vec![("in no cluster".to_owned(), DrainProgress::NotInCluster)];
        progresses
            .extend(statuses.map(|word| (word.to_owned(), DrainProgress::Status(word.into()))));
        progresses.extend([
            ("no task left".to_owned(), draining(0, 0, 0, 0)),
            ("a daemon task left".to_owned(), draining(0, 1, 0, 0)),
            ("a service task left".to_owned(), draining(1, 1, 0, 0)),
            ("a standalone task left".to_owned(), draining(0, 0, 0, 1)),
            ("a standalone task stopping".to_owned(), draining(0, 0, 1, 0)),
        ]);
        progresses
    }

    fn word(decision: &Decision) -> String {
        match decision {
            Decision::Ignore { .. } => "ignore".to_owned(),
            Decision::StartDrain => "start drain".to_owned(),
            Decision::StopStandaloneTasks => "stop standalone tasks".to_owned(),
            Decision::CountTasks => "count tasks".to_owned(),
            Decision::LookAgain { .. } => "look again".to_owned(),
            Decision::Wait { .. } => "wait".to_owned(),
            Decision::Complete { .. } => "complete".to_owned(),
            Decision::GiveUp { on_timeout, .. } => {
                format!("give up: {on_timeout:?}").to_lowercase()
            }
        }
    }

    fn settings(standalone_tasks: StandaloneTasks, on_timeout: OnTimeout) -> LifecycleSettings {
        LifecycleSettings { standalone_tasks, on_timeout, ..LifecycleSettings::default() }
    }

    fn decided(
        progress: &DrainProgress,
        evidence: &Evidence,
        settings: &LifecycleSettings,
        deadline: Timestamp,
    ) -> Decision {
        decide(&ActionState::Waiting, progress, evidence, settings, deadline, NOW)
    }

    #[test]
    fn every_combination_of_observations_has_its_decision() {
        use StandaloneTasks::{Ignore, Stop, Wait};
        let mut lines = Vec::new();
        for (name, progress) in every_progress() {
            for policy in [Wait, Stop, Ignore] {
                let settings = settings(policy, OnTimeout::Continue);
                let [before, after] = [NOW + SignedDuration::from_secs(1), NOW]
                    .map(|deadline| word(&decided(&progress, &certain(), &settings, deadline)));
                lines.push(format!(
                    "{name}, standalone {policy:?}: {before}; at the deadline: {after}"
                ));
            }
        }
        // Where the policy makes no difference one line says it.
        lines.dedup_by_key(|line| {
            line.replace("Wait", "*").replace("Stop:", "*:").replace("Ignore", "*")
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        in no cluster, standalone Wait: complete; at the deadline: complete
        REGISTERING, standalone Wait: wait; at the deadline: give up: continue
        REGISTRATION_FAILED, standalone Wait: complete; at the deadline: complete
        ACTIVE, standalone Wait: start drain; at the deadline: give up: continue
        DRAINING, standalone Wait: count tasks; at the deadline: count tasks
        DEREGISTERING, standalone Wait: complete; at the deadline: complete
        INACTIVE, standalone Wait: complete; at the deadline: complete
        NEW_WORD, standalone Wait: wait; at the deadline: give up: continue
        no task left, standalone Wait: complete; at the deadline: complete
        a daemon task left, standalone Wait: complete; at the deadline: complete
        a service task left, standalone Wait: wait; at the deadline: give up: continue
        a standalone task left, standalone Wait: wait; at the deadline: give up: continue
        a standalone task left, standalone Stop: stop standalone tasks; at the deadline: give up: continue
        a standalone task left, standalone Ignore: complete; at the deadline: complete
        a standalone task stopping, standalone Wait: wait; at the deadline: give up: continue
        a standalone task stopping, standalone Ignore: complete; at the deadline: complete
        ");
    }

    fn action_state(lifecycle_state: &str) -> ActionState {
        ActionState::from_lifecycle_state(&lifecycle_state.into())
    }

    #[test]
    fn nothing_is_done_about_an_instance_that_its_group_does_not_wait_for() {
        for state in [
            "InService",
            "Terminating:Proceed",
            "Terminating:Retained",
            "Warmed:Terminating:Retained",
            "Terminated",
            "Standby",
            "Pending:Wait",
            "NewWord",
        ] {
            for (name, progress) in every_progress() {
                let settings = settings(StandaloneTasks::Stop, OnTimeout::Abandon);
                let decided =
                    decide(&action_state(state), &progress, &certain(), &settings, NOW, NOW);
                assert!(matches!(decided, Decision::Ignore { .. }), "{state}, {name}: {decided:?}");
            }
        }
    }

    #[test]
    fn every_state_in_which_a_group_waits_for_its_hooks_is_waited_for() {
        for state in ["Terminating:Wait", "Warmed:Pending:Wait", "Warmed:Terminating:Wait"] {
            assert_eq!(action_state(state), ActionState::Waiting, "{state}");
        }
        for state in ["Terminating:Proceed", "Terminated", "Warmed:Pending:Proceed"] {
            assert_eq!(action_state(state), ActionState::LetGo(state.to_owned()));
        }
        let replacing = action_state("ReplacingRootVolume:Wait");
        assert_eq!(replacing, ActionState::WaitingToReplaceRootVolume);
        for state in ["Terminating", "Warmed:Pending", "Warmed:Terminating", "ReplacingRootVolume"]
        {
            assert_eq!(action_state(state), ActionState::AboutToWait, "{state}");
        }
    }

    #[test]
    fn a_retained_instance_is_left_alone_and_called_so() {
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        let state = action_state("Terminating:Retained");
        let decided = decide(&state, &draining(1, 0, 0, 0), &certain(), &settings, NOW, NOW);
        assert_eq!(
            decided.to_string(),
            "ignore it: its group retains it, Terminating:Retained, until somebody terminates it \
             there"
        );
    }

    #[test]
    fn nothing_is_ended_by_a_single_look_that_shows_nothing() {
        let later = NOW + SignedDuration::from_hours(1);
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        let nothing_for = |seconds| Evidence {
            tasks_seen: false,
            nothing_since: Some(NOW - SignedDuration::from_secs(seconds)),
            ..certain()
        };
        let inactive = DrainProgress::Status(ContainerInstanceStatus::Inactive);
        for progress in [DrainProgress::NotInCluster, inactive, draining(0, 1, 0, 0)] {
            let at_once = word(&decided(&progress, &nothing_for(0), &settings, later));
            assert_eq!(at_once, "look again", "{progress:?}");
            let confirmed = word(&decided(&progress, &nothing_for(5), &settings, later));
            assert_eq!(confirmed, "complete", "{progress:?}");
            // Also where the deadline has passed meanwhile.
            let at_deadline = word(&decided(&progress, &nothing_for(0), &settings, NOW));
            assert_eq!(at_deadline, "look again", "{progress:?}");
        }
    }

    #[test]
    fn a_cluster_that_was_not_searched_forbids_the_end_until_the_deadline() {
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        let evidence = Evidence { search_incomplete: true, ..certain() };
        let over = draining(0, 0, 0, 0);
        let [before, long_after] = [SignedDuration::from_secs(1), SignedDuration::from_secs(-5)]
            .map(|until| word(&decided(&over, &evidence, &settings, NOW + until)));
        assert_eq!([before.as_str(), long_after.as_str()], ["look again", "give up: continue"]);
    }

    #[test]
    fn a_group_that_lags_behind_a_young_message_is_looked_at_again() {
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        let word_after = |message_age, since_first_look| {
            let evidence = Evidence {
                first_look: NOW - SignedDuration::from_secs(since_first_look),
                message_time: Some(NOW - SignedDuration::from_secs(message_age)),
                ..certain()
            };
            let in_service = action_state("InService");
            let progress = DrainProgress::NotInCluster;
            word(&decide(&in_service, &progress, &evidence, &settings, NOW, NOW))
        };
        assert_eq!(word_after(1, 0), "look again");
        assert_eq!(word_after(12, 10), "ignore", "after ten seconds of looks");
        assert_eq!(word_after(90, 0), "ignore", "the message is old: its group has known for long");
    }

    #[test]
    fn the_container_instance_that_is_furthest_from_its_end_decides() {
        use ContainerInstanceStatus::{Active, Draining, Inactive, Registering};
        let progress = |statuses: &[ContainerInstanceStatus]| DrainProgress::of_statuses(statuses);
        assert_eq!(progress(&[]), DrainProgress::NotInCluster);
        assert_eq!(progress(&[Draining, Active]), DrainProgress::Status(Active));
        assert_eq!(progress(&[Inactive, Draining]), DrainProgress::Status(Draining));
        assert_eq!(progress(&[Draining, Registering]), DrainProgress::Status(Registering));
        assert_eq!(progress(&[Inactive]), DrainProgress::Status(Inactive));
    }

    fn task(number: u8, service: Option<&str>, told_to_stop: bool, stopped: bool) -> Task {
        Task {
            arn: TaskArn::new(number.to_string()),
            service: service.map(str::to_owned),
            told_to_stop,
            stopping_at: None,
            deactivating: false,
            stopped,
            stopped_at: None,
            needs: None,
        }
    }

    #[test]
    fn tasks_are_counted_by_kind_until_they_have_stopped() {
        let tasks = [
            task(1, Some("web"), false, false),
            task(2, Some("web"), true, false),
            task(3, Some("web"), true, true),
            task(4, Some("logs"), false, false),
            task(5, None, false, false),
            task(6, None, true, false),
        ];
        let protected = BTreeMap::from([(TaskArn::new("2"), NOW), (TaskArn::new("3"), NOW)]);
        let tasks_left = TasksLeft::count(&tasks, &BTreeSet::from(["logs".to_owned()]), &protected);

        let expected = TasksLeft {
            service: 2,
            protected: 1,
            daemon: 1,
            standalone_stopping: 1,
            standalone: 1,
        };
        assert_eq!(tasks_left, expected);
        assert_eq!(
            tasks_left.to_string(),
            "2 service tasks (1 protected), 2 standalone tasks and 1 daemon task left"
        );
    }

    #[test]
    fn what_is_left_is_a_sentence_with_the_kinds_that_there_are() {
        assert_eq!(TasksLeft::default().to_string(), "no tasks left");
        let tasks_left = TasksLeft { service: 1, daemon: 2, ..TasksLeft::default() };
        assert_eq!(tasks_left.to_string(), "1 service task and 2 daemon tasks left");
        let tasks_left = TasksLeft { standalone: 1, ..TasksLeft::default() };
        assert_eq!(tasks_left.to_string(), "1 standalone task left");
    }

    fn complete_text(progress: DrainProgress) -> String {
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        decided(&progress, &certain(), &settings, NOW).to_string()
    }

    #[test]
    fn a_drain_that_is_over_says_what_it_did_not_wait_for() {
        assert_eq!(
            complete_text(draining(0, 0, 0, 0)),
            "complete its action: its tasks have stopped"
        );
        assert_eq!(
            complete_text(draining(0, 1, 0, 0)),
            "complete its action: its tasks that are waited for have stopped: 1 daemon task left"
        );
    }

    #[test]
    fn the_operator_chooses_what_happens_at_the_deadline() {
        for on_timeout in OnTimeout::ALL {
            let settings = settings(StandaloneTasks::Wait, on_timeout);
            let decided = decided(&draining(1, 0, 0, 0), &certain(), &settings, NOW);
            let why = "1 service task left".to_owned();
            assert_eq!(decided, Decision::GiveUp { on_timeout, why });
        }
    }

    #[test]
    fn a_group_that_is_about_to_wait_is_waited_for_until_the_deadline_and_never_completed() {
        let settings = settings(StandaloneTasks::Wait, OnTimeout::Continue);
        for state in ["Terminating", "Terminating:Wait", "ReplacingRootVolume"] {
            let word_at = |seconds: i64| {
                let deadline = NOW - SignedDuration::from_secs(seconds);
                let progress = draining(1, 0, 0, 0);
                word(&decide(&action_state(state), &progress, &certain(), &settings, deadline, NOW))
            };
            let [before, at, after] = [-1, 0, 1].map(word_at);
            if action_state(state).is_waiting() {
                assert_eq!([before, at, after], ["wait", "give up: continue", "give up: continue"]);
            } else {
                assert_eq!([before, at, after], ["wait", "ignore", "ignore"], "{state}");
            }
        }
        let waiting = ["Terminating:Wait", "Terminating", "InService"].map(action_state);
        assert_eq!(waiting.map(|state| state.is_waiting()), [true, false, false]);
    }

    #[test]
    fn the_tasks_on_all_its_container_instances_are_left() {
        let tasks = |service, protected, daemon, standalone_stopping, standalone| TasksLeft {
            service,
            protected,
            daemon,
            standalone_stopping,
            standalone,
        };
        let on_each = [tasks(1, 2, 3, 4, 5), tasks(20, 30, 40, 50, 60), tasks(100, 0, 0, 0, 0)];
        let sum: TasksLeft = on_each.into_iter().sum();
        assert_eq!(sum, tasks(121, 32, 43, 54, 65));
    }
}

//! How a sweep follows up what an earlier one drained, and how a drain is taken back. What becomes
//! of each is decided by `ebb_core::reaper::follow_up`.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_aws::{AwsError, AwsErrorKind, Problem, Termination};
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::mark::{DRAINED_BY, Mark};
use ebb_core::reaper::follow_up::FollowUp;
use ebb_core::reaper::planned::would_follow_up;
use ebb_core::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use ebb_core::reaper::replace::decide::is_replaced;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::sustained::{LOW_SINCE, TAKEN_BACK};
use ebb_core::reaper::termination::{AfterFailure, after_failure};
use ebb_core::reaper::{OutcomeKind, RemovalOutcome};
use ebb_planner::{EMPTIED_ATTRIBUTE, Instance, Inventory};
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::warn;

use crate::sweep::Sweep;

/// How long a termination that failed is waited for before the look that says whether it took
/// effect, for each time that it failed: a call that timed out may still be under way.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What became of an instance whose drain was to be taken back.
enum TakenBack {
    /// It is ACTIVE.
    Active,
    /// Its group terminates it, so it stays DRAINING.
    Terminating,
    /// It is not known whether it is ACTIVE. The text says why.
    Unknown(AwsError),
}

impl Sweep<'_> {
    /// The groups among these whose hooks hold an instance until it is empty. Each is asked once a
    /// sweep.
    pub(crate) async fn holding_groups(
        &self,
        groups: BTreeSet<GroupName>,
    ) -> Result<BTreeSet<GroupName>, Problem> {
        let mut known = self.holding_groups.lock().await;
        let mut holding = BTreeSet::new();
        for group in groups {
            let holds = match known.get(&group) {
                Some(&holds) => holds,
                None => {
                    let topic = self.settings.lifecycle_topic.as_ref();
                    let hooks = self.clients.auto_scaling.lifecycle_hooks(&group).await?;
                    hooks.iter().any(|hook| hook.holds_until_empty(topic))
                }
            };
            // Only answers are remembered: a failure has returned above, and the group is asked
            // again.
            known.insert(group.clone(), holds);
            if holds {
                holding.insert(group);
            }
        }
        Ok(holding)
    }

    /// Carries out what was decided about earlier drains, and says whether load has come back.
    pub(crate) async fn carry_out_follow_ups(
        &self,
        inventory: &Inventory,
        follow_ups: Vec<(usize, FollowUp)>,
    ) -> (Vec<RemovalOutcome>, bool) {
        let (mut outcomes, mut load_is_back) = (Vec::new(), false);
        for (index, decision) in follow_ups {
            let instance = &inventory.instances[index];
            load_is_back |= matches!(&decision, FollowUp::Reactivate { load: true, .. });
            outcomes.push(if self.mode == ReaperMode::Plan || !self.has_time() {
                would_follow_up(instance, &decision)
            } else {
                self.carry_out(&inventory.cluster, instance, decision).await
            });
        }
        (outcomes, load_is_back)
    }

    async fn carry_out(
        &self,
        cluster: &Cluster,
        instance: &Instance,
        decision: FollowUp,
    ) -> RemovalOutcome {
        let id = &instance.instance_id;
        match decision {
            FollowUp::LeaveAlone(why) | FollowUp::Wait(why) => {
                outcome(id, OutcomeKind::Waiting, why)
            }
            FollowUp::NoteEmptied(why) => self.note_emptied(cluster, instance, why).await,
            FollowUp::Terminate(why) => self.terminate(cluster, instance, why).await,
            FollowUp::Reactivate { why, load: false } => {
                self.reactivate(cluster, instance, &why).await
            }
            FollowUp::Reactivate { why, load: true } => {
                let outcome = self.reactivate(cluster, instance, &why).await;
                self.forget_emptied(cluster, instance).await;
                outcome
            }
            // It was well drained: others of its group need not rest for it.
            FollowUp::ReturnSpare(why) => {
                let taken_back = self.take_back(cluster, instance).await;
                self.forget_emptied(cluster, instance).await;
                after_reactivation(id, &why, taken_back)
            }
            FollowUp::Unmark(why) => match self.unmark(cluster, instance).await {
                Ok(()) => outcome(id, OutcomeKind::Reactivated, why),
                Err(error) => outcome(id, outcome_kind(&error), Problem::from(error).text),
            },
        }
    }

    async fn reactivate(
        &self,
        cluster: &Cluster,
        instance: &Instance,
        why: &str,
    ) -> RemovalOutcome {
        let taken_back = self.take_back(cluster, instance).await;
        if matches!(taken_back, TakenBack::Active) {
            self.note_taken_back(cluster, instance).await;
            if is_replaced(instance) {
                self.give_up_replacing(cluster, instance).await;
            }
        }
        after_reactivation(&instance.instance_id, why, taken_back)
    }

    /// Notes on an instance that a sweep's drain of it was taken back, and that it could not go any
    /// more. Where that fails, it may go sooner again.
    async fn note_taken_back(&self, cluster: &Cluster, instance: &Instance) {
        // What outlived a notice says nothing about the load.
        if Mark::among(&instance.attributes).is_none_or(|mark| mark.cause.is_some()) {
            return;
        }
        let now = self.clock.now();
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let values = [(&instance.arn, now.to_string())];
        let arns = std::slice::from_ref(&instance.arn);
        let noted = async {
            if !self.settings.hold_after_take_back.is_zero() {
                self.clients.ecs.put_attribute(cluster, TAKEN_BACK, &values).await?;
            }
            if instance.attributes.contains_key(LOW_SINCE) {
                self.clients.ecs.delete_attribute(cluster, LOW_SINCE, arns).await?;
            }
            Ok::<(), AwsError>(())
        };
        if let Err(error) = noted.await {
            let cause = Problem::from(error).text;
            warn!("{} may be drained again before long: {cause}", instance.instance_id);
        }
    }

    /// Notes that an instance is not replaced after all: its drain would likely end so again.
    async fn give_up_replacing(&self, cluster: &Cluster, instance: &Instance) {
        let claim = Claim::Failed { since: self.clock.now() };
        let values = [(&instance.arn, claim.to_string())];
        let noted = self.clients.ecs.put_attribute(cluster, REPLACING_ATTRIBUTE, &values);
        if let Err(error) = noted.await {
            let cause = Problem::from(error).text;
            warn!("A later sweep replaces {} again: {cause}", instance.instance_id);
        }
    }

    /// Removes the note that an instance was empty: nothing that ECS did is amiss, so that it may go
    /// again as soon as a plan has it so.
    async fn forget_emptied(&self, cluster: &Cluster, instance: &Instance) {
        if instance.emptied_at().is_none() {
            return;
        }
        let arns = std::slice::from_ref(&instance.arn);
        let forgotten = self.clients.ecs.delete_attribute(cluster, EMPTIED_ATTRIBUTE, arns);
        if let Err(error) = forgotten.await {
            let cause = Problem::from(error).text;
            warn!("{} is kept for a day: {cause}", instance.instance_id);
        }
    }

    /// Notes on a drained instance that it has no tasks any more. If that fails, the next sweep does.
    async fn note_emptied(
        &self,
        cluster: &Cluster,
        instance: &Instance,
        why: String,
    ) -> RemovalOutcome {
        // Whole seconds, within the characters that ECS allows.
        let now = self.clock.now();
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let values = [(&instance.arn, now.to_string())];
        let id = &instance.instance_id;
        match self.clients.ecs.put_attribute(cluster, EMPTIED_ATTRIBUTE, &values).await {
            Ok(()) => outcome(id, OutcomeKind::Waiting, why),
            Err(error) => outcome(id, outcome_kind(&error), Problem::from(error).text),
        }
    }

    /// Has the group terminate a DRAINING instance. If it does not, the drain is taken back: no
    /// instance stays DRAINING for a termination that was refused.
    pub(crate) async fn terminate(
        &self,
        cluster: &Cluster,
        instance: &Instance,
        why: String,
    ) -> RemovalOutcome {
        let id = &instance.instance_id;
        let mut attempts = 0;
        let (outcome, reason) = loop {
            attempts += 1;
            let (kind, reason) = match self.clients.auto_scaling.terminate(id).await {
                Ok(Termination::Accepted) => return outcome(id, OutcomeKind::Terminating, why),
                Ok(Termination::BelowMinimum(message)) => {
                    break (OutcomeKind::BelowMinimum, message);
                }
                Ok(Termination::NotManaged(message)) => break (OutcomeKind::NotManaged, message),
                Ok(Termination::ScalingActivityInProgress(message)) => {
                    break (OutcomeKind::ScalingActivityInProgress, message);
                }
                Ok(Termination::ResourceContention(message)) => {
                    (OutcomeKind::ResourceContention, message)
                }
                Err(error) => (outcome_kind(&error), Problem::from(error).text),
            };
            // A call that failed may have taken effect, so that none follows without a look.
            match self.look_after_failure(id, attempts).await {
                AfterFailure::TryAgain if kind != OutcomeKind::Denied && self.has_time() => {}
                AfterFailure::TryAgain | AfterFailure::Terminating | AfterFailure::GiveUp => {
                    break (kind, reason);
                }
            }
        };
        let taken_back = self.take_back(cluster, instance).await;
        let outcome = if matches!(taken_back, TakenBack::Terminating) {
            OutcomeKind::Terminating
        } else {
            outcome
        };
        after_roll_back(id, outcome, &reason, taken_back)
    }

    /// Looks where an instance stands in its group once a termination of it has failed so often. A
    /// look that fails says nothing, so that nothing is tried again after it.
    async fn look_after_failure(&self, id: &InstanceId, attempts: u32) -> AfterFailure {
        sleep(PAUSE_AFTER_FAILURE * attempts).await;
        match self.clients.auto_scaling.lifecycle_state(id).await {
            Ok(found) => after_failure(found.as_ref().map(|(_, state)| state), attempts),
            Err(_) => AfterFailure::GiveUp,
        }
    }

    /// Takes a drain back that is ours: sets the instance to ACTIVE, and then removes the mark. One
    /// that its group terminates by now stays as it is; if that cannot be looked up, the next sweep
    /// sees to it.
    pub(crate) async fn roll_back(
        &self,
        cluster: &Cluster,
        instance: &Instance,
        outcome: OutcomeKind,
        reason: &str,
    ) -> RemovalOutcome {
        let taken_back = self.take_back(cluster, instance).await;
        after_roll_back(&instance.instance_id, outcome, reason, taken_back)
    }

    async fn take_back(&self, cluster: &Cluster, instance: &Instance) -> TakenBack {
        // Asked first: tasks that ECS places on an instance which its group terminates would be
        // lost.
        match self.clients.auto_scaling.lifecycle_state(&instance.instance_id).await {
            Ok(Some((_, state))) if state.is_terminating() => return TakenBack::Terminating,
            Ok(_) => {}
            Err(error) => return TakenBack::Unknown(error),
        }
        // ACTIVE first, and the mark after it: a death in between leaves a mark that a later sweep
        // finds and removes. Without its mark a DRAINING instance would be nobody's.
        if let Err(error) = self.clients.ecs.set_active(cluster, &instance.arn).await {
            return TakenBack::Unknown(error);
        }
        // The mark of an ACTIVE instance does no harm: a later sweep removes it.
        let _ = self.unmark(cluster, instance).await;
        TakenBack::Active
    }

    pub(crate) async fn unmark(
        &self,
        cluster: &Cluster,
        instance: &Instance,
    ) -> Result<(), AwsError> {
        let arns = std::slice::from_ref(&instance.arn);
        self.clients.ecs.delete_attribute(cluster, DRAINED_BY, arns).await
    }
}

/// The outcome of what was to be ACTIVE again.
fn after_reactivation(id: &InstanceId, why: &str, taken_back: TakenBack) -> RemovalOutcome {
    let kind = match taken_back {
        TakenBack::Active => OutcomeKind::Reactivated,
        TakenBack::Terminating => OutcomeKind::Waiting,
        TakenBack::Unknown(ref error) => outcome_kind(error),
    };
    after_roll_back(id, kind, why, taken_back)
}

/// The outcome of what failed or was given up, with what became of the drain.
fn after_roll_back(
    id: &InstanceId,
    outcome: OutcomeKind,
    reason: &str,
    taken_back: TakenBack,
) -> RemovalOutcome {
    let (reactivated, state) = match taken_back {
        TakenBack::Active => (true, "it is ACTIVE again".to_owned()),
        TakenBack::Terminating => (false, "its group terminates it".to_owned()),
        TakenBack::Unknown(error) => (
            false,
            format!("it may be DRAINING until the next sweep: {}", Problem::from(error).text),
        ),
    };
    let detail = Some(format!("{reason}; {state}"));
    RemovalOutcome { instance_id: id.clone(), outcome, detail, reactivated }
}

pub(crate) fn outcome(
    instance_id: &InstanceId,
    kind: OutcomeKind,
    detail: String,
) -> RemovalOutcome {
    RemovalOutcome {
        instance_id: instance_id.clone(),
        outcome: kind,
        detail: Some(detail),
        reactivated: kind == OutcomeKind::Reactivated,
    }
}

pub(crate) fn outcome_kind(error: &AwsError) -> OutcomeKind {
    match error.kind {
        AwsErrorKind::Denied => OutcomeKind::Denied,
        AwsErrorKind::Throttled => OutcomeKind::Throttled,
        AwsErrorKind::NotFound => OutcomeKind::Gone,
        AwsErrorKind::QuotaReached | AwsErrorKind::Other => OutcomeKind::Failed,
    }
}

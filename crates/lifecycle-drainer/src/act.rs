//! Carries out what was decided about a drain. Every step is idempotent, and none of them waits.
//!
//! Why a step is taken is decided by `ebb_core::lifecycle::decide`.

use std::collections::BTreeMap;

use ebb_aws::{ActionResult, Completion, DrainResult, Ecs, Problem};
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::settings::OnTimeout;
use ebb_core::lifecycle::{Decision, OutcomeKind};
use tracing::info;

use crate::drain::Drain;
use crate::observation::{DrainedContainerInstance, Observation, count_tasks};
use crate::report;

/// What a step leads to.
pub(crate) enum Effect {
    /// The message is settled.
    Settled(OutcomeKind, String),
    /// As above, by somebody else: the action was over before.
    OverBefore(OutcomeKind, String),
    /// This is known now, and to be decided about next.
    Observed(Observation),
    /// This is to be looked at again within seconds.
    Doubted(String),
    /// There is nothing to do but to wait, for this.
    Waiting(String),
}

/// Takes the decided step.
pub(crate) async fn act(
    drain: Drain<'_>,
    decision: Decision,
    observation: &Observation,
) -> Result<Effect, Problem> {
    match decision {
        Decision::Ignore { why } => Ok(Effect::Settled(OutcomeKind::Ignored, why)),
        Decision::LookAgain { why } => Ok(Effect::Doubted(why)),
        // Whatever would be done next to an action that is waited for ends a dry run.
        decision if drain.settings.dry_run => Ok(Effect::Settled(
            OutcomeKind::WouldDrain,
            format!("DRY_RUN is set; next: {decision}"),
        )),
        Decision::StartDrain => start_drain(drain, observation).await.map(Effect::Observed),
        Decision::CountTasks => count_tasks(drain, observation).await.map(Effect::Observed),
        Decision::StopStandaloneTasks => {
            stop_standalone_tasks(drain, observation).await.map(Effect::Observed)
        }
        Decision::Complete { why } => {
            complete(drain, ActionResult::Continue, OutcomeKind::Completed, why).await
        }
        Decision::GiveUp { on_timeout, why } => give_up(drain, observation, on_timeout, why).await,
        Decision::Wait { why } => Ok(Effect::Waiting(why)),
    }
}

/// Sets the container instances that are ACTIVE to DRAINING. One that has left its cluster meanwhile
/// counts as INACTIVE: there is nothing left to wait for.
async fn start_drain(drain: Drain<'_>, observation: &Observation) -> Result<Observation, Problem> {
    let is_active =
        |drained: &&DrainedContainerInstance| *drained.status() == ContainerInstanceStatus::Active;
    let mut by_cluster = BTreeMap::<&Cluster, Vec<ContainerInstanceArn>>::new();
    for drained in observation.container_instances.iter().filter(is_active) {
        by_cluster.entry(drained.cluster()).or_default().push(drained.arn().clone());
    }
    let mut statuses = BTreeMap::new();
    let mut refusal = None;
    for (cluster, arns) in by_cluster {
        for batch in arns.chunks(Ecs::SET_DRAINING_MAX) {
            // Those after a failure are tried all the same.
            match drain.clients.ecs.set_draining(cluster, batch).await {
                Ok(results) => {
                    for (arn, result) in batch.iter().zip(results) {
                        match status_after(&result) {
                            Ok(status) => drop(statuses.insert(arn.clone(), status)),
                            Err(problem) => refusal = Some(problem),
                        }
                    }
                }
                Err(error) => refusal = Some(error.into()),
            }
        }
        info!("Draining {} until {}", drain.action.instance_id, drain.state.deadline);
    }
    if let Some(problem) = refusal {
        return Err(problem);
    }
    let container_instances = observation.container_instances.iter().map(|drained| {
        let status = statuses.get(drained.arn()).cloned();
        match status {
            Some(status) => drained.clone().with_status(status),
            None => drained.clone(),
        }
    });
    Ok(observation.with_container_instances(container_instances.collect()))
}

fn status_after(result: &DrainResult) -> Result<ContainerInstanceStatus, Problem> {
    match result {
        DrainResult::Draining { .. } => Ok(ContainerInstanceStatus::Draining),
        // A container instance that has left its cluster has no tasks that could be waited for.
        DrainResult::Gone(_) => Ok(ContainerInstanceStatus::Inactive),
        DrainResult::Refused(why) => {
            Err(Problem::other(format!("ECS did not set it to DRAINING: {why}")))
        }
    }
}

/// Tells the standalone tasks to stop that were not told yet. They count as stopping from then on:
/// ECS may take a moment to show it, and the next recheck comes after a pause.
async fn stop_standalone_tasks(
    drain: Drain<'_>,
    observation: &Observation,
) -> Result<Observation, Problem> {
    let mut stopped = observation.clone();
    for drained in &mut stopped.container_instances {
        let cluster = drained.cluster().clone();
        let Some(tasks) = &mut drained.tasks else { continue };
        // Services stop their own tasks, once there are replacements.
        for task in
            tasks.tasks.iter_mut().filter(|task| task.service.is_none() && !task.told_to_stop)
        {
            let reason = "Ebb: its container instance is drained";
            drain.clients.ecs.stop_task(&cluster, &task.arn, reason).await?;
            task.told_to_stop = true;
        }
    }
    Ok(stopped.with_progress_of_tasks())
}

/// Completes the action. Only the hop that does so measures the drain, so each counts once,
/// however many hops look after it.
async fn complete(
    drain: Drain<'_>,
    result: ActionResult,
    outcome: OutcomeKind,
    why: String,
) -> Result<Effect, Problem> {
    let completion = drain.clients.auto_scaling.complete(drain.action, result).await?;
    Ok(match completion {
        Completion::Completed | Completion::CompletedUnanswered => {
            report::print_drain_seconds(drain);
            Effect::Settled(outcome, why)
        }
        Completion::OverBefore => Effect::OverBefore(outcome, why),
    })
}

/// Does what the operator chose for a drain that takes too long.
async fn give_up(
    drain: Drain<'_>,
    observation: &Observation,
    on_timeout: OnTimeout,
    why: String,
) -> Result<Effect, Problem> {
    let why = format!("its deadline {} has passed: {why}", drain.state.deadline);
    match on_timeout {
        OnTimeout::Continue => {
            complete(drain, ActionResult::Continue, OutcomeKind::TimedOut, why).await
        }
        OnTimeout::Abandon => {
            complete(drain, ActionResult::Abandon, OutcomeKind::TimedOut, why).await
        }
        OnTimeout::Retain => retain(drain, why).await,
        OnTimeout::Reactivate => {
            let is_draining = |drained: &&DrainedContainerInstance| {
                *drained.status() == ContainerInstanceStatus::Draining
            };
            for drained in observation.container_instances.iter().filter(is_draining) {
                drain.clients.ecs.set_active(drained.cluster(), drained.arn()).await?;
            }
            Ok(Effect::Settled(OutcomeKind::TimedOut, why))
        }
    }
}

/// Has the group keep the instance, if it does so with one whose hook is abandoned. Where it does
/// not, ABANDON would terminate it like CONTINUE, and cancel the group's other hooks besides.
/// Source: EC2 Auto Scaling User Guide, configure-instance-retention.
async fn retain(drain: Drain<'_>, why: String) -> Result<Effect, Problem> {
    let group = &drain.action.group;
    if drain.clients.auto_scaling.group(group).await?.retains_abandoned {
        return complete(drain, ActionResult::Abandon, OutcomeKind::Retained, why).await;
    }
    let why = format!(
        "{why}; ON_TIMEOUT is retain, but group {group} retains nothing: set TerminateHookAbandon to \
         retain in its instance lifecycle policy"
    );
    complete(drain, ActionResult::Continue, OutcomeKind::TimedOut, why).await
}

//! Carries out what was decided about a drain. Every step is idempotent, and none of them waits.
//!
//! Why a step is taken is decided by `ebb_core::lifecycle::decide`.

use ebb_aws::{ActionResult, ActionStatus, DrainResult, Problem};
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::lifecycle::settings::OnTimeout;
use ebb_core::lifecycle::{Decision, DrainProgress, OutcomeKind};
use tracing::info;

use crate::diagnosis::report_holding_tasks;
use crate::drain::Drain;
use crate::observation::{Observation, count_tasks};
use crate::report;

/// What a step leads to.
pub(crate) enum Effect {
    /// The message is settled.
    Settled(OutcomeKind, String),
    /// This is known now, and to be decided about next.
    Observed(Observation),
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

/// Sets the container instance to DRAINING. One that has left its cluster meanwhile counts as
/// INACTIVE: there is nothing left to wait for.
async fn start_drain(drain: Drain<'_>, observation: &Observation) -> Result<Observation, Problem> {
    let (cluster, arn) = observation.container_instance()?;
    let results = drain.clients.ecs.set_draining(cluster, std::slice::from_ref(arn)).await;
    let status = match results?.into_iter().next() {
        Some(DrainResult::Draining) => {
            info!(
                ec2.instance_id = %drain.action.instance_id,
                ecs.cluster = cluster.name(),
                asg.name = %drain.action.group,
                "Draining {} until {}", drain.action.instance_id, drain.state.deadline
            );
            ContainerInstanceStatus::Draining
        }
        // An instance that has left its cluster has no tasks that could be waited for.
        Some(DrainResult::Gone(_)) => ContainerInstanceStatus::Inactive,
        Some(DrainResult::Refused(why)) => {
            return Err(Problem::other(format!("ECS did not set it to DRAINING: {why}")));
        }
        None => return Err(Problem::other("ECS did not say whether it is DRAINING")),
    };
    Ok(observation.with_progress(DrainProgress::Status(status)))
}

/// Tells the standalone tasks to stop that were not told yet. They count as stopping from then on:
/// ECS may take a moment to show it, and the next recheck comes after a pause.
async fn stop_standalone_tasks(
    drain: Drain<'_>,
    observation: &Observation,
) -> Result<Observation, Problem> {
    let (cluster, _) = observation.container_instance()?;
    let Some(mut tasks) = observation.tasks.clone() else { return Ok(observation.clone()) };
    // Services stop their own tasks, once there are replacements.
    for task in tasks.tasks.iter_mut().filter(|task| task.service.is_none() && !task.told_to_stop) {
        let reason = "Ebb: its container instance is drained";
        drain.clients.ecs.stop_task(cluster, &task.arn, reason).await?;
        task.told_to_stop = true;
    }
    Ok(observation.with_tasks(tasks))
}

/// Completes the action. Only the hop that does so measures the drain, so each counts once,
/// however many hops look after it.
async fn complete(
    drain: Drain<'_>,
    result: ActionResult,
    outcome: OutcomeKind,
    why: String,
) -> Result<Effect, Problem> {
    let completed = drain.clients.auto_scaling.complete(drain.action, result).await;
    Ok(match completed? {
        ActionStatus::Active => {
            report::print_drain_seconds(drain);
            Effect::Settled(outcome, why)
        }
        // A chain of hops beside this one, or the hook's time-out, was faster. That is no failure,
        // and another try would find the same.
        ActionStatus::Over => {
            Effect::Settled(outcome, format!("{why}; the action was over already"))
        }
    })
}

/// Does what the operator chose for a drain that takes too long, after telling people why it does.
async fn give_up(
    drain: Drain<'_>,
    observation: &Observation,
    on_timeout: OnTimeout,
    why: String,
) -> Result<Effect, Problem> {
    let why = format!("its deadline {} has passed: {why}", drain.state.deadline);
    // Before the action is completed: its group terminates the instance then, and its tasks cannot
    // be looked up any more.
    report_holding_tasks(drain, observation, "Ebb gives up draining").await;
    match on_timeout {
        OnTimeout::Continue => {
            complete(drain, ActionResult::Continue, OutcomeKind::TimedOut, why).await
        }
        OnTimeout::Abandon => {
            complete(drain, ActionResult::Abandon, OutcomeKind::TimedOut, why).await
        }
        OnTimeout::Reactivate => {
            let (cluster, arn) = observation.container_instance()?;
            drain.clients.ecs.set_active(cluster, arn).await?;
            Ok(Effect::Settled(OutcomeKind::TimedOut, why))
        }
    }
}

//! Finds the tasks that a hook's own time-out cut off: its heartbeats did not come, as the function
//! was throttled, had no execution or failed, and nobody else would say so.
//!
//! Whether that can be is decided by `ebb_core::lifecycle::cut_off`. What has left ECS before anybody
//! looks is not found: an unproven message is worth no search for what is gone.

use ebb_aws::Problem;
use ebb_core::ecs::{ContainerInstance, ContainerInstanceStatus};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::cut_off::{can_have_timed_out, ended_mark, is_counted};
use ebb_core::lifecycle::{ActionState, READ_LAG_MAX};
use ebb_core::notification::cause::Cause;
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::warn;

use crate::drain::Drain;
use crate::heartbeat::expiry;
use crate::observation::{DrainedContainerInstance, Observation, observe_action_state};
use crate::people::{drain_report, tell_once};
use crate::search::{MARK_ATTRIBUTE, describe_known, find_container_instances};
use crate::tasks::TaskObservation;

/// What is said of them.
pub(crate) const WHY: &str = "its hook's own time-out let it go, as no heartbeat came in time";

/// Finds what ran when an action ended by itself, `global_end` at the latest. `None` if it did not,
/// if nothing was left, or if that is counted already.
///
/// # Errors
/// If a call fails: then it is tried again.
pub(crate) async fn find(
    drain: Drain<'_>,
    global_end: Timestamp,
    known: Option<&Observation>,
) -> Result<Option<Observation>, Problem> {
    let now = drain.clock.now();
    let expires = drain.state.action_expires;
    // The usual case, and without a call: another chain of hops has completed it.
    if drain.settings.dry_run
        || expires.is_some_and(|expires| !can_have_timed_out(expires, global_end, now))
    {
        return Ok(None);
    }
    let mut keys = known.map(Observation::keys).unwrap_or_default();
    if keys.is_empty() {
        keys.clone_from(&drain.state.container_instances);
    }
    if !may_be_left(known.map(|known| &known.action_state), &keys) {
        return Ok(None);
    }
    // A hook that the group does not have is nobody's.
    let timeout = drain.clients.auto_scaling.heartbeat_timeout(drain.action).await?;
    let Some(timeout) = timeout else { return Ok(None) };
    // Of an action that was never proven all that is known is when it began.
    let began = drain.began();
    if !can_have_timed_out(expires.unwrap_or_else(|| expiry(began, timeout)), global_end, now) {
        return Ok(None);
    }
    let action_state = look_after_end(drain, known).await?;
    if !may_be_left(Some(&action_state), &keys) || action_state.is_waiting() {
        return Ok(None);
    }
    if keys.is_empty() {
        let found = find_container_instances(drain, &[], true).await?.found.into_iter();
        keys.extend(found.map(|found| (found.cluster, found.arn)));
    }
    let described = describe_known(drain, &keys).await?;
    if described.iter().any(|observed| is_counted(observed.attribute.as_deref(), began)) {
        return Ok(None);
    }
    let mut container_instances = Vec::new();
    for found in described.into_iter().map(|observed| observed.container_instance) {
        let tasks = tasks_cut_off(drain, known, &found).await?;
        container_instances.push(DrainedContainerInstance {
            tasks: Some(tasks),
            ..DrainedContainerInstance::new(found)
        });
    }
    let observation = Observation::not_waiting(action_state, None);
    let left = Observation { container_instances, ..observation }.with_progress_of_tasks();
    let is_left = !left.holding_tasks(drain.settings.standalone_tasks).is_empty();
    Ok(Some(left).filter(|_| is_left))
}

/// Whether tasks may be left where the instance stands, `None` if that was not looked at.
fn may_be_left(
    action_state: Option<&ActionState>,
    known: &[(Cluster, ContainerInstanceArn)],
) -> bool {
    match action_state {
        None | Some(ActionState::LetGo(_) | ActionState::Over) => true,
        Some(ActionState::InNoGroup) => !known.is_empty(),
        Some(state) => state.is_waiting(),
    }
}

/// Where the instance stands now that its action is over. A group that still seems to wait may lag.
async fn look_after_end(
    drain: Drain<'_>,
    known: Option<&Observation>,
) -> Result<ActionState, Problem> {
    match known.map(|known| &known.action_state) {
        // Seen after the end.
        Some(state) if !state.is_waiting() && *state != ActionState::Over => Ok(state.clone()),
        _ => match observe_action_state(drain).await? {
            state if state.is_waiting() => {
                sleep(READ_LAG_MAX.unsigned_abs()).await;
                observe_action_state(drain).await
            }
            state => Ok(state),
        },
    }
}

async fn tasks_cut_off(
    drain: Drain<'_>,
    known: Option<&Observation>,
    found: &ContainerInstance,
) -> Result<TaskObservation, Problem> {
    let (cluster, arn) = (&found.cluster, &found.arn);
    let tasks = match known.and_then(|known| known.tasks_on(arn)) {
        Some(tasks) => tasks.clone(),
        None => TaskObservation::count(drain, cluster, arn, None).await?,
    };
    tasks.cut_off(drain, cluster, drain.state.action_expires).await
}

/// Tells people of them, and marks them as counted.
pub(crate) async fn report(drain: Drain<'_>, left: &Observation) {
    mark_counted(drain, left).await;
    let action = drain.action;
    let tasks = left.tasks_left().unwrap_or_default();
    warn!("{} was not drained: {WHY}; {tasks}", action.instance_id);
    let notification = drain_report(drain, left).cut_off(WHY);
    tell_once(drain, left, Cause::CutOff, &notification).await;
}

/// Marks the container instances whose action was ended with tasks left, so that a second delivery
/// does not count them again. Best effort: what has left its cluster cannot bear a mark.
pub(crate) async fn mark_counted(drain: Drain<'_>, observation: &Observation) {
    let mark = ended_mark(drain.clock.now());
    let registered = observation
        .container_instances
        .iter()
        .filter(|drained| *drained.status() != ContainerInstanceStatus::Inactive);
    for drained in registered {
        let values = [(drained.arn(), mark.clone())];
        let put = drain.clients.ecs.put_attribute(drained.cluster(), MARK_ATTRIBUTE, &values);
        if let Err(error) = put.await {
            warn!("A second delivery would count its tasks again: {}", Problem::from(error).text);
        }
    }
}

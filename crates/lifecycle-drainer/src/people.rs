//! Tells people of a drain, over the notification topic if there is one, and each cause once: two
//! chains of hops for one action find the same.
//!
//! What is told is decided by `ebb_core::lifecycle::notification`, and how often by
//! `ebb_core::notification::cause`.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_aws::{claim, note_told, notify};
use ebb_core::event::Origin;
use ebb_core::lifecycle::notification::DrainReport;
use ebb_core::notification::Notification;
use ebb_core::notification::cause::Cause;

use crate::drain::Drain;
use crate::observation::Observation;

/// How long each note of a cause, and the notice, may take: half of the pause between two looks at
/// a drain.
const CALL_TIME: Duration = Duration::from_secs(5);

/// The drain as people are told of it.
pub(crate) fn drain_report<'a>(drain: Drain<'a>, observation: &Observation) -> DrainReport<'a> {
    let Drain { action, settings, state, .. } = drain;
    let drained = &observation.container_instances;
    let clusters: BTreeSet<_> =
        drained.iter().map(|drained| drained.cluster().name().to_owned()).collect();
    let arns = drained.iter().map(|drained| drained.arn().as_str());
    DrainReport {
        instance_id: &action.instance_id,
        group: &action.group,
        clusters: Vec::from_iter(clusters),
        origin: arns.map(Origin::of_arn).next().unwrap_or_default(),
        tasks_left: observation.tasks_left(),
        deadline: state.deadline,
        on_timeout: settings.on_timeout,
    }
}

/// Publishes the notification unless people were told of the cause within the hour.
pub(crate) async fn tell_once(
    drain: Drain<'_>,
    observation: &Observation,
    cause: Cause,
    notification: &Notification,
) {
    let Some(topic) = &drain.settings.notification_topic else { return };
    // The same for every chain of hops, in whatever order they were found.
    let holder = observation.container_instances.iter().min_by_key(|drained| drained.arn());
    let (ecs, clock) = (&drain.clients.ecs, drain.clock);
    let mut claimed = None;
    if let Some(holder) = holder {
        let found = BTreeSet::from([(holder.arn().clone(), cause)]);
        // Boxed, as the SDK's futures are large and deeply nested.
        let due = Box::pin(claim(ecs, holder.cluster(), &found, clock.now(), CALL_TIME)).await;
        if due.causes.is_empty() {
            return;
        }
        claimed = Some((holder.cluster(), due));
    }
    let message = notification.message(drain.settings.notification_format);
    let is_told = notify(&drain.clients.topics, topic, &message, CALL_TIME).await;
    if let Some((cluster, due)) = claimed.filter(|_| is_told) {
        Box::pin(note_told(ecs, cluster, &due, clock.now(), CALL_TIME)).await;
    }
}

//! Tells people of a drain, over the notification topic if there is one, and each cause once: two
//! chains of hops for one action find the same.
//!
//! What is told is decided by `ebb_core::lifecycle::notification`, and how often by
//! `ebb_core::notification::cause`.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_aws::{claim, notify};
use ebb_core::event::Origin;
use ebb_core::lifecycle::notification::DrainReport;
use ebb_core::notification::Notification;
use ebb_core::notification::cause::Cause;

use crate::drain::Drain;
use crate::observation::Observation;

/// How long the note of a cause, and the notice, may each take: half of the pause between two looks at
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
    if let Some(holder) = holder {
        let (ecs, now) = (&drain.clients.ecs, drain.clock.now());
        let found = BTreeSet::from([(holder.arn().clone(), cause)]);
        // Boxed, as the SDK's futures are large and deeply nested.
        if Box::pin(claim(ecs, holder.cluster(), &found, now, CALL_TIME)).await.is_empty() {
            return;
        }
    }
    let message = notification.message(drain.settings.notification_format);
    notify(&drain.clients.topics, topic, &message, CALL_TIME).await;
}

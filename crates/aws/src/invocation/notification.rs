//! Notices to people, over the topic that the operator chose, and no cause twice within an hour.
//!
//! What they say, and which causes are told, is decided by `ebb_core::notification`; here are the
//! calls.

use std::collections::BTreeSet;
use std::time::Duration;

use ebb_core::ids::{Cluster, ContainerInstanceArn, TopicArn};
use ebb_core::notification::Message;
use ebb_core::notification::cause::{
    CLUSTER_NOTES, Cause, Claim, Held, INSTANCE_NOTES, notes_of_told,
};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::ecs::Ecs;
use crate::error::AwsError;
use crate::invocation::problem::Problem;
use crate::sns::Topics;

/// How long is waited between the note of a cause and the second look at it: a read and a write of
/// another invocation take less as a rule.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// How many container instances are asked for their notes at most, with a Describe and ten writes.
/// What has happened to more at once is told without notes.
const HOLDERS_MAX: usize = 100;

/// Publishes a notice, and waits for that no longer than `time_max`, nor for the first attempt longer
/// than half of it: the connection may be one that broke while the function was frozen.
///
/// Best effort: what the notice is about is done already, and running the event again for want of a
/// notice would help nobody. A notice that could not be published is a warning in the log. Whether it
/// was published.
pub async fn notify(
    topics: &Topics,
    topic: &TopicArn,
    message: &Message,
    time_max: Duration,
) -> bool {
    let half = Some(time_max / 2);
    let published = topics.publish_with(topic, &message.subject, &message.body, half);
    match timeout(time_max, published).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => warn!("No notice to people: {}", Problem::from(error).text),
        Err(_) => warn!("No notice to people: topic {topic} did not answer in time"),
    }
    false
}

/// What this invocation is to tell now.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The causes.
    pub causes: BTreeSet<Held>,
    /// Those of them that are noted as about to be told, and in which attribute.
    noted: BTreeSet<Held>,
    attribute: &'static str,
}

/// Which of the causes, each about the container instance that it is held by, this invocation is to
/// tell now. That takes `time_max` at most; where notes cannot be kept, a warning says so. Once they
/// are told, [`note_told`] keeps them quiet.
pub async fn claim(
    ecs: &Ecs,
    cluster: &Cluster,
    found: &BTreeSet<Held>,
    now: Timestamp,
    time_max: Duration,
) -> Claimed {
    let mut holders: BTreeSet<_> = found.iter().map(|(holder, _)| holder).collect();
    while holders.len() > HOLDERS_MAX {
        holders.pop_last();
    }
    let (to_note, beyond_limit): (BTreeSet<_>, BTreeSet<_>) =
        found.iter().cloned().partition(|(holder, _)| holders.contains(holder));
    let claimed = claim_on(ecs, cluster, INSTANCE_NOTES, &to_note, now);
    let claimed = within(claimed, time_max).await;
    let noted = claimed.clone().unwrap_or_default();
    let mut causes = claimed.unwrap_or_else(|| without_notes(&to_note, now));
    causes.extend(without_notes(&beyond_limit, now));
    Claimed { causes, noted, attribute: INSTANCE_NOTES }
}

/// Whether this invocation is to tell a cause about a cluster now. See [`claim`].
pub async fn claim_for_cluster(
    ecs: &Ecs,
    cluster: &Cluster,
    cause: Cause,
    now: Timestamp,
    time_max: Duration,
) -> Option<Claimed> {
    let claimed = async {
        let Some(holder) = ecs.attribute_holder(cluster, CLUSTER_NOTES).await? else {
            // Nobody could note it; and in a cluster without instances little happens.
            return Ok((cause.without_notes(now), BTreeSet::new()));
        };
        let found = BTreeSet::from([(holder, cause)]);
        let noted = claim_on(ecs, cluster, CLUSTER_NOTES, &found, now).await?;
        Ok((!noted.is_empty(), noted))
    };
    let claimed = within(claimed, time_max).await;
    let (is_due, noted) = claimed.unwrap_or_else(|| (cause.without_notes(now), BTreeSet::new()));
    is_due.then(|| Claimed { causes: noted.clone(), noted, attribute: CLUSTER_NOTES })
}

/// Notes that what was claimed is told. That takes `time_max` at most; where it cannot be noted, a
/// warning says so.
pub async fn note_told(
    ecs: &Ecs,
    cluster: &Cluster,
    claimed: &Claimed,
    now: Timestamp,
    time_max: Duration,
) {
    let Claimed { noted, attribute, .. } = claimed;
    if noted.is_empty() {
        return;
    }
    let note = async {
        let values = ecs.read_attribute(cluster, &holders_of(noted), attribute).await?;
        let values = notes_of_told(noted, &values, now, fastrand::u16(..));
        let values: Vec<_> = values.iter().map(|(holder, value)| (holder, value.clone())).collect();
        ecs.put_attribute(cluster, attribute, &values).await
    };
    within(note, time_max).await;
}

/// `None`, and a warning, if the notes cannot be kept.
async fn within<T>(
    claimed: impl Future<Output = Result<T, AwsError>>,
    time_max: Duration,
) -> Option<T> {
    match timeout(time_max, claimed).await {
        Ok(Ok(granted)) => Some(granted),
        Ok(Err(error)) => {
            let cause = Problem::from(error).text;
            warn!("What people are told may repeat, as it cannot be noted: {cause}");
            None
        }
        Err(_) => {
            warn!("What people are told may repeat, as it could not be noted in time");
            None
        }
    }
}

fn without_notes(found: &BTreeSet<Held>, now: Timestamp) -> BTreeSet<Held> {
    found.iter().filter(|(_, cause)| cause.without_notes(now)).cloned().collect()
}

async fn claim_on(
    ecs: &Ecs,
    cluster: &Cluster,
    attribute: &str,
    found: &BTreeSet<Held>,
    now: Timestamp,
) -> Result<BTreeSet<Held>, AwsError> {
    let holders = holders_of(found);
    let values = ecs.read_attribute(cluster, &holders, attribute).await?;
    let claim = Claim::new(found, &values, now, fastrand::u16(..));
    if claim.due.is_empty() {
        return Ok(claim.due);
    }
    let values: Vec<_> =
        claim.values.iter().map(|(holder, value)| (holder, value.clone())).collect();
    ecs.put_attribute(cluster, attribute, &values).await?;
    sleep(SETTLE_TIME).await;
    Ok(claim.granted(&ecs.read_attribute(cluster, &holders, attribute).await?))
}

fn holders_of(found: &BTreeSet<Held>) -> Vec<ContainerInstanceArn> {
    let holders: BTreeSet<_> = found.iter().map(|(holder, _)| holder.clone()).collect();
    holders.into_iter().collect()
}

//! What a sweep of one cluster came to.

use ebb_planner::{Headroom, Plan, Removal};
use serde_json::{Value, json};

use crate::ids::{GroupName, InstanceId};
use crate::reaper::settings::ReaperMode;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// How it came off for an instance that was to go.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum OutcomeKind {
        /// The sweep only plans: the instance would be drained, and terminated once empty.
        WouldRemove = "would_remove",
        /// The sweep only plans: the mark or the drain of an earlier sweep would be taken back.
        WouldReactivate = "would_reactivate",
        /// Its group terminates it. Where tasks are left on it, the group's hook holds it until
        /// they have stopped.
        Terminating = "terminating",
        /// It is DRAINING. A later sweep terminates it, once it is empty: its group has no hook
        /// that would hold it, or its tasks are not sure to find a place.
        Draining = "draining",
        /// It was drained by an earlier sweep, and is not empty yet.
        Waiting = "waiting",
        /// It is ACTIVE again, and bears no mark any more.
        Reactivated = "reactivated",
        /// It would have been drained, but for want of time, or as load had come back.
        Postponed = "postponed",
        /// It has left its cluster.
        Gone = "gone",
        /// ECS did not set it to DRAINING.
        DrainRefused = "drain_refused",
        /// Its group is at its minimum.
        BelowMinimum = "below_minimum",
        /// Its group does not know it any more.
        NotManaged = "not_managed",
        /// Its group is busy.
        ScalingActivityInProgress = "scaling_activity_in_progress",
        /// Auto Scaling is busy with it.
        ResourceContention = "resource_contention",
        /// AWS throttled the function for longer than trying again could help.
        Throttled = "throttled",
        /// The function lacks a permission.
        Denied = "denied",
        /// Another failure of AWS.
        Failed = "failed",
    }
}

impl OutcomeKind {
    /// Whether what was to be done was not done, and nobody had decided so.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::DrainRefused | Self::Throttled | Self::Denied | Self::Failed)
    }
}

/// What was done about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalOutcome {
    /// The instance.
    pub instance_id: InstanceId,
    /// How it came off.
    pub outcome: OutcomeKind,
    /// What there is to say about it, if anything.
    pub detail: Option<String>,
    /// Whether it was DRAINING, and was set to ACTIVE again.
    pub reactivated: bool,
}

/// What a sweep of one cluster came to.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterReport {
    /// In which mode it ran.
    pub mode: ReaperMode,
    /// The plan, as far as it held.
    pub plan: Plan,
    /// What was done about the instances that go, in the plan's order.
    pub done: Vec<RemovalOutcome>,
    /// What became of those that an earlier sweep drained.
    pub earlier: Vec<RemovalOutcome>,
    /// Instances of the cluster's groups that are not in the cluster.
    pub never_joined: Vec<(InstanceId, GroupName)>,
}

impl ClusterReport {
    /// Everything that was done, earlier drains first.
    pub fn all_done(&self) -> impl Iterator<Item = &RemovalOutcome> {
        self.earlier.iter().chain(&self.done)
    }

    pub(crate) fn to_json(&self, kept_max: usize) -> Value {
        let Plan { cluster, remove, keep, headroom_before, headroom_after, saving, .. } =
            &self.plan;
        let remove: Vec<_> =
            remove.iter().zip(&self.done).map(|(removal, done)| going(removal, done)).collect();
        let kept = keep.iter().take(kept_max).map(|kept| {
            let (reason, detail) = (kept.reason.code(), kept.reason.to_string());
            json!({"instance_id": kept.instance_id, "reason": reason, "detail": detail})
        });
        let earlier: Vec<_> = self.earlier.iter().map(earlier).collect();
        let strangers = self.never_joined.iter();
        let strangers: Vec<_> =
            strangers.map(|(id, group)| json!({"instance_id": id, "group": group})).collect();
        json!({
            "cluster": cluster.name(),
            "remove": remove,
            "keep": kept.collect::<Vec<_>>(),
            "kept": keep.len(),
            "earlier": earlier,
            "headroom_before": headroom(headroom_before),
            "headroom_after": headroom(headroom_after),
            "saving": {
                "planned_percent": rounded(saving.planned * 100.0),
                "bound_percent": rounded(saving.bound * 100.0),
                "usd_per_hour": saving.planned_microusd.map(usd),
            },
            "never_joined": strangers,
        })
    }
}

fn going(removal: &Removal, done: &RemovalOutcome) -> Value {
    json!({
        "instance_id": removal.instance_id,
        "reason": removal.reason.code(),
        "detail": removal.reason.to_string(),
        "group": removal.group,
        "zone": removal.zone,
        "instance_type": removal.instance_type,
        "usd_per_hour": removal.price_microusd.map(usd),
        "outcome": done.outcome,
        "outcome_detail": done.detail,
    })
}

fn earlier(done: &RemovalOutcome) -> Value {
    json!({"instance_id": done.instance_id, "outcome": done.outcome, "detail": done.detail})
}

fn headroom(headroom: &Headroom) -> Value {
    json!({
        "instances": headroom.instances,
        "cpu_percent": rounded(headroom.cpu_percent()),
        "memory_percent": rounded(headroom.memory_percent()),
        "cpu": headroom.free.cpu,
        "memory_mib": headroom.free.memory_mib,
    })
}

fn rounded(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "shown to people; no decision is made by it")]
pub(crate) fn usd(microusd: u64) -> f64 {
    microusd as f64 / 1e6
}

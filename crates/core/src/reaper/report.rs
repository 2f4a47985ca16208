//! What a sweep of one cluster came to, as a value and as JSON.
//!
//! As a text for people it is written in `text`; logging and measuring it is left to the
//! `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_planner::{Headroom, Hold, HoldEnd, HoldScope, Kept, Plan, Removal, Reserved};
use serde_json::{Value, json};

use crate::ids::{ContainerInstanceArn, GroupName, InstanceId};
use crate::prices::PriceBasis;
use crate::reaper::halt::Halt;
use crate::reaper::potential::{Cap, Potential};
use crate::reaper::replace::outdated::Why;
use crate::reaper::request::Purpose;
use crate::reaper::settings::ReaperMode;
use crate::vocabulary::vocabulary;
use crate::words::{REASON_CHARS_MAX, cut};

vocabulary! {
    /// The outcome for an instance that was to go, or that an earlier sweep drained.
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
        /// It is DRAINING, and ECS takes it once it is empty: a capacity provider's managed scaling
        /// decides the size of its group, with managed termination protection.
        LeftToEcs = "left_to_ecs",
        /// It was drained by an earlier sweep, and is not empty yet.
        Waiting = "waiting",
        /// It is ACTIVE again, without a mark.
        Reactivated = "reactivated",
        /// The sweep only plans: it would be replaced.
        WouldReplace = "would_replace",
        /// It is being replaced: its group was raised for it, and it is drained once its replacement
        /// is there, with room for its tasks.
        Replacing = "replacing",
        /// It is to be replaced, and nothing is done about it now.
        NotReplaced = "not_replaced",
        /// Its replacement did not join, or has too little room: nothing of its group is replaced
        /// for a day.
        ReplacementFailed = "replacement_failed",
        /// Not drained: out of time, or load has come back. A later sweep sees to it.
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
    /// Whether what was to be done could not be done.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::ReplacementFailed
                | Self::DrainRefused
                | Self::Throttled
                | Self::Denied
                | Self::Failed
        )
    }
}

/// What was done about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalOutcome {
    /// The instance.
    pub instance_id: InstanceId,
    /// The outcome.
    pub outcome: OutcomeKind,
    /// More about it, for people.
    pub detail: Option<String>,
    /// Whether it was DRAINING, and was set to ACTIVE again.
    pub reactivated: bool,
}

/// What was done about one instance that is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Why it is to be replaced; `None` for one that is retained and only to be terminated.
    pub why: Option<Why>,
    /// Its group, if it is in one.
    pub group: Option<GroupName>,
    /// Its Availability Zone.
    pub zone: String,
    /// How many tasks its drain sets in motion; 0 where it is not drained now.
    pub displaced: usize,
    /// The outcome.
    pub outcome: RemovalOutcome,
}

/// The result of a sweep of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterReport {
    /// In which mode it ran.
    pub mode: ReaperMode,
    /// What it was for.
    pub purpose: Purpose,
    /// The plan, as far as it held.
    pub plan: Plan,
    /// What a plan without the cap on one sweep comes to.
    pub potential: Potential,
    /// What the prices are based on.
    pub prices: PriceBasis,
    /// What was done about the instances that go, in the plan's order.
    pub outcomes: Vec<RemovalOutcome>,
    /// What became of those that an earlier sweep drained.
    pub follow_ups: Vec<RemovalOutcome>,
    /// What became of those that are to be replaced.
    pub replacements: Vec<Replacement>,
    /// Why nothing is removed in the cluster now, if so.
    pub halt: Option<Halt>,
    /// Container instances that an earlier sweep drained and that stay so, as sweeps only plan now.
    pub stranded: Vec<ContainerInstanceArn>,
    /// Instances in service in the cluster's groups, or retained by them, that are in no cluster.
    pub unregistered_members: Vec<(InstanceId, GroupName)>,
    /// How many are not in the cluster, and may be in another.
    pub unclear_members: usize,
    /// The container instance on each instance of the cluster.
    pub container_instances: BTreeMap<InstanceId, ContainerInstanceArn>,
}

impl ClusterReport {
    /// The outcomes of all instances, earlier drains first.
    pub fn all_outcomes(&self) -> impl Iterator<Item = &RemovalOutcome> {
        let replaced = self.replacements.iter().map(|replacement| &replacement.outcome);
        self.follow_ups.iter().chain(&self.outcomes).chain(replaced)
    }

    /// The report as it stands in the answer, with `kept_max` of the instances that stay, and of
    /// the services that room is kept for.
    pub(crate) fn to_json(&self, kept_max: usize) -> Value {
        let Plan {
            cluster,
            remove,
            keep,
            headroom_before,
            headroom_after,
            holds,
            reserved,
            saving,
            ..
        } = &self.plan;
        let potential = &self.potential;
        let motion = self.plan.motion();
        let mut report = json!({
            "cluster": cluster.name(),
            "remove": remove
                .iter()
                .zip(&self.outcomes)
                .map(|(removal, outcome)| removal_json(removal, outcome))
                .collect::<Vec<_>>(),
            "keep": keep.iter().take(kept_max).map(kept_json).collect::<Vec<_>>(),
            "kept": keep.len(),
            "holds": holds.iter().take(kept_max).map(hold_json).collect::<Vec<_>>(),
            "earlier": self.follow_ups.iter().map(earlier_json).collect::<Vec<_>>(),
            "stranded": self.stranded.iter().map(ContainerInstanceArn::id).collect::<Vec<_>>(),
            "headroom_before": headroom_json(headroom_before),
            "headroom_after": headroom_json(headroom_after),
            "motion": {
                "tasks": motion.displaced,
                "rebalanced_tasks_max": motion.rebalanced,
            },
            "reserved": reserved.iter().take(kept_max).map(reserved_json).collect::<Vec<_>>(),
            "saving": {
                "planned_percent": rounded(saving.planned * 100.0),
                "usd_per_hour": saving.planned_microusd.map(usd),
                "price_sources": self.prices.sources,
                "spot_known": !self.prices.spot_unknown,
                "cap": potential.cap.map(Cap::setting),
                "potential_percent": rounded(potential.saving.planned * 100.0),
                "potential_usd_per_hour": potential.saving.planned_microusd.map(usd),
                "bound_percent": rounded(potential.saving.bound * 100.0),
            },
            "never_joined": self
                .unregistered_members
                .iter()
                .map(|(id, group)| json!({"instance_id": id, "group": group}))
                .collect::<Vec<_>>(),
        });
        if self.purpose == Purpose::Replace || !self.replacements.is_empty() {
            report["replace"] = self.replacements.iter().map(replacement_json).collect();
        }
        report
    }
}

fn removal_json(removal: &Removal, outcome: &RemovalOutcome) -> Value {
    json!({
        "instance_id": removal.instance_id,
        "reason": removal.reason.code(),
        "detail": removal.reason.to_string(),
        "group": removal.group,
        "zone": removal.zone,
        "instance_type": removal.instance_type,
        "usd_per_hour": removal.price_microusd.map(usd),
        "outcome": outcome.outcome,
        "outcome_detail": detail_json(outcome.detail.as_deref()),
    })
}

fn kept_json(Kept { instance_id, reason }: &Kept) -> Value {
    json!({"instance_id": instance_id, "reason": reason.code(), "detail": reason.to_string()})
}

fn hold_json(hold: &Hold) -> Value {
    let (scope, name) = match &hold.scope {
        HoldScope::Cluster(name) => ("cluster", name.as_str()),
        HoldScope::Group(name) => ("group", name.as_str()),
        HoldScope::Instance(id) => ("instance", id.as_str()),
    };
    let until = match &hold.until {
        HoldEnd::At(end) => json!(end.to_string()),
        HoldEnd::Never | HoldEnd::Unclear(_) => Value::Null,
    };
    json!({
        "scope": scope,
        "name": name,
        "until": until,
        "unclear": hold.is_unclear(),
        "detail": hold.to_string(),
    })
}

fn reserved_json(Reserved { service, tasks, demand }: &Reserved) -> Value {
    json!({
        "service": service,
        "tasks": tasks,
        "cpu": demand.cpu,
        "memory_mib": demand.memory_mib,
    })
}

fn replacement_json(Replacement { why, group, zone, outcome, .. }: &Replacement) -> Value {
    json!({
        "instance_id": outcome.instance_id,
        "reason": why.as_ref().map_or("retained", Why::code),
        "detail": why.as_ref().map(ToString::to_string),
        "group": group,
        "zone": zone,
        "outcome": outcome.outcome,
        "outcome_detail": detail_json(outcome.detail.as_deref()),
    })
}

fn earlier_json(RemovalOutcome { instance_id, outcome, detail, .. }: &RemovalOutcome) -> Value {
    let detail = detail_json(detail.as_deref());
    json!({"instance_id": instance_id, "outcome": outcome, "detail": detail})
}

fn detail_json(detail: Option<&str>) -> Value {
    detail.map_or(Value::Null, |detail| json!(cut(detail, REASON_CHARS_MAX)))
}

fn headroom_json(headroom: &Headroom) -> Value {
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

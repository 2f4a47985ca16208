//! Terminates what groups retain: what is empty in its cluster, and what is in no cluster of the Region
//! any more. Which that may be is decided by `ebb_core::reaper::replace`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, Problem, Termination};
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::reaper::replace::members::GroupMembers;
use ebb_core::reaper::replace::planned::{Done, ended};
use ebb_core::reaper::replace::retained::{NOT_KNOWN, WOULD_END, retained_unregistered};
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::{OutcomeKind, Replacement};
use ebb_planner::Inventory;

use crate::follow_up::outcome_kind;
use crate::sweep::Sweep;

impl Sweep<'_> {
    /// Terminates what the groups of a cluster retain and no cluster of the Region has. What another
    /// one has is left to the sweep of that.
    pub(crate) async fn end_unregistered(
        &self,
        inventory: &Inventory,
        groups: &BTreeMap<GroupName, GroupMembers>,
    ) -> Vec<Replacement> {
        let retained = retained_unregistered(inventory, groups, &self.policy, self.clock.now());
        if retained.is_empty() {
            return Vec::new();
        }
        let ids = retained.iter().map(|member| member.instance_id.clone()).collect();
        let registered = self.registered_anywhere(&ids).await;
        let mut replacements = Vec::new();
        for member in retained {
            let done = match &registered {
                Ok(registered) if registered.contains(&member.instance_id) => continue,
                Ok(_) if self.mode == ReaperMode::Plan || !self.has_time() => {
                    (OutcomeKind::WouldReplace, WOULD_END.to_owned())
                }
                Ok(_) => self.end_retained(&member.instance_id, "it is in no cluster").await,
                Err(why) => (OutcomeKind::NotReplaced, format!("{NOT_KNOWN}: {why}")),
            };
            replacements.push(ended(member, done));
        }
        replacements
    }

    /// Which of the instances are in a cluster of the Region, or why that is not known.
    async fn registered_anywhere(
        &self,
        ids: &BTreeSet<InstanceId>,
    ) -> Result<BTreeSet<InstanceId>, String> {
        let look = async {
            let clusters = self.clients.ecs.list_clusters().await?;
            self.registered_in(ids, &clusters).await
        };
        match look.await {
            Ok(Some(registered)) => Ok(registered),
            Ok(None) => Err("there are too many clusters to ask in time".to_owned()),
            Err(error) => Err(Problem::from(error).text),
        }
    }

    /// Has its group terminate an instance that it retains, which is sure to run no task.
    pub(crate) async fn end_retained(&self, instance_id: &InstanceId, why: &str) -> Done {
        match self.clients.auto_scaling.terminate_retained(instance_id).await {
            Ok(Termination::Accepted) => {
                (OutcomeKind::Terminating, format!("its group retained it, and {why}"))
            }
            Ok(Termination::NotManaged(text)) => (OutcomeKind::NotManaged, text),
            Ok(Termination::BelowMinimum(text)) => (OutcomeKind::BelowMinimum, text),
            Ok(Termination::ScalingActivityInProgress(text)) => {
                (OutcomeKind::ScalingActivityInProgress, text)
            }
            Ok(Termination::ResourceContention(text)) => (OutcomeKind::ResourceContention, text),
            Err(error) => failed(error),
        }
    }
}

/// What a call that failed comes to.
pub(crate) fn failed(error: AwsError) -> Done {
    (outcome_kind(&error), Problem::from(error).text)
}

//! How a sweep holds raised fallback groups and their Spot groups, and notes how far they have come
//! back. What becomes of them is decided by `ebb_core::reaper::fallback`; which instances go then, by
//! the plan.

use std::collections::BTreeSet;

use ebb_aws::{AwsError, GroupDescription, Groups, Problem, group_of};
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::fallback_mark::FALLBACK_TAG;
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::reaper::budgets::{Allowance, DisruptionReason};
use ebb_core::reaper::fallback::{ComingBack, RaisedGroup, SpotGroup, come_back};
use ebb_planner::{Instance, Inventory, group_may_shrink};
use tracing::info;

use crate::sweep::Sweep;

impl Sweep<'_> {
    /// Keeps what is not to be shrunk for the sake of a fallback group. To be asked once the groups
    /// stand in the inventory, and before anything else is asked about those that may shrink.
    pub(crate) fn keep_for_fallbacks(&self, inventory: &mut Inventory, groups: &Groups) {
        let is_leaving = |instance: &&Instance| instance.is_draining() || !instance.agent_connected;
        let leaving = inventory.instances.iter().filter(is_leaving);
        let leaving = leaving.map(|instance| instance.instance_id.clone()).collect();
        let mut budget = self.budget(inventory);
        for (raised, description) in self.raised_groups(groups, &leaving) {
            let decided = self.come_back(&raised);
            // It has come back: from now on both are groups like any other.
            if decided.mark.is_none() {
                continue;
            }
            let mut fallback = group_of(description, &inventory.cluster);
            fallback.min_size = fallback.min_size.max(raised.mark.baseline);
            // Where the fallback group stays for another reason, its Spot group would be kept for
            // ever.
            let keep_spot = decided
                .keep_spot
                .filter(|_| group_may_shrink(raised.name, &fallback, &self.policy));
            let draining = draining_capacity(inventory, raised.name);
            let weights = description.members.iter().map(|member| member.weight.max(1));
            let weight = weights.min().unwrap_or(1);
            let floor = raised.floor(budget.instances, weight, draining);
            // What drains already must not wait for a budget that it has used up itself.
            let is_used_up = budget.instances == 0 && draining == 0;
            let used_up = is_used_up.then(|| format!("{} lets none of it go", budget.decided_by));
            let keep_fallback = decided.keep_fallback.or(used_up);
            if let Some(group) = inventory.groups.get_mut(raised.name) {
                group.min_size = fallback.min_size.max(floor);
                group.unavailable = group.unavailable.take().or(keep_fallback);
            }
            if let Some(group) = inventory.groups.get_mut(raised.spot_name) {
                group.unavailable = group.unavailable.take().or(keep_spot);
            }
            let given = raised.desired_capacity.saturating_sub(floor).saturating_sub(draining);
            let given = usize::try_from(given / weight).unwrap_or_default();
            budget.instances = budget.instances.saturating_sub(given);
        }
    }

    /// How many instances of the cluster may go for coming back. Those that drain already count.
    fn budget(&self, inventory: &Inventory) -> Allowance {
        let is_draining = |instance: &&Instance| instance.is_draining();
        let draining = inventory.instances.iter().filter(is_draining).count();
        let usable = inventory.instances.len() - draining;
        let (reason, now) = (DisruptionReason::Fallback, self.clock.now());
        let mut allowance = self.settings.allowance(reason, usable, now);
        allowance.instances = allowance.instances.saturating_sub(draining);
        allowance
    }

    /// Notes on each raised group how far it has come back. What cannot be noted is a problem, and
    /// the next sweep tries again.
    pub(crate) async fn note_fallbacks(&self, groups: &Groups) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (raised, _) in self.raised_groups(groups, &BTreeSet::new()) {
            if let Err(error) = self.note_fallback(&raised, self.come_back(&raised)).await {
                problems.push(Problem::from(error));
            }
        }
        problems
    }

    async fn note_fallback(
        &self,
        raised: &RaisedGroup<'_>,
        decided: ComingBack,
    ) -> Result<(), AwsError> {
        let (auto_scaling, name) = (&self.clients.auto_scaling, raised.name);
        match decided.mark {
            Some(mark) if mark == raised.mark => Ok(()),
            Some(mark) => auto_scaling.put_tag(name, FALLBACK_TAG, &mark.to_string()).await,
            None => {
                auto_scaling.delete_tag(name, FALLBACK_TAG).await?;
                info!(asg.name = %name, "Fallback group {name} has come back to {}", raised.mark.baseline);
                Ok(())
            }
        }
    }

    fn come_back(&self, raised: &RaisedGroup<'_>) -> ComingBack {
        come_back(raised, self.settings.fallback_whole_sweeps, self.clock.now())
    }

    /// The fallback groups that bear the tag. Spot Instances that are `leaving` count as gone.
    fn raised_groups<'g>(
        &'g self,
        groups: &'g Groups,
        leaving: &BTreeSet<InstanceId>,
    ) -> Vec<(RaisedGroup<'g>, &'g GroupDescription)> {
        let mut raised = Vec::new();
        for (spot_name, name) in self.settings.fallback_groups.pairs() {
            let Some(description) = groups.named(name) else { continue };
            let Some(mark) = description.fallback_mark else { continue };
            let spot = groups.named(spot_name).map(|spot| spot_group(spot, leaving));
            let desired_capacity = description.group.desired_capacity;
            raised
                .push((RaisedGroup { name, desired_capacity, mark, spot_name, spot }, description));
        }
        raised
    }
}

/// What the DRAINING instances of a group count into its capacity.
fn draining_capacity(inventory: &Inventory, group: &GroupName) -> i64 {
    let draining = inventory.instances.iter().filter(|instance| instance.is_draining());
    draining
        .filter(|instance| instance.group.as_ref() == Some(group))
        .map(|instance| instance.weight)
        .sum()
}

fn spot_group(description: &GroupDescription, leaving: &BTreeSet<InstanceId>) -> SpotGroup {
    let in_service = description.members.iter().filter(|member| {
        member.lifecycle_state == LifecycleState::InService
            && !member.unhealthy
            && !leaving.contains(&member.instance_id)
    });
    SpotGroup {
        desired_capacity: description.group.desired_capacity,
        in_service: in_service.map(|member| member.weight).sum(),
    }
}

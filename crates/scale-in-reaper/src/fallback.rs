//! How a sweep holds raised fallback groups and their Spot groups, and notes how far they have come
//! back. What becomes of them is decided by `ebb_core::reaper::fallback`; which instances go then, by
//! the plan.

use std::collections::BTreeSet;

use ebb_aws::{AwsError, GroupDescription, Problem};
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::fallback_mark::FALLBACK_TAG;
use ebb_core::ids::InstanceId;
use ebb_core::reaper::fallback::{ComingBack, RaisedGroup, SpotGroup, come_back};
use ebb_planner::{Inventory, group_may_shrink};
use tracing::info;

use crate::observe::{Groups, group_of};
use crate::sweep::Sweep;

impl Sweep<'_> {
    /// Keeps what is not to be shrunk for the sake of a fallback group. To be asked once the groups
    /// stand in the inventory, and before anything else is asked about those that may shrink.
    pub(crate) fn keep_for_fallbacks(&self, inventory: &mut Inventory, groups: &Groups) {
        let instances = inventory.instances.iter();
        let leaving = instances
            .filter(|instance| instance.is_draining() || !instance.agent_connected)
            .map(|instance| instance.instance_id.clone())
            .collect();
        for (raised, description) in self.raised_groups(groups, &leaving) {
            let decided = self.come_back(&raised);
            let mut fallback = group_of(description, &inventory.cluster);
            fallback.min_size = fallback.min_size.max(raised.mark.baseline);
            // Where the fallback group stays for another reason, its Spot group would be kept for
            // ever.
            let keep_spot = decided
                .keep_spot
                .filter(|_| group_may_shrink(raised.name, &fallback, &self.policy));
            if let Some(group) = inventory.groups.get_mut(raised.name) {
                group.min_size = fallback.min_size;
                group.unavailable = group.unavailable.take().or(decided.keep_fallback);
            }
            if let Some(group) = inventory.groups.get_mut(raised.spot_name) {
                group.unavailable = group.unavailable.take().or(keep_spot);
            }
        }
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

//! Which fallback group an interrupted instance counts into, by the group that it is in; what its own
//! group has replaced already; and the tag that says what a fallback group was before it was raised.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, Ecs, Problem};
use ebb_core::fallback_mark::{FALLBACK_TAG, FallbackMark};
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::spot::fallback::replaced::{SpotGroup, SpotMember};
use tracing::{info, warn};

use crate::drainer::SpotDrainer;
use crate::work::Work;

/// A group to raise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fallback {
    pub(super) name: GroupName,
    /// The Spot group that it stands in for; `None` for the one of all other groups.
    pub(super) spot_group: Option<GroupName>,
}

impl SpotDrainer {
    /// Sorts instances by the fallback groups that they count into. What counts into none is done.
    pub(super) async fn fallbacks_of(
        &self,
        ids: &BTreeSet<InstanceId>,
        work: &mut Work,
    ) -> Result<BTreeMap<Fallback, BTreeSet<InstanceId>>, AwsError> {
        let settings = &self.settings;
        let asked: Vec<_> = ids.iter().cloned().collect();
        // Where all count into one group, nobody need be asked.
        let groups = if settings.fallback_groups.is_empty() {
            BTreeMap::new()
        } else {
            self.clients.auto_scaling.groups_of(&asked).await?
        };
        let mut sorted = BTreeMap::<_, BTreeSet<_>>::new();
        for id in asked {
            let spot_group = groups.get(&id);
            let own = spot_group.and_then(|group| settings.fallback_groups.fallback_of(group));
            let spot_group = spot_group.filter(|_| own.is_some()).cloned();
            match own.or(settings.fallback_group.as_ref()).cloned() {
                Some(name) => {
                    sorted.entry(Fallback { name, spot_group }).or_default().insert(id);
                }
                None => {
                    info!(ec2.instance_id = %id, "The group of {id} has no fallback group");
                    work.uncounted_on(&id).for_each(|item| item.counted = true);
                }
            }
        }
        Ok(sorted)
    }

    /// Settles as many of the instances as their group has replaced by itself, and returns the
    /// others.
    pub(super) async fn settle_replaced(
        &self,
        name: &GroupName,
        ids: BTreeSet<InstanceId>,
        work: &mut Work,
    ) -> Result<BTreeSet<InstanceId>, AwsError> {
        let described = self.clients.auto_scaling.group(name).await?;
        let members = described.members.into_iter().map(|member| SpotMember {
            instance_id: member.instance_id,
            lifecycle_state: member.lifecycle_state,
            weight: member.weight,
        });
        let desired_capacity = described.group.desired_capacity;
        let group = SpotGroup { desired_capacity, members: members.collect() };
        // What an earlier notice drained is in service until EC2 takes it, and replaces nobody.
        let active = self.active_on(&group.to_look_up(&ids), &ids, work).await?;
        let not_replaced = group.not_replaced(&ids, &active);
        let (mut left, mut replaced) = (BTreeSet::new(), Vec::new());
        for (number, id) in ids.into_iter().enumerate() {
            if number < not_replaced {
                left.insert(id);
            } else {
                replaced.push(id);
            }
        }
        for id in replaced {
            info!(ec2.instance_id = %id, asg.name = %name, "Group {name} has replaced {id} itself");
            work.uncounted_on(&id).for_each(|item| item.counted = true);
        }
        Ok(left)
    }

    /// Which of these have an ACTIVE container instance in a cluster that the interrupted ones are
    /// in.
    async fn active_on(
        &self,
        instance_ids: &[InstanceId],
        interrupted: &BTreeSet<InstanceId>,
        work: &mut Work,
    ) -> Result<BTreeSet<InstanceId>, AwsError> {
        let mut clusters = BTreeSet::new();
        for id in interrupted {
            for item in work.uncounted_on(id) {
                clusters.extend(item.drained().map(|instance| instance.cluster.clone()));
            }
        }
        let mut active = BTreeSet::new();
        for cluster in &clusters {
            for batch in instance_ids.chunks(Ecs::FIND_IDS_MAX) {
                let found = self.clients.ecs.find_active(cluster, batch).await?;
                active.extend(found.into_iter().map(|instance| instance.instance_id));
            }
        }
        Ok(active)
    }

    /// Tags a group with what it is before it is raised. If that fails it is raised all the same, as
    /// the tasks need a place: it then comes back only as any other group shrinks.
    pub(super) async fn mark_raised(&self, name: &GroupName, mark: FallbackMark) {
        let auto_scaling = &self.clients.auto_scaling;
        if let Err(error) = auto_scaling.put_tag(name, FALLBACK_TAG, &mark.to_string()).await {
            let cause = Problem::from(error).text;
            warn!("Nobody will know that {name} was at {}: {cause}", mark.baseline);
        }
    }
}

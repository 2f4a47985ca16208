//! Raises the on-demand fallback groups: by launches, or else by claims. By how much, and how the
//! count is kept, is decided in `ebb_core::spot::fallback`; the order of the calls here is the one
//! that its documentation gives. Which group is raised for which instance is found in `spot_groups`.

mod launches;
mod spot_groups;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ebb_aws::{AwsError, Clock, Problem};
use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_core::spot::fallback::group::FallbackGroup;
use ebb_core::spot::fallback::launches::may_launch;
use ebb_core::spot::fallback::{CLAIM_ATTRIBUTE, Claim, Interrupted, raise};
use tracing::info;

use self::spot_groups::Fallback;
use crate::drainer::SpotDrainer;
use crate::item::Item;
use crate::work::Work;

/// The interrupted container instances that are to be counted.
#[derive(Default)]
struct ToCount {
    by_cluster: BTreeMap<Cluster, Vec<ContainerInstanceArn>>,
    /// Those on one EC2 instance belong together: its room is lost once.
    by_instance: Vec<Vec<ContainerInstanceArn>>,
}

impl ToCount {
    fn add(&mut self, item: &Item) {
        let mut arns = Vec::new();
        for instance in item.drained() {
            arns.push(instance.arn.clone());
            self.by_cluster.entry(instance.cluster.clone()).or_default().push(instance.arn.clone());
        }
        // Sorted, so that every delivery lets the same one stand for them.
        arns.sort();
        self.by_instance.push(arns);
    }
}

impl SpotDrainer {
    /// Counts the interrupted container instances into the fallback groups, if there are any. What
    /// stays uncounted has a problem.
    pub(crate) async fn raise_fallback_groups(&self, work: &mut Work, clock: Clock) {
        for item in work.uncounted() {
            // One that is not settled has a problem of its own, which stays.
            if item.is_settled() {
                item.problem = None;
            }
        }
        let uncounted = work.uncounted().filter_map(|item| item.instance_id().cloned());
        let ids: BTreeSet<_> = uncounted.collect();
        if ids.is_empty() {
            return;
        }
        let groups = match self.fallbacks_of(&ids, work).await {
            Ok(groups) => groups,
            Err(error) => return note_problem(&error, &ids, work),
        };
        for (fallback, ids) in groups {
            if let Err(error) = self.count(&fallback, ids.clone(), work, clock).await {
                note_problem(&error, &ids, work);
            }
        }
    }

    /// Counts by launches, or by claims what cannot be launched.
    async fn count(
        &self,
        fallback: &Fallback,
        mut ids: BTreeSet<InstanceId>,
        work: &mut Work,
        clock: Clock,
    ) -> Result<(), AwsError> {
        let name = &fallback.name;
        if let Some(spot_group) = &fallback.spot_group {
            ids = self.settle_replaced(spot_group, ids, work).await?;
            if ids.is_empty() {
                return Ok(());
            }
        }
        // Read before the claims: a delivery that reads a capacity which another one has raised
        // already then also finds the claim that was written before it, and does not raise it a
        // second time.
        let described = self.clients.auto_scaling.fallback_group(name).await?;
        let mark = described.mark_to_be_raised().filter(|_| fallback.spot_group.is_some());
        if let Some(mark) = mark.filter(|_| described.mark.is_none()) {
            self.mark_raised(name, mark).await;
        }
        let counted = self.raise_by(name, &described, ids, work, clock).await;
        // A sweep that has found the group as it was may have removed the tag meanwhile.
        if let Some(mark) = mark.filter(|_| described.mark.is_some()) {
            self.mark_raised(name, mark).await;
        }
        counted
    }

    /// Raises a group by what Auto Scaling launches at once, or else by claims.
    async fn raise_by(
        &self,
        name: &GroupName,
        described: &FallbackGroup,
        ids: BTreeSet<InstanceId>,
        work: &mut Work,
        clock: Clock,
    ) -> Result<(), AwsError> {
        if !may_launch(described) {
            return self.count_by_claims(name, described, &ids, work, clock).await;
        }
        let ids = self.launch_in(name, described, ids, work).await;
        if ids.is_empty() {
            return Ok(());
        }
        // What was launched has changed it.
        let described = self.clients.auto_scaling.fallback_group(name).await?;
        self.count_by_claims(name, &described, &ids, work, clock).await
    }

    async fn count_by_claims(
        &self,
        name: &GroupName,
        described: &FallbackGroup,
        ids: &BTreeSet<InstanceId>,
        work: &mut Work,
        clock: Clock,
    ) -> Result<(), AwsError> {
        let is_meant = |item: &&mut Item| item.instance_id().is_some_and(|id| ids.contains(id));
        let mut to_count = ToCount::default();
        work.uncounted().filter(is_meant).for_each(|item| to_count.add(item));
        let busy = self.raise_group(name, described, &to_count, work, clock).await?;
        for item in work.uncounted().filter(is_meant) {
            if item.drained().any(|instance| busy.contains(&instance.arn)) {
                item.problem.get_or_insert_with(|| {
                    Problem::other(format!("another invocation counts it into group {name}"))
                });
            } else {
                item.counted = true;
            }
        }
        Ok(())
    }

    /// Raises the group, and returns the container instances that another invocation is counting.
    /// What this one claimed in an earlier round, and could not count, it tries again.
    async fn raise_group(
        &self,
        group: &GroupName,
        described: &FallbackGroup,
        to_count: &ToCount,
        work: &mut Work,
        clock: Clock,
    ) -> Result<HashSet<ContainerInstanceArn>, AwsError> {
        let ecs = &self.clients.ecs;
        let mut claims = HashMap::new();
        for (cluster, arns) in &to_count.by_cluster {
            claims.extend(ecs.read_attribute(cluster, arns, CLAIM_ATTRIBUTE).await?);
        }
        // Those that an earlier round has raised the group for, and could not mark as counted.
        let mut raised = Vec::new();
        let interrupted: Vec<_> = to_count
            .by_instance
            .iter()
            .filter_map(|arns| {
                // The one with a claim stands for the others on its instance: an earlier delivery
                // may have found another of them first.
                let arn =
                    arns.iter().find(|arn| claims.contains_key(*arn)).or_else(|| arns.first())?;
                if work.raised.contains(arn) {
                    raised.push(arn.clone());
                    return None;
                }
                let claim = claims.get(arn).and_then(|value| Claim::parse(value));
                Some(Interrupted { arn: arn.clone(), claim, own: work.claimed.contains(arn) })
            })
            .collect();
        let raise = raise(described, &interrupted, clock.now());
        // Remembered before the write, which may take effect and fail all the same: the next round
        // must know the claim as its own.
        work.claimed.extend(raise.to_claim.iter().map(|(arn, _)| arn.clone()));

        // The claim comes before the raise: another invocation that reads it leaves the count to
        // this one, so that two deliveries do not both raise the group.
        self.write_claims(to_count, &raise.to_claim).await?;
        if let Some(desired_capacity) = raise.desired_capacity
            && self.set_desired_capacity(group, desired_capacity).await?
        {
            info!(
                asg.name = %group,
                asg.desired_capacity = desired_capacity,
                "Raised {group} to {desired_capacity}: {}", raise.reason
            );
        }
        work.raised.extend(raise.counted.iter().cloned());
        if raise.without_room > 0 {
            let reason = work.note_no_room(group, described, raise.without_room);
            // The capacity does not say for whom there was room: for the first, as with launches.
            let without_room = raise.to_claim.iter().rev().take(raise.without_room);
            let without_room: HashSet<_> = without_room.map(|(arn, _)| arn).collect();
            for item in work.uncounted() {
                if item.drained().any(|instance| without_room.contains(&instance.arn)) {
                    item.not_replaced = Some(reason.clone());
                }
            }
        }
        // Marked as counted only after the raise: whoever dies between the two leaves a claim, and
        // not a count that never happened.
        let counted = raise.counted.into_iter().chain(raised);
        let counted: Vec<_> = counted.map(|arn| (arn, Claim::Counted)).collect();
        self.write_claims(to_count, &counted).await?;
        Ok(raise.busy.into_iter().collect())
    }

    /// Sets the desired capacity once, unless the group is as large by now. If that fails, a look tells
    /// whether it took effect: the next round would raise the group a second time.
    async fn set_desired_capacity(
        &self,
        group: &GroupName,
        desired_capacity: i32,
    ) -> Result<bool, AwsError> {
        let auto_scaling = &self.clients.auto_scaling;
        // An operator or a scaling policy may have raised it since it was read. Set to less, it would
        // terminate instances by itself, with their tasks.
        if auto_scaling.fallback_group(group).await?.desired_capacity >= desired_capacity {
            return Ok(false);
        }
        let Err(error) = auto_scaling.set_desired_capacity(group, desired_capacity).await else {
            return Ok(true);
        };
        let size = auto_scaling.fallback_group(group).await?;
        if size.desired_capacity == desired_capacity { Ok(true) } else { Err(error) }
    }

    async fn write_claims(
        &self,
        to_count: &ToCount,
        claims: &[(ContainerInstanceArn, Claim)],
    ) -> Result<(), AwsError> {
        for (cluster, arns) in &to_count.by_cluster {
            let values: Vec<_> = claims
                .iter()
                .filter(|(arn, _)| arns.contains(arn))
                .map(|(arn, claim)| (arn, claim.to_string()))
                .collect();
            self.clients.ecs.put_attribute(cluster, CLAIM_ATTRIBUTE, &values).await?;
        }
        Ok(())
    }
}

/// Notes why instances could not be counted.
fn note_problem(error: &AwsError, ids: &BTreeSet<InstanceId>, work: &mut Work) {
    for id in ids {
        work.uncounted_on(id).for_each(|item| {
            item.problem.get_or_insert_with(|| Problem::from(error));
        });
    }
}

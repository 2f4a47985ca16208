//! Raises the on-demand fallback group. By how much, and how the count is kept, is decided in
//! `ebb_core::spot::fallback`; the order of the calls here is the one that its documentation gives.

use std::collections::{BTreeMap, HashSet};

use ebb_aws::{AwsError, Clock, Problem};
use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName};
use ebb_core::spot::fallback::{CLAIM_ATTRIBUTE, Claim, Interrupted, raise};
use tracing::info;

use crate::drainer::SpotDrainer;
use crate::work::Work;

type ByCluster = BTreeMap<Cluster, Vec<ContainerInstanceArn>>;

impl SpotDrainer {
    /// Counts the interrupted container instances into the fallback group, if there is one. What
    /// stays uncounted has a problem.
    pub(crate) async fn raise_fallback_group(&self, work: &mut Work, clock: Clock) {
        let Some(group) = &self.settings.fallback_group else { return };
        let mut interrupted = ByCluster::new();
        for item in work.uncounted() {
            item.problem = None;
            if let Some((cluster, arn)) = item.container_instance.clone() {
                interrupted.entry(cluster).or_default().push(arn);
            }
        }
        if interrupted.is_empty() {
            return;
        }
        let raised = self.raise_group(group, &interrupted, &mut work.claimed, clock).await;
        for item in work.uncounted() {
            match (&raised, &item.container_instance) {
                (Ok(busy), Some((_, arn))) if busy.contains(arn) => {
                    item.problem = Some(Problem::other(format!(
                        "another invocation counts it into group {group}"
                    )));
                }
                (Ok(_), _) => item.counted = true,
                (Err(error), _) => item.problem = Some(Problem::from(error)),
            }
        }
    }

    /// Raises the group, and returns the container instances that another invocation is counting.
    /// What this one `claimed` in an earlier round, and could not count, it tries again.
    async fn raise_group(
        &self,
        group: &GroupName,
        interrupted: &ByCluster,
        claimed: &mut HashSet<ContainerInstanceArn>,
        clock: Clock,
    ) -> Result<HashSet<ContainerInstanceArn>, AwsError> {
        let ecs = &self.clients.ecs;
        // The size is read before the claims: a delivery that reads a capacity which another one
        // has raised already then also finds the claim that was written before it, and does not
        // raise it a second time.
        let size = self.clients.auto_scaling.group_size(group).await?;
        let mut to_count = Vec::new();
        for (cluster, arns) in interrupted {
            let claims = ecs.read_attribute(cluster, arns, CLAIM_ATTRIBUTE).await?;
            to_count.extend(arns.iter().map(|arn| {
                let claim = claims.get(arn).and_then(|value| Claim::parse(value));
                Interrupted { arn: arn.clone(), claim, own: claimed.contains(arn) }
            }));
        }
        let raise = raise(size, &to_count, clock.now());
        // Remembered before the write, which may take effect and fail all the same: the next round
        // must know the claim as its own.
        claimed.extend(raise.to_claim.iter().map(|(arn, _)| arn.clone()));

        // The claim comes before the raise: another invocation that reads it leaves the count to
        // this one, so that two deliveries do not both raise the group.
        self.write_claims(interrupted, &raise.to_claim).await?;
        if let Some(desired_capacity) = raise.desired_capacity {
            self.clients.auto_scaling.set_desired_capacity(group, desired_capacity).await?;
            info!(
                asg.name = %group,
                asg.desired_capacity = desired_capacity,
                "Raised {group} to {desired_capacity}: {}", raise.reason
            );
        }
        // Marked as counted only after the raise: whoever dies between the two leaves a claim, and
        // not a count that never happened.
        let counted: Vec<_> = raise.counted.into_iter().map(|arn| (arn, Claim::Counted)).collect();
        self.write_claims(interrupted, &counted).await?;
        Ok(raise.busy.into_iter().collect())
    }

    async fn write_claims(
        &self,
        interrupted: &ByCluster,
        claims: &[(ContainerInstanceArn, Claim)],
    ) -> Result<(), AwsError> {
        for (cluster, arns) in interrupted {
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

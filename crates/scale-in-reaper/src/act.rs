//! How a plan is carried out: a second look, then mark, drain and terminate, in tens.
//!
//! The order of the writes is what makes a death at any moment harmless. The mark comes first: whatever is DRAINING by us
//! bears it, and the next sweep goes on with it or takes it back.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsErrorKind, DrainResult, Ecs, Problem};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::reaper::follow_up::{DRAINED_BY, Mark};
use ebb_core::reaper::revalidate::revalidate;
use ebb_core::reaper::{OutcomeKind, RemovalOutcome};
use ebb_planner::{Instance, Plan};
use tracing::{info, warn};

use crate::earlier::{by_id, done, kind_of};
use crate::observe::Candidates;
use crate::{FUNCTION, Sweep};

impl Sweep<'_> {
    /// What a plan comes to that is not carried out.
    pub(crate) fn would_remove(&self, plan: Plan) -> (Plan, Vec<RemovalOutcome>) {
        let would = |id: &InstanceId| RemovalOutcome {
            instance_id: id.clone(),
            outcome: OutcomeKind::WouldRemove,
            detail: None,
            reactivated: false,
        };
        let all = plan.remove.iter().map(|removal| would(&removal.instance_id)).collect();
        (plan, all)
    }

    /// What a plan comes to that is left to a later sweep.
    pub(crate) fn postpone(&self, plan: Plan, why: &str) -> (Plan, Vec<RemovalOutcome>) {
        let postponed = |id| done(id, OutcomeKind::Postponed, why.to_owned());
        let all = plan.remove.iter().map(|removal| postponed(&removal.instance_id)).collect();
        (plan, all)
    }

    /// Looks again, and removes what of the plan still holds.
    pub(crate) async fn remove(
        &self,
        cluster: &Cluster,
        planned: Plan,
    ) -> Result<(Plan, Vec<RemovalOutcome>), Problem> {
        if planned.remove.is_empty() {
            return Ok((planned, Vec::new()));
        }
        if !self.has_time() {
            return Ok(self.postpone(planned, NO_TIME));
        }
        let ids: BTreeSet<_> =
            planned.remove.iter().map(|removal| removal.instance_id.clone()).collect();
        let account = self.account().await?;
        let observed = self.observe(cluster, &account, Candidates::These(&ids)).await;
        let fresh = observed?.inventory;
        let instances: BTreeMap<_, _> =
            by_id(&fresh).into_iter().map(|(id, one)| (id.clone(), one.clone())).collect();
        let plan = revalidate(&planned, fresh, &self.policy, self.clock.now());
        let at_once = self.at_once(&plan).await?;
        let going: Vec<_> =
            plan.remove.iter().filter_map(|removal| instances.get(&removal.instance_id)).collect();
        let mut all = BTreeMap::new();
        for ten in going.chunks(Ecs::SET_DRAINING_MAX) {
            let done = if self.has_time() {
                self.remove_ten(cluster, ten, &at_once).await
            } else {
                late(ten)
            };
            all.extend(done.into_iter().map(|done| (done.instance_id.clone(), done)));
        }
        let done =
            plan.remove.iter().filter_map(|removal| all.remove(&removal.instance_id)).collect();
        Ok((plan, done))
    }

    /// The instances that their groups may terminate as soon as they drain: there a hook holds them until they are empty,
    /// and their tasks are sure to find a place. A termination cannot be taken back, a drain can.
    async fn at_once(&self, plan: &Plan) -> Result<BTreeSet<InstanceId>, Problem> {
        let certain: Vec<_> =
            plan.remove.iter().filter(|removal| removal.reason.is_certain()).collect();
        let holding =
            self.holding(certain.iter().map(|removal| removal.group.clone()).collect()).await?;
        let held = certain.into_iter().filter(|removal| holding.contains(&removal.group));
        Ok(held.map(|removal| removal.instance_id.clone()).collect())
    }

    async fn remove_ten(
        &self,
        cluster: &Cluster,
        ten: &[&Instance],
        at_once: &BTreeSet<InstanceId>,
    ) -> Vec<RemovalOutcome> {
        let mut all = Vec::new();
        let marked = self.mark(cluster, ten, &mut all).await;
        for instance in self.drain(cluster, &marked, &mut all).await {
            all.push(if !at_once.contains(&instance.instance_id) {
                done(&instance.instance_id, OutcomeKind::Draining, LATER.to_owned())
            } else if self.has_time() {
                self.terminate(cluster, instance, HELD.to_owned()).await
            } else {
                done(&instance.instance_id, OutcomeKind::Draining, NO_TIME.to_owned())
            });
        }
        for done in &all {
            info!(
                ec2.instance_id = %done.instance_id,
                ecs.cluster = cluster.name(),
                "{}: {}",
                done.instance_id,
                done.outcome.as_str()
            );
        }
        all
    }

    /// Marks instances as drained by us, and returns those that are.
    async fn mark<'i>(
        &self,
        cluster: &Cluster,
        ten: &[&'i Instance],
        all: &mut Vec<RemovalOutcome>,
    ) -> Vec<&'i Instance> {
        let mark = Mark { function: FUNCTION.to_owned(), at: self.clock.now() }.to_string();
        let values: Vec<_> = ten.iter().map(|one| (&one.arn, mark.clone())).collect();
        let put = self.clients().ecs.put_attribute(cluster, DRAINED_BY, &values).await;
        match put {
            Ok(()) => ten.to_vec(),
            // One that has left the cluster fails the call for all of them.
            Err(error) if error.kind == AwsErrorKind::NotFound && ten.len() > 1 => {
                let mut marked = Vec::new();
                for one in ten {
                    marked.extend(Box::pin(self.mark(cluster, &[*one], all)).await);
                }
                marked
            }
            Err(error) => {
                let said = Problem::from(&error).text;
                all.extend(
                    ten.iter().map(|one| done(&one.instance_id, kind_of(&error), said.clone())),
                );
                Vec::new()
            }
        }
    }

    /// Sets marked instances to DRAINING, and returns those that are. What is not is left as it was.
    async fn drain<'i>(
        &self,
        cluster: &Cluster,
        ten: &[&'i Instance],
        all: &mut Vec<RemovalOutcome>,
    ) -> Vec<&'i Instance> {
        if ten.is_empty() {
            return Vec::new();
        }
        let arns: Vec<_> = ten.iter().map(|one| one.arn.clone()).collect();
        let results = match self.clients().ecs.set_draining(cluster, &arns).await {
            Ok(results) => results,
            Err(error) => {
                // It may have taken effect.
                let said = Problem::from(&error).text;
                for one in ten {
                    all.push(self.roll_back(cluster, one, kind_of(&error), &said).await);
                }
                return Vec::new();
            }
        };
        let mut draining = Vec::new();
        for (&one, result) in ten.iter().zip(results) {
            match result {
                DrainResult::Draining => draining.push(one),
                DrainResult::Gone(said) => {
                    all.push(done(&one.instance_id, OutcomeKind::Gone, said))
                }
                DrainResult::Refused(said) => {
                    if let Err(error) = self.unmark(cluster, one).await {
                        warn!(
                            "A later sweep removes the mark of {}: {:?}",
                            one.instance_id, error.kind
                        );
                    }
                    all.push(done(&one.instance_id, OutcomeKind::DrainRefused, said));
                }
            }
        }
        draining
    }
}

const NO_TIME: &str = "no time was left; a later sweep goes on";
const HELD: &str = "its group's hook holds it until it is empty";
const LATER: &str = "a later sweep terminates it, once it is empty";

fn late(ten: &[&Instance]) -> Vec<RemovalOutcome> {
    ten.iter()
        .map(|one| done(&one.instance_id, OutcomeKind::Postponed, NO_TIME.to_owned()))
        .collect()
}

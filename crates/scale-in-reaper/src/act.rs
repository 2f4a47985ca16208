//! How a plan is carried out: revalidated, then marked, drained and terminated, batch by batch.
//!
//! The order of the writes is what makes a death at any moment harmless. The mark comes first:
//! whatever is DRAINING by this function bears it, and the next sweep goes on with it or takes it
//! back.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{DrainResult, Ecs, Problem, task_id};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::{DRAINED_BY, Mark};
use ebb_core::reaper::planned::LEFT_TO_ECS;
use ebb_core::reaper::replace::decide::without_raised_groups;
use ebb_core::reaper::revalidate::revalidate;
use ebb_core::reaper::tags::hold_until;
use ebb_core::reaper::termination::{AfterDrain, groups_to_ask, is_still_empty, steps_after_drain};
use ebb_core::reaper::{OutcomeKind, RemovalOutcome};
use ebb_planner::{Hold, HoldScope, Instance, Plan};
use tracing::{info, warn};

use crate::follow_up::{outcome, outcome_kind};
use crate::observe::{Candidates, Observation};
use crate::sweep::{FUNCTION, Sweep};

const NO_TIME: &str = "no time was left; a later sweep goes on";
const HELD: &str = "its group's hook holds it until it is empty";
const EMPTY: &str = "nothing is left on it";
const NOT_ANY_MORE: &str = "no more may go by now, as BUDGETS says; a later sweep goes on";
const LATER: &str = "a later sweep terminates it, once it is empty";

/// What a plan comes to that is left to a later sweep.
pub(crate) fn postpone(plan: Plan, why: &str) -> (Plan, Vec<RemovalOutcome>) {
    let ids = plan.remove.iter().map(|removal| &removal.instance_id);
    let outcomes = ids.map(|id| outcome(id, OutcomeKind::Postponed, why.to_owned())).collect();
    (plan, outcomes)
}

/// An instance that this sweep has set to DRAINING.
#[derive(Clone, Copy)]
struct Drained<'i> {
    instance: &'i Instance,
    /// How many tasks it then had by ECS's counts.
    tasks: usize,
}

impl Sweep<'_> {
    /// Observes again, and removes what of the plan still holds. `spare` are the instances that must
    /// still be empty for that, beside those that go.
    pub(crate) async fn remove(
        &self,
        cluster: &Cluster,
        planned: Plan,
        spare: BTreeSet<InstanceId>,
    ) -> Result<(Plan, Vec<RemovalOutcome>), Problem> {
        if planned.remove.is_empty() {
            return Ok((planned, Vec::new()));
        }
        if !self.has_time() {
            return Ok(postpone(planned, NO_TIME));
        }
        let mut ids: BTreeSet<_> =
            planned.remove.iter().map(|removal| removal.instance_id.clone()).collect();
        ids.extend(spare);
        // The plan was made from what may be minutes old. Both groups and cluster are read again,
        // as either may forbid a removal by now.
        let groups = self.observe_groups().await?;
        let observation = self.observe(cluster, &groups, Candidates::Only(&ids)).await?;
        self.shift_looks.lock().await.forget();
        if let Some(halt) = self.halted(&groups, &observation, &[], self.clock.now()).await {
            return Ok(postpone(planned, &halt.why));
        }
        let Observation { inventory, .. } = observation;
        // A sweep beside this one may have raised a group by now.
        let inventory = without_raised_groups(&inventory).into_owned();
        // Kept apart, as the new plan takes the inventory up.
        let candidates: BTreeMap<_, _> = inventory
            .instances
            .iter()
            .filter(|instance| ids.contains(&instance.instance_id))
            .map(|instance| (instance.instance_id.clone(), instance.clone()))
            .collect();
        let draining = inventory.instances.iter().filter(|instance| instance.is_draining());
        let draining = draining.filter_map(|instance| instance.group.clone()).collect();
        let cluster_groups = inventory.groups.clone();
        let draining_before =
            inventory.instances.iter().filter(|instance| instance.is_draining()).count();
        let plan = revalidate(&planned, inventory, &self.policy, self.clock.now());
        // Asked before the first drain: a failure here has changed nothing yet.
        let holding = self.holding_groups(groups_to_ask(&plan, &cluster_groups)).await?;
        let steps = steps_after_drain(&plan, &cluster_groups, &holding, &draining, groups.zones());
        let mut to_remove: Vec<_> =
            plan.remove.iter().filter_map(|removal| candidates.get(&removal.instance_id)).collect();
        // Before the first task moves, what managed scaling keeps as spare is out of its way.
        to_remove.sort_by_key(|instance| !instance.is_empty());
        let mut outcomes = BTreeMap::new();
        let usable = plan.headroom_before.instances;
        let (mut empty, mut others) = (0, 0);
        for (number, batch) in to_remove.chunks(Ecs::SET_DRAINING_MAX).enumerate() {
            empty += batch.iter().filter(|instance| instance.is_empty()).count();
            others += batch.iter().filter(|instance| !instance.is_empty()).count();
            // The first one follows upon a look at all of the cluster.
            let held = if number == 0 { None } else { self.held_meanwhile(cluster).await };
            // Asked for each batch: a budget's time may be over by now, and a drain that is begun
            // needs time to be taken back if it fails.
            let allowances = self.policy.allowances(usable, draining_before, self.clock.now());
            let removed = match held {
                Some(why) => postpone_batch(batch, &why),
                None if !self.has_time() => postpone_batch(batch, NO_TIME),
                None if allowances.permit(empty, others) => {
                    self.remove_batch(cluster, batch, &steps).await
                }
                None => postpone_batch(batch, NOT_ANY_MORE),
            };
            outcomes
                .extend(removed.into_iter().map(|outcome| (outcome.instance_id.clone(), outcome)));
        }
        let in_order = plan
            .remove
            .iter()
            .filter_map(|removal| outcomes.remove(&removal.instance_id))
            .collect();
        Ok((plan, in_order))
    }

    /// Why the rest of a plan is not begun, if somebody holds the cluster by now: whoever wants a
    /// sweep to stop need not wait for its end. It costs a call for each batch but the first.
    pub(crate) async fn held_meanwhile(&self, cluster: &Cluster) -> Option<String> {
        match self.clients.ecs.cluster(cluster).await {
            Ok(description) => {
                let scope = HoldScope::Cluster(cluster.name().to_owned());
                let hold = Hold::read(scope, hold_until(&description.tags)?, self.clock.now());
                hold.map(|hold| hold.to_string())
            }
            // What could not be read does not say that nobody holds it.
            Err(error) => Some(Problem::from(error).text),
        }
    }

    pub(crate) async fn remove_batch(
        &self,
        cluster: &Cluster,
        batch: &[&Instance],
        steps: &BTreeMap<InstanceId, AfterDrain>,
    ) -> Vec<RemovalOutcome> {
        let mut outcomes = Vec::new();
        // The mark precedes the drain: a death in between leaves an ACTIVE instance with a mark,
        // which the next sweep removes. The other order would leave it DRAINING with nobody to
        // answer for it.
        let marked = self.mark(cluster, batch, &mut outcomes).await;
        let drained = self.drain(cluster, &marked, &mut outcomes).await;
        let step = |instance: &Instance| steps.get(&instance.instance_id).copied();
        let mut looked_at = drained.clone();
        looked_at.retain(|drained| step(drained.instance) == Some(AfterDrain::LookAgain));
        let empty = self.still_empty(cluster, &looked_at).await;
        for Drained { instance, .. } in drained {
            let id = &instance.instance_id;
            if step(instance) == Some(AfterDrain::LeaveToEcs) {
                outcomes.push(outcome(id, OutcomeKind::LeftToEcs, LEFT_TO_ECS.to_owned()));
                continue;
            }
            let why = match step(instance) {
                Some(AfterDrain::Terminate) => Ok(HELD.to_owned()),
                Some(AfterDrain::LookAgain) => match &empty {
                    Ok(empty) if empty.contains(id) => Ok(EMPTY.to_owned()),
                    Ok(_) => Err(LATER.to_owned()),
                    Err(error) => Err(format!("{LATER}: {}", error.text)),
                },
                Some(AfterDrain::LeaveToLaterSweep | AfterDrain::LeaveToEcs) | None => {
                    Err(LATER.to_owned())
                }
            };
            outcomes.push(match why {
                Ok(why) if self.has_time() => self.terminate(cluster, instance, why).await,
                Ok(_) => outcome(id, OutcomeKind::Draining, NO_TIME.to_owned()),
                Err(why) => outcome(id, OutcomeKind::Draining, why),
            });
        }
        for outcome in &outcomes {
            info!(
                host.id = %outcome.instance_id,
                "{}: {}",
                outcome.instance_id,
                outcome.outcome.as_str()
            );
        }
        outcomes
    }

    /// Looks again at instances that drain, and returns those that are empty.
    async fn still_empty(
        &self,
        cluster: &Cluster,
        drained: &[Drained<'_>],
    ) -> Result<BTreeSet<InstanceId>, Problem> {
        if drained.is_empty() {
            return Ok(BTreeSet::new());
        }
        let arns: Vec<_> = drained.iter().map(|drained| drained.instance.arn.clone()).collect();
        let tasks = self.paced_ecs.tasks_on_all(cluster, &arns).await?;
        let is_empty = |Drained { instance, tasks: counted }: &&Drained<'_>| {
            let seen = tasks.iter().filter(|task| task.container_instance == instance.arn);
            let before = instance.tasks.as_deref().unwrap_or_default();
            is_still_empty(before, seen.map(|task| task_id(&task.arn)), *counted)
        };
        let empty = drained.iter().filter(is_empty);
        Ok(empty.map(|drained| drained.instance.instance_id.clone()).collect())
    }

    /// Marks instances as drained by this function, and returns those that are.
    async fn mark<'i>(
        &self,
        cluster: &Cluster,
        batch: &[&'i Instance],
        outcomes: &mut Vec<RemovalOutcome>,
    ) -> Vec<&'i Instance> {
        let mark = Mark { function: FUNCTION.to_owned(), at: self.clock.now(), cause: None };
        let mark = mark.to_string();
        let values: Vec<_> = batch.iter().map(|instance| (&instance.arn, mark.clone())).collect();
        match self.clients.ecs.put_attribute(cluster, DRAINED_BY, &values).await {
            Ok(()) => batch.to_vec(),
            // One that has left the cluster, or that can bear no more attributes, fails the call for
            // the whole batch.
            Err(error) if error.may_be_about_one() && batch.len() > 1 => {
                let mut marked = Vec::new();
                for instance in batch {
                    marked.extend(Box::pin(self.mark(cluster, &[*instance], outcomes)).await);
                }
                marked
            }
            Err(error) => {
                let kind = outcome_kind(&error);
                let text = Problem::from(error).text;
                outcomes.extend(
                    batch.iter().map(|instance| outcome(&instance.instance_id, kind, text.clone())),
                );
                Vec::new()
            }
        }
    }

    /// Sets marked instances to DRAINING, and returns those that are. The others are left as they
    /// were.
    async fn drain<'i>(
        &self,
        cluster: &Cluster,
        batch: &[&'i Instance],
        outcomes: &mut Vec<RemovalOutcome>,
    ) -> Vec<Drained<'i>> {
        if batch.is_empty() {
            return Vec::new();
        }
        let arns: Vec<_> = batch.iter().map(|instance| instance.arn.clone()).collect();
        let results = match self.clients.ecs.set_draining(cluster, &arns).await {
            Ok(results) => results,
            Err(error) => {
                // The call may have taken effect before it failed.
                let kind = outcome_kind(&error);
                let text = Problem::from(error).text;
                for instance in batch {
                    outcomes.push(self.roll_back(cluster, instance, kind, &text).await);
                }
                return Vec::new();
            }
        };
        let mut draining = Vec::new();
        for (&instance, result) in batch.iter().zip(results) {
            let id = &instance.instance_id;
            match result {
                DrainResult::Draining { tasks } => draining.push(Drained { instance, tasks }),
                DrainResult::Gone(why) => outcomes.push(outcome(id, OutcomeKind::Gone, why)),
                DrainResult::Refused(why) => {
                    if let Err(error) = self.unmark(cluster, instance).await {
                        let cause = Problem::from(error).text;
                        warn!("A later sweep removes the mark of {id}: {cause}");
                    }
                    outcomes.push(outcome(id, OutcomeKind::DrainRefused, why));
                }
            }
        }
        draining
    }
}

pub(crate) fn postpone_batch(batch: &[&Instance], why: &str) -> Vec<RemovalOutcome> {
    let ids = batch.iter().map(|instance| &instance.instance_id);
    ids.map(|id| outcome(id, OutcomeKind::Postponed, why.to_owned())).collect()
}

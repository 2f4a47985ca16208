//! How a sweep replaces what is old: a fresh look, then what `ebb_core::reaper::replace` decides.
//!
//! The order of the writes is what makes a death at any moment harmless. A claim is written before
//! what it is for, and passes on only once that is done: the next sweep goes on by it.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{AwsError, AwsErrorKind, DrainResult, Ecs, Groups, Problem, Termination, members_of};
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::reaper::budgets::DisruptionReason;
use ebb_core::reaper::halt::Halt;
use ebb_core::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use ebb_core::reaper::replace::decide::{Decision, Scene, Step, decide};
use ebb_core::reaper::replace::give_back::RaisedGroup;
use ebb_core::reaper::replace::members::GroupMembers;
use ebb_core::reaper::replace::outdated::Evidence;
use ebb_core::reaper::replace::planned::{Done, replacements, would};
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::settings::ReaperMode;
use ebb_core::reaper::termination::{groups_to_ask, steps_after_drain};
use ebb_core::reaper::{OutcomeKind, Replacement};
use ebb_core::words;
use ebb_planner::{Instance, Inventory, Plan, TaskKind, group_may_shrink};
use jiff::Timestamp;
use tracing::{info, warn};

use crate::act::postpone_batch;
use crate::observe::Candidates;
use crate::retained::failed;
use crate::sweep::{FUNCTION, Sweep};

/// A cluster some of whose instances are to be replaced.
struct Work<'a> {
    cluster: &'a Cluster,
    inventory: &'a Inventory,
}

impl Sweep<'_> {
    /// Goes on with what is being replaced in a cluster, and begins to replace more if the sweep is
    /// for that, unless the cluster is halted by now. `names` are the groups of the cluster, and
    /// `usable` is how many instances it has.
    pub(crate) async fn replace(
        &self,
        cluster: &Cluster,
        names: BTreeSet<GroupName>,
        usable: usize,
    ) -> Result<Result<Vec<Replacement>, Halt>, Problem> {
        // Both groups and cluster are read again, the groups first: whoever sees a group that was
        // raised then also sees the claims, which were written before that.
        let groups = self.observe_groups().await?;
        let evidence = self.evidence(&groups, &names).await;
        let candidates = Candidates::ToReplace(&evidence);
        let observation = self.observe(cluster, &groups, candidates).await?;
        if self.mode == ReaperMode::Act {
            self.shift_looks.lock().await.forget();
        }
        if let Some(halt) = self.halted(&groups, &observation, &[], self.clock.now()).await {
            return Ok(Err(halt));
        }
        let mut inventory = observation.inventory;
        self.add_refreshes(&mut inventory).await?;
        let now = self.clock.now();
        let outdated = evidence.outdated(&inventory, now);
        let members = groups.members_of(&inventory);
        let allowance = self.settings.allowance(DisruptionReason::Replace, usable, now);
        let scene = Scene {
            inventory: &inventory,
            groups: &members,
            outdated: &outdated,
            policy: &self.policy,
            allowance: &allowance,
            may_begin: self.purpose == Purpose::Replace,
            function: FUNCTION,
            now,
        };
        let decision = decide(&scene);
        let displaced = decision.displaced();
        let work = Work { cluster, inventory: &inventory };
        let done = if self.mode == ReaperMode::Plan || !self.has_time() {
            decision.steps.iter().map(|(index, step)| (*index, would(step))).collect()
        } else {
            self.carry_out_steps(&work, &groups, &members, decision).await
        };
        let mut done = replacements(&inventory, &outdated, &displaced, done);
        if self.purpose == Purpose::Replace {
            done.extend(self.end_unregistered(&inventory, &members).await);
        }
        Ok(Ok(done))
    }

    /// What tells which instances are outdated. What EC2 does not say replaces nothing: that hides
    /// no other reason.
    pub(crate) async fn evidence(&self, groups: &Groups, names: &BTreeSet<GroupName>) -> Evidence {
        let templates = groups.templates(names);
        let is_alias = |version: &str| version.is_empty() || version.starts_with('$');
        let aliases = templates.values().map(|templates| &templates.group);
        let aliases = aliases.filter(|template| is_alias(&template.version));
        let ids: BTreeSet<_> = aliases.map(|template| template.id.clone()).collect();
        let versions = self.clients.ec2.template_versions(&ids).await.unwrap_or_else(|error| {
            let cause = Problem::from(error).text;
            warn!("No instance is replaced for its launch template: {cause}");
            BTreeMap::new()
        });
        let events = self.clients.ec2.scheduled_events().await.unwrap_or_else(|error| {
            let cause = Problem::from(error).text;
            warn!("No instance is replaced for what EC2 has scheduled: {cause}");
            BTreeMap::new()
        });
        let replace_after = self.settings.replace_after();
        Evidence { replace_after, templates, versions, events }
    }

    /// Looks for instance refreshes in the groups at their minimum, too: those that may shrink were
    /// asked about when the cluster was observed.
    pub(crate) async fn add_refreshes(&self, inventory: &mut Inventory) -> Result<(), AwsError> {
        for (name, group) in &mut inventory.groups {
            if group.unavailable.is_none() && !group_may_shrink(name, group, &self.policy) {
                let refresh = self.clients.auto_scaling.instance_refresh(name).await?;
                group.unavailable =
                    refresh.map(|status| format!("an instance refresh is {status}"));
            }
        }
        Ok(())
    }

    async fn carry_out_steps(
        &self,
        work: &Work<'_>,
        groups: &Groups,
        members: &BTreeMap<GroupName, GroupMembers>,
        Decision { steps, drains, old_places }: Decision,
    ) -> BTreeMap<usize, Done> {
        let mut outcomes = BTreeMap::new();
        let mut drained = Vec::new();
        // What belongs to a group is done for all of it at once.
        let (mut raises, mut returns) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (index, step) in steps {
            let group = work.instance(index).group.clone();
            let done = match step {
                Step::Stay(_) | Step::Wait(_) => would(&step),
                Step::Drain { claimed } => {
                    drained.push((index, claimed));
                    continue;
                }
                Step::Raise { .. } => {
                    raises.entry(group).or_default().push((index, step));
                    continue;
                }
                Step::GiveBack { .. } => {
                    returns.entry(group).or_default().push((index, step));
                    continue;
                }
                Step::Fail(why) => self.note_failed(work, &[index], why).await,
                Step::Forget => match self.unclaim(work, index).await {
                    Ok(()) => continue,
                    Err(error) => failed(error),
                },
                Step::TerminateRetained => self.terminate_retained(work, index).await,
            };
            outcomes.insert(index, done);
        }
        outcomes.extend(self.drain_replaced(work, groups, &drained, drains, old_places).await);
        for (group, steps) in returns {
            let done = self.give_back(work, group, &steps).await;
            outcomes.extend(steps.iter().map(|(index, _)| (*index, done.clone())));
        }
        for (group, steps) in raises {
            let done = self.raise(work, group, members, &steps).await;
            outcomes.extend(steps.iter().map(|(index, _)| (*index, done.clone())));
        }
        outcomes
    }

    /// Claims instances, raises their group for them, and notes that it is raised.
    async fn raise(
        &self,
        work: &Work<'_>,
        group: Option<GroupName>,
        members: &BTreeMap<GroupName, GroupMembers>,
        steps: &[(usize, Step)],
    ) -> Done {
        let (Some(group), Some((_, Step::Raise { desired_capacity, .. }))) = (group, steps.first())
        else {
            return (OutcomeKind::Failed, "it is in no group".to_owned());
        };
        let (mut claims, mut raised) = (Vec::new(), Vec::new());
        for (index, step) in steps {
            let Step::Raise { claim, .. } = step else { continue };
            claims.push((*index, *claim));
            raised.push((*index, Claim::Raised { since: claim.since() }));
        }
        // The claims come before the raise: whoever reads them goes on with this one instead of
        // raising the group a second time.
        if let Err(error) = self.claim(work, &claims).await {
            return failed(error);
        }
        let Some(desired_capacity) = *desired_capacity else {
            return self.note_raised(work, &raised, "its group was raised for it".to_owned()).await;
        };
        // Whoever has set the capacity since the sweep looked, an operator or a scaling policy, is not
        // to be overwritten.
        let decided_by = work.inventory.groups.get(&group).map(|group| group.desired_capacity);
        match self.capacity(&group).await {
            // Another sweep has raised it by the same claims.
            Ok(capacity) if capacity == desired_capacity => {}
            Ok(capacity) if Some(capacity) != decided_by => {
                return self.withdraw(work, &group, steps, capacity).await;
            }
            Ok(_) => {
                // The replacements have their time from now on, however long ago a sweep made the claims
                // that could not raise the group.
                let since = self.clock.now();
                if let Err(error) = self.set_capacity(&group, desired_capacity).await {
                    return failed(error);
                }
                raised.iter_mut().for_each(|(_, claim)| *claim = Claim::Raised { since });
            }
            Err(error) => return failed(error),
        }
        let max_size = members.get(&group).map_or(0, |members| members.max_size);
        info!(
            asg.name = %group,
            asg.desired_capacity = desired_capacity,
            "Raised {group} to {desired_capacity}, of at most {max_size}, to replace {}", steps.len()
        );
        let why =
            format!("group {group} is raised to {desired_capacity}; its replacement is launched");
        self.note_raised(work, &raised, why).await
    }

    async fn capacity(&self, group: &GroupName) -> Result<i64, AwsError> {
        Ok(self.clients.auto_scaling.group(group).await?.group.desired_capacity)
    }

    /// Takes the claims back that this sweep made, as it raises nothing for them.
    async fn withdraw(
        &self,
        work: &Work<'_>,
        group: &GroupName,
        steps: &[(usize, Step)],
        capacity: i64,
    ) -> Done {
        let instances = steps.iter().map(|(index, _)| work.instance(*index));
        // What was claimed before may have raised the group then.
        let new = instances.filter(|instance| Claim::among(&instance.attributes).is_none());
        let arns: Vec<_> = new.map(|instance| instance.arn.clone()).collect();
        let ecs = &self.clients.ecs;
        if let Err(error) = ecs.delete_attribute(work.cluster, REPLACING_ATTRIBUTE, &arns).await {
            return failed(error);
        }
        let why = format!("the desired capacity of group {group} was set to {capacity} meanwhile");
        (OutcomeKind::NotReplaced, why)
    }

    async fn note_raised(&self, work: &Work<'_>, raised: &[(usize, Claim)], why: String) -> Done {
        match self.claim(work, raised).await {
            Ok(()) => (OutcomeKind::Replacing, why),
            Err(error) => failed(error),
        }
    }

    /// Sets the desired capacity once. If that fails, a look tells whether it took effect.
    async fn set_capacity(&self, group: &GroupName, capacity: i64) -> Result<(), AwsError> {
        let desired_capacity = i32::try_from(capacity).unwrap_or(i32::MAX);
        let auto_scaling = &self.clients.auto_scaling;
        let Err(error) = auto_scaling.set_desired_capacity(group, desired_capacity).await else {
            return Ok(());
        };
        if self.capacity(group).await? == capacity { Ok(()) } else { Err(error) }
    }

    /// Makes a group as large as before it was raised, and notes what was not replaced.
    async fn give_back(
        &self,
        work: &Work<'_>,
        group: Option<GroupName>,
        steps: &[(usize, Step)],
    ) -> Done {
        let (Some(group), Some((_, first))) = (group, steps.first()) else {
            return (OutcomeKind::Failed, "it is in no group".to_owned());
        };
        let Step::GiveBack { unregistered, raised_by, raised_at, why } = first else {
            return would(first);
        };
        // From here on it is in no replacement's place any more, so that nothing of it is drained.
        let returning: Vec<_> = steps
            .iter()
            .map(|(index, _)| {
                (*index, Claim::Returning { since: work.claimed_since(*index, self) })
            })
            .collect();
        if let Err(error) = self.claim(work, &returning).await {
            return failed(error);
        }
        // A fresh look, so that only what was never launched by now is taken back.
        let described = match self.clients.auto_scaling.group(&group).await {
            Ok(described) => described,
            Err(error) => return failed(error),
        };
        let GroupMembers { members, .. } = members_of(&described);
        let raised = RaisedGroup {
            desired_capacity: described.group.desired_capacity,
            min_size: described.group.min_size,
            members: &members,
            raised_by: *raised_by,
        };
        if let Some(desired_capacity) = raised.lowered()
            && let Err(error) = self.set_capacity(&group, desired_capacity).await
        {
            return failed(error);
        }
        let gone = self.terminate_unregistered(&raised, unregistered, *raised_at).await;
        let why = match gone {
            Ok(()) => why.clone(),
            Err(NotTerminated::Stays(stays)) => format!("{why}; {stays}"),
            Err(NotTerminated::Failed(error)) => return failed(error),
        };
        let indices: Vec<_> = steps.iter().map(|(index, _)| *index).collect();
        self.note_failed(work, &indices, why).await
    }

    /// Terminates what was launched for replacements and is in no cluster of the Region. Each is
    /// looked for in all of them just before: a look that fails, or may not be made, never says that
    /// it is in none.
    async fn terminate_unregistered(
        &self,
        raised: &RaisedGroup<'_>,
        unregistered: &[InstanceId],
        raised_at: Timestamp,
    ) -> Result<(), NotTerminated> {
        if unregistered.is_empty() {
            return Ok(());
        }
        let stay = |number: usize, why: &str| {
            NotTerminated::Stays(format!(
                "{} of these stay: {why}",
                words::count(number, "instance")
            ))
        };
        let not_known = |error: AwsError| match error.kind {
            AwsErrorKind::Denied => {
                let cause = Problem::from(error).text;
                stay(unregistered.len(), &format!("a cluster may have them: {cause}"))
            }
            _ => NotTerminated::Failed(error),
        };
        let launched_at = self.clients.ec2.launch_times(unregistered).await.map_err(not_known)?;
        let now = self.clock.now();
        let mut left = unregistered.len();
        for id in raised.given_up(unregistered, &launched_at, raised_at, now) {
            let clusters = self.clients.ecs.list_clusters().await.map_err(not_known)?;
            let ids = BTreeSet::from([id.clone()]);
            match self.registered_in(&ids, &clusters).await.map_err(not_known)? {
                Some(found) if found.is_empty() => {}
                Some(_) => continue,
                None => return Err(stay(left, "there are too many clusters to ask in time")),
            }
            match self.clients.auto_scaling.terminate(&id).await {
                Ok(
                    Termination::Accepted
                    | Termination::NotManaged(_)
                    | Termination::ScalingActivityInProgress(_),
                ) => warn!(ec2.instance_id = %id, "Terminates {id}, which has joined no cluster"),
                Ok(Termination::BelowMinimum(text) | Termination::ResourceContention(text)) => {
                    return Err(NotTerminated::Stays(format!("{id} stays: {text}")));
                }
                Err(error) => return Err(NotTerminated::Failed(error)),
            }
            left -= 1;
        }
        match left {
            0 => Ok(()),
            _ => Err(stay(left, "launched for something else, protected, or in a cluster by now")),
        }
    }

    async fn note_failed(&self, work: &Work<'_>, indices: &[usize], why: String) -> Done {
        // It counts from now on: for how long the group is left alone.
        let claim = Claim::Failed { since: self.clock.now() };
        let claims: Vec<_> = indices.iter().map(|&index| (index, claim)).collect();
        match self.claim(work, &claims).await {
            Ok(()) => (OutcomeKind::ReplacementFailed, why),
            Err(error) => failed(error),
        }
    }

    /// Drains what has its replacement, as any plan is carried out.
    async fn drain_replaced(
        &self,
        work: &Work<'_>,
        groups: &Groups,
        drained: &[(usize, usize)],
        plan: Option<Plan>,
        old_places: usize,
    ) -> BTreeMap<usize, Done> {
        let mut outcomes = BTreeMap::new();
        let Some(plan) = plan.filter(|_| !drained.is_empty()) else { return outcomes };
        let mut going = Vec::new();
        for &(index, claimed) in drained {
            match self.pass_on(work, claimed, index).await {
                Ok(()) => going.push(index),
                Err(error) => {
                    outcomes.insert(index, failed(error));
                }
            }
        }
        let inventory = work.inventory;
        let draining = inventory.instances.iter().filter(|instance| instance.is_draining());
        let draining = draining.filter_map(|instance| instance.group.clone()).collect();
        let holding = match self.holding_groups(groups_to_ask(&plan, &inventory.groups)).await {
            Ok(holding) => holding,
            // A later sweep terminates them, once they are empty.
            Err(problem) => {
                warn!("Whether hooks hold what is replaced is not known: {}", problem.text);
                BTreeSet::new()
            }
        };
        let steps =
            steps_after_drain(&plan, &inventory.groups, &holding, &draining, groups.zones());
        let instances: Vec<_> = going.iter().map(|&index| work.instance(index)).collect();
        let mut done = BTreeMap::new();
        for (number, batch) in instances.chunks(Ecs::SET_DRAINING_MAX).enumerate() {
            // The first one follows upon a look at all of the cluster.
            let held = if number == 0 { None } else { self.held_meanwhile(work.cluster).await };
            let removed = match held {
                Some(why) => postpone_batch(batch, &why),
                None if self.has_time() => self.remove_batch(work.cluster, batch, &steps).await,
                None => Vec::new(),
            };
            done.extend(removed.into_iter().map(|outcome| (outcome.instance_id.clone(), outcome)));
        }
        for index in going {
            let Some(outcome) = done.remove(&work.instance(index).instance_id) else { continue };
            let detail = outcome.detail.unwrap_or_default();
            let detail = match old_places {
                0 => detail,
                number => format!(
                    "{detail}; its tasks have room on instances that stay, and ECS may place them \
                     on {number} that are still to be replaced"
                ),
            };
            outcomes.insert(index, (outcome.outcome, detail));
        }
        outcomes
    }

    /// Has the claim of an instance stand on another one. A death in between leaves a group that is
    /// one too large, which later sweeps see to, rather than one raise that counts twice.
    async fn pass_on(&self, work: &Work<'_>, from: usize, to: usize) -> Result<(), AwsError> {
        if from == to {
            return Ok(());
        }
        self.unclaim(work, from).await?;
        let since = work.claimed_since(from, self);
        self.claim(work, &[(to, Claim::Raised { since })]).await
    }

    async fn terminate_retained(&self, work: &Work<'_>, index: usize) -> Done {
        let instance = work.instance(index);
        // Until it drains ECS may place a task on it, and it is terminated at once.
        if !instance.is_draining() {
            let arns = std::slice::from_ref(&instance.arn);
            let daemons = instance.tasks.iter().flatten();
            let daemons = daemons.filter(|task| task.kind == TaskKind::Daemon).count();
            let results = match self.clients.ecs.set_draining(work.cluster, arns).await {
                Ok(results) => results,
                Err(error) => return failed(error),
            };
            match results.into_iter().next() {
                Some(DrainResult::Draining { tasks }) if tasks <= daemons => {}
                Some(DrainResult::Gone(_)) => {}
                Some(DrainResult::Draining { .. }) | None => {
                    let why = "its group retained it; a task has come onto it, and leaves first";
                    return (OutcomeKind::Draining, why.to_owned());
                }
                Some(DrainResult::Refused(why)) => return (OutcomeKind::DrainRefused, why),
            }
        }
        self.end_retained(&instance.instance_id, "nothing is left on it").await
    }

    async fn claim(&self, work: &Work<'_>, claims: &[(usize, Claim)]) -> Result<(), AwsError> {
        let values: Vec<_> = claims
            .iter()
            .map(|(index, claim)| (&work.instance(*index).arn, claim.to_string()))
            .collect();
        self.clients.ecs.put_attribute(work.cluster, REPLACING_ATTRIBUTE, &values).await
    }

    async fn unclaim(&self, work: &Work<'_>, index: usize) -> Result<(), AwsError> {
        let arns = std::slice::from_ref(&work.instance(index).arn);
        self.clients.ecs.delete_attribute(work.cluster, REPLACING_ATTRIBUTE, arns).await
    }
}

/// Why instances that joined no cluster are not terminated.
enum NotTerminated {
    /// They stay, for good.
    Stays(String),
    /// The next sweep tries again.
    Failed(AwsError),
}

impl Work<'_> {
    fn instance(&self, index: usize) -> &Instance {
        &self.inventory.instances[index]
    }

    fn claimed_since(&self, index: usize, sweep: &Sweep<'_>) -> Timestamp {
        let claim = Claim::among(&self.instance(index).attributes);
        claim.map_or_else(|| sweep.clock.now(), Claim::since)
    }
}

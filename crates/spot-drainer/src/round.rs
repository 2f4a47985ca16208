//! One round: looks through the clusters, has `ebb_core::spot::decide` say what is to be done, and
//! drains what can be drained.
//!
//! The first pass asks each cluster for ACTIVE container instances only; one notice with one
//! configured cluster then costs two calls, the list and the drain. What no cluster shows as ACTIVE
//! is looked for a second time in any status, to tell an instance that is DRAINING already from one
//! that belongs to no cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ebb_aws::{AwsError, AwsErrorKind, Clock, DrainResult, Ecs, Problem};
use ebb_core::ecs::{ContainerInstance, MissingCluster, missing_cluster};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::{DRAINED_BY, Mark};
use ebb_core::spot::notice::{Notice, NoticeKind};
use ebb_core::spot::{Decision, OutcomeKind, decide, decide_return};
use futures_util::{StreamExt, stream};

use crate::drainer::{FUNCTION, SpotDrainer};
use crate::item::{Pass, Step};
use crate::work::Work;

/// How many look-ups run at once. More would only empty the account's burst of 100 reads faster,
/// and one waiting look-up holds up none but its own cluster.
const CONCURRENT_VISITS_MAX: usize = 8;

/// A container instance, the mark on it as far as it was looked at, and what came of it.
pub(crate) type Visited = (ContainerInstance, Option<Mark>, Step);

/// What a visit to one cluster brought for some instances.
struct Visit {
    cluster: Cluster,
    /// The instances that were looked for.
    instance_ids: Vec<InstanceId>,
    /// The container instances that the cluster has of them.
    steps: Vec<Visited>,
    /// Why the cluster could not be looked through.
    problem: Option<Problem>,
    /// Whether that is because it does not exist: then it has no container instance either.
    missing: bool,
}

impl SpotDrainer {
    /// Tries to settle every undecided item. What stays undecided has a problem.
    pub(crate) async fn round(&self, work: &mut Work, clock: Clock) {
        if work.undecided().next().is_none() {
            return;
        }
        // A problem belongs to one round: one that is kept would exclude its item from this round.
        work.undecided().for_each(|item| item.problem = None);
        let clusters = match self.clients.ecs.clusters(self.settings.clusters.as_deref()).await {
            Ok(clusters) => clusters,
            Err(error) => {
                let problem = Problem::from(error);
                work.undecided().for_each(|item| item.problem = Some(problem.clone()));
                return;
            }
        };
        // The drains come with the first pass, as the two minutes of an interruption notice do not
        // wait for the second.
        self.look_through(work, &clusters, Pass::Active, clock).await;
        self.look_through(work, &clusters, Pass::AnyStatus, clock).await;
        self.mark_drained(work, clock.now()).await;
        // After the marks: a queue that was held up may bring the notice and the return together.
        self.look_through(work, &clusters, Pass::Returned, clock).await;
        for item in work.undecided().filter(|item| item.problem.is_none()) {
            // Every pass has looked through every cluster without a problem, so the instance is in
            // none of them.
            let Some(notice) = item.notice.clone() else { continue };
            match self.decide_absent(&notice, clock) {
                Decision::Done { outcome, reason } => item.note_absence(outcome, &reason),
                Decision::LookAgain { why } => item.problem = Some(Problem::other(why)),
                Decision::Drain | Decision::Reactivate | Decision::Unmark => {
                    item.problem = Some(Problem::other("nothing was found that could be changed"));
                }
            }
        }
    }

    /// Decides about an instance that no cluster has a container instance on.
    fn decide_absent(&self, notice: &Notice, clock: Clock) -> Decision {
        match notice.kind {
            NoticeKind::Running => {
                decide_return(notice, None, FUNCTION, self.settings.dry_run, clock.now())
            }
            _ => decide(notice, None, self.settings.dry_run),
        }
    }

    /// Looks through all clusters at once for the undecided items of a pass without a problem, and
    /// carries out what is decided.
    async fn look_through(&self, work: &mut Work, clusters: &[Cluster], pass: Pass, clock: Clock) {
        let mut notices = HashMap::new();
        // Both in an order of their own, so that the same event leads to the same calls.
        let mut ids_by_cluster = BTreeMap::<_, BTreeSet<_>>::new();
        for item in work.open_in(pass) {
            let Some(notice) = item.notice.clone() else { continue };
            for cluster in item.begin_pass(clusters) {
                ids_by_cluster.entry(cluster).or_default().insert(notice.instance_id.clone());
            }
            notices.insert(notice.instance_id.clone(), notice);
        }

        let mut visits = Vec::new();
        for (cluster, ids) in &ids_by_cluster {
            let ids: Vec<_> = ids.iter().cloned().collect();
            for ids in ids.chunks(Ecs::FIND_IDS_MAX) {
                visits.push(self.visit(cluster, ids.to_vec(), pass, &notices, clock));
            }
        }
        let mut visits = stream::iter(visits).buffer_unordered(CONCURRENT_VISITS_MAX);
        while let Some(visit) = visits.next().await {
            apply_visit(work, pass, visit);
        }
        drop(visits);
        work.end_pass();
    }

    /// Looks for instances in one cluster, and carries out what is decided about those that it has.
    async fn visit(
        &self,
        cluster: &Cluster,
        instance_ids: Vec<InstanceId>,
        pass: Pass,
        notices: &HashMap<InstanceId, Notice>,
        clock: Clock,
    ) -> Visit {
        let steps = match pass {
            Pass::Active | Pass::AnyStatus => {
                self.drain_found(cluster, &instance_ids, pass, notices).await
            }
            Pass::Returned => self.take_back_found(cluster, &instance_ids, notices, clock).await,
        };
        let cluster = cluster.clone();
        let mut visit =
            Visit { cluster, instance_ids, steps: Vec::new(), problem: None, missing: false };
        match steps {
            Ok(steps) => visit.steps = steps,
            Err(error) => {
                visit.missing = error.kind == AwsErrorKind::NotFound;
                // A listed cluster that was deleted meanwhile has no instances. A configured one
                // that does not exist is a mistake in the settings, and stays a problem.
                let is_deleted = visit.missing
                    && missing_cluster(self.settings.clusters.as_deref())
                        == MissingCluster::Deleted;
                visit.problem = (!is_deleted).then(|| error.into());
            }
        }
        visit
    }

    /// Drains the container instances of interrupted instances in one cluster.
    async fn drain_found(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        pass: Pass,
        notices: &HashMap<InstanceId, Notice>,
    ) -> Result<Vec<Visited>, AwsError> {
        let (mut steps, mut to_drain) = (Vec::new(), Vec::new());
        for (instance, mark) in self.look(cluster, instance_ids, pass).await? {
            // What nobody gave notice of is not drained, whatever the list answers.
            let Some(notice) = notices.get(&instance.instance_id) else { continue };
            match decide(notice, Some(&instance), self.settings.dry_run) {
                Decision::Drain => to_drain.push((instance, notice.kind.to_string())),
                Decision::Done { outcome, reason } => {
                    steps.push((instance, mark, Step::Settled(outcome, reason)));
                }
                Decision::LookAgain { why } => {
                    steps.push((instance, mark, Step::Failed(Problem::other(why))));
                }
                Decision::Reactivate | Decision::Unmark => {}
            }
        }
        let drained = self.drain(cluster, to_drain).await;
        steps.extend(drained.into_iter().map(|(instance, step)| (instance, None, step)));
        Ok(steps)
    }

    /// The instances' container instances in one cluster: for a single instance in the first pass
    /// the ACTIVE ones only, without their marks.
    async fn look(
        &self,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
        pass: Pass,
    ) -> Result<Vec<(ContainerInstance, Option<Mark>)>, AwsError> {
        let ecs = &self.clients.ecs;
        // The answer for several instances is described in any case, so that it costs no more to see
        // those, too, that drain already beside one that does not.
        if pass == Pass::Active && instance_ids.len() == 1 {
            let found = ecs.find_active(cluster, instance_ids).await?;
            return Ok(found.into_iter().map(|instance| (instance, None)).collect());
        }
        let observed = ecs.observe_on(cluster, instance_ids, DRAINED_BY).await?;
        Ok(observed
            .into_iter()
            .map(|seen| {
                let mark = seen.mark();
                (seen.container_instance, mark)
            })
            .collect())
    }

    /// Drains in batches of ten. A call that fails keeps no other batch from being drained; its own
    /// instances are looked for again in the next round, when whatever ECS objected to may be gone.
    async fn drain(
        &self,
        cluster: &Cluster,
        to_drain: Vec<(ContainerInstance, String)>,
    ) -> Vec<(ContainerInstance, Step)> {
        let mut steps = Vec::new();
        for batch in to_drain.chunks(Ecs::SET_DRAINING_MAX) {
            let arns: Vec<_> = batch.iter().map(|(instance, _)| instance.arn.clone()).collect();
            match self.clients.ecs.set_draining(cluster, &arns).await {
                Ok(results) => {
                    steps.extend(batch.iter().zip(results).map(|((instance, reason), result)| {
                        (instance.clone(), step_of(result, reason))
                    }))
                }
                // The call may have taken effect before it failed. The next round then finds the
                // instance DRAINING, which is as good.
                Err(error) => {
                    let problem = Problem::from(error);
                    steps.extend(batch.iter().map(|(instance, _)| {
                        (instance.clone(), Step::NotDrained(problem.clone()))
                    }));
                }
            }
        }
        steps
    }
}

fn step_of(result: DrainResult, reason: &str) -> Step {
    match result {
        DrainResult::Draining { .. } => Step::Settled(OutcomeKind::Draining, reason.to_owned()),
        DrainResult::Gone(why) => Step::Settled(OutcomeKind::Gone, why),
        DrainResult::Refused(why) => {
            Step::NotDrained(Problem::other(format!("ECS did not set it to DRAINING: {why}")))
        }
    }
}

/// Takes over what a visit brought. A cluster that could not be looked through leaves a problem
/// with every item that it was asked about, also with one that another cluster had a container
/// instance for: a look-up that failed never counts as "not there".
fn apply_visit(work: &mut Work, pass: Pass, visit: Visit) {
    for (instance, mark, step) in visit.steps {
        for item in work.about(pass, &instance.instance_id) {
            item.note(&instance, mark.as_ref(), &step);
        }
    }
    for instance_id in &visit.instance_ids {
        for item in work.about(pass, instance_id) {
            if visit.problem.is_none() || visit.missing {
                item.note_answer(&visit.cluster);
            }
            if let Some(problem) = &visit.problem {
                item.problem = Some(problem.clone());
            }
        }
    }
}

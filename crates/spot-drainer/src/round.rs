//! One round: looks through the clusters, has `ebb_core::spot::decide` say what is to be done, and
//! drains what can be drained.
//!
//! The first pass asks each cluster for ACTIVE container instances only; one notice with one
//! configured cluster then costs two calls, the list and the drain. What no cluster shows as ACTIVE
//! is looked for a second time in any status, to tell an instance that is DRAINING already from one
//! that belongs to no cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ebb_aws::{AwsErrorKind, DrainResult, Ecs, Problem, StatusFilter};
use ebb_core::ecs::{ContainerInstance, MissingCluster, missing_cluster};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::spot::notice::Notice;
use ebb_core::spot::{Decision, OutcomeKind, decide};
use futures_util::{StreamExt, stream};

use crate::drainer::SpotDrainer;
use crate::work::{Step, Work};

/// How many look-ups run at once. More would only empty the account's burst of 100 reads faster,
/// and one waiting look-up holds up none but its own cluster.
const CONCURRENT_VISITS_MAX: usize = 8;

/// What a visit to one cluster brought for some instances.
struct Visit {
    cluster: Cluster,
    /// The instances that were looked for.
    instance_ids: Vec<InstanceId>,
    /// The container instances that the cluster has of them, and how each came off.
    steps: Vec<(ContainerInstance, Step)>,
    /// Why the cluster could not be looked through.
    problem: Option<Problem>,
    /// Whether that is because it does not exist: then it has no container instance either.
    missing: bool,
}

impl SpotDrainer {
    /// Tries to settle every undecided item. What stays undecided has a problem.
    pub(crate) async fn round(&self, work: &mut Work) {
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
        self.drain_in_clusters(work, &clusters, StatusFilter::Active).await;
        self.drain_in_clusters(work, &clusters, StatusFilter::AnyStatus).await;
        for item in work.undecided().filter(|item| item.problem.is_none()) {
            // Both passes have looked through every cluster without a problem, so the instance is
            // in none of them.
            let Some(notice) = item.notice.clone() else { continue };
            match decide(&notice, None, self.settings.dry_run) {
                Decision::Done { outcome, reason } => item.note_absence(outcome, &reason),
                Decision::LookAgain { why } => item.problem = Some(Problem::other(why)),
                Decision::Drain => {
                    item.problem = Some(Problem::other("nothing was found that could be drained"))
                }
            }
        }
    }

    /// Looks through all clusters at once for the undecided items without a problem, and drains
    /// what can be drained.
    async fn drain_in_clusters(
        &self,
        work: &mut Work,
        clusters: &[Cluster],
        status_filter: StatusFilter,
    ) {
        let mut notices = HashMap::new();
        // Both in an order of their own, so that the same event leads to the same calls.
        let mut ids_by_cluster = BTreeMap::<_, BTreeSet<_>>::new();
        for item in work.undecided().filter(|item| item.problem.is_none()) {
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
                visits.push(self.visit(cluster, ids.to_vec(), status_filter, &notices));
            }
        }
        let mut visits = stream::iter(visits).buffer_unordered(CONCURRENT_VISITS_MAX);
        while let Some(visit) = visits.next().await {
            apply_visit(work, visit);
        }
        drop(visits);
        work.end_pass();
    }

    /// Looks for instances in one cluster and drains those that it has.
    async fn visit(
        &self,
        cluster: &Cluster,
        instance_ids: Vec<InstanceId>,
        status_filter: StatusFilter,
        notices: &HashMap<InstanceId, Notice>,
    ) -> Visit {
        let found = self.clients.ecs.find(cluster, &instance_ids, status_filter).await;
        let mut visit = Visit {
            cluster: cluster.clone(),
            instance_ids,
            steps: Vec::new(),
            problem: None,
            missing: false,
        };
        let instances = match found {
            Ok(instances) => instances,
            // A listed cluster that was deleted meanwhile has no instances. A configured one that
            // does not exist is a mistake in the settings, and stays a problem.
            Err(error)
                if error.kind == AwsErrorKind::NotFound
                    && missing_cluster(self.settings.clusters.as_deref())
                        == MissingCluster::Deleted =>
            {
                Vec::new()
            }
            Err(error) => {
                visit.missing = error.kind == AwsErrorKind::NotFound;
                visit.problem = Some(error.into());
                return visit;
            }
        };
        let mut to_drain = Vec::new();
        for instance in instances {
            // What nobody gave notice of is not drained, whatever the list answers.
            let Some(notice) = notices.get(&instance.instance_id) else { continue };
            match decide(notice, Some(&instance), self.settings.dry_run) {
                Decision::Drain => to_drain.push((instance, notice.kind.to_string())),
                Decision::LookAgain { why } => {
                    visit.steps.push((instance, Step::Failed(Problem::other(why))))
                }
                Decision::Done { outcome, reason } => {
                    visit.steps.push((instance, Step::Settled(outcome, reason)))
                }
            }
        }
        visit.steps.extend(self.drain(cluster, to_drain).await);
        visit
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
                    steps.extend(
                        batch
                            .iter()
                            .map(|(instance, _)| (instance.clone(), Step::Failed(problem.clone()))),
                    );
                }
            }
        }
        steps
    }
}

fn step_of(result: DrainResult, reason: &str) -> Step {
    match result {
        DrainResult::Draining => Step::Settled(OutcomeKind::Draining, reason.to_owned()),
        DrainResult::Gone(why) => Step::Settled(OutcomeKind::Gone, why),
        DrainResult::Refused(why) => {
            Step::Failed(Problem::other(format!("ECS did not set it to DRAINING: {why}")))
        }
    }
}

/// Takes over what a visit brought. A cluster that could not be looked through leaves a problem
/// with every item that it was asked about, also with one that another cluster had a container
/// instance for: a look-up that failed never counts as "not there".
fn apply_visit(work: &mut Work, visit: Visit) {
    for (instance, step) in visit.steps {
        for item in work.about(&instance.instance_id) {
            item.note(&instance, &step);
        }
    }
    for instance_id in &visit.instance_ids {
        for item in work.about(instance_id) {
            if visit.problem.is_none() || visit.missing {
                item.note_answer(&visit.cluster);
            }
            if let Some(problem) = &visit.problem {
                item.problem = Some(problem.clone());
            }
        }
    }
}

//! One round: looks through the clusters, has `ebb_core::spot::decide` say what is to be done, and
//! drains what can be drained.
//!
//! Each cluster is asked once, for all instances that it has not answered about yet, in whatever round
//! that was: the account has 20 such lists a second for everything. Where only one cluster can have the
//! instance, it is asked for an ACTIVE container instance first: one notice with one configured cluster
//! then costs two calls, the list and the drain.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ebb_aws::{AwsError, AwsErrorKind, Clock, DrainResult, Ecs, Problem};
use ebb_core::ecs::{ContainerInstance, MissingCluster, missing_cluster};
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::{DRAINED_BY, Mark};
use ebb_core::spot::notice::{Notice, NoticeKind};
use ebb_core::spot::{Decision, OutcomeKind, decide, decide_return, largest_first, order_matters};
use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use crate::drainer::{FUNCTION, SpotDrainer};
use crate::item::{Pass, Step};
use crate::work::Work;

/// How many look-ups run at once. They keep the pace that ECS grants, and one waiting look-up holds up
/// none but its own cluster.
const CONCURRENT_VISITS_MAX: usize = 8;

/// For how long the sizes of the clusters are waited for: a call for each hundred of them.
const SIZES_TIMEOUT: Duration = Duration::from_secs(1);

/// A container instance, the mark on it as far as it was looked at, and what came of it.
pub(crate) type Visited = (ContainerInstance, Option<Mark>, Step);

/// One pass over the clusters: what all its visits share.
struct Search {
    pass: Pass,
    notices: HashMap<InstanceId, Notice>,
    has_many_clusters: bool,
    clock: Clock,
    /// Held while it is asked for room and drained: who comes next finds what is taken.
    room: Mutex<()>,
}

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
        // Most clusters of a Region with many are small, and the two minutes of a notice run.
        let clusters = match work.open_in(Pass::Interrupted).next() {
            Some(_) => self.in_search_order(clusters).await,
            None => clusters,
        };
        self.look_through(work, &clusters, Pass::Interrupted, clock).await;
        self.look_through(work, &clusters, Pass::Recommended, clock).await;
        self.mark_drained(work, clock.now()).await;
        // After the marks: a queue that was held up may bring the notice and the return together.
        self.look_through(work, &clusters, Pass::Returned, clock).await;
        for item in work.undecided().filter(|item| item.problem.is_none()) {
            // Every cluster has answered, in this round or before, and the instance is in none.
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

    /// The clusters in the order in which they are best searched. Best effort: where their sizes are
    /// not known in time, they are searched as they are.
    async fn in_search_order(&self, clusters: Vec<Cluster>) -> Vec<Cluster> {
        if !order_matters(&clusters, self.settings.clusters.as_deref()) {
            return clusters;
        }
        let counts = timeout(SIZES_TIMEOUT, self.clients.ecs.registered_counts(&clusters)).await;
        match counts {
            Ok(Ok(counts)) => return largest_first(clusters, &counts),
            Ok(Err(error)) => warn!("Searching in no order: {}", Problem::from(error).text),
            Err(_) => warn!("Searching in no order: ECS takes too long to describe the clusters"),
        }
        clusters
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
        // The ids in an order of their own, so that the same event leads to the same calls.
        let mut ids_by_cluster = HashMap::<_, BTreeSet<_>>::new();
        for item in work.open_in(pass) {
            let Some(notice) = item.notice.clone() else { continue };
            for cluster in item.begin_pass(clusters) {
                ids_by_cluster.entry(cluster).or_default().insert(notice.instance_id.clone());
            }
            notices.insert(notice.instance_id.clone(), notice);
        }

        let has_many_clusters = clusters.len() > 1;
        let search = Search { pass, notices, has_many_clusters, clock, room: Mutex::default() };
        let mut visits = Vec::new();
        for cluster in clusters {
            let Some(ids) = ids_by_cluster.get(cluster) else { continue };
            let ids: Vec<_> = ids.iter().cloned().collect();
            for ids in ids.chunks(Ecs::FIND_IDS_MAX) {
                visits.push(self.visit(&search, cluster, ids.to_vec()));
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
        search: &Search,
        cluster: &Cluster,
        instance_ids: Vec<InstanceId>,
    ) -> Visit {
        if search.has_many_clusters {
            self.clients.ecs.turn_to_search().await;
        }
        let steps = match search.pass {
            Pass::Interrupted | Pass::Recommended => {
                self.drain_found(search, cluster, &instance_ids).await
            }
            Pass::Returned => {
                self.take_back_found(cluster, &instance_ids, &search.notices, search.clock).await
            }
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

    /// Drains the container instances of interrupted instances in one cluster, or of those that EC2
    /// recommends to rebalance, as far as there is room for their tasks.
    async fn drain_found(
        &self,
        search: &Search,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
    ) -> Result<Vec<Visited>, AwsError> {
        let (mut steps, mut to_drain) = (Vec::new(), Vec::new());
        for (instance, mark) in self.look(search, cluster, instance_ids).await? {
            // What nobody gave notice of is not drained, whatever the list answers.
            let Some(notice) = search.notices.get(&instance.instance_id) else { continue };
            // Whether it would be drained is not known yet where that depends on room.
            let dry_run = self.settings.dry_run && search.pass == Pass::Interrupted;
            match decide(notice, Some(&instance), dry_run) {
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
        let _turn = match search.pass {
            Pass::Recommended if !to_drain.is_empty() => {
                let turn = search.room.lock().await;
                let (with_room, others) = self.with_room(cluster, to_drain, search.clock).await;
                to_drain = with_room;
                steps.extend(others.into_iter().map(|(instance, step)| (instance, None, step)));
                Some(turn)
            }
            _ => None,
        };
        let drained = self.drain(cluster, to_drain).await;
        steps.extend(drained.into_iter().map(|(instance, step)| (instance, None, step)));
        Ok(steps)
    }

    /// The instances' container instances in one cluster, with their marks. Of a single instance that
    /// can be in no other cluster, those that are ACTIVE are enough, without their marks: that saves
    /// a call before the drain.
    async fn look(
        &self,
        search: &Search,
        cluster: &Cluster,
        instance_ids: &[InstanceId],
    ) -> Result<Vec<(ContainerInstance, Option<Mark>)>, AwsError> {
        let ecs = &self.clients.ecs;
        if !search.has_many_clusters && instance_ids.len() == 1 {
            let active = ecs.find_active(cluster, instance_ids).await?;
            if !active.is_empty() {
                return Ok(active.into_iter().map(|instance| (instance, None)).collect());
            }
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
            if let Some(problem) = &visit.problem {
                item.problem = Some(problem.clone());
                if visit.missing {
                    item.note_missing(&visit.cluster);
                }
            } else {
                item.note_answer(&visit.cluster);
            }
        }
    }
}

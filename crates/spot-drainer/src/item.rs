//! One instance with all its notices: what was found of it, and how each container instance came off.

use std::collections::BTreeSet;

use ebb_aws::{ErrorType, Problem};
use ebb_core::ecs::ContainerInstance;
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::Mark;
use ebb_core::spot::notice::{Announcement, Notice, NoticeKind};
use ebb_core::spot::{Marking, Outcome, OutcomeKind, marking};
use jiff::Timestamp;

use crate::drainer::FUNCTION;

/// One instance with all its notices, or one event that asks for nothing.
#[derive(Default)]
pub(crate) struct Item {
    /// The notice. `None` for an event that is ignored or malformed.
    pub(crate) notice: Option<Notice>,
    /// The Capacity Reservation that it is about, as long as nobody knows its instances.
    pub(crate) reservation: Option<Announcement>,
    /// The container instances on it, as far as they were found. There is more than one if its
    /// agent lost its state and registered anew: the old one stays until it is deregistered.
    found: Vec<Found>,
    /// The clusters that were asked in this round, and have not answered whether they have one.
    unanswered: BTreeSet<Cluster>,
    /// Those that have answered in any round: none is asked twice, unless what it has is not dealt
    /// with. An invocation lasts for half a minute, and what joins an answered cluster meanwhile is
    /// as late as what joins after it.
    answered: BTreeSet<Cluster>,
    /// How it came off, if that is about no container instance.
    outcome: Option<Outcome>,
    /// What is in the way, if anything was in the last round.
    pub(crate) problem: Option<Problem>,
    /// Whether it has been counted into the fallback group.
    pub(crate) counted: bool,
    /// Why the fallback group does not replace it by now, if so.
    pub(crate) not_replaced: Option<String>,
    /// The SQS messages that asked for it, `None` for each that came by another way.
    pub(crate) message_ids: Vec<Option<String>>,
}

/// One way through all clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// For the container instances of interrupted instances.
    Interrupted,
    /// For those of instances that EC2 recommends to rebalance.
    Recommended,
    /// For those on instances that run again.
    Returned,
}

impl Pass {
    fn is_about(self, notice: &Notice) -> bool {
        let pass = match notice.kind {
            NoticeKind::RebalanceRecommendation => Self::Recommended,
            NoticeKind::Running => Self::Returned,
            _ => Self::Interrupted,
        };
        self == pass
    }
}

/// What came of one container instance in a round.
pub(crate) enum Step {
    Settled(OutcomeKind, String),
    /// ECS was asked to set it to DRAINING, and may have done so before the call failed.
    NotDrained(Problem),
    Failed(Problem),
}

/// A container instance that was found on an instance.
struct Found {
    container_instance: ContainerInstance,
    /// The mark that was on it, as far as it was looked at.
    mark: Option<Mark>,
    /// Whether this invocation asked ECS to set it to DRAINING.
    asked: bool,
    /// Whether it has been decided what becomes of the mark.
    is_marked: bool,
    /// How it came off, once that is certain, and why.
    outcome: Option<(OutcomeKind, String)>,
}

impl Found {
    fn drains(&self) -> bool {
        let kind = self.outcome.as_ref().map(|(kind, _)| *kind);
        matches!(kind, Some(OutcomeKind::Draining | OutcomeKind::AlreadyDraining))
    }
}

impl Item {
    /// An instance that a notice is about.
    pub(crate) fn about(notice: Notice) -> Self {
        Self { notice: Some(notice), ..Self::default() }
    }

    /// The instances in a Capacity Reservation, whichever these are.
    pub(crate) fn about_reservation(announcement: Announcement) -> Self {
        Self { reservation: Some(announcement), ..Self::default() }
    }

    /// Whether something is to be done about it.
    pub(crate) fn is_ours(&self) -> bool {
        self.notice.is_some() || self.reservation.is_some()
    }

    /// Settles what no instance is found for.
    pub(crate) fn settle_empty(&mut self, reason: String) {
        self.outcome = Some(whole(None, OutcomeKind::NotInCluster, reason));
        self.problem = None;
    }

    /// An event that cannot be read.
    pub(crate) fn malformed(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    /// An event that asks for nothing.
    pub(crate) fn ignored(instance_id: Option<InstanceId>, why: String) -> Self {
        Self { outcome: Some(whole(instance_id, OutcomeKind::Ignored, why)), ..Self::default() }
    }

    pub(crate) fn instance_id(&self) -> Option<&InstanceId> {
        self.notice.as_ref().map(|notice| &notice.instance_id)
    }

    /// Whether both are about one instance, and ask for the same: that it runs again is another thing
    /// than that it is interrupted.
    pub(crate) fn is_twin_of(&self, item: &Self) -> bool {
        let runs = |item: &Self| Some(item.notice.as_ref()?.kind == NoticeKind::Running);
        self.notice.is_some()
            && self.instance_id() == item.instance_id()
            && runs(self) == runs(item)
    }

    pub(crate) fn is_part_of(&self, pass: Pass) -> bool {
        self.notice.as_ref().is_some_and(|notice| pass.is_about(notice))
    }

    /// Whether it is to be counted into the fallback group, and is not yet.
    pub(crate) fn must_be_counted(&self) -> bool {
        !self.counted && self.drained().next().is_some()
    }

    /// The container instances that drain because the instance is interrupted, or did before.
    pub(crate) fn drained(&self) -> impl Iterator<Item = &ContainerInstance> {
        // One that was DRAINING already counts, too: an earlier delivery may have died between
        // draining it and counting it.
        let drained = self.found.iter().filter(|found| found.drains());
        drained.map(|found| &found.container_instance)
    }

    /// Whether its outcome is certain: every cluster has answered, and every container instance
    /// that was found is dealt with.
    pub(crate) fn is_settled(&self) -> bool {
        let all_dealt_with = self.found.iter().all(|found| found.outcome.is_some());
        self.outcome.is_some()
            || (self.unanswered.is_empty() && !self.found.is_empty() && all_dealt_with)
    }

    /// Begins a pass over the clusters, and returns those that are to be asked: those that have not
    /// answered yet, and those with a container instance that is not dealt with.
    pub(crate) fn begin_pass(&mut self, clusters: &[Cluster]) -> BTreeSet<Cluster> {
        let is_open = |cluster: &Cluster| {
            let mut found = self.found.iter().filter(|found| found.outcome.is_none());
            found.any(|found| found.container_instance.cluster == *cluster)
        };
        let must_ask = |cluster: &&Cluster| !self.answered.contains(*cluster) || is_open(cluster);
        self.unanswered = clusters.iter().filter(must_ask).cloned().collect();
        self.unanswered.clone()
    }

    /// Notes that a cluster has answered.
    pub(crate) fn note_answer(&mut self, cluster: &Cluster) {
        self.unanswered.remove(cluster);
        self.answered.insert(cluster.clone());
    }

    /// Notes that a configured cluster does not exist. It is in the way of what is found nowhere else
    /// alone.
    pub(crate) fn note_missing(&mut self, cluster: &Cluster) {
        self.unanswered.remove(cluster);
    }

    /// Notes what came of a container instance on it. An outcome is final.
    pub(crate) fn note(
        &mut self,
        container_instance: &ContainerInstance,
        mark: Option<&Mark>,
        step: &Step,
    ) {
        let arn = &container_instance.arn;
        let known = self.found.iter().position(|found| found.container_instance.arn == *arn);
        let index = known.unwrap_or_else(|| {
            let container_instance = container_instance.clone();
            self.found.push(Found {
                container_instance,
                mark: None,
                asked: false,
                is_marked: false,
                outcome: None,
            });
            self.found.len() - 1
        });
        let found = &mut self.found[index];
        if found.outcome.is_some() {
            return;
        }
        found.mark = mark.cloned();
        match step {
            Step::Settled(kind, reason) => {
                found.asked |= *kind == OutcomeKind::Draining;
                found.outcome = Some((*kind, reason.clone()));
            }
            Step::NotDrained(problem) => {
                found.asked = true;
                self.problem = Some(problem.clone());
            }
            Step::Failed(problem) => self.problem = Some(problem.clone()),
        }
    }

    /// Decides what becomes of the marks of its container instances that drain by now, each once.
    pub(crate) fn markings(&mut self, now: Timestamp) -> Vec<(ContainerInstance, Marking)> {
        let Some(notice) = &self.notice else { return Vec::new() };
        let mut markings = Vec::new();
        for found in self.found.iter_mut().filter(|found| found.drains() && !found.is_marked) {
            found.is_marked = true;
            let marking = marking(notice, found.mark.as_ref(), found.asked, FUNCTION, now);
            markings.extend(marking.map(|marking| (found.container_instance.clone(), marking)));
        }
        markings
    }

    /// Settles what every cluster was asked about without finding more: an instance of no cluster,
    /// or container instances that were found before and have left since.
    pub(crate) fn note_absence(&mut self, outcome: OutcomeKind, reason: &str) {
        if self.found.is_empty() {
            let instance_id = self.instance_id().cloned();
            self.outcome = Some(whole(instance_id, outcome, reason.to_owned()));
        }
        for found in self.found.iter_mut().filter(|found| found.outcome.is_none()) {
            found.outcome = Some((OutcomeKind::Gone, "it has left its cluster".to_owned()));
        }
    }

    /// The outcomes: of each container instance, or of the whole. Sorted, as the clusters may
    /// answer in any order.
    pub(crate) fn outcomes(&mut self) -> Vec<Outcome> {
        let instance_id = self.instance_id().cloned();
        self.found.sort_by(|a, b| {
            let [a, b] = [a, b].map(|found| &found.container_instance);
            (&a.cluster, &a.arn).cmp(&(&b.cluster, &b.arn))
        });
        let not_replaced = self.not_replaced.take();
        let of_found = self.found.drain(..).filter_map(|found| {
            let not_replaced = not_replaced.as_ref().filter(|_| found.drains());
            let Found { container_instance, outcome, .. } = found;
            let (outcome, mut reason) = outcome?;
            if let Some(why) = not_replaced {
                reason = format!("{reason}; not replaced: {why}");
            }
            Some(Outcome {
                cluster: Some(container_instance.cluster.name().to_owned()),
                container_instance_arn: Some(container_instance.arn),
                ..whole(instance_id.clone(), outcome, reason)
            })
        });
        of_found.chain(self.outcome.take()).collect()
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.error_type == ErrorType::AwsDenied)
    }

    /// What has no other problem by now has not been dealt with for want of time.
    pub(crate) fn run_out_of_time(&mut self, out_of_time: &Problem) {
        self.problem.get_or_insert_with(|| out_of_time.clone());
    }
}

/// An outcome that is about no container instance.
fn whole(instance_id: Option<InstanceId>, outcome: OutcomeKind, reason: String) -> Outcome {
    Outcome {
        instance_id,
        outcome,
        cluster: None,
        container_instance_arn: None,
        reason: Some(reason),
    }
}

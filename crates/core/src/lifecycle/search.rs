//! Which clusters a drain has still to ask for container instances of its EC2 instance, and for how
//! long the answer of one that has none counts.
//!
//! ECS has no look-up across clusters, so that a search asks each of them, at the pace that the
//! account's request rate allows. Each is asked once for what can be answered by one question. Asking
//! is left to the `lifecycle-drainer`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ids::{Cluster, ContainerInstanceArn};
use crate::lifecycle::decide::READ_LAG_MAX;

/// For how long it counts that a cluster has none. The agent of an instance that was just launched
/// may register meanwhile, and a search that waits for a single cluster may take long.
const ANSWER_AGE_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How long a search may take at once where no heartbeat says when the action expires.
const SEARCH_TIME: Duration = Duration::from_secs(60);

/// What a hop has heard from the clusters. It is not handed on to the next hop: what comes over a
/// topic may be forged, and "none" ends the instance.
#[derive(Debug, Clone, Default)]
pub struct ClusterSearch {
    /// As they were last listed.
    clusters: Vec<Cluster>,
    /// When the search began.
    began: Option<Timestamp>,
    /// The container instances that were known then, none of them registered any more.
    known: Vec<ContainerInstanceArn>,
    /// When each cluster that has no other container instance was asked.
    none_in: BTreeMap<Cluster, Timestamp>,
}

impl ClusterSearch {
    /// Goes on with the search for an instance of which only these container instances are known,
    /// none of them registered any more. If others were known before, a new search begins: what had
    /// one may have registered anew, in any cluster.
    pub fn go_on(
        &mut self,
        clusters: Vec<Cluster>,
        known: &[(Cluster, ContainerInstanceArn)],
        now: Timestamp,
    ) {
        let known: Vec<_> = known.iter().map(|(_, arn)| arn.clone()).collect();
        if self.known != known {
            *self = Self { known, ..Self::default() };
        }
        self.go_on_beside(clusters, now);
    }

    /// Goes on with the search for more container instances beside those that were found.
    pub fn go_on_beside(&mut self, clusters: Vec<Cluster>, now: Timestamp) {
        self.clusters = clusters;
        self.began.get_or_insert(now);
    }

    /// The clusters as they were last listed; none before the search.
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// Notes that a cluster has no other container instance, as it was asked at `asked_at`. What one
    /// has is not noted, so that it is found again by whoever asks again.
    pub fn note_none(&mut self, cluster: &Cluster, asked_at: Timestamp) {
        self.none_in.insert(cluster.clone(), asked_at);
    }

    /// The clusters that are still to be asked. Once a read that began with the search lags no more,
    /// those answers count alone that were asked for after that: what had registered when the search
    /// began is in them.
    pub fn unanswered(&self, now: Timestamp) -> Vec<Cluster> {
        let began = self.began.unwrap_or(now);
        let lag_is_over = began + READ_LAG_MAX;
        let since = if now < lag_is_over { began } else { lag_is_over };
        let since = since.max(now - ANSWER_AGE_MAX);
        let is_unanswered =
            |cluster: &&Cluster| self.none_in.get(cluster).is_none_or(|asked| *asked < since);
        self.clusters.iter().filter(is_unanswered).cloned().collect()
    }
}

/// How long a search may take at once: half of what is left until the action expires, so that the
/// next heartbeat comes in time. The next look goes on with it.
pub fn search_time(action_expires: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = action_expires.map(|expires| expires.duration_since(now).max(SignedDuration::ZERO));
    left.map_or(SEARCH_TIME, |left| left.unsigned_abs() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn clusters(names: &[&str]) -> Vec<Cluster> {
        names.iter().copied().map(Cluster::new).collect()
    }

    fn known(arn: &str) -> (Cluster, ContainerInstanceArn) {
        (Cluster::new("shop"), ContainerInstanceArn::new(arn))
    }

    /// A search that began at 0 and asked three clusters, each a second after the one before.
    fn search() -> ClusterSearch {
        let mut search = ClusterSearch::default();
        search.go_on(clusters(&["a", "b", "c"]), &[], at(0));
        for (second, cluster) in clusters(&["a", "b", "c"]).iter().enumerate() {
            search.note_none(cluster, at(4 + i64::try_from(second).unwrap()));
        }
        search
    }

    #[test]
    fn a_cluster_that_has_none_is_not_asked_again_but_one_that_failed_and_a_new_one_are() {
        let mut search = ClusterSearch::default();
        search.go_on(clusters(&["a", "b"]), &[], at(0));
        assert_eq!(search.unanswered(at(0)), clusters(&["a", "b"]));
        search.note_none(&Cluster::new("a"), at(0));
        search.go_on(clusters(&["a", "b", "new"]), &[], at(1));
        assert_eq!(search.unanswered(at(1)), clusters(&["b", "new"]));
    }

    #[test]
    fn answers_that_may_lag_behind_the_beginning_are_asked_for_again() {
        assert_eq!(search().unanswered(at(4)), []);
        assert_eq!(search().unanswered(at(6)), clusters(&["a"]));
    }

    #[test]
    fn an_answer_counts_for_five_minutes() {
        let mut search = search();
        search.note_none(&Cluster::new("a"), at(200));
        assert_eq!(search.unanswered(at(305)), []);
        assert_eq!(search.unanswered(at(306)), clusters(&["b"]));
        assert_eq!(search.unanswered(at(400)), clusters(&["b", "c"]));
    }

    #[test]
    fn once_another_container_instance_has_gone_every_cluster_is_asked_anew() {
        let mut search = search();
        search.go_on(clusters(&["a", "b", "c"]), &[known("1")], at(60));
        assert_eq!(search.unanswered(at(60)), clusters(&["a", "b", "c"]));
        search.note_none(&Cluster::new("a"), at(66));
        search.go_on(clusters(&["a", "b", "c"]), &[known("1")], at(67));
        assert_eq!(search.unanswered(at(67)), clusters(&["b", "c"]), "as long as it is the last");
    }

    #[test]
    fn a_search_leaves_time_for_the_heartbeats() {
        assert_eq!(search_time(Some(at(30)), at(0)), Duration::from_secs(15));
        assert_eq!(search_time(Some(at(30)), at(20)), Duration::from_secs(5));
        assert_eq!(search_time(Some(at(30)), at(31)), Duration::ZERO);
        assert_eq!(search_time(None, at(0)), Duration::from_secs(60));
    }
}

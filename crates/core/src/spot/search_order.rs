//! In what order many clusters are searched for an interrupted instance: its two minutes run while
//! they are asked one after another, at the rate that ECS grants.
//!
//! Asking them is left to the `spot-drainer`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::ids::Cluster;

/// How many clusters are asked at once, without a wait between them. For no more than these their
/// order hardly matters.
const AT_ONCE: usize = 80;

/// Whether it is worth a call for each hundred clusters to know how large they are. Configured ones
/// are as they are: whoever names them has few.
pub fn order_matters(clusters: &[Cluster], configured: Option<&[Cluster]>) -> bool {
    configured.is_none() && clusters.len() > AT_ONCE
}

/// Puts the clusters first that have most container instances, by `counts` of their names: an
/// instance is most likely in one of these. None is left out, as a container instance that is
/// REGISTERING is not counted.
pub fn largest_first(clusters: Vec<Cluster>, counts: &BTreeMap<String, i32>) -> Vec<Cluster> {
    let mut clusters = clusters;
    clusters.sort_by_key(|cluster| Reverse(counts.get(cluster.name()).copied().unwrap_or(0)));
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_none_is_left_out() {
        let clusters: Vec<_> = ["a", "b", "c", "d"].map(Cluster::new).to_vec();
        let counts = [("b", 2), ("c", 30), ("d", 0)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        let ordered = largest_first(clusters, &counts);
        assert_eq!(ordered, ["c", "b", "a", "d"].map(Cluster::new));
    }

    #[test]
    fn only_many_clusters_that_nobody_configured_are_put_in_order() {
        let clusters = vec![Cluster::new("shop"); AT_ONCE + 1];
        assert!(order_matters(&clusters, None));
        assert!(!order_matters(&clusters[1..], None));
        assert!(!order_matters(&clusters, Some(&clusters)));
    }
}

//! Which members of the clusters' groups are in no cluster at all: unless they boot, they are paid
//! for nothing. A group may serve several clusters.
//!
//! Asking the clusters that were not swept is left to the `scale-in-reaper`.

use std::collections::BTreeSet;

use crate::ids::InstanceId;
use crate::reaper::report::ClusterReport;

/// The members that are in none of the clusters that were swept, by id.
pub fn in_no_swept_cluster(reports: &[ClusterReport]) -> BTreeSet<InstanceId> {
    let members = reports.iter().flat_map(|report| &report.unregistered_members);
    let mut members: BTreeSet<_> = members.map(|(id, _)| id.clone()).collect();
    // Every instance of a cluster is in its plan.
    for report in reports {
        for removal in &report.plan.remove {
            members.remove(&removal.instance_id);
        }
        for kept in &report.plan.keep {
            members.remove(&kept.instance_id);
        }
    }
    members
}

/// Leaves the members in no cluster at all in the reports. `unswept` are those that are in none of
/// the swept ones; `elsewhere` is what of these the other clusters have, `None` if that is not
/// known: then they are counted only.
pub fn settle(
    reports: &mut [ClusterReport],
    unswept: &BTreeSet<InstanceId>,
    elsewhere: Option<&BTreeSet<InstanceId>>,
) {
    for report in reports {
        report.unregistered_members.retain(|(id, _)| unswept.contains(id));
        match elsewhere {
            Some(elsewhere) => {
                report.unregistered_members.retain(|(id, _)| !elsewhere.contains(id));
            }
            None => report.unclear_members = std::mem::take(&mut report.unregistered_members).len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ebb_planner::{Policy, plan};

    use super::*;
    use crate::prices::PriceBasis;
    use crate::reaper::Potential;
    use crate::reaper::request::Purpose;
    use crate::reaper::settings::ReaperMode;
    use crate::reaper::testing::{NOW, group_name, id, instance, inventory};

    /// A cluster with instances of these numbers, of which some may go, and with members of its
    /// group that it does not have.
    fn report(instances: &[u64], unregistered: &[u64]) -> ClusterReport {
        let inventory = inventory(instances.iter().copied().map(instance).collect());
        ClusterReport {
            mode: ReaperMode::Plan,
            purpose: Purpose::Remove,
            plan: plan(&inventory, &Policy::default(), NOW),
            potential: Potential::default(),
            prices: PriceBasis::default(),
            outcomes: Vec::new(),
            follow_ups: Vec::new(),
            replacements: Vec::new(),
            halt: None,
            stranded: Vec::new(),
            unregistered_members: unregistered
                .iter()
                .map(|&number| (id(number), group_name()))
                .collect(),
            unclear_members: 0,
            container_instances: BTreeMap::new(),
        }
    }

    /// What two clusters of one group report: the first lacks 3 to 7, the second 1, 2 and 5 to 7.
    /// Both plans remove an instance.
    fn settled(elsewhere: Option<&[u64]>) -> Vec<(Vec<InstanceId>, usize)> {
        let mut reports = [report(&[1, 2], &[3, 4, 5, 6, 7]), report(&[3, 4], &[1, 2, 5, 6, 7])];
        assert!(reports.iter().all(|report| report.plan.remove.len() == 1));
        let unswept = in_no_swept_cluster(&reports);
        assert_eq!(unswept, [5, 6, 7].map(id).into());
        let elsewhere = elsewhere.map(|numbers| numbers.iter().copied().map(id).collect());
        settle(&mut reports, &unswept, elsewhere.as_ref());
        let members = |report: ClusterReport| {
            let ids = report.unregistered_members.into_iter().map(|(id, _)| id).collect();
            (ids, report.unclear_members)
        };
        reports.into_iter().map(members).collect()
    }

    #[test]
    fn what_any_cluster_has_is_in_no_report() {
        let nobodys = (vec![id(5), id(7)], 0);
        assert_eq!(settled(Some(&[6, 8])), [nobodys.clone(), nobodys]);
        let every = ([5, 6, 7].map(id).to_vec(), 0);
        assert_eq!(settled(Some(&[])), [every.clone(), every]);
    }

    #[test]
    fn what_the_other_clusters_have_is_not_guessed() {
        assert_eq!(settled(None), [(Vec::new(), 3), (Vec::new(), 3)]);
    }
}

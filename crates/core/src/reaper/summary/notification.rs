//! What people are told of a week. The forms are in [`crate::notification`].

use std::fmt::Write;

use super::counted::{Counted, Heading};
use super::{ClusterState, Summary};
use crate::notification::{Notification, NotificationKind};
use crate::words::count;

/// What stands for a number that is not known.
const NO_DATA: &str = "no data";

impl Summary {
    /// The notification of the week.
    pub fn notification(&self) -> Notification {
        let names: Vec<_> =
            self.clusters.iter().map(|state| state.cluster.name().to_owned()).collect();
        let place = match names.as_slice() {
            [name] => format!("in cluster {name}"),
            names => format!("in {}", count(names.len(), "cluster")),
        };
        let stuck = self.stuck().count();
        Notification {
            kind: NotificationKind::Summary,
            title: format!("Ebb's week: {}, {place}", self.title_counts(stuck).join(", ")),
            origin: self.clusters.first().map(|state| state.origin.clone()).unwrap_or_default(),
            instances: self.stuck().map(|drain| drain.instance_id.clone()).collect(),
            tasks: match self.total(Counted::TasksCutOff) {
                Some(tasks) => format!("{} cut off", count(tasks, "task")),
                None => "no data on tasks that were cut off".to_owned(),
            },
            details: self.details(),
            next: match stuck {
                0 => "sweeps and drains go on".to_owned(),
                _ => "what is stuck stays so until somebody sees to it, or its drain is given up"
                    .to_owned(),
            },
            steps: self.steps(stuck),
            thread: match names.as_slice() {
                [name] => format!("weeks of {name}"),
                _ => "weeks".to_owned(),
            },
            clusters: names,
        }
    }

    /// How many were counted; `None` if no data came in.
    fn total(&self, counted: Counted) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of a week: whole numbers from 0"
        )]
        self.totals.get(&counted).map(|total| total.round() as u64)
    }

    /// The sum of those that data came in of; `None` if that is none of them.
    fn total_of(&self, counted: [Counted; 2]) -> Option<u64> {
        counted.into_iter().filter_map(|counted| self.total(counted)).reduce(|a, b| a + b)
    }

    fn title_counts(&self, stuck: usize) -> Vec<String> {
        let removed = self.total_of([Counted::Removed, Counted::LeftToEcs]);
        let drained = self.total_of([Counted::Interrupted, Counted::Terminating]);
        let cut_off = self.total(Counted::TasksCutOff);
        let mut counts: Vec<_> = [
            removed.map(|removed| format!("{} removed", count(removed, "instance"))),
            drained.map(|drained| format!("{drained} drained")),
            cut_off.map(|cut_off| format!("{} cut off", count(cut_off, "task"))),
        ]
        .into_iter()
        .flatten()
        .collect();
        if counts.is_empty() {
            counts.push("no data".to_owned());
        }
        counts.push(format!("{stuck} stuck now"));
        counts
    }

    fn details(&self) -> Vec<String> {
        let mut lines = vec![format!("From {} to {}", self.week.begin, self.week.end)];
        if !self.by_cluster {
            lines.push("Of all clusters together, as METRICS_BY_CLUSTER is `false`".to_owned());
        }
        for (heading, title) in Heading::ALL {
            lines.push(title.to_owned());
            let below = Counted::ALL.into_iter().map(|counted| (counted, counted.words()));
            lines.extend(below.filter(|(_, words)| words.0 == heading).map(|(counted, words)| {
                let total = self.total(counted).map(|total| total.to_string());
                let total = total.as_deref().unwrap_or(NO_DATA);
                format!("  {:<30}{total}", words.1)
            }));
            if heading == Heading::Saved {
                lines.push(format!("  {:<30}{}", "instance hours, at most", self.saved()));
            }
        }
        for state in &self.clusters {
            lines.extend(lines_of(state, self.clusters.len() > 1));
        }
        if Counted::ALL.iter().any(|counted| self.total(*counted).is_none()) {
            lines.push(format!(
                "{NO_DATA}: it did not happen, or the function that counts it does not run here"
            ));
        }
        lines
    }

    /// An upper bound, as a group may have launched other instances since.
    fn saved(&self) -> String {
        let Some(hours) = self.instance_hours_max else { return NO_DATA.to_owned() };
        let mut saved = format!("{hours:.0}");
        let _ = match self.usd_max {
            Some(usd) => write!(saved, " (${usd:.2}, at what an instance there costs now)"),
            None => write!(saved, " (not every instance has a price)"),
        };
        saved
    }

    fn steps(&self, stuck: usize) -> Vec<String> {
        let mut steps = Vec::new();
        if stuck > 0 {
            steps.push("See to what is stuck: the runbook says how, by what holds a drain");
        }
        if self.total(Counted::TasksCutOff).is_some_and(|tasks| tasks > 0) {
            steps.push("Give drains more time (DRAIN_TIMEOUT_SECONDS) if tasks need it to stop");
        }
        if self.clusters.iter().any(|state| !state.nothing_goes.is_empty()) {
            steps.push("See to why nothing goes, or take the hold off");
        }
        if steps.is_empty() {
            steps.push("Nothing");
        }
        steps.into_iter().map(str::to_owned).collect()
    }
}

/// What is stuck in a cluster now, and why nothing goes there.
fn lines_of(state: &ClusterState, names_cluster: bool) -> Vec<String> {
    let place = if names_cluster { format!("{}: ", state.cluster.name()) } else { String::new() };
    let stuck = state.stuck.iter().map(|drain| format!("{} {}", drain.instance_id, drain.why));
    let nothing_goes = state.nothing_goes.iter().map(|why| format!("nothing goes now: {why}"));
    stuck.chain(nothing_goes).map(|line| format!("  {place}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Week;
    use super::*;
    use crate::ecs::ContainerInstanceStatus;
    use crate::ids::{Cluster, ContainerInstanceArn};
    use crate::notification::testing::forms;
    use crate::reaper::halt::{Halt, HaltCause};
    use crate::reaper::testing::{NOW, instance, inventory, service, task};
    use ebb_planner::{Instance, TaskKind};

    /// A cluster of three instances, of which the third may drain.
    fn state(name: &str, is_stuck: bool, halt: Option<Halt>) -> ClusterState {
        let arn = |number: u64| {
            ContainerInstanceArn::new(format!(
                "arn:aws:ecs:eu-west-1:111122223333:container-instance/{name}/{number}"
            ))
        };
        let mut instances: Vec<_> = (1..=3)
            .map(|number| Instance {
                arn: arn(number),
                price_microusd: Some(81_600),
                ..instance(number)
            })
            .collect();
        if is_stuck {
            instances[2].status = ContainerInstanceStatus::Draining;
            instances[2].tasks = Some(vec![task(TaskKind::Service(0))]);
        }
        let mut cluster = inventory(instances);
        cluster.cluster = Cluster::new(name);
        cluster.services = vec![service([1, 1])];
        ClusterState::new(&cluster, &[], halt, NOW)
    }

    fn summary(clusters: Vec<ClusterState>, totals: &[(Counted, f64)]) -> Summary {
        let week = Week::before(NOW);
        let day = week.end - jiff::SignedDuration::from_hours(24);
        let sums: BTreeMap<_, _> =
            totals.iter().map(|(counted, total)| (*counted, vec![(day, *total)])).collect();
        let by_cluster = clusters.len() == 1;
        Summary::new(clusters, by_cluster, &sums, week)
    }

    #[test]
    fn each_form_says_what_a_week_came_to() {
        let halt = Halt {
            cause: HaltCause::DeploymentFails,
            why: "the deployment of service api fails".to_owned(),
        };
        let summary = summary(
            vec![state("shop", true, Some(halt))],
            &[
                (Counted::Removed, 14.0),
                (Counted::LeftToEcs, 0.0),
                (Counted::TakenBack, 1.0),
                (Counted::Interrupted, 9.0),
                (Counted::Terminating, 21.0),
                (Counted::Completed, 20.0),
                (Counted::TasksCutOff, 3.0),
            ],
        );
        insta::assert_snapshot!("summary", forms(&summary.notification()));
    }

    #[test]
    fn of_several_clusters_only_the_whole_is_known() {
        let clusters = vec![state("depot", false, None), state("shop", true, None)];
        let mut summary = summary(clusters, &[(Counted::Interrupted, 1.0)]);
        let notification = summary.notification();
        assert_eq!(notification.title, "Ebb's week: 1 drained, 1 stuck now, in 2 clusters");
        assert_eq!(notification.clusters, ["depot", "shop"]);
        let details = notification.details.join("\n");
        for line in ["METRICS_BY_CLUSTER is `false`", "\n  shop: i-0a1b2c3d4e5f60003 DRAINING"] {
            assert!(details.contains(line), "{details}");
        }
        // The drainers may look after more than the one that the reaper does.
        summary.clusters.remove(0);
        assert!(summary.notification().details.join("\n").contains("METRICS_BY_CLUSTER"));
    }

    #[test]
    fn a_week_without_data_says_so_and_shows_no_zero() {
        let notification = summary(vec![state("shop", false, None)], &[]).notification();
        assert_eq!(notification.title, "Ebb's week: no data, 0 stuck now, in cluster shop");
        assert_eq!(notification.tasks, "no data on tasks that were cut off");
        assert_eq!(notification.steps, ["Nothing"]);
        let numbers = notification.details.iter().filter(|line| line.starts_with("  "));
        numbers.for_each(|line| assert!(line.ends_with("  no data"), "{line}"));
    }

    #[test]
    fn no_number_of_everything_is_called_no_data() {
        let all = Counted::ALL.map(|counted| (counted, 0.0));
        let notification = summary(vec![state("shop", false, None)], &all).notification();
        assert_eq!(
            notification.title,
            "Ebb's week: 0 instances removed, 0 drained, 0 tasks cut off, 0 stuck now, in cluster \
             shop"
        );
        assert!(!notification.details.join("\n").contains(NO_DATA));
    }
}

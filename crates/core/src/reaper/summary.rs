//! What a week came to in a cluster: what was saved, drained and cut off, by the metrics of all three
//! functions, and what is stuck and why, by a look at the cluster.
//!
//! Reading metrics and clusters is left to the function.

mod counted;
mod notification;
mod state;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

pub use self::counted::Counted;
pub use self::state::{ClusterState, StuckDrain};
use crate::reaper::report::usd;

/// How long the time is that a summary is about.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long an hour is, by which metrics are summed up.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How many of the instances that drain for too long the answer names: it is a line of the log as well,
/// and names each with what holds it.
const STUCK_MAX: usize = 50;

/// The time that a summary is about. It is of whole hours, so that the next week begins where this one
/// ends although no two summaries are made at the same second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    /// Its first moment.
    pub begin: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Week {
    /// The seven days before the hour of this moment.
    pub fn before(now: Timestamp) -> Self {
        let hour = now.as_second().div_euclid(HOUR.as_secs()) * HOUR.as_secs();
        let end = Timestamp::from_second(hour).unwrap_or(now);
        Self { begin: end - WEEK, end }
    }
}

/// A metric's sum in each hour that it has one for, by the hour's first moment.
pub type HourlySums = Vec<(Timestamp, f64)>;

/// What a week came to in one cluster, or in all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The time that it is about.
    pub week: Week,
    /// Each cluster, as it is now.
    pub clusters: Vec<ClusterState>,
    /// Whether the numbers are those of its one cluster. Otherwise metrics are not kept by cluster.
    pub by_cluster: bool,
    /// How much was counted. What no metric came in of is not here: whether it did not happen, or
    /// nobody counted it, is not known.
    pub totals: BTreeMap<Counted, f64>,
    /// How many hours the instances that went would have run until the week's end, if nothing was
    /// launched in their place. `None` if nothing is known to have gone or not.
    pub instance_hours_max: Option<f64>,
    /// What these hours would have cost, in dollars, at the mean of what an instance costs there now.
    /// `None` if an instance has no price.
    pub usd_max: Option<f64>,
}

impl Summary {
    /// Sums a week up. A metric without any hour is one that no data came in of.
    pub fn new(
        clusters: Vec<ClusterState>,
        by_cluster: bool,
        sums: &BTreeMap<Counted, HourlySums>,
        week: Week,
    ) -> Self {
        let with_data = sums.iter().filter(|(_, hours)| !hours.is_empty());
        let totals = with_data.map(|(counted, hours)| (*counted, total(hours))).collect();
        let gone = [Counted::Removed, Counted::LeftToEcs].map(|counted| sums.get(&counted));
        let gone: Vec<_> = gone.into_iter().flatten().flatten().copied().collect();
        let instance_hours_max = (!gone.is_empty()).then(|| instance_hours(&gone, week.end));
        let usd_max = instance_hours_max
            .and_then(|hours| Some(hours * usd(state::mean_price_microusd(&clusters)?)));
        Self { week, clusters, by_cluster, totals, instance_hours_max, usd_max }
    }

    /// Whether there is anything to say: a cluster without container instances that nothing was counted
    /// of, as one of Fargate tasks, is none of Ebb's.
    pub fn is_worth_telling(&self) -> bool {
        let has_instances = |cluster: &ClusterState| cluster.instances > 0;
        self.clusters.iter().any(has_instances) || !self.totals.is_empty()
    }

    /// The instances that drain for too long.
    fn stuck(&self) -> impl Iterator<Item = &StuckDrain> {
        self.clusters.iter().flat_map(|cluster| &cluster.stuck)
    }

    /// The summary as it stands in the answer. `null` stands for what no data came in of.
    pub(crate) fn to_json(&self) -> Value {
        let mut counts = Map::new();
        for counted in Counted::ALL {
            let (function, metric) = counted.source();
            let of_function = counts.entry(function).or_insert_with(|| json!({}));
            of_function[metric] = json!(self.totals.get(&counted));
        }
        let stuck = |drain: &StuckDrain| json!({"instance_id": drain.instance_id, "since": drain.since, "why": drain.why});
        json!({
            "clusters": self.clusters.iter().map(|state| state.cluster.name()).collect::<Vec<_>>(),
            "begin": self.week.begin,
            "end": self.week.end,
            "counts": counts,
            "instance_hours_max": self.instance_hours_max,
            "usd_max": self.usd_max.map(|usd| (usd * 100.0).round() / 100.0),
            "stuck": self.stuck().take(STUCK_MAX).map(stuck).collect::<Vec<_>>(),
            "stuck_in_all": self.stuck().count(),
            "nothing_goes": self
                .clusters
                .iter()
                .flat_map(|state| &state.nothing_goes)
                .collect::<Vec<_>>(),
        })
    }
}

fn total(hours: &HourlySums) -> f64 {
    hours.iter().map(|(_, sum)| sum).sum()
}

/// From the first moment of the hour in which an instance went: it may have gone at any of it.
fn instance_hours(gone: &[(Timestamp, f64)], end: Timestamp) -> f64 {
    let hours = gone.iter().map(|(hour, sum)| sum * end.duration_since(*hour).as_secs_f64());
    hours.sum::<f64>() / HOUR.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{NOW, instance, inventory};

    fn hours(end: Timestamp, before: &[(i64, f64)]) -> HourlySums {
        before
            .iter()
            .map(|(hours, sum)| (end - HOUR * i32::try_from(*hours).unwrap(), *sum))
            .collect()
    }

    fn state(prices: &[Option<u64>]) -> ClusterState {
        let mut cluster = inventory((0..).take(prices.len()).map(instance).collect());
        for (instance, price) in cluster.instances.iter_mut().zip(prices) {
            instance.price_microusd = *price;
        }
        ClusterState::new(&cluster, &[], None, NOW)
    }

    #[test]
    fn weeks_follow_upon_each_other_whatever_the_second() {
        let times = ["2025-03-03T08:00:01Z", "2025-03-10T08:00:59Z", "2025-03-17T08:59:59Z"];
        let weeks = times.map(|time| Week::before(time.parse().unwrap()));
        assert_eq!(weeks[0].begin, "2025-02-24T08:00:00Z".parse().unwrap());
        for (week, next) in weeks.iter().zip(&weeks[1..]) {
            assert_eq!(week.end, next.begin);
        }
        assert_eq!(Week::before("1969-12-31T23:59:59Z".parse().unwrap()).end.as_second(), -3_600);
    }

    #[test]
    fn what_is_saved_is_at_most_the_hours_since_each_instance_went() {
        let week = Week::before(NOW);
        let sums = BTreeMap::from([
            (Counted::Removed, hours(week.end, &[(168, 1.0), (10, 2.0)])),
            (Counted::LeftToEcs, hours(week.end, &[(1, 4.0)])),
            (Counted::TakenBack, hours(week.end, &[(5, 9.0)])),
        ]);
        let summary = Summary::new(vec![state(&[Some(80_000), Some(120_000)])], true, &sums, week);
        assert_eq!(summary.totals[&Counted::Removed].to_bits(), 3.0_f64.to_bits());
        assert_eq!(summary.instance_hours_max, Some(168.0 + 20.0 + 4.0));
        assert_eq!(summary.usd_max, Some(192.0 * 0.1));
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        let week = Week::before(NOW);
        let sums = BTreeMap::from([
            (Counted::Removed, Vec::new()),
            (Counted::TasksCutOff, hours(week.end, &[(1, 0.0)])),
        ]);
        let summary = Summary::new(vec![state(&[Some(80_000), None])], true, &sums, week);
        assert_eq!(summary.totals.keys().collect::<Vec<_>>(), [&Counted::TasksCutOff]);
        assert_eq!((summary.instance_hours_max, summary.usd_max), (None, None));
        let json = summary.to_json();
        assert_eq!(json["counts"]["scale-in-reaper"]["InstancesRemoved"], Value::Null);
        assert_eq!(json["counts"]["lifecycle-drainer"]["TasksCutOff"], 0.0);

        let sums = BTreeMap::from([(Counted::Removed, hours(week.end, &[(1, 1.0)]))]);
        for prices in [&[Some(80_000), None][..], &[]] {
            let summary = Summary::new(vec![state(prices)], true, &sums, week);
            assert_eq!((summary.instance_hours_max, summary.usd_max), (Some(1.0), None));
        }
    }

    #[test]
    fn a_cluster_without_instances_is_told_of_if_something_was_counted() {
        let week = Week::before(NOW);
        let none = BTreeMap::new();
        let one = BTreeMap::from([(Counted::Interrupted, hours(week.end, &[(1, 0.0)]))]);
        for (instances, sums, is_told) in
            [(0, &none, false), (1, &none, true), (0, &one, true), (1, &one, true)]
        {
            let summary = Summary::new(vec![state(&vec![None; instances])], true, sums, week);
            assert_eq!(summary.is_worth_telling(), is_told, "{instances}, {sums:?}");
        }
    }
}

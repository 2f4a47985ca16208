//! Whether an Availability Zone is given up for a cluster for a while: traffic is shifted away from it
//! for one of the cluster's Auto Scaling groups, or for a load balancer of its services. What is left
//! carries the load of all zones meanwhile, and must not get less.
//!
//! Reading the shifts is left to `ebb-aws`, holding the instances back to
//! [`crate::reaper::hold_back`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use crate::words;

/// A resource of which traffic can be shifted. Source: ARC zonal shift API, `ManagedResourceSummary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManagedResource {
    /// Its ARN.
    pub arn: String,
    /// The zones in which it is not active, by their IDs: their `appliedWeights` is 0.
    pub inactive_zones: BTreeSet<String>,
    /// Its `zonalShifts` and `autoshifts`, whether they are over or not.
    pub shifts: Vec<Shift>,
}

/// Traffic is moved away from a zone. Source: ARC zonal shift API, `ZonalShiftInResource` and
/// `AutoshiftInResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// What it is for.
    pub kind: ShiftKind,
    /// The zone, by its ID.
    pub away_from: String,
    /// Whether it is the one that is in effect, of all that are in progress for the resource.
    pub is_applied: bool,
    /// When it ends by itself; `None` if AWS does not say.
    pub expires_at: Option<Timestamp>,
}

/// What a shift is for. Source: ARC zonal shift API, `ShiftType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftKind {
    /// Somebody has started it.
    ZonalShift,
    /// ARC tries each week whether the resource does without a zone.
    PracticeRun,
    /// An experiment of AWS FIS.
    FisExperiment,
    /// AWS has started it.
    Autoshift,
}

impl ShiftKind {
    /// By AWS's word. One that is not known is what somebody has started.
    pub fn of_word(word: &str) -> Self {
        match word {
            "PRACTICE_RUN" => Self::PracticeRun,
            "FIS_EXPERIMENT" => Self::FisExperiment,
            "ZONAL_AUTOSHIFT" => Self::Autoshift,
            _ => Self::ZonalShift,
        }
    }

    /// How it ends before its time.
    fn end(self) -> &'static str {
        match self {
            Self::ZonalShift | Self::PracticeRun => "somebody cancels it",
            Self::FisExperiment => "somebody stops it",
            Self::Autoshift => "AWS ends it",
        }
    }
}

impl fmt::Display for ShiftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZonalShift => "a zonal shift",
            Self::PracticeRun => "a practice run of a zonal shift",
            Self::FisExperiment => "an experiment of AWS FIS",
            Self::Autoshift => "a zonal autoshift",
        })
    }
}

/// What is known of the shifts of a Region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shifts {
    /// The resources of which traffic can be shifted.
    pub resources: Vec<ManagedResource>,
    /// By target group, the load balancers that use it, all by their ARNs. It is needed only if
    /// [`shifts_load_balancer`] says so.
    pub load_balancers: BTreeMap<String, Vec<String>>,
}

/// The resources of a cluster of which traffic may be shifted, by their ARNs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterResources {
    /// Its Auto Scaling groups.
    pub groups: BTreeSet<String>,
    /// The target groups of its services.
    pub target_groups: BTreeSet<String>,
}

impl ClusterResources {
    /// Whether there is nothing that could be shifted.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.target_groups.is_empty()
    }
}

/// Whether traffic of any load balancer is shifted now.
pub fn shifts_load_balancer(resources: &[ManagedResource], now: Timestamp) -> bool {
    let mut load_balancers = resources.iter().filter(|it| it.arn.contains(":loadbalancer/"));
    load_balancers.any(|it| it.away(now).is_some())
}

/// Why nothing goes in a cluster because of a shift, if so. What was not to be found out may be.
pub fn shifted(
    cluster: &ClusterResources,
    shifts: Result<&Shifts, &str>,
    now: Timestamp,
) -> Option<String> {
    if cluster.is_empty() {
        return None;
    }
    let ClusterResources { groups, target_groups } = cluster;
    let Shifts { resources, load_balancers } = match shifts {
        Ok(shifts) => shifts,
        Err(why) => return Some(format!("whether a zonal shift is active is not known: {why}")),
    };
    let of_services = target_groups.iter().filter_map(|it| load_balancers.get(it)).flatten();
    let of_cluster: BTreeSet<_> = groups.iter().chain(of_services).collect();
    let mut of_cluster = resources.iter().filter(|it| of_cluster.contains(&it.arn));
    of_cluster.find_map(|it| it.away(now))
}

impl ManagedResource {
    /// By what, and for how long, it is kept away from which zone. What AWS says of the zones counts
    /// even if it names no shift.
    fn away(&self, now: Timestamp) -> Option<String> {
        let is_over = |shift: &Shift| shift.expires_at.is_some_and(|expires_at| expires_at <= now);
        let mut shifts = self.shifts.iter().filter(|shift| shift.is_applied && !is_over(shift));
        if let Some(shift) = shifts.next() {
            let Shift { kind, away_from, .. } = shift;
            let until = shift.expires_at.map(|it| format!("{it}, or until ")).unwrap_or_default();
            let end = kind.end();
            return Some(format!(
                "{kind} keeps {} away from {away_from} until {until}{end}",
                self.name()
            ));
        }
        let zones: Vec<_> = self.inactive_zones.iter().cloned().collect();
        (!zones.is_empty())
            .then(|| format!("ARC keeps {} away from {}", self.name(), words::list(&zones)))
    }

    /// As people know it. Sources: Service Authorization Reference, the ARNs of Auto Scaling and of
    /// Elastic Load Balancing V2.
    fn name(&self) -> String {
        let arn = self.arn.as_str();
        if let Some((_, name)) = arn.split_once(":autoScalingGroupName/") {
            return format!("group {name}");
        }
        let load_balancer = arn.split_once(":loadbalancer/").map(|(_, path)| path);
        match load_balancer.and_then(|path| path.split('/').nth(1)) {
            Some(name) => format!("load balancer {name}"),
            None => arn.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::NOW;

    const GROUP: &str = "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:0a1b:\
                         autoScalingGroupName/shop-spot";
    const ALB: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/0a1b2c3d4e5f6000";
    const TARGETS: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/0a1b2c3d4e5f6001";

    fn shift(kind: ShiftKind, seconds: i64) -> Shift {
        let expires_at = Some(NOW + jiff::SignedDuration::from_secs(seconds));
        Shift { kind, away_from: "euw1-az1".to_owned(), is_applied: true, expires_at }
    }

    fn shifts(arn: &str, shift: Shift) -> Shifts {
        let resource =
            ManagedResource { arn: arn.to_owned(), shifts: vec![shift], ..Default::default() };
        let load_balancers = BTreeMap::from([(TARGETS.to_owned(), vec![ALB.to_owned()])]);
        Shifts { resources: vec![resource], load_balancers }
    }

    fn set(arns: &[&str]) -> BTreeSet<String> {
        arns.iter().map(|&arn| arn.to_owned()).collect()
    }

    fn shop() -> ClusterResources {
        ClusterResources { groups: set(&[GROUP]), target_groups: set(&[TARGETS]) }
    }

    fn why(shifts: &Shifts) -> Option<String> {
        shifted(&shop(), Ok(shifts), NOW)
    }

    #[test]
    fn a_shift_of_a_group_or_of_a_load_balancer_halts_until_it_ends() {
        let lasts = |arn| why(&shifts(arn, shift(ShiftKind::ZonalShift, 1)));
        let until = "away from euw1-az1 until 1970-01-01T00:00:01Z, or until somebody cancels it";
        assert_eq!(lasts(GROUP).unwrap(), format!("a zonal shift keeps group shop-spot {until}"));
        assert_eq!(lasts(ALB).unwrap(), format!("a zonal shift keeps load balancer shop {until}"));
        let of_another = ALB.replace("app/shop", "app/blog");
        assert_eq!(lasts(&of_another), None);
        assert_eq!(why(&shifts(GROUP, shift(ShiftKind::ZonalShift, 0))), None, "it is over");
    }

    #[test]
    fn each_kind_says_how_it_ends() {
        let of = |word| shift(ShiftKind::of_word(word), 1_800);
        let text = |shift| why(&shifts(GROUP, shift)).unwrap();
        let until = "keeps group shop-spot away from euw1-az1 until 1970-01-01T00:30:00Z, or until";
        for (word, kind, end) in [
            ("A_NEW_ONE", "a zonal shift", "somebody cancels it"),
            ("ZONAL_SHIFT", "a zonal shift", "somebody cancels it"),
            ("PRACTICE_RUN", "a practice run of a zonal shift", "somebody cancels it"),
            ("FIS_EXPERIMENT", "an experiment of AWS FIS", "somebody stops it"),
            ("ZONAL_AUTOSHIFT", "a zonal autoshift", "AWS ends it"),
        ] {
            assert_eq!(text(of(word)), format!("{kind} {until} {end}"));
        }
        let autoshift = Shift { expires_at: None, ..of("ZONAL_AUTOSHIFT") };
        assert_eq!(
            text(autoshift),
            "a zonal autoshift keeps group shop-spot away from euw1-az1 until AWS ends it"
        );
    }

    #[test]
    fn of_several_shifts_the_one_in_effect_counts_and_a_zone_without_traffic_does_by_itself() {
        let practice = Shift { is_applied: false, ..shift(ShiftKind::PracticeRun, 60) };
        let mut shifts = shifts(GROUP, practice);
        assert_eq!(why(&shifts), None);
        shifts.resources[0].inactive_zones = set(&["euw1-az2", "euw1-az3"]);
        assert_eq!(
            why(&shifts).unwrap(),
            "ARC keeps group shop-spot away from euw1-az2 and euw1-az3"
        );
        shifts.resources[0].shifts.push(shift(ShiftKind::ZonalShift, 60));
        assert!(why(&shifts).unwrap().starts_with("a zonal shift keeps group shop-spot"));
    }

    #[test]
    fn what_could_not_be_found_out_halts_where_there_is_something_to_shift() {
        let of = |cluster: &ClusterResources| shifted(cluster, Err("denied"), NOW);
        assert_eq!(of(&shop()).unwrap(), "whether a zonal shift is active is not known: denied");
        assert_eq!(of(&ClusterResources::default()), None);
    }

    #[test]
    fn only_a_load_balancer_that_is_shifted_must_be_known_by_its_target_groups() {
        let of = |arn, seconds| {
            let Shifts { resources, .. } = shifts(arn, shift(ShiftKind::ZonalShift, seconds));
            shifts_load_balancer(&resources, NOW)
        };
        assert_eq!((of(ALB, 1), of(ALB, 0), of(GROUP, 1)), (true, false, false));
    }
}

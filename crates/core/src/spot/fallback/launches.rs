//! What is launched in the fallback group, where `LaunchInstances` may be used: one instance for
//! each interrupted one, exactly once.
//!
//! What keeps the count is the request's client token: it is derived from the interrupted instance,
//! so that every delivery of its notices makes the same request, and Auto Scaling carries it out
//! once. If EC2 has no capacity at that moment, the group's desired capacity is raised all the same
//! (`retry-with-group-configuration`), and the group keeps trying.
//!
//! For other groups see [`super::raise`]. The calls are left to the `spot-drainer`.
//!
//! Sources: Auto Scaling User Guide, launch-instances-synchronously and
//! launching-instances-synchronous-provisioning; Auto Scaling API, `LaunchInstances`.

use super::group::{FallbackGroup, LaunchSource};
use crate::ids::{GroupName, InstanceId};

/// `ClientToken` has at most so many characters.
const TOKEN_MAX: usize = 64;

/// One request to launch an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The interrupted instance that it is for.
    pub instance_id: InstanceId,
    /// `ClientToken`.
    pub client_token: String,
    /// The Availability Zone: a request names exactly one.
    pub zone: String,
    /// `RequestedCapacity`, in what the group counts in.
    pub capacity: i32,
}

/// Whether instances of the group may be launched by `LaunchInstances`: it needs a launch template
/// and an Availability Zone, and launches no mixture of On-Demand and Spot Instances.
pub fn may_launch(group: &FallbackGroup) -> bool {
    let allows = match group.source {
        LaunchSource::Configuration => false,
        LaunchSource::Template => true,
        LaunchSource::Mixed { on_demand_base, on_demand_percentage } => {
            on_demand_percentage == 100 || (on_demand_percentage == 0 && on_demand_base == 0)
        }
    };
    allows && !group.zones.is_empty()
}

/// The requests for these instances, and for how many of them the group has no room.
pub fn launches(
    name: &GroupName,
    group: &FallbackGroup,
    instance_ids: &[InstanceId],
) -> (Vec<Launch>, usize) {
    // The zones are sorted, as a request that is repeated must name the same one.
    let mut zones: Vec<_> = group.zones.iter().collect();
    zones.sort();
    let launch = |instance_id: &InstanceId| {
        let number: usize = instance_id.as_str().bytes().map(usize::from).sum();
        Some(Launch {
            instance_id: instance_id.clone(),
            client_token: client_token(name, instance_id),
            // Any zone will do; the instances of a batch are spread over them.
            zone: zones.get(number.checked_rem(zones.len())?)?.to_string(),
            capacity: group.instance_capacity(),
        })
    };
    let launches: Vec<_> = instance_ids.iter().take(group.room()).filter_map(launch).collect();
    let without_room = instance_ids.len() - launches.len();
    (launches, without_room)
}

/// The group is part of it, as two drainers with groups of their own may see one notice.
fn client_token(name: &GroupName, instance_id: &InstanceId) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    format!("ebb-{instance_id}-{name}").chars().filter(allowed).take(TOKEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn group(source: LaunchSource) -> FallbackGroup {
        let zones = ["b", "a", "c"].map(|zone| format!("eu-west-1{zone}")).to_vec();
        FallbackGroup {
            max_size: 12,
            instance_weights: vec![4],
            source,
            zones,
            ..Default::default()
        }
    }

    fn ids(numbers: std::ops::Range<u32>) -> Vec<InstanceId> {
        numbers.map(|number| InstanceId::parse(&format!("i-{number:017x}")).unwrap()).collect()
    }

    #[test]
    fn only_a_group_with_a_template_and_without_a_mixture_launches_at_once() {
        let mixed = |on_demand_base, on_demand_percentage| LaunchSource::Mixed {
            on_demand_base,
            on_demand_percentage,
        };
        for (source, may) in [
            (LaunchSource::Configuration, false),
            (LaunchSource::Template, true),
            (mixed(0, 100), true),
            (mixed(3, 100), true),
            (mixed(0, 0), true),
            (mixed(1, 0), false),
            (mixed(0, 50), false),
        ] {
            assert_eq!(may_launch(&group(source)), may, "{source:?}");
        }
        assert!(!may_launch(&FallbackGroup { zones: vec![], ..group(LaunchSource::Template) }));
    }

    #[test]
    fn a_request_is_the_same_for_every_delivery_and_fits_the_api() {
        let name = GroupName::new(format!("shop on-demand (eu) {}", "x".repeat(200)));
        let described = group(LaunchSource::Template);
        let (requests, _) = launches(&name, &described, &ids(7..8));
        let mut turned = described.clone();
        turned.zones.reverse();
        assert_eq!(launches(&name, &turned, &ids(7..8)).0, requests);

        let [Launch { client_token, capacity: 4, .. }] = &requests[..] else {
            panic!("{requests:?}")
        };
        assert!(client_token.starts_with("ebb-i-00000000000000007-shopon-demandeux"));
        assert_eq!(client_token.len(), TOKEN_MAX);
    }

    #[test]
    fn instances_are_spread_over_the_zones_and_stop_at_the_maximum() {
        let name = GroupName::new("od");
        let (requests, without_room) = launches(&name, &group(LaunchSource::Template), &ids(0..5));
        let zones: BTreeSet<_> = requests.iter().map(|launch| &launch.zone).collect();
        let tokens: BTreeSet<_> = requests.iter().map(|launch| &launch.client_token).collect();
        assert_eq!((requests.len(), zones.len(), tokens.len(), without_room), (3, 3, 3, 2));
    }
}

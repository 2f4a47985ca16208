//! In which Availability Zones the subnets of a service let its tasks run.
//!
//! Asking EC2 about subnets is left to the `scale-in-reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::Service;

/// The Availability Zone of each subnet that was asked about; `None` if EC2 did not say.
pub type SubnetZones = BTreeMap<String, Option<String>>;

/// Confines a service whose tasks are in network mode `awsvpc` to the zones of its subnets: ECS
/// places its tasks nowhere else. If the zone of any of them is not known, nothing can be said
/// about where its tasks may run. A service in another mode is left as it is.
pub fn confine_to_subnets(
    service: &mut Service,
    subnets: &BTreeSet<String>,
    subnet_zones: &SubnetZones,
) {
    if service.demand.network_interfaces == 0 {
        return;
    }
    let zones = subnets.iter().map(|subnet| subnet_zones.get(subnet)?.clone());
    service.zones = zones.collect::<Option<BTreeSet<_>>>().filter(|zones| !zones.is_empty());
    if service.zones.is_none() && service.unclear.is_none() {
        let why = "the Availability Zones of its subnets are not known (ec2:DescribeSubnets)";
        service.unclear = Some(why.to_owned());
    }
}

//! Inventories for tests: an instance and a cluster with defaults.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Instance, Resources};
use crate::ids::{ContainerInstanceArn, GroupName, InstanceId};
use crate::spot::ContainerInstanceStatus;

/// The moment of every test.
pub(super) fn now() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

/// An empty instance with this number: two vCPUs and 4 GiB, a day old, in the group `group` and the first zone.
pub(super) fn instance(number: usize) -> Instance {
    let all = Resources { cpu: 2048, memory_mib: 4096, ..Resources::default() };
    Instance {
        instance_id: InstanceId::parse(&format!("i-{number:017x}")).unwrap(),
        arn: ContainerInstanceArn::new(number.to_string()),
        group: Some(GroupName::new("group")),
        lifecycle_state: "InService".to_owned(),
        protected_from_scale_in: false,
        weight: 1,
        zone: "a".to_owned(),
        instance_type: "m7g.large".to_owned(),
        attributes: BTreeMap::new(),
        status: ContainerInstanceStatus::Active,
        agent_connected: true,
        registered_at: Some(now() - SignedDuration::from_hours(24)),
        registered: Some(all),
        remaining: Some(all),
        unknown_resource: None,
        host_ports: BTreeSet::new(),
        tasks: Some(Vec::new()),
        distinct_services: BTreeSet::new(),
        price_microusd: None,
    }
}

//! Inventories for tests: instances, services and a cluster with defaults.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::Resources;
use crate::eligibility::eligibility;
use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use crate::inventory::{Group, Instance, Inventory, Service, Task, TaskKind};
use crate::model::Model;
use crate::policy::Policy;

/// The moment of every test.
pub(crate) fn now() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

/// An empty instance with this number: two vCPUs and 4 GiB, a day old, in the group `group` and the
/// first zone.
pub(crate) fn instance(number: usize) -> Instance {
    let registered = Resources { cpu: 2048, memory_mib: 4096, ..Resources::default() };
    let id = InstanceId::parse(&format!("i-{number:017x}")).unwrap();
    Instance {
        group: Some(GroupName::new("group")),
        lifecycle_state: LifecycleState::InService,
        zone: "a".to_owned(),
        instance_type: "m7g.large".to_owned(),
        registered_at: Some(now() - SignedDuration::from_hours(24)),
        registered: Some(registered),
        remaining: Some(registered),
        tasks: Some(Vec::new()),
        ..Instance::new(id, ContainerInstanceArn::new(number.to_string()))
    }
}

/// An instance with this number, so much free of it, and these tasks, by service and how many.
pub(crate) fn holding(number: usize, free: [i64; 2], tasks: &[(usize, usize)]) -> Instance {
    let kinds = tasks
        .iter()
        .flat_map(|&(service, count)| std::iter::repeat_n(TaskKind::Service(service), count));
    let tasks = kinds.enumerate().map(|(position, kind)| Task {
        id: format!("{number}-{position}"),
        kind,
        protected: false,
    });
    Instance {
        remaining: Some(Resources { cpu: free[0], memory_mib: free[1], ..Resources::default() }),
        tasks: Some(tasks.collect()),
        ..instance(number)
    }
}

/// A service with this number whose tasks hold so much and go anywhere.
pub(crate) fn service(number: usize, [cpu, memory_mib]: [i64; 2]) -> Service {
    Service::new(format!("service-{number}"), Resources { cpu, memory_mib, ..Resources::default() })
}

/// A cluster of one group with no minimum.
pub(crate) fn cluster(instances: Vec<Instance>, services: Vec<Service>) -> Inventory {
    let group = Group { desired_capacity: instances.len() as i64, ..Group::default() };
    Inventory {
        cluster: Cluster::new("shop"),
        instances,
        groups: BTreeMap::from([(GroupName::new("group"), group)]),
        services,
        hold_until: None,
    }
}

/// A policy without limits.
pub(crate) fn boundless() -> Policy {
    Policy {
        headroom_cpu_percent: 0,
        headroom_memory_percent: 0,
        max_removals_percent: 100,
        keep_zone_balance: false,
        ..Policy::default()
    }
}

/// The model of a cluster.
pub(crate) fn model<const D: usize>(inventory: &Inventory) -> Model<D> {
    let policy = boundless();
    Model::new(inventory, &eligibility(inventory, &policy, now()), &policy.task_headroom)
}

//! What the reaper's tests are made of: instances of one cluster and one group, with defaults. The
//! planner's tests have their own, with services and tasks that move.

use ebb_planner::{
    Group, Headroom, Instance, Inventory, ManagedScaling, Resources, Service, Task, TaskKind,
};
use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::ContainerInstanceStatus;
use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use crate::mark::{Cause, DRAINED_BY, Mark};
use crate::reaper::budgets::Allowance;

/// The moment of every test.
pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn seconds_ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

pub(crate) fn id(number: u64) -> InstanceId {
    InstanceId::parse(&format!("i-0a1b2c3d4e5f6{number:04}")).unwrap()
}

pub(crate) fn group_name() -> GroupName {
    GroupName::new("shop-spot")
}

pub(crate) fn resources(cpu: i64, memory_mib: i64) -> Resources {
    Resources { cpu, memory_mib, ..Resources::default() }
}

/// An empty ACTIVE instance of the group.
pub(crate) fn instance(number: u64) -> Instance {
    Instance {
        group: Some(group_name()),
        lifecycle_state: LifecycleState::InService,
        zone: "eu-west-1a".to_owned(),
        instance_type: "m7g.large".to_owned(),
        registered_at: Some(seconds_ago(86_400)),
        registered: Some(resources(2_048, 7_680)),
        remaining: Some(resources(2_048, 7_680)),
        tasks: Some(Vec::new()),
        ..Instance::new(id(number), ContainerInstanceArn::new(number.to_string()))
    }
}

pub(crate) fn task(kind: TaskKind) -> Task {
    Task { id: "t".to_owned(), kind, protected: false }
}

pub(crate) fn managed_scaling(termination_protection: bool) -> ManagedScaling {
    ManagedScaling { target_capacity: 100, termination_protection, scaling_out: false }
}

/// A budget that lets so many instances go.
pub(crate) fn budget(instances: usize) -> Allowance {
    Allowance { instances, decided_by: "a budget".to_owned(), by_budget: true, more_from: None }
}

/// Has an instance drain since now, by a function's mark.
pub(crate) fn drain(instance: &mut Instance, function: &str, cause: Option<Cause>) {
    instance.status = ContainerInstanceStatus::Draining;
    let mark = Mark { function: function.to_owned(), at: NOW, cause };
    instance.attributes.insert(DRAINED_BY.to_owned(), mark.to_string());
}

/// A cluster with these instances, in a group that may shrink.
pub(crate) fn inventory(instances: Vec<Instance>) -> Inventory {
    let group = Group { min_size: 0, desired_capacity: 10, ..Group::default() };
    Inventory {
        cluster: Cluster::new("shop"),
        instances,
        groups: [(group_name(), group)].into(),
        services: Vec::new(),
        hold_until: None,
    }
}

/// A replica service whose tasks hold so much and go anywhere.
pub(crate) fn service([cpu, memory_mib]: [i64; 2]) -> Service {
    Service::new("web", resources(cpu, memory_mib))
}

/// Usable instances with so much registered and so much free, as CPU units and MiB.
pub(crate) fn headroom(instances: usize, registered: (i64, i64), free: (i64, i64)) -> Headroom {
    Headroom {
        instances,
        registered: resources(registered.0, registered.1),
        free: resources(free.0, free.1),
    }
}

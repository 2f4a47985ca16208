//! What a sweep knows of one cluster: container instances, their groups, the services and the tasks
//! that were read.
//!
//! Plain data, as AWS reports it. Whether it makes sense is for `crate::eligibility` to say: an
//! instance that contradicts itself is kept, with that reason.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::auto_scaling::LifecycleState;
use crate::ecs::{ContainerInstanceStatus, HostPort, Resources};
use crate::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};

/// One cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The cluster.
    pub cluster: Cluster,
    /// Every container instance of it, whatever its status.
    pub instances: Vec<Instance>,
    /// The Auto Scaling groups of the instances. An instance of a group that is not here is kept.
    pub groups: BTreeMap<GroupName, Group>,
    /// The replica services of the cluster. Tasks name theirs by its index.
    pub services: Vec<Service>,
    /// The value of the cluster's tag [`crate::HOLD_TAG`], if it has that.
    pub hold_until: Option<String>,
}

impl Inventory {
    /// The container instance on each EC2 instance. Of several, as an agent that lost its state
    /// registers anew, it is the last.
    pub fn container_instances(&self) -> BTreeMap<InstanceId, ContainerInstanceArn> {
        let instances = self.instances.iter();
        instances.map(|instance| (instance.instance_id.clone(), instance.arn.clone())).collect()
    }
}

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The EC2 instance below it.
    pub instance_id: InstanceId,
    /// Its ARN in ECS.
    pub arn: ContainerInstanceArn,
    /// Its Auto Scaling group, if it is in one.
    pub group: Option<GroupName>,
    /// Where it stands in its group: Auto Scaling's `LifecycleState`, such as `InService`.
    pub lifecycle_state: LifecycleState,
    /// Whether its group protects it from scale-in.
    pub protected_from_scale_in: bool,
    /// Whether its group holds it for unhealthy, and so is about to replace it.
    pub unhealthy: bool,
    /// Whether ECS launched it and takes it away itself (ECS Managed Instances): it takes tasks of
    /// its own capacity provider only.
    pub ecs_managed: bool,
    /// What it counts for in its group's desired capacity: 1 unless the group has weights.
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
    /// Its attributes, the built-in ones included; an attribute without a value is an empty text.
    pub attributes: BTreeMap<String, String>,
    /// Its status in ECS.
    pub status: ContainerInstanceStatus,
    /// Whether its agent is connected.
    pub agent_connected: bool,
    /// When it registered; `None` if ECS did not say.
    pub registered_at: Option<Timestamp>,
    /// What it has in all; `None` if ECS left out CPU or memory.
    pub registered: Option<Resources>,
    /// What no task holds; `None` if ECS left out CPU or memory.
    pub remaining: Option<Resources>,
    /// A resource that it registered and that Ebb does not know, by name.
    pub unknown_resource: Option<String>,
    /// The host ports in use on it.
    pub host_ports: BTreeSet<HostPort>,
    /// Its tasks that have not stopped; `None` if they were not read.
    pub tasks: Option<Vec<Task>>,
    /// Services with [`Service::distinct_instance`] that are known to have a task here, by their
    /// index in [`Inventory::services`], whether or not the tasks here were read: no other task of
    /// theirs finds a place here.
    pub distinct_services: BTreeSet<usize>,
    /// What it costs per hour, in millionths of a dollar, where a price is known.
    pub price_microusd: Option<u64>,
}

/// The attribute that an instance in the inventory has for its capacity provider. ECS shows the
/// provider in a field of its own, and a service with a capacity provider strategy places its tasks
/// on the instances of its providers only (ECS Developer Guide, cluster-capacity-providers): as an
/// attribute, it takes part like any other constraint.
pub const CAPACITY_PROVIDER: &str = "ebb.capacity-provider";

/// The tag of Auto Scaling groups that are never shrunk, whatever its value.
pub const KEEP_TAG: &str = "ebb:keep";
/// The attribute of container instances that are never removed, whatever its value.
pub const KEEP_ATTRIBUTE: &str = "ebb.keep";
/// The tag of services whose tasks stay where they are, whatever its value.
pub const KEEP_TASKS_TAG: &str = "ebb:keep-tasks";
/// The attribute of a drained container instance that is left for ECS to take: when it was first
/// seen without tasks. It stays on one that ECS did not take.
pub const EMPTIED_ATTRIBUTE: &str = "ebb.emptied";

impl Instance {
    /// An ACTIVE container instance of which nothing else is known yet: in no group, with no
    /// resources, and with tasks that were not read. As it is, it is kept as a contradiction.
    pub fn new(instance_id: InstanceId, arn: ContainerInstanceArn) -> Self {
        Self {
            instance_id,
            arn,
            group: None,
            lifecycle_state: LifecycleState::Other(String::new()),
            protected_from_scale_in: false,
            unhealthy: false,
            ecs_managed: false,
            weight: 1,
            zone: String::new(),
            instance_type: String::new(),
            attributes: BTreeMap::new(),
            status: ContainerInstanceStatus::Active,
            agent_connected: true,
            registered_at: None,
            registered: None,
            remaining: None,
            unknown_resource: None,
            host_ports: BTreeSet::new(),
            tasks: None,
            distinct_services: BTreeSet::new(),
            price_microusd: None,
        }
    }

    /// Whether it is in its group in full.
    pub fn is_in_service(&self) -> bool {
        self.lifecycle_state == LifecycleState::InService
    }

    /// Whether an operator asked to keep it.
    pub fn is_to_be_kept(&self) -> bool {
        self.attributes.contains_key(KEEP_ATTRIBUTE)
    }

    /// When it was first seen without tasks, by its attribute [`EMPTIED_ATTRIBUTE`].
    pub fn emptied_at(&self) -> Option<Timestamp> {
        self.attributes.get(EMPTIED_ATTRIBUTE)?.parse().ok()
    }

    /// Whether nothing but daemon tasks is on it. Not so if its tasks were not read.
    pub fn is_empty(&self) -> bool {
        let only_daemons =
            |tasks: &Vec<Task>| tasks.iter().all(|task| task.kind == TaskKind::Daemon);
        self.tasks.as_ref().is_some_and(only_daemons)
    }

    /// Whether ECS drains it.
    pub fn is_draining(&self) -> bool {
        self.status == ContainerInstanceStatus::Draining
    }
}

/// A task on a container instance that has not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The last part of its ARN.
    pub id: String,
    /// What runs it.
    pub kind: TaskKind,
    /// Whether it is protected from scale-in.
    pub protected: bool,
}

/// What runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// A replica service, by its index in [`Inventory::services`]. ECS starts a replacement
    /// elsewhere.
    Service(usize),
    /// A service that is not among [`Inventory::services`]: what the task needs elsewhere is not
    /// known.
    UnknownService,
    /// A daemon service: the task leaves with its instance.
    Daemon,
    /// Nobody: ECS does not start it again.
    Standalone,
    /// It has been told to stop: it needs no other place, and holds its own until it has stopped.
    Stopping,
}

/// A replica service: what its tasks need of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What one task holds.
    pub demand: Resources,
    /// The host ports that a task takes.
    pub host_ports: BTreeSet<HostPort>,
    /// Whether no two of its tasks may share an instance.
    pub distinct_instance: bool,
    /// `memberOf` expressions of the service and of its task definition; all must hold.
    pub constraints: Vec<String>,
    /// The operating system that its tasks need (`linux` or `windows`, as the attribute
    /// `ecs.os-type` says it); `None` if any will do. Source: ECS API,
    /// `RuntimePlatform.operatingSystemFamily`.
    pub os_type: Option<String>,
    /// The architecture that its tasks need (`x86_64` or `arm64`, as the attribute
    /// `ecs.cpu-architecture` says it); `None` if any will do. Source: ECS API,
    /// `RuntimePlatform.cpuArchitecture`.
    pub cpu_architecture: Option<String>,
    /// The Availability Zones in which a task in network mode `awsvpc` has a subnet; `None` if tasks
    /// need none.
    pub zones: Option<BTreeSet<String>>,
    /// The capacity providers that its strategy may place a task by; none if it has no strategy. ECS
    /// chooses one for each task by base and weight, whether or not there is room on its instances,
    /// and tries no other then (containers-roadmap#773, #1859).
    pub capacity_providers: BTreeSet<String>,
    /// How ECS chooses among the instances that a task fits on, in order.
    pub strategy: Vec<Strategy>,
    /// The share of its desired tasks that must stay healthy while tasks are replaced, in percent.
    pub minimum_healthy_percent: u32,
    /// The share of its desired tasks that may run while tasks are replaced, in percent.
    pub maximum_percent: u32,
    /// Tasks that are to be placed and hold no place yet: wanted ones that do not run, replacements
    /// of those on draining instances, and what a deployment in progress may start beside the old
    /// tasks.
    pub in_flight: u64,
    /// How many of its tasks Availability Zone rebalancing has yet to move until they are even;
    /// `None` if ECS does not rebalance it (ECS Developer Guide, service-rebalancing).
    pub tasks_to_rebalance: Option<u64>,
    /// Whether it bears the tag [`KEEP_TASKS_TAG`].
    pub keep_tasks: bool,
    /// Why nothing can be said about where its tasks may run, if so.
    pub unclear: Option<String>,
}

impl Service {
    /// A replica service whose tasks hold so much and may run anywhere, with ECS's default percents and
    /// nothing on its way.
    pub fn new(name: impl Into<String>, demand: Resources) -> Self {
        Self {
            name: name.into(),
            demand,
            host_ports: BTreeSet::new(),
            distinct_instance: false,
            constraints: Vec::new(),
            os_type: None,
            cpu_architecture: None,
            zones: None,
            capacity_providers: BTreeSet::new(),
            strategy: Vec::new(),
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            in_flight: 0,
            tasks_to_rebalance: None,
            keep_tasks: false,
            unclear: None,
        }
    }
}

/// One step in ECS's choice of an instance. Source: ECS Developer Guide, task-placement-strategies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Any.
    Random,
    /// Fewest tasks of the service among the instances that share the value of this field:
    /// `instanceId` or an attribute's name.
    Spread(String),
    /// Least CPU left.
    BinpackCpu,
    /// Least memory left.
    BinpackMemory,
}

/// An Auto Scaling group. Its sizes count capacity: instances, or their weights if the group has
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Its minimum.
    pub min_size: i64,
    /// Its desired capacity.
    pub desired_capacity: i64,
    /// How a capacity provider's managed scaling decides its size, if one does.
    pub managed_scaling: Option<ManagedScaling>,
    /// The AWS service that owns it, if it is not the operator's own: "AWS Batch".
    pub owner: Option<String>,
    /// Whether it bears the tag [`KEEP_TAG`].
    pub tagged_keep: bool,
    /// The value of its tag [`crate::HOLD_TAG`], if it has that.
    pub hold_until: Option<String>,
    /// Why it may not be shrunk just now, if so: a suspended process, an instance refresh.
    pub unavailable: Option<String>,
}

/// What ECS's cluster auto scaling does with a group. Source: ECS Developer Guide,
/// managed-scaling-behavior and managed-termination-protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagedScaling {
    /// The share of the group's instances that are to hold tasks, in percent: `targetCapacity`.
    pub target_capacity: u32,
    /// Whether ECS protects each instance that holds a non-daemon task from scale-in, and takes away
    /// the one that holds none: `managedTerminationProtection`.
    pub termination_protection: bool,
    /// Whether the group is being scaled out just now.
    pub scaling_out: bool,
}

impl Group {
    /// Whether ECS itself takes away an instance of it that is empty, and that one and no other: it
    /// needs only be drained.
    pub fn is_left_to_ecs(&self) -> bool {
        self.managed_scaling.is_some_and(|scaling| scaling.termination_protection)
    }

    /// How much capacity may go before it is at its minimum; less than 0 if it is below.
    pub fn capacity_above_minimum(&self) -> i64 {
        self.desired_capacity.saturating_sub(self.min_size)
    }
}

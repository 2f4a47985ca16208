//! What a recording holds, in the words of its file. Members are added; what must change its meaning
//! makes a new version.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::replaceable::RecordedReplace;

/// The version that is written. It grows when a reader of the one before would take something for
/// what it is not; members that are added do not count, as unknown ones are passed over.
pub const VERSION: u32 = 2;

/// Clusters as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The version of the format.
    pub version: u32,
    /// When the last cluster was read.
    pub recorded_at: Timestamp,
    /// The Region.
    pub region: String,
    /// The clusters.
    pub clusters: Vec<RecordedCluster>,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCluster {
    /// Its name or ARN.
    pub cluster: Cluster,
    /// Every container instance of it.
    pub instances: Vec<RecordedInstance>,
    /// The Auto Scaling groups of the instances.
    pub groups: BTreeMap<GroupName, RecordedGroup>,
    /// The replica services with tasks.
    pub services: Vec<RecordedService>,
    /// Until when its tag says that it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<String>,
    /// The services that find no place for a task.
    #[serde(default)]
    pub unplaced: Vec<RecordedFailure>,
    /// Members of its groups, in service or retained, that are in no cluster.
    #[serde(default)]
    pub never_joined: Vec<RecordedMember>,
    /// How many are not in the cluster, and may be in another.
    #[serde(default)]
    pub unclear_members: usize,
    /// What a sweep that replaces looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<RecordedReplace>,
    /// Where prices are from, in the words of the function's answer.
    #[serde(default)]
    pub price_sources: BTreeSet<String>,
    /// Whether on-demand prices stand for what may be Spot Instances.
    #[serde(default)]
    pub spot_unknown: bool,
}

/// A member of a group that is in no cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMember {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its group.
    pub group: GroupName,
}

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts as AWS gives them")]
pub struct RecordedInstance {
    /// The EC2 instance.
    pub instance_id: InstanceId,
    /// Its ARN in ECS.
    pub arn: ContainerInstanceArn,
    /// Its group.
    pub group: Option<GroupName>,
    /// Auto Scaling's word for where it stands in its group.
    pub lifecycle_state: String,
    /// Whether its group protects it from scale-in.
    #[serde(default)]
    pub protected_from_scale_in: bool,
    /// Whether its group holds it for unhealthy.
    #[serde(default)]
    pub unhealthy: bool,
    /// Whether ECS takes it away itself.
    #[serde(default)]
    pub ecs_managed: bool,
    /// What it counts for in its group's capacity.
    #[serde(default = "one")]
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
    /// Its attributes; one without a value is an empty text.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// ECS's word for its status.
    pub status: String,
    /// Whether its agent is connected.
    pub agent_connected: bool,
    /// When it registered.
    pub registered_at: Option<Timestamp>,
    /// What it has in all.
    pub registered: Option<RecordedResources>,
    /// What no task holds.
    pub remaining: Option<RecordedResources>,
    /// A resource that Ebb does not know.
    #[serde(default)]
    pub unknown_resource: Option<String>,
    /// The host ports in use, such as `80/tcp`.
    #[serde(default)]
    pub host_ports: BTreeSet<String>,
    /// Its tasks that have not stopped; none if they were not read.
    pub tasks: Option<Vec<RecordedTask>>,
    /// The services that allow one task per instance and have one here, by name.
    #[serde(default)]
    pub distinct_services: BTreeSet<String>,
    /// What it costs per hour, in millionths of a US dollar.
    #[serde(default)]
    pub price_microusd: Option<u64>,
}

fn one() -> i64 {
    1
}

/// Resources, in ECS's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedResources {
    /// CPU units.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// GPUs.
    #[serde(default)]
    pub gpus: i64,
    /// Network interfaces for tasks.
    #[serde(default)]
    pub network_interfaces: i64,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedTask {
    /// The last part of its ARN.
    pub id: String,
    /// What runs it.
    #[serde(flatten)]
    pub kind: RecordedTaskKind,
    /// Whether it is protected from scale-in.
    #[serde(default)]
    pub protected: bool,
}

/// What runs a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RecordedTaskKind {
    /// A replica service of the recording.
    Service {
        /// Its name.
        service: String,
    },
    /// A service that is not in the recording.
    UnknownService,
    /// A daemon service.
    Daemon,
    /// Nobody.
    Standalone,
    /// It was told to stop.
    Stopping,
}

/// A replica service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedService {
    /// Its name.
    pub name: String,
    /// What one task holds.
    pub demand: RecordedResources,
    /// The host ports that a task takes, such as `80/tcp`.
    #[serde(default)]
    pub host_ports: BTreeSet<String>,
    /// Whether no two of its tasks may share an instance.
    #[serde(default)]
    pub distinct_instance: bool,
    /// Its `memberOf` expressions.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// The operating system that its tasks need.
    #[serde(default)]
    pub os_type: Option<String>,
    /// The architecture that its tasks need.
    #[serde(default)]
    pub cpu_architecture: Option<String>,
    /// The zones that its tasks have a subnet in; none if they need none.
    #[serde(default)]
    pub zones: Option<BTreeSet<String>>,
    /// The capacity providers that ECS may choose for its tasks.
    #[serde(default)]
    pub capacity_providers: BTreeSet<String>,
    /// How ECS chooses an instance, in order.
    #[serde(default)]
    pub strategy: Vec<RecordedStrategy>,
    /// Its minimum healthy percent.
    pub minimum_healthy_percent: u32,
    /// Its maximum percent.
    pub maximum_percent: u32,
    /// Tasks that are to be placed and hold no place yet.
    #[serde(default)]
    pub in_flight: u64,
    /// How many of its tasks Availability Zone rebalancing has yet to move; none if it moves none.
    #[serde(default)]
    pub tasks_to_rebalance: Option<u64>,
    /// Whether its tag asks to leave its tasks where they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_tasks: bool,
    /// Why nothing can be said about where its tasks may run.
    #[serde(default)]
    pub unclear: Option<String>,
}

/// One step in ECS's choice of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedStrategy {
    /// Any.
    Random,
    /// Fewest tasks by this field.
    Spread(String),
    /// Least CPU left.
    BinpackCpu,
    /// Least memory left.
    BinpackMemory,
}

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedGroup {
    /// Its minimum.
    pub min_size: i64,
    /// Its desired capacity.
    pub desired_capacity: i64,
    /// How a capacity provider's managed scaling decides its size; none if nothing does.
    #[serde(default)]
    pub managed_scaling: Option<RecordedManagedScaling>,
    /// The AWS service that owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether its tag asks to keep it.
    #[serde(default)]
    pub tagged_keep: bool,
    /// Until when its tag says that it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<String>,
    /// Why it may not be shrunk just now.
    #[serde(default)]
    pub unavailable: Option<String>,
    /// What it may launch, if that is several instance types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launchable: Option<RecordedLaunchable>,
}

/// What a group may launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLaunchable {
    /// The names of the instance types.
    #[serde(default)]
    pub types: BTreeSet<String>,
    /// Why that is not judged.
    #[serde(default)]
    pub not_judged: Option<String>,
    /// What EC2 says of them, and of those that the group has.
    #[serde(default)]
    pub described: BTreeMap<String, RecordedInstanceType>,
}

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedInstanceType {
    /// Its vCPUs.
    pub vcpus: i64,
    /// Its memory in MiB.
    pub memory_mib: i64,
    /// The architectures of its processor.
    pub architectures: BTreeSet<String>,
    /// Its network interfaces.
    #[serde(default)]
    pub network_interfaces: Option<i64>,
    /// What the group would pay for it per hour, by Availability Zone, in millionths of a US dollar.
    #[serde(default)]
    pub prices_microusd: BTreeMap<String, u64>,
}

/// What a capacity provider's managed scaling does with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedManagedScaling {
    /// Its target capacity in percent.
    pub target_capacity: u32,
    /// Whether it has managed termination protection.
    pub termination_protection: bool,
    /// Whether the group is being scaled out.
    #[serde(default)]
    pub scaling_out: bool,
}

/// A service that finds no place for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// Its name.
    pub service: String,
    /// When ECS reported it last.
    pub latest: Timestamp,
    /// The oldest report that ECS still shows.
    #[serde(default)]
    pub oldest: Option<Timestamp>,
    /// What one task holds.
    pub demand: RecordedResources,
}

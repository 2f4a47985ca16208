//! Auto Scaling groups and their instances.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::launch_template::LaunchTemplate;
use super::lifecycle_hook::Hook;
use super::lifecycle_state::LifecycleState;
use crate::world::account::{ACCOUNT, REGION};
use crate::world::ecs::Machine;

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The cluster that its instances join.
    pub cluster: String,
    /// `MinSize`.
    pub min_size: i32,
    /// `MaxSize`.
    pub max_size: i32,
    /// `DesiredCapacity`.
    pub desired_capacity: i32,
    /// Its instances, those that boot or terminate included.
    pub instances: Vec<Instance>,
    /// Its termination hooks.
    pub hooks: Vec<Hook>,
    /// Whether it keeps an instance one of whose termination hooks was abandoned:
    /// `TerminateHookAbandon` `retain` of its instance lifecycle policy.
    pub retains_abandoned: bool,
    /// The Availability Zones that it is enabled in.
    pub zones: Vec<String>,
    /// What it launches: its launch template.
    pub template: Machine,
    /// What its instances are launched from.
    pub source: LaunchSource,
    /// The overrides of its mixed instances policy. It launches from its template all the same: which
    /// of several types EC2 would choose is not simulated.
    pub overrides: Vec<Override>,
    /// The versions of its launch template, unless it has none.
    pub launch_template: LaunchTemplate,
    /// What each of its instances counts into its capacity: `WeightedCapacity`; 1 if it has no
    /// weights.
    pub weight: Option<u32>,
    /// Whether scale-in passes over what it launches: `NewInstancesProtectedFromScaleIn`.
    pub protects_new_instances: bool,
    /// Its suspended processes by name. `Launch`, `Terminate` and `AZRebalance` matter here.
    pub suspended: BTreeSet<String>,
    /// The status of its newest instance refresh, such as `InProgress`. None is played: it only
    /// says that it has one.
    pub refresh: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Those of them that are not for the instances that it launches.
    pub tags_of_its_own: BTreeSet<String>,
    /// Whether the agents of what it launches register: not so if the user data is broken, say.
    pub launches_join: bool,
    /// Whether EC2 has capacity for it. A Spot group whose instances are interrupted often has
    /// none.
    pub ec2_has_capacity: bool,
}

/// What a group launches its instances from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchSource {
    /// A launch configuration.
    Configuration,
    /// A launch template.
    Template,
    /// A launch template with a mixed instances policy.
    Mixed {
        /// `OnDemandPercentageAboveBaseCapacity`.
        on_demand_percentage: i32,
    },
}

/// An override of a mixed instances policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// `InstanceType`.
    InstanceType(&'static str),
    /// `InstanceRequirements`: types by their attributes.
    Requirements,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its EC2 id.
    pub instance_id: String,
    /// Where it stands.
    pub state: LifecycleState,
    /// Whether scale-in passes it over.
    pub protected_from_scale_in: bool,
    /// Whether its health check says so. See [`World::mark_unhealthy`](crate::world::World::mark_unhealthy).
    pub healthy: bool,
    /// The Availability Zone that it was launched in; that of its container instance if the world
    /// began with it.
    pub zone: Option<String>,
    /// When its group launched it; `None` if the world began with it.
    pub launched_at: Option<Timestamp>,
    /// The version of its launch template; `None` if it was launched from a launch configuration.
    pub template_version: Option<u64>,
}

impl Instance {
    /// An instance that is in service and unprotected.
    pub fn in_service(instance_id: impl Into<String>) -> Self {
        let instance_id = instance_id.into();
        Self {
            instance_id,
            state: LifecycleState::InService,
            protected_from_scale_in: false,
            healthy: true,
            zone: None,
            launched_at: None,
            template_version: Some(1),
        }
    }
}

impl Group {
    /// A group of these instances in three zones, which wants to keep as many, with a minimum of
    /// none and a maximum of twice as many.
    pub fn with_instances(cluster: &str, instances: impl IntoIterator<Item = String>) -> Self {
        let instances: Vec<_> = instances.into_iter().map(Instance::in_service).collect();
        let desired_capacity = i32::try_from(instances.len()).unwrap_or(i32::MAX);
        Self {
            cluster: cluster.to_owned(),
            min_size: 0,
            max_size: desired_capacity.saturating_mul(2),
            desired_capacity,
            instances,
            hooks: Vec::new(),
            retains_abandoned: false,
            zones: ["a", "b", "c"].map(|zone| format!("{REGION}{zone}")).to_vec(),
            template: Machine::default(),
            source: LaunchSource::Template,
            overrides: Vec::new(),
            launch_template: LaunchTemplate::default(),
            weight: None,
            protects_new_instances: false,
            suspended: BTreeSet::new(),
            refresh: None,
            tags: BTreeMap::new(),
            tags_of_its_own: BTreeSet::new(),
            launches_join: true,
            ec2_has_capacity: true,
        }
    }

    /// An instance of it.
    pub fn instance(&self, instance_id: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.instance_id == instance_id)
    }

    /// Suspends processes, such as `AZRebalance`.
    #[must_use]
    pub fn suspending(mut self, processes: &[&str]) -> Self {
        self.suspended.extend(processes.iter().map(|&process| process.to_owned()));
        self
    }

    pub(super) fn is_suspended(&self, process: &str) -> bool {
        self.suspended.contains(process)
    }

    /// What its instances count into its desired capacity.
    pub(super) fn size(&self) -> i32 {
        let counted =
            self.instances.iter().filter(|instance| instance.state.counts_into_capacity()).count();
        i32::try_from(counted).unwrap_or(i32::MAX).saturating_mul(self.weight())
    }

    pub(super) fn weight(&self) -> i32 {
        self.weight.and_then(|weight| i32::try_from(weight).ok()).unwrap_or(1).max(1)
    }
}

/// The ARN of a group.
pub fn group_arn(name: &str) -> String {
    format!(
        "arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:\
         00000000-0000-4000-a000-000000000000:autoScalingGroupName/{name}"
    )
}

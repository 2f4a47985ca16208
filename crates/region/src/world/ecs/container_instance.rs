//! Container instances: what they registered, and what ECS knows about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::machine::Machine;
use super::resource_arn::arn;
use crate::world::account::REGION;

/// The version of every agent.
pub const AGENT_VERSION: &str = "1.98.0";

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInstance {
    /// The last part of its ARN.
    pub id: String,
    /// The EC2 instance below it.
    pub instance_id: String,
    /// Its Availability Zone.
    pub zone: String,
    /// Its status.
    pub status: Status,
    /// Whether its agent is connected.
    pub agent_connected: bool,
    /// What it registered.
    pub machine: Machine,
    /// The attributes that somebody has put, and those that its agent has beside the built-in ones.
    pub attributes: BTreeMap<String, String>,
    /// The capacity provider that it belongs to.
    pub capacity_provider: Option<String>,
    /// Counts what happens to it.
    pub version: i64,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it left the cluster, if it has.
    pub left_at: Option<Timestamp>,
}

/// For how long the API describes a container instance that has left. AWS says that it may not for
/// long (ECS Developer Guide, create-capacity); inferred: as long as a stopped task.
const VISIBLE_WHEN_INACTIVE: Duration = Duration::from_secs(3600);

/// The status of a container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is about to join the cluster.
    Registering,
    /// It gets tasks.
    Active,
    /// It gets no new tasks, and those of services leave it.
    Draining,
    /// It is about to leave the cluster.
    Deregistering,
    /// It has left; the API remembers it for a while.
    Inactive,
}

impl Status {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registering => "REGISTERING",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Deregistering => "DEREGISTERING",
            Self::Inactive => "INACTIVE",
        }
    }

    /// Reads AWS's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Registering, Self::Active, Self::Draining, Self::Deregistering, Self::Inactive]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// The built-in attributes of ECS.
const BUILT_IN: [&str; 8] = [
    "ecs.ami-id",
    "ecs.availability-zone",
    "ecs.cpu-architecture",
    "ecs.instance-type",
    "ecs.os-family",
    "ecs.os-type",
    "ecs.subnet-id",
    "ecs.vpc-id",
];

/// What its agent can do, as attributes without a value.
const CAPABILITIES: [&str; 2] =
    ["com.amazonaws.ecs.capability.docker-remote-api.1.18", "ecs.capability.task-eni"];

impl ContainerInstance {
    /// Its ARN in a cluster.
    pub fn arn(&self, cluster: &str) -> String {
        arn(&format!("container-instance/{cluster}/{}", self.id))
    }

    /// Whether the API still knows it.
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.left_at.is_none_or(|left_at| now < left_at + VISIBLE_WHEN_INACTIVE)
    }

    /// The names of the attributes that are not ECS's own.
    pub fn custom_attributes(&self) -> BTreeSet<String> {
        self.attributes.keys().filter(|name| !name.starts_with("ecs.")).cloned().collect()
    }

    /// The value of an attribute, built-in or not: nothing for one that names a capability. `None`
    /// if it has none such.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let built_in = match name {
            "ecs.ami-id" => "ami-0c1d2e3f405162738",
            "ecs.availability-zone" => &self.zone,
            "ecs.cpu-architecture" => self.machine.architecture(),
            "ecs.instance-type" => &self.machine.instance_type,
            "ecs.os-family" => self.machine.os_family,
            "ecs.os-type" => self.machine.os_type(),
            "ecs.subnet-id" => "subnet-0a1b2c3d4e5f60718",
            "ecs.vpc-id" => "vpc-0a1b2c3d4e5f60718",
            _ if CAPABILITIES.contains(&name) => "",
            _ => return self.attributes.get(name).map(String::as_str),
        };
        Some(built_in)
    }

    /// The names of all its attributes.
    pub fn attribute_names(&self) -> impl Iterator<Item = &str> {
        let own = self.attributes.keys().map(String::as_str);
        CAPABILITIES.into_iter().chain(BUILT_IN).chain(own)
    }
}

/// An instance to put into the world, with defaults: an `m7g.large` that has been ACTIVE for an
/// hour.
#[derive(Debug, Clone)]
pub struct NewInstance {
    pub(super) instance_id: String,
    pub(super) zone: String,
    pub(super) status: Status,
    pub(super) age: Duration,
    pub(super) agent_connected: bool,
    pub(super) machine: Machine,
    pub(super) attributes: BTreeMap<String, String>,
}

impl NewInstance {
    /// An instance in the first zone.
    pub fn new(instance_id: impl Into<String>) -> Self {
        Self {
            instance_id: instance_id.into(),
            zone: format!("{REGION}a"),
            status: Status::Active,
            age: Duration::from_secs(3600),
            agent_connected: true,
            machine: Machine::default(),
            attributes: BTreeMap::new(),
        }
    }

    /// Puts it into another zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Lets it have registered this long ago.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Gives it another status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Makes it of something else.
    #[must_use]
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    /// Gives it an attribute, as `PutAttributes` would.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes its agent away.
    #[must_use]
    pub fn agent_disconnected(mut self) -> Self {
        self.agent_connected = false;
        self
    }
}

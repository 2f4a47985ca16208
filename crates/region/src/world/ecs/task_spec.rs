//! What a task needs, as its task definition says it, and how long the steps of its life take.

use std::time::Duration;

/// What a task needs and how long its steps take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// CPU units; 1,024 are a vCPU.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// From PENDING to the start of its containers: mostly pulling the image.
    pub pull: Duration,
    /// From RUNNING until it counts as healthy. Without a health check ECS waits 40 s
    /// (ECS Developer Guide, container-instance-draining).
    pub healthy_after: Duration,
    /// For a task behind a load balancer: for how long its target deregisters.
    pub deregistration_delay: Option<Duration>,
    /// How long its containers take to stop after SIGTERM.
    pub stops_after: Duration,
    /// When containers are killed after SIGTERM.
    pub stop_timeout: Duration,
    /// Whether it hangs in STOPPING for ever once it is told to stop.
    pub never_stops: bool,
    /// Its host ports; number 0 lets the agent assign one.
    pub ports: Vec<Port>,
    /// How many GPUs it needs.
    pub gpus: usize,
    /// Its network mode.
    pub network: Network,
    /// `memberOf` constraints of its task definition, in the cluster query language.
    pub member_of: Vec<String>,
    /// Attributes that its container instance must have, whatever their values:
    /// `requiresAttributes`.
    pub required_attributes: Vec<String>,
    /// The operating system and the architecture that it needs: `runtimePlatform`.
    pub platform: Option<Platform>,
    /// The family and revision of its task definition; by default that of its service or its name,
    /// in revision 1.
    pub task_definition: Option<String>,
    /// Where its task definition says what it needs.
    pub size: Size,
}

impl TaskSpec {
    /// The family and revision of its task definition, if that is not named otherwise.
    pub fn definition(&self, family: &str) -> String {
        self.task_definition.clone().unwrap_or_else(|| format!("{family}:1"))
    }
}

/// A runtime platform, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// `operatingSystemFamily`.
    pub os_family: &'static str,
    /// `cpuArchitecture`.
    pub architecture: &'static str,
}

impl Platform {
    /// Whether a container instance of this type of operating system and this architecture, as its
    /// attributes say them, is of this platform.
    pub(super) fn is_of(self, os_type: Option<&str>, architecture: Option<&str>) -> bool {
        let needed = if self.os_family.starts_with("WINDOWS") { "windows" } else { "linux" };
        os_type == Some(needed)
            && architecture.is_some_and(|word| word.eq_ignore_ascii_case(self.architecture))
    }
}

/// Where a task definition says how much CPU and memory its tasks need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For the task and for its container.
    Task,
    /// For its container only, with the memory as its hard limit.
    Container,
    /// For its container only, with the memory as its soft limit, twice as much being the hard one.
    SoftContainer,
}

/// A network mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Host ports are mapped to ports of the container.
    Bridge,
    /// The container listens on the instance's own ports.
    Host,
    /// The task has a network interface of its own, and holds no host port.
    Awsvpc,
}

/// A port of a container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its transport protocol.
    pub protocol: Protocol,
    /// Its number; 0 asks for any free port.
    pub number: u16,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Port {
    /// A TCP port.
    pub const fn tcp(number: u16) -> Self {
        Self { protocol: Protocol::Tcp, number }
    }

    /// A UDP port.
    pub const fn udp(number: u16) -> Self {
        Self { protocol: Protocol::Udp, number }
    }
}

impl Protocol {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Network {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Awsvpc => "awsvpc",
        }
    }
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            cpu: 256,
            memory_mib: 512,
            pull: Duration::from_secs(8),
            healthy_after: Duration::from_secs(40),
            deregistration_delay: None,
            stops_after: Duration::from_secs(3),
            stop_timeout: Duration::from_secs(30),
            never_stops: false,
            ports: Vec::new(),
            gpus: 0,
            network: Network::Bridge,
            member_of: Vec::new(),
            required_attributes: Vec::new(),
            platform: None,
            task_definition: None,
            size: Size::Task,
        }
    }
}

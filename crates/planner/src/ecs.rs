//! ECS's own nouns: the status of a container instance, the resources that ECS places tasks by, and
//! host ports.

use std::fmt;

/// The status of a container instance. Source: ECS API, `ContainerInstance.status`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum ContainerInstanceStatus {
    Registering,
    RegistrationFailed,
    Active,
    Draining,
    Deregistering,
    Inactive,
    /// A word that AWS added later.
    Other(String),
}

impl From<&str> for ContainerInstanceStatus {
    fn from(status: &str) -> Self {
        match status {
            "REGISTERING" => Self::Registering,
            "REGISTRATION_FAILED" => Self::RegistrationFailed,
            "ACTIVE" => Self::Active,
            "DRAINING" => Self::Draining,
            "DEREGISTERING" => Self::Deregistering,
            "INACTIVE" => Self::Inactive,
            word => Self::Other(word.to_owned()),
        }
    }
}

impl fmt::Display for ContainerInstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registering => "REGISTERING",
            Self::RegistrationFailed => "REGISTRATION_FAILED",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Deregistering => "DEREGISTERING",
            Self::Inactive => "INACTIVE",
            Self::Other(word) => word,
        })
    }
}

/// What instances offer and tasks hold, in the dimensions that ECS places by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Resources {
    /// CPU units: 1,024 are one vCPU.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// GPUs.
    pub gpus: i64,
    /// Network interfaces for tasks in network mode `awsvpc`.
    pub network_interfaces: i64,
}

/// How many dimensions [`Resources`] have.
pub const DIMENSIONS: usize = 4;

impl Resources {
    /// In a fixed order: CPU, memory, GPUs, network interfaces.
    pub fn to_array(self) -> [i64; DIMENSIONS] {
        [self.cpu, self.memory_mib, self.gpus, self.network_interfaces]
    }
}

impl From<[i64; DIMENSIONS]> for Resources {
    fn from([cpu, memory_mib, gpus, network_interfaces]: [i64; DIMENSIONS]) -> Self {
        Self { cpu, memory_mib, gpus, network_interfaces }
    }
}

/// A host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// A port's protocol. Source: ECS API, `PortMapping.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

//! EC2: who ends an instance, what is scheduled for it, and what instance types have.

/// An instance type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InstanceType {
    pub(crate) name: &'static str,
    /// Its network interfaces, the primary one included. Source: `DescribeInstanceTypes` as recorded
    /// in `pkg/aws/vpc/limits.go` of github.com/aws/amazon-vpc-resource-controller-k8s.
    pub(crate) network_interfaces: usize,
    /// Its vCPUs and its memory. Source: Amazon EC2 Instance Types guide, specifications.
    pub(crate) vcpus: usize,
    pub(crate) memory_gib: usize,
}

/// The types that are simulated.
const INSTANCE_TYPES: [InstanceType; 10] = [
    of("c7g.large", 3, 2, 4),
    of("c7i.xlarge", 4, 4, 8),
    of("g4dn.xlarge", 3, 4, 16),
    of("m7g.2xlarge", 4, 8, 32),
    of("m7g.4xlarge", 8, 16, 64),
    of("m7g.large", 3, 2, 8),
    of("m7g.medium", 2, 1, 4),
    of("m7g.xlarge", 4, 4, 16),
    of("m7i.large", 3, 2, 8),
    of("t3.small", 3, 2, 2),
];

const fn of(
    name: &'static str,
    network_interfaces: usize,
    vcpus: usize,
    memory_gib: usize,
) -> InstanceType {
    InstanceType { name, network_interfaces, vcpus, memory_gib }
}

/// An instance type by its name. `None` for one that is not simulated.
pub(crate) fn instance_type(name: &str) -> Option<InstanceType> {
    INSTANCE_TYPES.into_iter().find(|it| it.name == name)
}

/// How many network interfaces an instance type has. `None` for one that is not simulated.
pub(crate) fn network_interfaces(name: &str) -> Option<usize> {
    instance_type(name).map(|it| it.network_interfaces)
}

/// What EC2 has scheduled for an instance. It only says so: nothing comes of it here. Source: EC2
/// API, `InstanceStatusEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// `Code`, such as `instance-retirement`.
    pub code: String,
    /// `Description`; `[Completed]` or `[Canceled]` begins that of one which is over.
    pub description: String,
    /// `NotBefore`.
    pub not_before: String,
}

/// Who ended an EC2 instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// EC2 by itself, at a moment of its own: a Spot interruption, somebody's `TerminateInstances`.
    /// No termination hook could have held the instance.
    Ec2,
    /// Its Auto Scaling group, once no termination hook held it (any more).
    Group,
}

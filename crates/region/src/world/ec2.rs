//! EC2: who ends an instance, what is scheduled for it, and how many network interfaces instance
//! types have.

/// The network interfaces of instance types, the primary one included. Source: `DescribeInstanceTypes`
/// as recorded in `pkg/aws/vpc/limits.go` of github.com/aws/amazon-vpc-resource-controller-k8s.
const NETWORK_INTERFACES: [(&str, usize); 10] = [
    ("c7g.large", 3),
    ("c7i.xlarge", 4),
    ("g4dn.xlarge", 3),
    ("m7g.2xlarge", 4),
    ("m7g.4xlarge", 8),
    ("m7g.large", 3),
    ("m7g.medium", 2),
    ("m7g.xlarge", 4),
    ("m7i.large", 3),
    ("t3.small", 3),
];

/// How many network interfaces an instance type has. `None` for one that is not simulated.
pub(crate) fn network_interfaces(instance_type: &str) -> Option<usize> {
    NETWORK_INTERFACES.iter().find(|(name, _)| *name == instance_type).map(|(_, number)| *number)
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

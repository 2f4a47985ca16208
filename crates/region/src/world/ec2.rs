//! EC2: who ends an instance.

/// Who ended an EC2 instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// EC2 by itself, at a moment of its own: a Spot interruption, somebody's `TerminateInstances`.
    /// No termination hook could have held the instance.
    Ec2,
    /// Its Auto Scaling group, once no termination hook held it (any more).
    Group,
}

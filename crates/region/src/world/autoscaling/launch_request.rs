//! A request to launch instances of a group, and what came of it.

use jiff::Timestamp;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// The group.
    pub group: String,
    /// `RequestedCapacity`, in what the group counts in.
    pub capacity: i32,
    /// The Availability Zone.
    pub zone: Option<String>,
    /// Whether the desired capacity is raised all the same if EC2 has none:
    /// `retry-with-group-configuration`.
    pub retries: bool,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// Where.
    pub zone: String,
    /// `InstanceType`.
    pub instance_type: String,
    /// The instances; none if EC2 has no capacity.
    pub instance_ids: Vec<String>,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::world) struct CarriedOut {
    pub(super) request: LaunchRequest,
    pub(super) launched: Launched,
    pub(super) since: Timestamp,
}

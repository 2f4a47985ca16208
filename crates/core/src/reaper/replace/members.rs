//! The instances of a group, whether they are in the cluster or not.

use crate::auto_scaling::LifecycleState;
use crate::ids::InstanceId;

/// What Auto Scaling says of a group beyond what a plan needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupMembers {
    /// `MaxSize`.
    pub max_size: i64,
    /// The Availability Zones that it is enabled in.
    pub zones: Vec<String>,
    /// Its instances.
    pub members: Vec<GroupMember>,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub instance_id: InstanceId,
    /// Where it stands.
    pub lifecycle_state: LifecycleState,
    /// What it counts for.
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Whether its group protects it from scale-in.
    pub protected_from_scale_in: bool,
}

impl GroupMember {
    /// Whether it is launched and not in service yet.
    pub(super) fn is_pending(&self) -> bool {
        self.lifecycle_state.as_str().starts_with("Pending")
    }

    /// Whether it counts into the desired capacity.
    pub(super) fn counts(&self) -> bool {
        self.is_pending() || self.lifecycle_state == LifecycleState::InService
    }
}

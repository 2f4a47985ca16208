//! Capacity providers: what ECS knows about an Auto Scaling group. What managed scaling and managed
//! draining would do is not simulated; the providers only say whether they are on.

/// A capacity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProvider {
    /// The Auto Scaling group, by name.
    pub group: String,
    /// `managedScaling.status`: whether ECS sets the group's desired capacity.
    pub managed_scaling: bool,
    /// `managedTerminationProtection`.
    pub managed_termination_protection: bool,
    /// `managedDraining`.
    pub managed_draining: bool,
}

impl CapacityProvider {
    /// A provider for a group, with everything that ECS could manage switched off.
    pub fn for_group(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            managed_scaling: false,
            managed_termination_protection: false,
            managed_draining: false,
        }
    }
}

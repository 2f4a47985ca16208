//! Capacity providers: what ECS knows about an Auto Scaling group and does with it.
//!
//! Source: ECS API, `AutoScalingGroupProvider` and `ManagedScaling`.

use std::time::Duration;

/// A capacity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProvider {
    /// The Auto Scaling group, by name.
    pub group: String,
    /// How ECS sets the group's desired capacity, if it does: `managedScaling`.
    pub managed_scaling: Option<ManagedScaling>,
    /// Whether ECS protects the instances that hold tasks from scale-in:
    /// `managedTerminationProtection`. AWS allows it only together with managed scaling.
    pub managed_termination_protection: bool,
    /// Whether ECS drains the instances that the group terminates: `managedDraining`.
    pub managed_draining: bool,
}

/// How ECS sets a group's desired capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagedScaling {
    /// `targetCapacity`: which percentage of the instances is to be in use, 1 to 100.
    pub target_capacity: usize,
    /// `minimumScalingStepSize`: how many instances a scale-out adds at least.
    pub minimum_step: usize,
    /// `maximumScalingStepSize`: how many it adds at most.
    pub maximum_step: usize,
    /// `instanceWarmupPeriod`: as long as an instance is younger than this, nothing is added.
    pub instance_warmup: Duration,
}

/// AWS's defaults.
impl Default for ManagedScaling {
    fn default() -> Self {
        Self {
            target_capacity: 100,
            minimum_step: 1,
            maximum_step: 10_000,
            instance_warmup: Duration::from_secs(300),
        }
    }
}

impl CapacityProvider {
    /// A provider for a group, with everything that ECS could manage switched off.
    pub fn for_group(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            managed_scaling: None,
            managed_termination_protection: false,
            managed_draining: false,
        }
    }

    /// A provider whose group ECS scales to a target capacity, with everything else switched off.
    pub fn scaling(group: &str, target_capacity: usize) -> Self {
        let managed_scaling = Some(ManagedScaling { target_capacity, ..ManagedScaling::default() });
        Self { managed_scaling, ..Self::for_group(group) }
    }

    /// A provider whose group ECS scales to a target capacity, with managed termination protection.
    pub fn protecting(group: &str, target_capacity: usize) -> Self {
        Self { managed_termination_protection: true, ..Self::scaling(group, target_capacity) }
    }
}

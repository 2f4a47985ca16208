//! What ECS does by itself with the Auto Scaling group of a capacity provider: it scales the group,
//! protects the group's instances, and drains those that the group terminates.

mod cluster_auto_scaling;
mod managed_draining;
mod reservation;
#[cfg(test)]
mod scaling_testing;
mod termination_protection;

pub use self::reservation::Reservation;
pub(super) use self::reservation::ScalingMemory;

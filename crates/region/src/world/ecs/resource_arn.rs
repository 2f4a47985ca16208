//! The ARNs of ECS's resources.

use crate::world::account::{ACCOUNT, REGION};

/// The ARN of an ECS resource.
pub fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}")
}

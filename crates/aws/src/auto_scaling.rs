//! EC2 Auto Scaling: groups and their instances, and the lifecycle actions of their hooks.

mod auto_scaling_client;
mod group_instances;
mod group_tags;
mod groups;
mod launches;
mod lifecycle_actions;

pub use self::auto_scaling_client::AutoScaling;
pub use self::group_instances::Termination;
pub use self::groups::{GroupDescription, Member};
pub use self::launches::LaunchResult;
pub use self::lifecycle_actions::{ActionResult, ActionStatus, Completion};

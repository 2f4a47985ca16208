//! EC2 Auto Scaling: groups, their instances and capacity, what launches instances and what
//! terminates them, and the hooks that hold an instance that terminates.

mod group;
mod group_capacity;
mod group_deletion;
mod group_lookup;
mod health_checks;
mod hook_actions;
mod hook_notifications;
#[cfg(test)]
mod hook_testing;
mod launch;
mod launch_request;
mod launch_template;
mod lifecycle_action;
mod lifecycle_hook;
mod lifecycle_state;
mod root_volume;
mod scale_in_protection;
mod scaling_activity;
mod synchronous_launch;

pub use self::group::{Group, Instance, LaunchSource, Override, group_arn};
pub(super) use self::launch_request::CarriedOut;
pub use self::launch_request::{LaunchRequest, Launched};
pub use self::launch_template::{LaunchTemplate, launch_template_id};
pub use self::lifecycle_action::{ActionKey, CompletedAction, CompletedBy, LifecycleAction};
pub use self::lifecycle_hook::{ActionResult, Hook, TERMINATING};
pub use self::lifecycle_state::LifecycleState;
pub use self::scaling_activity::{Activity, Refused};

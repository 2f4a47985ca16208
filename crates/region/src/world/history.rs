//! What has happened in the world: what the tests and the timeline look at.

use jiff::Timestamp;

use super::autoscaling::CompletedAction;
use super::autoscaling::LifecycleState;
use super::ecs::task;
use super::{ecs, spot};

/// A message that was published to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub topic_arn: String,
    pub subject: Option<String>,
    pub message: String,
}

/// An API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it took effect.
    pub time: Timestamp,
    /// The operation, such as `ListContainerInstances`.
    pub operation: String,
    /// The error code, if AWS refused.
    pub error: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub happening: Happening,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// EC2 gave notice that it interrupts an instance.
    Notice { instance_id: String, action: spot::Action },
    /// A container instance has a new status.
    ContainerInstance { instance_id: String, status: ecs::Status },
    /// A container instance has another custom attribute; `None` if it has lost it.
    Attribute { instance_id: String, name: String, value: Option<String> },
    /// An instance was terminated, stopped or hibernated.
    InstanceGone { instance_id: String },
    /// A task has a new status.
    Task { task: String, name: String, instance_id: String, status: task::TaskStatus },
    /// A task was still running when its instance went away.
    TaskCutOff { task: String, name: String, instance_id: String },
    /// A service found no instance for a task; why not, in ECS's words.
    NotPlaced { service: String, reason: String },
    /// A group has a new desired capacity.
    DesiredCapacity { group: String, desired_capacity: i32 },
    /// An instance of a group has a new state.
    LifecycleState { instance_id: String, state: LifecycleState },
    /// A lifecycle action was completed.
    ActionCompleted { action: CompletedAction },
}

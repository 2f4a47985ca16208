//! What has happened in the world: what the tests and the story look at.

use jiff::Timestamp;

use super::autoscaling::{CompletedAction, LifecycleState};
use super::ec2::EndedBy;
use super::ecs::task;
use super::{ecs, spot};

/// A message that was published to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The topic.
    pub topic_arn: String,
    /// The subject, if there is one.
    pub subject: Option<String>,
    /// The text.
    pub message: String,
    /// When it was published.
    pub time: Timestamp,
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
    Notice {
        /// The EC2 instance.
        instance_id: String,
        /// What EC2 will do to it.
        action: spot::Action,
    },
    /// A container instance has a new status.
    ContainerInstance {
        /// The EC2 instance below it.
        instance_id: String,
        /// The new status.
        status: ecs::Status,
    },
    /// A container instance has another custom attribute.
    Attribute {
        /// The EC2 instance below it.
        instance_id: String,
        /// The attribute's name.
        name: String,
        /// The new value; `None` if it has lost the attribute.
        value: Option<String>,
    },
    /// An instance was terminated, stopped or hibernated.
    InstanceGone {
        /// The EC2 instance.
        instance_id: String,
        /// Who ended it.
        by: EndedBy,
    },
    /// A task has a new status.
    Task {
        /// The task's id.
        task: String,
        /// The task's name for people.
        name: String,
        /// The EC2 instance that it is on.
        instance_id: String,
        /// The new status.
        status: task::TaskStatus,
    },
    /// A task was still running when its instance went away.
    TaskCutOff {
        /// The task's id.
        task: String,
        /// The task's name for people.
        name: String,
        /// The EC2 instance that it was on.
        instance_id: String,
    },
    /// A service found no instance for a task.
    NotPlaced {
        /// The service, by name.
        service: String,
        /// Why not, in ECS's words.
        reason: String,
    },
    /// A service says how its Availability Zone rebalancing goes.
    ServiceEvent {
        /// The service, by name.
        service: String,
        /// In ECS's words.
        message: String,
    },
    /// A group has a new desired capacity.
    DesiredCapacity {
        /// The group, by name.
        group: String,
        /// The new desired capacity, in instances or in units of weight.
        desired_capacity: i32,
    },
    /// An instance of a group has a new state.
    LifecycleState {
        /// The EC2 instance.
        instance_id: String,
        /// The new state.
        state: LifecycleState,
    },
    /// A lifecycle action was completed.
    ActionCompleted {
        /// The action, with its result.
        action: CompletedAction,
    },
}

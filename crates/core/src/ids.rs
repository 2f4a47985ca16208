//! The names AWS gives to things, each with a type of its own, so that one cannot be passed for
//! another.
//!
//! Those that planning needs as well are declared in `ebb-planner`. Names of services, zones and
//! instance types are only ever shown or compared, and stay text.

pub use ebb_planner::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_planner::text_id;

text_id! {
    /// The name of a lifecycle hook of an Auto Scaling group.
    HookName
}

text_id! {
    /// The token that stands for one lifecycle action.
    ActionToken
}

text_id! {
    /// The ARN of an SNS topic.
    TopicArn
}

text_id! {
    /// The ARN of an ECS task.
    TaskArn
}

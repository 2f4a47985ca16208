//! The names AWS gives to things, each with a type of its own, so that one cannot be passed for
//! another.
//!
//! Those that planning needs as well are declared in `ebb-planner`. Names of services, zones and
//! instance types are only ever shown or compared, and stay text.

pub use ebb_planner::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_planner::text_id;

text_id! {
    /// The id of a Capacity Reservation of EC2.
    CapacityReservationId
}

impl CapacityReservationId {
    /// What [`CapacityReservationId::parse`] accepts, in words for an error message.
    pub const EXPECTED: &'static str =
        "a Capacity Reservation's id: `cr-` and lowercase letters or digits";

    /// Reads an id; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("cr-")?;
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_id = (1..=64).contains(&name.len()) && name.bytes().all(is_allowed);
        is_id.then(|| Self::new(text))
    }
}

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

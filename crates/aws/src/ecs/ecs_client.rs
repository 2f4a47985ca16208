//! The client of Amazon ECS, and the pace of its reads.

use aws_sdk_ecs::Client;

use crate::pace::Pace;

/// Amazon ECS.
#[derive(Debug, Clone)]
pub struct Ecs {
    pub(super) client: Client,
    pub(super) pace: Pace,
}

impl Ecs {
    /// Wraps the SDK's client. Calls are made at once, as a function that has two minutes must.
    pub fn new(client: Client) -> Self {
        Self { client, pace: Pace::unlimited() }
    }

    /// The same client for a function that can wait: its reads of container instances, tasks,
    /// services and task definitions keep within ECS's request rates. Clones share one pace.
    #[must_use]
    pub fn paced(&self) -> Self {
        Self { pace: Pace::within_request_rates(), ..self.clone() }
    }
}

//! The client of Amazon ECS, and the pace of its reads.

use aws_sdk_ecs::Client;

use crate::pace::{Pace, Pacer};

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

    /// The same client for a function that searches many clusters within two minutes.
    #[must_use]
    pub fn urgent(&self) -> Self {
        Self { pace: Pace { searches: Pacer::urgent(), ..self.pace.clone() }, ..self.clone() }
    }

    /// Waits until one more of many clusters may be searched: 30 at once, and then 16 a second, or 80
    /// and 18 for an [urgent](Ecs::urgent) client. ECS grants the account a burst of 100 reads of
    /// container instances, and then 20 a second (ECS API Reference, request-throttling): a search
    /// that kept no pace would be throttled, and have everybody else throttled.
    pub async fn turn_to_search(&self) {
        self.pace.searches.turn().await;
    }

    /// The same client for a function that can wait: its reads of container instances, tasks,
    /// services and task definitions keep within ECS's request rates. Clones share one pace.
    #[must_use]
    pub fn paced(&self) -> Self {
        Self { pace: Pace::within_request_rates(), ..self.clone() }
    }
}

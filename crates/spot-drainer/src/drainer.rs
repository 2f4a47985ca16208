//! The function, with everything that it keeps between invocations.

use ebb_aws::{Clients, Ecs};
use ebb_core::spot::settings::SpotSettings;

/// The function's name, as in logs and metrics.
pub const FUNCTION: &str = "spot-drainer";

/// The function, with everything that it keeps between invocations.
#[derive(Debug)]
pub struct SpotDrainer {
    pub(crate) clients: Clients,
    /// ECS, read no faster than leaves room for everybody else: for what can wait.
    pub(crate) paced_ecs: Ecs,
    pub(crate) settings: SpotSettings,
}

impl SpotDrainer {
    /// Puts the function together.
    pub fn new(mut clients: Clients, settings: SpotSettings) -> Self {
        let paced_ecs = clients.ecs.paced();
        clients.ecs = clients.ecs.urgent();
        Self { clients, paced_ecs, settings }
    }
}

//! Wiring: settings and clients once, then one call of [`SpotDrainer::handle`] an invocation.

use std::time::Duration;

use ebb_aws::Clients;
use ebb_core::settings::SpotSettings;
use jiff::Timestamp;
use lambda_runtime::{Context, Error, LambdaEvent, run, service_fn, tracing};
use serde_json::Value;
use spot_drainer::SpotDrainer;

/// The time that the function gives itself where no deadline is set.
const DEFAULT_TIME: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let settings = SpotSettings::from_lookup(|key| std::env::var(key).ok())?;
    let drainer = &SpotDrainer::new(Clients::from_environment().await, settings);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let now = Timestamp::now();
        drainer.handle(&event.payload, now, deadline(&event.context, now)).await
    }))
    .await
}

/// When Lambda cuts the invocation off. `cargo lambda watch` names a moment in 1970 and cuts nothing off.
fn deadline(context: &Context, now: Timestamp) -> Timestamp {
    let deadline = Timestamp::try_from(context.deadline()).ok();
    deadline.filter(|deadline| *deadline > now).unwrap_or(now + DEFAULT_TIME)
}

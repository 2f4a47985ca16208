//! Wiring: settings and clients once, then one call of [`ScaleInReaper::handle`] an invocation.

use ebb_aws::Clients;
use ebb_core::reaper::settings::ReaperSettings;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use scale_in_reaper::ScaleInReaper;
use serde_json::Value;
use tracing::error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    ebb_aws::init_logging();
    // In the log as well: what `main` returns is printed without a level, and dropped with INFO.
    let settings = ReaperSettings::from_lookup(|key| std::env::var(key).ok())
        .inspect_err(|error| error!("{error}"))?;
    let reaper = &ScaleInReaper::new(Clients::from_environment().await, settings);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let now = Timestamp::now();
        reaper.handle(&event.payload, now, ebb_aws::deadline(&event.context, now)).await
    }))
    .await
}

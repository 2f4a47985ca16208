//! Wiring: settings and clients once, then one call of [`ScaleInReaper::handle`] an invocation.

use ebb_aws::Clients;
use ebb_core::reaper::settings::ReaperSettings;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use scale_in_reaper::{FUNCTION, ScaleInReaper};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    ebb_aws::init_logging();
    let settings = ReaperSettings::from_lookup(|key| std::env::var(key).ok());
    let settings = ebb_aws::start(FUNCTION, &ReaperSettings::VARIABLES, settings).await?;
    let reaper = &ScaleInReaper::new(Clients::from_environment(), settings);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let now = Timestamp::now();
        reaper.handle(&event.payload, now, ebb_aws::deadline(&event.context, now)).await
    }))
    .await
}

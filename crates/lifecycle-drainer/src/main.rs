//! Wiring: settings and clients once, then one call of [`LifecycleDrainer::handle`] per invocation.

use ebb_aws::Clients;
use ebb_core::lifecycle::settings::LifecycleSettings;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lifecycle_drainer::{FUNCTION, LifecycleDrainer};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    ebb_aws::init_logging();
    let settings = LifecycleSettings::from_lookup(|key| std::env::var(key).ok());
    let settings = ebb_aws::start(FUNCTION, &LifecycleSettings::VARIABLES, settings).await?;
    let drainer = &LifecycleDrainer::new(Clients::from_environment(), settings);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let now = Timestamp::now();
        drainer.handle(&event.payload, now, ebb_aws::deadline(&event.context, now)).await
    }))
    .await
}

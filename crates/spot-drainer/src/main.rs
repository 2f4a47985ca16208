//! Wiring: settings and clients once, then one call of [`SpotDrainer::handle`] an invocation.

use ebb_aws::Clients;
use ebb_core::event::Origin;
use ebb_core::spot::settings::SpotSettings;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use spot_drainer::{FUNCTION, SpotDrainer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    ebb_aws::init_logging();
    let settings = SpotSettings::from_lookup(|key| std::env::var(key).ok());
    let settings = ebb_aws::start(FUNCTION, &SpotSettings::VARIABLES, settings).await?;
    let drainer = &SpotDrainer::new(Clients::from_environment(), settings);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let now = Timestamp::now();
        let region = std::env::var("AWS_REGION").ok();
        let home = Origin::of_function(&event.context.invoked_function_arn, region);
        drainer.handle(&event.payload, &home, now, ebb_aws::deadline(&event.context, now)).await
    }))
    .await
}

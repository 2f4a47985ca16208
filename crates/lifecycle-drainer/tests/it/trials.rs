//! The trials that any drainer can be played through, with this function. `make versus` prints what
//! comes of them.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::Region;
use ebb_region::in_process::InProcess;
use ebb_region::trial::{Deployment, FUNCTION, HEAD, Outcome, Signal, Source, TRIALS, Trial};
use jiff::SignedDuration;
use lifecycle_drainer::LifecycleDrainer;
use serde_json::Value;

use crate::support::{TIMEOUT, start_time};

/// As `infra/` deploys it.
const DEPLOYMENT: Deployment = Deployment {
    source: Source::Sns,
    timeout: TIMEOUT,
    heartbeat_timeout: Duration::from_secs(3600),
    recursive_loop_allowed: true,
};

async fn play(trial: &Trial) -> Outcome {
    fastrand::seed(7);
    let region = Region::start(trial.world(&DEPLOYMENT, start_time()).unwrap(), 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    // One of the drains takes 18 minutes.
    let settings = LifecycleSettings {
        drain_timeout: SignedDuration::from_mins(30),
        ..LifecycleSettings::default()
    };
    let drainer = Arc::new(LifecycleDrainer::new(clients, settings));
    let handle = |drainer: Arc<LifecycleDrainer>, payload: Value, now, deadline| async move {
        drainer.handle(&payload, now, deadline).await
    };
    let lambda = InProcess::default().handling(FUNCTION, &region, &drainer, handle);
    trial.play(&region, &lambda).await
}

#[tokio::test(start_paused = true)]
async fn no_task_is_cut_off_and_no_hook_left_in_any_trial() {
    println!("{:20} {HEAD}", "trial");
    for trial in TRIALS.iter().filter(|trial| trial.signal == Signal::Termination) {
        let outcome = play(trial).await;
        println!("{:20} {outcome}", trial.name);

        let Outcome { cut_off, early, left, failed, gap, .. } = outcome;
        assert_eq!((cut_off, early, left, failed), (0, 0, 0, 0), "{}: {outcome}", trial.name);
        let gap = gap.expect("an action was completed");
        // Forty drains at once wait for their turn at ECS's request rates.
        assert!(gap < Duration::from_secs(30), "{}: {outcome}", trial.name);
    }
}

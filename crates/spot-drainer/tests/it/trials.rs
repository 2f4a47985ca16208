//! The trials that any drainer can be played through, with this function. `make versus` prints what
//! comes of them.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_region::Region;
use ebb_region::in_process::InProcess;
use ebb_region::trial::{Deployment, FUNCTION, HEAD, Outcome, Signal, Source, TRIALS, Trial};
use spot_drainer::SpotDrainer;

use crate::support::{TIMEOUT, home, shop_settings, start_time};

/// As `infra/` deploys it. Hooks are none of its business.
const DEPLOYMENT: Deployment = Deployment {
    source: Source::Sqs,
    timeout: TIMEOUT,
    heartbeat_timeout: Duration::from_secs(3600),
    recursive_loop_allowed: false,
};

async fn play(trial: &Trial) -> Outcome {
    fastrand::seed(7);
    let region = Region::start(trial.world(&DEPLOYMENT, start_time()).unwrap(), 1.0);
    let clients = Clients::new(&region.connect(config_loader()).await);
    let drainer = Arc::new(SpotDrainer::new(clients, shop_settings()));
    let handle = |drainer: Arc<SpotDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, &home(), now, deadline).await
    };
    let lambda = InProcess::default().handling(FUNCTION, &region, &drainer, handle);
    trial.play(&region, &lambda).await
}

#[tokio::test(start_paused = true)]
async fn no_task_is_cut_off_in_any_trial() {
    println!("{:20} {HEAD}", "trial");
    for trial in TRIALS.iter().filter(|trial| trial.signal != Signal::Termination) {
        let outcome = play(trial).await;
        println!("{:20} {outcome}", trial.name);

        let Outcome { cut_off, left, failed, gap, .. } = outcome;
        assert_eq!((cut_off, left, failed), (0, 0, 0), "{}: {outcome}", trial.name);
        let gap = gap.expect("instances were DRAINING");
        // Calls are throttled for 20 s of that.
        assert!(gap < Duration::from_secs(35), "{}: {outcome}", trial.name);
    }
}

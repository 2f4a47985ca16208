//! `ebb` on a simulated Region, and the clusters that it is tried on.

use std::path::PathBuf;

use clap::Parser;
use ebb::account::Account;
use ebb::failure::Failure;
use ebb::options::Options;
use ebb::progress::Progress;
use ebb::{Caller, Printed};
use ebb_aws::clients::config_loader;
use ebb_aws::{Clients, Clock};
use ebb_region::Region;
use ebb_region::world::{REGION, World};
use jiff::Timestamp;

/// What changes the world.
const WRITES: [&str; 10] = [
    "CompleteLifecycleAction",
    "DeleteAttributes",
    "LaunchInstances",
    "Publish",
    "PutAttributes",
    "RecordLifecycleActionHeartbeat",
    "SetDesiredCapacity",
    "StopTask",
    "TerminateInstanceInAutoScalingGroup",
    "UpdateContainerInstancesState",
];

pub(crate) fn start_time() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

/// The program, with a Region to look at.
pub(crate) struct Terminal {
    pub(crate) region: Region,
    account: Account,
}

impl Terminal {
    pub(crate) async fn start(world: World) -> Self {
        // The SDK draws the jitter of its pauses from this source.
        fastrand::seed(7);
        let region = Region::start(world, 1.0);
        let config = region.connect(config_loader()).await;
        let clients = Clients::read_only(&config);
        let clock = Clock::start(region.now());
        Self { region, account: Account { clients, region: REGION.to_owned(), clock } }
    }

    /// Runs a command line, without the name of the program.
    pub(crate) async fn run(&self, arguments: &str) -> Result<Printed, Failure> {
        run(arguments, Some(self.account.clone())).await
    }

    /// What a command prints that does all that it was asked for.
    pub(crate) async fn output(&self, arguments: &str) -> String {
        let printed = self.run(arguments).await.unwrap();
        assert_eq!(printed.failures, []);
        printed.text
    }

    /// How many calls changed something, or tried to.
    pub(crate) fn writes(&self) -> usize {
        let world = self.region.world();
        world.calls.iter().filter(|call| WRITES.contains(&call.operation.as_str())).count()
    }
}

/// Runs a command line on this account, and leaves the colours out.
pub(crate) async fn run(arguments: &str, account: Option<Account>) -> Result<Printed, Failure> {
    let printed = run_colored(arguments, account).await?;
    // As the program does where no terminal is.
    let text = anstream::adapter::strip_str(&printed.text).to_string();
    Ok(Printed { text, ..printed })
}

/// Runs a command line on this account, with what a terminal gets.
pub(crate) async fn run_colored(
    arguments: &str,
    account: Option<Account>,
) -> Result<Printed, Failure> {
    let words = std::iter::once("ebb").chain(arguments.split_whitespace());
    let options = Options::try_parse_from(words).unwrap();
    let progress = Progress { is_shown: false };
    ebb::run(&options, &Caller { environment: &|_| None, account, progress }).await
}

/// A file of the tests.
pub(crate) fn recording(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name)
}

//! `ebb-region`: the simulated Region as a loopback server.
//!
//! - `ebb-region serve` serves the shop's cluster until it is interrupted, and prints what happens;
//! - `ebb-region demo` serves it and plays the demonstration: see `demo`.
//!
//! What may be given on the command line is in `arguments`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod arguments;
mod demo;
mod office_acts;
mod problems;
mod stage;

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use ebb_region::Region;
use ebb_region::event_log::EventLog;
use ebb_region::invoke_api::InvokeApi;
use ebb_region::lambda::Lambda;
use ebb_region::scenario;
use ebb_region::server::serve;
use ebb_region::world::REGION;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::delivery::{Function, Queue};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::arguments::{Arguments, Command, HELP, Request};

/// In the world's time, how long a function may run: as long as it takes on the wall clock at full
/// speed.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time-out that Lambda allows, for a function that waits.
const LONGEST_FUNCTION_TIMEOUT: Duration = Duration::from_secs(900);
/// How long a function may take to be compiled and started, on the wall clock.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How often what has happened is printed, on the wall clock.
const PRINT_INTERVAL: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match arguments::request() {
        Ok(Request::Run(arguments)) => arguments,
        Ok(Request::Help) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Version) => {
            println!("ebb-region {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("ebb-region: {problem}\nTry `ebb-region --help`.");
            return ExitCode::from(2);
        }
    };
    run(&arguments).await.unwrap_or_else(|error| {
        eprintln!("ebb-region: {error}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let listener = listen(arguments.port).await?;
    let scenario = if arguments.idle { scenario::idle_shop } else { scenario::shop };
    let mut world = scenario(Timestamp::now(), arguments.seed);
    world.topics.entry(scenario::PEOPLE_TOPIC.to_owned()).or_default();
    // The functions run by the wall clock, the world by its own: their time-out must not shrink
    // with its speed.
    let timeout = FUNCTION_TIMEOUT.mul_f64(arguments.speed.max(1.0));
    let queue =
        Queue { visibility_timeout: timeout, ..Queue::for_function(scenario::SPOT_DRAINER) };
    scenario::route_notices(&mut world, queue, Function::new(timeout));
    if arguments.hooks {
        let timeout = LONGEST_FUNCTION_TIMEOUT.mul_f64(arguments.speed.max(1.0));
        scenario::route_terminations(
            &mut world,
            &Hook::new(scenario::HOOK),
            Function::new(timeout),
        );
    }
    // One sweep at a time, as the module has it.
    let reaper = Function::new(timeout).reserving(1);
    world.delivery.functions.insert(scenario::SCALE_IN_REAPER.to_owned(), reaper);
    let region = Region::start(world, arguments.speed);
    let log = EventLog::begin(&region);
    let address = listener.local_addr()?;

    let functions = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.lambda_port));
    let lambda = InvokeApi::new(functions);
    let story = async {
        match arguments.command {
            Command::Demo if arguments.ebb => demo::with_ebb(&region, &lambda, arguments).await,
            Command::Demo => demo::without_ebb(&region, &lambda, arguments).await,
            Command::Serve => {
                println!("The simulated Region listens on http://{address}");
                println!("{}", how_to_try_it(address, functions));
                tokio::select! {
                    never = say_when_ready(&region, &lambda) => match never {},
                    never = region.run_forever(&lambda) => match never {},
                    never = print_events(&region, &log) => match never {},
                    _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
                }
            }
        }
    };
    // The story ends the program, and so does a server that can accept nothing more.
    tokio::select! {
        failed = serve(region.clone(), log.clone(), listener) => {
            failed.map(|never| match never {}).map_err(Into::into)
        }
        code = story => code.map_err(Into::into),
    }
}

/// Listens on a port of this machine. The error says which port, and what can be changed.
async fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "another program uses it".to_owned(),
            _ => error.to_string(),
        };
        format!(
            "cannot listen on port {port} of 127.0.0.1: {reason}. \
             Choose another with --port, or any free one with --port 0."
        )
    })
}

/// What to paste into another terminal. No signature is checked, so the keys open nothing.
fn how_to_try_it(address: SocketAddr, functions: SocketAddr) -> String {
    format!(
        "Open that in a browser to interrupt, scale in and look on, or paste into another terminal:

  export AWS_ENDPOINT_URL=http://{address} AWS_REGION={REGION}
  export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=example
  aws ecs list-container-instances --cluster {}

The functions are expected on http://{functions}, where `cargo lambda watch` serves them.
Wait until they run: one that still starts would be too late for what you do.
What happens, in minutes and seconds of the Region's time, until Ctrl-C:",
        scenario::CLUSTER
    )
}

/// Says that the functions run, or why not, and then nothing for ever.
async fn say_when_ready(region: &Region, lambda: &InvokeApi) -> Infallible {
    // Whoever has stopped reading may still use the Region.
    let _ = match start_functions(region, lambda).await {
        Ok(()) => writeln!(io::stdout(), "The functions run."),
        Err(problem) => writeln!(io::stderr(), "{problem}"),
    };
    std::future::pending().await
}

/// Prints what happens, for ever.
async fn print_events(region: &Region, log: &EventLog) -> Infallible {
    let mut printed = 0;
    loop {
        let (lines, count) = log.lines_after(printed, region);
        printed = count;
        for line in lines {
            // As above.
            let _ = writeln!(io::stdout(), "{line}");
        }
        sleep(PRINT_INTERVAL).await;
    }
}

/// Has each function compiled and started: one that still does so would lose minutes of the world's
/// time. Each ignores an event of somebody else's.
pub(crate) async fn start_functions(region: &Region, lambda: &InvokeApi) -> Result<(), String> {
    let foreign = json!({"source": "ebb.demo", "detail-type": "Warm-up", "detail": {}});
    for function in [scenario::SPOT_DRAINER, scenario::LIFECYCLE_DRAINER, scenario::SCALE_IN_REAPER]
    {
        let invoked = lambda.invoke(function, foreign.clone(), region.now());
        match timeout(START_LIMIT, invoked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(format!("The function {function} does not run: {error}")),
            Err(_) => {
                return Err(format!(
                    "The function {function} did not start within {START_LIMIT:?}"
                ));
            }
        }
    }
    Ok(())
}

//! `ebb-region`: the simulated Region as a loopback server.
//!
//! - `ebb-region serve` serves the shop's cluster until it is interrupted;
//! - `ebb-region demo` serves it and plays the demonstration: see `demo`.
//!
//! What may be given on the command line is in `arguments`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod arguments;
mod demo;
mod terminal;

use std::error::Error;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use ebb_region::Region;
use ebb_region::invoke_api::InvokeApi;
use ebb_region::scenario;
use ebb_region::server::serve;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::delivery::{Function, Queue};
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::arguments::{Arguments, Command, HELP, Request};

/// In the world's time, how long a function may run: as long as it takes on the wall clock at full
/// speed.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time-out that Lambda allows, for a function that waits.
const LONGEST_FUNCTION_TIMEOUT: Duration = Duration::from_secs(900);

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
    let region = Region::start(world, arguments.speed);
    if arguments.command == Command::Serve {
        println!("The simulated Region listens on http://{}", listener.local_addr()?);
    }

    let lambda = InvokeApi::new(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.lambda_port)));
    let story = async {
        match arguments.command {
            Command::Demo if arguments.ebb => demo::with_ebb(&region, &lambda, arguments).await,
            Command::Demo => demo::without_ebb(&region, &lambda, arguments).await,
            Command::Serve => tokio::select! {
                never = region.run_forever(&lambda) => match never {},
                _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
            },
        }
    };
    // The story ends the program, and so does a server that can accept nothing more.
    tokio::select! {
        failed = serve(region.clone(), listener) => {
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

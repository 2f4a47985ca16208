//! Serves a Region on which one trial is played with a drainer behind Lambda's Invoke API, and
//! prints what came of it: a row of the table that `scripts/versus.py` prints.
//!
//! ```text
//! trial                                  the trials: name, signal, instances that go
//! trial NAME PORT LAMBDA_PORT SPEED SOURCE TIMEOUT HEARTBEAT RECURSION
//! ```
//!
//! `SOURCE` is `sns`, `eventbridge`, `sqs` or `sqs-single`; the time-outs are in seconds; `RECURSION` is `allow`
//! or `terminate`, as in Lambda's `RecursiveLoop`.
#![expect(clippy::print_stdout, reason = "its answer")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ebb_region::Region;
use ebb_region::event_log::EventLog;
use ebb_region::invoke_api::InvokeApi;
use ebb_region::server::serve;
use ebb_region::trial::{Deployment, HEAD, Signal, Source, TRIALS};
use jiff::Timestamp;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let [name, port, lambda_port, speed, source, timeout, heartbeat, recursion] = arguments[..]
    else {
        println!("{HEAD}");
        for trial in &TRIALS {
            let signal = match trial.signal {
                Signal::Termination => "termination",
                Signal::Interruption(_) => "interruption",
            };
            println!("{} {signal} {}", trial.name, trial.instances);
        }
        return Ok(());
    };
    let trial = TRIALS.iter().find(|trial| trial.name == name).ok_or("there is no such trial")?;
    let deployment = Deployment {
        source: Source::parse(source).ok_or("there is no such source")?,
        timeout: Duration::from_secs(timeout.parse()?),
        heartbeat_timeout: Duration::from_secs(heartbeat.parse()?),
        recursive_loop_allowed: recursion == "allow",
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    let functions = SocketAddr::from((Ipv4Addr::LOCALHOST, lambda_port.parse()?));
    let world = trial
        .world(&deployment, Timestamp::now())
        .map_err(|refused| format!("{}: {}", refused.code, refused.message))?;
    let region = Region::start(world, speed.parse()?);
    let lambda = InvokeApi::new(functions);
    tokio::select! {
        failed = serve(region.clone(), EventLog::begin(&region), listener) => {
            match failed? {}
        }
        outcome = trial.play(&region, &lambda) => println!("{outcome}"),
    }
    Ok(())
}

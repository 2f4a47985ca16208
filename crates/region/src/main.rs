//! `ebb-region`: the simulated Region as a loopback server.
//!
//! - `ebb-region serve` serves the shop's cluster until it is interrupted, and prints what happens;
//! - `ebb-region demo` serves it, interrupts a Spot Instance, scales in by two, has the reaper
//!   remove what nobody needs then, tells what happens, and fails if a task was cut off.
//!
//! What may be given on the command line is in `arguments`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod arguments;

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use ebb_region::Region;
use ebb_region::demonstration::timeline::Timeline;
use ebb_region::event_log::EventLog;
use ebb_region::invoke_api::InvokeApi;
use ebb_region::lambda::Lambda;
use ebb_region::scenario;
use ebb_region::server::serve;
use ebb_region::world::REGION;
use ebb_region::world::autoscaling::{CompletedBy, Hook};
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::ecs::Status;
use ebb_region::world::ecs::TaskSpec;
use ebb_region::world::spot::Action;
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
/// How much of the world's time the interruption gets: its two minutes, and up to five until its
/// group and ECS have noticed.
const SPOT_STORY: Duration = Duration::from_secs(420);
/// The scale-in, and each sweep, is over by then, in the world's time.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
/// How often what has happened is printed, on the wall clock.
const PRINT_INTERVAL: Duration = Duration::from_millis(200);
/// By then the reaper finds nothing more to remove.
const SWEEPS_MAX: usize = 8;

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
    println!("The simulated Region listens on http://{address}");

    let functions = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.lambda_port));
    let lambda = InvokeApi::new(functions);
    let story = async {
        match arguments.command {
            Command::Demo => demo(&region, &lambda).await,
            Command::Serve => {
                println!("{}", how_to_try_it(address, functions));
                tokio::select! {
                    never = say_when_ready(&region, &lambda) => match never {},
                    never = region.run_forever(&lambda) => match never {},
                    never = print_events(&region, &log) => match never {},
                    _ = tokio::signal::ctrl_c() => ExitCode::SUCCESS,
                }
            }
        }
    };
    // The story ends the program, and so does a server that can accept nothing more.
    tokio::select! {
        failed = serve(region.clone(), log.clone(), listener) => {
            failed.map(|never| match never {}).map_err(Into::into)
        }
        code = story => Ok(code),
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
async fn start_functions(region: &Region, lambda: &InvokeApi) -> Result<(), String> {
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

async fn demo(region: &Region, lambda: &InvokeApi) -> ExitCode {
    if let Err(problem) = start_functions(region, lambda).await {
        eprintln!("{problem}");
        return ExitCode::FAILURE;
    }
    let mut timeline = {
        let world = region.world();
        println!("Cluster {}: {}", scenario::CLUSTER, describe(&world.clusters[scenario::CLUSTER]));
        Timeline::begin(&world)
    };
    println!("In the world's time, minutes and seconds:");

    let interrupted = scenario::instance_id(9);
    region.world().interrupt(&interrupted, Action::Terminate);
    tell(region, lambda, SPOT_STORY, &mut timeline).await;

    let scaled_in = [scenario::instance_id(1), scenario::instance_id(4)];
    if let Err(refused) = scale_in(region, &scaled_in) {
        eprintln!("The group refuses to scale in: {refused}");
        return ExitCode::FAILURE;
    }
    tell(region, lambda, DRAIN_LIMIT, &mut timeline).await;

    let removed = match sweep(region, lambda, &mut timeline).await {
        Ok(removed) => removed,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };

    let world = region.world();
    println!("\n{}", timeline.summary(&world));
    let failures: Vec<_> =
        world.delivery.ended.iter().filter_map(|ended| ended.result.as_ref().err()).collect();
    for failure in &failures {
        eprintln!("An invocation failed: {failure}");
    }
    let gone =
        [interrupted].iter().chain(&scaled_in).all(|id| world.container_instance(id).is_none());
    let completed =
        world.completed_actions.iter().all(|action| action.cause == CompletedBy::Caller);
    // Every removal must have ended its action by now, that of the interrupted instance too: one
    // that still waits is missing in this count.
    let terminated = 1 + scaled_in.len() + removed;
    let completed = completed && world.completed_actions.len() == terminated;
    let unharmed = world.tasks_cut_off().is_empty() && world.missing_tasks().is_empty();
    if unharmed && gone && completed && removed > 0 && failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Scales the on-demand group in by these instances, one of which also runs a standalone task.
fn scale_in(region: &Region, instance_ids: &[String]) -> Result<(), String> {
    let mut world = region.world();
    // Nothing replaces a standalone task, so the drainer has to wait for it or stop it: the
    // demonstration should show that too.
    let standalone_on =
        world.container_instance(&instance_ids[0]).map(|(_, instance)| instance.id.clone());
    if let Some(container_instance) = standalone_on {
        world.run_task(scenario::CLUSTER, &container_instance, "report", TaskSpec::default());
    }
    for instance_id in instance_ids {
        world.terminate_in_group(instance_id, true).map_err(|refused| refused.message)?;
    }
    Ok(())
}

/// Lets the reaper sweep until it finds nothing more to remove, and shows its plans. Returns how
/// many instances it removed.
async fn sweep(
    region: &Region,
    lambda: &InvokeApi,
    timeline: &mut Timeline,
) -> Result<usize, String> {
    let mut removed = 0;
    for _ in 0..SWEEPS_MAX {
        println!("\nA sweep:");
        let answer = lambda.invoke(scenario::SCALE_IN_REAPER, json!({}), region.now()).await;
        let answer = answer.map_err(|error| format!("The sweep failed: {error}"))?;
        let cluster = &answer["clusters"][0];
        println!("{}", cluster["text"].as_str().unwrap_or_default());
        let going = cluster["remove"].as_array().map_or(0, Vec::len);
        if going == 0 {
            return Ok(removed);
        }
        removed += going;
        tell(region, lambda, DRAIN_LIMIT, timeline).await;
    }
    Err(format!("The reaper still removes instances in its sweep number {SWEEPS_MAX}"))
}

/// Lets the Region run for a while, or until nothing more happens, and tells what does.
async fn tell(region: &Region, lambda: &InvokeApi, limit: Duration, timeline: &mut Timeline) {
    let mut run = std::pin::pin!(region.run(lambda, limit));
    loop {
        let over = tokio::select! {
            _ = &mut run => true,
            // The lines should appear while things happen, not when the story is over.
            () = sleep(PRINT_INTERVAL) => false,
        };
        timeline.lines(&region.world()).iter().for_each(|line| println!("{line}"));
        if over {
            return;
        }
    }
}

fn describe(cluster: &ebb_region::world::ecs::Cluster) -> String {
    let active =
        cluster.instances.values().filter(|instance| instance.status == Status::Active).count();
    let services: Vec<_> = cluster.services.keys().map(String::as_str).collect();
    format!(
        "{active} container instances, {} tasks of the services {}",
        cluster.tasks.len(),
        services.join(", ")
    )
}

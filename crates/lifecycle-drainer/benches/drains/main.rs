//! What draining terminated instances costs, in API calls and in virtual seconds: single drains,
//! and a scale-in of many instances at once under the real request rates of ECS; and what becomes of
//! their tasks if the function has fewer executions than there are drains, or is out of order.
//!
//! - What is played, and how, is a [`Story`], see `story.rs`.
//! - What is told of the world that it ends with is in `figures.rs`.
#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::expect_used, reason = "a benchmark that fails may panic")]

mod figures;
mod story;

use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;

use crate::figures::{
    calls_per_drain, drain_seconds, median, never_draining, seconds_since_last_stop,
    seconds_to_last_draining, timed_out,
};
use crate::story::{Outage, Story};

/// The head of the first table. Its columns are as wide as those of `report_costs`.
const COSTS_HEAD: &str = "\
drains at once  deregistration  calls a drain  throttled  seconds a drain  last stop -> completed
                                                                median     median      worst";

/// The head of the second table. Its columns are as wide as those of `report_executions`.
const EXECUTIONS_HEAD: &str = "\
heart-          drains              never    tasks  timed    calls               last  last stop
  beat   stop  at once  exec.    DRAINING  cut off    out  a drain  invoc.   DRAINING  to completed";

fn main() {
    costs();
    println!();
    println!("{EXECUTIONS_HEAD}");
    few_executions();
    outages();
}

fn costs() {
    println!("{COSTS_HEAD}");
    for (drains, deregistration_seconds) in [(1, 30), (1, 300), (10, 30), (150, 30), (150, 300)] {
        let story = Story::new(drains, deregistration_seconds);
        report_costs(story, &story.play());
    }
}

fn report_costs(story: Story, world: &World) {
    let Story { drains, deregistration_seconds, .. } = story;
    assert_eq!(world.completed_actions.len(), drains, "every action is completed");
    assert!(
        world.completed_actions.iter().all(|action| action.cause == CompletedBy::Caller),
        "none timed out"
    );
    assert!(world.tasks_cut_off().is_empty(), "no task was cut off");
    assert!(
        world.delivery.ended.iter().all(|ended| ended.result.is_ok()),
        "no throttle became an error"
    );

    let throttled = world
        .calls
        .iter()
        .filter(|call| call.error.as_deref() == Some("ThrottlingException"))
        .count();
    let calls = calls_per_drain(world, drains);
    let since_last_stop = seconds_since_last_stop(world);
    print!("{drains:>14}  {deregistration_seconds:>12} s  {calls:>13.1}  {throttled:>9}");
    println!(
        "  {:>15.0}  {:>9.1}  {:>9.1}",
        median(&drain_seconds(world)),
        median(&since_last_stop),
        since_last_stop.last().copied().unwrap_or_default(),
    );
}

fn few_executions() {
    // Behind a load balancer with the default delay, under the default hook.
    for drains in [10, 30, 40, 100, 150] {
        for executions in [Some(5), Some(10), Some(20), None] {
            if executions.is_some_and(|executions| executions > drains) {
                // No more than are needed, so it is the same as any number.
                continue;
            }
            play_executions(Story { executions, ..Story::new(drains, 300) });
        }
    }
    // Quick drains: an execution is soon free for the next one.
    for (drains, executions) in [(30, 10), (40, 5), (150, 10)] {
        play_executions(Story { executions: Some(executions), ..Story::new(drains, 30) });
    }
    // A hook that waits for five minutes only.
    for (drains, executions) in [(30, 10), (40, 10), (40, 5), (100, 10), (150, 20)] {
        let executions = Some(executions);
        play_executions(Story { executions, heartbeat_seconds: 300, ..Story::new(drains, 300) });
    }
}

fn outages() {
    for (outage, words) in [
        (Outage::Failing, "every invocation of the first 15 minutes fails:"),
        (Outage::Throttled, "every invocation of the first 15 minutes is throttled:"),
    ] {
        println!("{words}");
        play_executions(Story { outage, ..Story::new(10, 300) });
    }
}

fn play_executions(story: Story) {
    report_executions(story, &story.play());
}

fn report_executions(story: Story, world: &World) {
    let Story { drains, deregistration_seconds, heartbeat_seconds, executions, .. } = story;
    assert_eq!(world.completed_actions.len(), drains, "every action ends");
    let executions =
        executions.map_or_else(|| "any".to_owned(), |executions| executions.to_string());
    print!("{heartbeat_seconds:>5} s {deregistration_seconds:>3} s  {drains:>7}  {executions:>5}");
    print!(
        "  {:>10}  {:>7}  {:>5}",
        never_draining(world, story),
        world.tasks_cut_off().len(),
        timed_out(world),
    );
    println!(
        "  {:>7.1}  {:>6}  {:>9}  {:>12}",
        calls_per_drain(world, drains),
        world.delivery.ended.len(),
        in_seconds(seconds_to_last_draining(world), 0),
        in_seconds(seconds_since_last_stop(world).last().copied(), 1),
    );
}

/// `-` if there is no such time.
fn in_seconds(seconds: Option<f64>, decimals: usize) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.decimals$} s"))
}

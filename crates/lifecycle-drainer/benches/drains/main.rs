//! What draining terminated instances costs, in API calls and in virtual seconds: single drains,
//! and a scale-in of many instances at once under the real request rates of ECS.
//!
//! - What is played, and how, is a [`Story`], see `story.rs`.
//! - What is told of the world that it ends with is in `figures.rs`.
#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::expect_used, reason = "a benchmark that fails may panic")]

mod figures;
mod story;

use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;

use crate::figures::{calls_per_drain, drain_seconds, median, seconds_since_last_stop};
use crate::story::Story;

/// The head of the table. Its columns are as wide as those of `report`.
const HEAD: &str = "\
drains at once  deregistration  calls a drain  throttled  seconds a drain  last stop -> completed
                                                                median     median      worst";

fn main() {
    println!("{HEAD}");
    for (drains, deregistration_seconds) in [(1, 30), (1, 300), (10, 30), (150, 30), (150, 300)] {
        let story = Story { drains, deregistration_seconds };
        report(story, &story.play());
    }
}

fn report(Story { drains, deregistration_seconds }: Story, world: &World) {
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

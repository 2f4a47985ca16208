//! Stories of drains in a Region that is eventually consistent: what ECS and Auto Scaling answer is
//! some seconds old.

use std::time::Duration;

use ebb_region::world::World;
use ebb_region::world::lag::Lag;
use jiff::SignedDuration;

use crate::ec2_ends::{NEXT_LOOK, SEEDS, completed_at, launching, play, registered_after, shop};
use crate::support::{instance_id, last_stop};

/// Lets reads lag, and enough time pass that there is something to lag behind.
fn let_lag(world: &mut World, seconds: u64, seed: u64) {
    world.lag = Lag::up_to(Duration::from_secs(seconds), seed);
    world.advance(world.now() + Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_over_when_the_tasks_have_stopped_however_late_its_reads_see_it() {
    for lag in [2, 5, 10] {
        for seed in 0..SEEDS {
            let id = instance_id(9);
            let begin = |world: &mut World| {
                let_lag(world, lag, seed);
                world.terminate_in_group(&id, false).unwrap();
            };
            let sim = play(seed, begin, &id).await;

            assert!(sim.tasks_cut_off().is_empty(), "lag {lag}, seed {seed}");
            let completed = completed_at(&sim, &id);
            let stopped = last_stop(&sim.region.world(), &id, "logs");
            let late = completed.duration_since(stopped);
            let late_at_most =
                NEXT_LOOK + SignedDuration::try_from(Duration::from_secs(lag)).unwrap();
            assert!(late.is_positive(), "lag {lag}, seed {seed}: {late}");
            assert!(late <= late_at_most, "lag {lag}, seed {seed}: {late}");
        }
    }
}

/// No list may name the container instance yet, nor the task that ECS starts there.
#[tokio::test(start_paused = true)]
async fn an_instance_that_has_just_registered_loses_no_task_although_no_list_names_it_yet() {
    for seed in 0..4 {
        let id = launching(&mut shop(seed));
        for seconds in 1..=8 {
            let begin = |world: &mut World| {
                world.lag = Lag::up_to(Duration::from_secs(5), seed);
                launching(world);
                let after = registered_after(seed) + Duration::from_secs(seconds);
                world.terminate_in_group_later(after, &id, true);
            };
            let sim = play(seed, begin, &id).await;

            assert!(sim.tasks_cut_off().is_empty(), "seed {seed}, {seconds} s after");
        }
    }
}

//! EventBridge Scheduler: a function gets the same bare input again and again.
//!
//! Source: EventBridge Scheduler User Guide, managing-schedule (a rate begins to count when the
//! schedule is made, an invocation comes within the minute, at least once) and its retry policy:
//! `MaximumRetryAttempts` (185 by default) and `MaximumEventAgeInSeconds` (86,400). How long it
//! waits between attempts is not documented. What the function makes of the input is Lambda's
//! business: Scheduler only tries again what Lambda does not take.

use std::time::Duration;

use jiff::Timestamp;

use super::invocation::Hop;
use super::schedule::Schedule;
use crate::world::agenda::Due;
use crate::world::state::World;

/// From the scheduled time to the invocation.
const LATENCY: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(60));

/// The first pause after an attempt that failed, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The operation that a planned fault befalls.
const INVOKE: &str = "InvokeFunction";

impl World {
    /// Adds a schedule; it comes for the first time when its interval has passed.
    pub fn add_schedule(&mut self, name: &str, schedule: Schedule) {
        self.plan(schedule.interval, Due::Schedule { name: name.to_owned() });
        self.delivery.schedules.insert(name.to_owned(), schedule);
    }

    /// A schedule's time has come. One that was removed meanwhile does nothing any more.
    pub(in crate::world) fn run_schedule(&mut self, name: &str) {
        let Some(schedule) = self.delivery.schedules.get(name) else { return };
        // The next time is planned first: it depends on the interval alone, whatever becomes of
        // this one.
        self.plan(schedule.interval, Due::Schedule { name: name.to_owned() });
        let since = self.now;
        for after in self.delivery_delays_at_least_once(LATENCY) {
            self.plan(after, Due::ScheduleAttempt { name: name.to_owned(), retries: 0, since });
        }
    }

    /// Hands the input to Lambda, or tries again if Lambda does not take it.
    pub(in crate::world) fn attempt_schedule(
        &mut self,
        name: &str,
        retries: u32,
        since: Timestamp,
    ) {
        let Some(schedule) = self.delivery.schedules.get(name).cloned() else { return };
        // Whether the function then fails is none of Scheduler's business: taking the event is all
        // that Lambda owes it.
        let exists = self.delivery.functions.contains_key(&schedule.function);
        if self.faults.take(INVOKE).is_none() && exists {
            self.deliver(&schedule.function, schedule.input, Hop::FIRST);
            return;
        }
        let pause = BACKOFF.0.saturating_mul(2_u32.saturating_pow(retries)).min(BACKOFF.1);
        if retries < schedule.retries_max && self.now + pause <= since + schedule.event_age_max {
            let next_attempt =
                Due::ScheduleAttempt { name: name.to_owned(), retries: retries + 1, since };
            self.plan(pause, next_attempt);
        } else if let Some(stored) = self.delivery.schedules.get_mut(name) {
            stored.dead_letters.push(schedule.input);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fault::Fault;
    use crate::world::delivery::{Function, Mishaps};

    fn world(mishaps: Mishaps) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.delivery.mishaps = mishaps;
        world
            .delivery
            .functions
            .insert("reaper".to_owned(), Function::new(Duration::from_secs(900)));
        world.add_schedule(
            "sweep",
            Schedule::every(Duration::from_secs(1800), "reaper", json!({"mode": "act"})),
        );
        world
    }

    fn taken(world: &mut World, seconds: u64) -> Vec<Value> {
        world.advance(world.now() + Duration::from_secs(seconds));
        world.take_ready().into_iter().map(|(invocation, _)| invocation.payload).collect()
    }

    #[test]
    fn the_function_gets_the_bare_input_within_the_minute_each_time() {
        let mut world = world(Mishaps::default());
        assert_eq!(taken(&mut world, 1799), Vec::<Value>::new());
        for _ in 0..3 {
            assert_eq!(taken(&mut world, 1800), [json!({"mode": "act"})]);
        }
    }

    #[test]
    fn it_may_come_twice_and_is_never_lost() {
        assert_eq!(
            taken(&mut world(Mishaps { duplicate: 1.0, ..Mishaps::default() }), 1860).len(),
            2
        );
        assert_eq!(taken(&mut world(Mishaps { lost: 1.0, ..Mishaps::default() }), 1860).len(), 1);
    }

    #[test]
    fn what_lambda_does_not_take_is_tried_again_and_given_up_in_the_end() {
        let mut world = world(Mishaps::default());
        world.faults.plan("InvokeFunction", Fault::ServerError, 3);
        assert_eq!(taken(&mut world, 1800 + 60 + 7).len(), 1);

        world.delivery.functions.clear();
        world.delivery.schedules.get_mut("sweep").unwrap().retries_max = 2;
        assert_eq!(taken(&mut world, 1800 + 60), Vec::<Value>::new());
        assert_eq!(world.delivery.schedules["sweep"].dead_letters, [json!({"mode": "act"})]);
    }
}

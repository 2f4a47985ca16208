//! Reserved concurrency: who runs now, who waits, and who is turned away.
//!
//! Source: Lambda Developer Guide, invocation-async-error-handling (a throttled event goes back to
//! the queue and is tried again for up to six hours, after 1 second first, then exponentially up to
//! every 5 minutes) and invocation-sync.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::invocation::{Hop, Invocation, Origin};
use crate::world::agenda::Due;
use crate::world::state::World;

/// The first pause after a throttle, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

impl World {
    /// Invokes a function synchronously, as a person does. Returns the number of the invocation,
    /// which [`World::end`] keeps with its result; it is not tried again.
    ///
    /// # Errors
    /// Lambda's error code: `TooManyRequestsException` if the function runs as often as it may
    /// already, or `ResourceNotFoundException`.
    pub fn invoke_synchronously(
        &mut self,
        function_name: &str,
        payload: Value,
    ) -> Result<u64, &'static str> {
        // What is ready counts as running, because it will have its execution before anybody can
        // ask again.
        let about_to_run = self
            .delivery
            .ready
            .iter()
            .filter(|invocation| invocation.function == function_name)
            .count();
        let Some(function) = self.delivery.functions.get_mut(function_name) else {
            return Err("ResourceNotFoundException");
        };
        if function.running + about_to_run >= function.concurrency {
            function.throttles += 1;
            return Err("TooManyRequestsException");
        }
        let invocation = self.invocation(function_name, payload, Hop::FIRST, Origin::Synchronous);
        let number = invocation.number;
        self.delivery.make_ready(invocation);
        Ok(number)
    }

    /// Takes the invocations that are to run now, with the time-out of their function. Each must be
    /// given back to [`World::end`].
    pub fn take_ready(&mut self) -> Vec<(Invocation, Duration)> {
        let mut taken = Vec::new();
        let (mut waiting, mut throttled) = (VecDeque::new(), Vec::new());
        while let Some(invocation) = self.delivery.ready.pop_front() {
            let Some(function) = self.delivery.functions.get_mut(&invocation.function) else {
                continue;
            };
            if function.running < function.concurrency {
                function.running += 1;
                taken.push((invocation, function.timeout));
            // A throttled event goes back to Lambda's own queue, which tries again after a pause; a
            // batch from SQS and a synchronous call got past the limit already and only wait for
            // their turn.
            } else if matches!(invocation.origin, Origin::Asynchronous { .. }) {
                function.throttles += 1;
                throttled.push(invocation);
            } else {
                waiting.push_back(invocation);
            }
        }
        self.delivery.ready = waiting;
        throttled.into_iter().for_each(|invocation| self.retry_throttled(invocation));
        taken
    }

    /// A throttled event is tried again, until it is too old.
    fn retry_throttled(&mut self, mut invocation: Invocation) {
        let Origin::Asynchronous { throttles, since, .. } = &mut invocation.origin else { return };
        let pause = BACKOFF.0.saturating_mul(2_u32.saturating_pow(*throttles)).min(BACKOFF.1);
        *throttles += 1;
        let (retry_at, since) = (self.now + pause, *since);
        let Some(function) = self.delivery.functions.get_mut(&invocation.function) else { return };
        // Given up now rather than at the next attempt, at which it would be too old.
        if retry_at > since + function.event_age_max {
            function.dead_letters.push(invocation.payload);
        } else {
            self.plan_at(retry_at, Due::Invoke { invocation });
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::world::delivery::Function;

    fn world() -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let function = Function::new(Duration::from_secs(900)).reserving(1);
        world.delivery.functions.insert("reaper".to_owned(), function);
        world
    }

    fn take(world: &mut World, seconds: u64) -> Vec<Invocation> {
        world.advance(world.now() + Duration::from_secs(seconds));
        world.take_ready().into_iter().map(|(invocation, _)| invocation).collect()
    }

    #[test]
    fn a_second_event_waits_until_the_first_has_ended_and_is_tried_again_with_backoff() {
        let mut world = world();
        world.invoke("reaper", json!(1));
        world.invoke("reaper", json!(2));
        let first = take(&mut world, 0);
        assert_eq!((first.len(), &first[0].payload), (1, &json!(1)));
        for _ in 0..20 {
            assert_eq!(take(&mut world, 1), []);
        }
        assert_eq!(world.delivery.functions["reaper"].throttles, 5, "after 0, 1, 3, 7 and 15 s");

        world.end(first[0].clone(), Ok(Value::Null));
        assert_eq!(take(&mut world, 0), [], "it does not know that the first has ended");
        assert_eq!(take(&mut world, 12)[0].payload, json!(2));
    }

    #[test]
    fn an_event_that_waits_too_long_goes_to_the_dead_letters() {
        let mut world = world();
        world.invoke("reaper", json!(1));
        world.invoke("reaper", json!(2));
        let running = take(&mut world, 0);
        for _ in 0..400 {
            assert_eq!(take(&mut world, 60), []);
        }

        assert_eq!(world.delivery.functions["reaper"].dead_letters, [json!(2)]);
        assert_eq!((running.len(), world.next_due()), (1, None));
    }

    #[test]
    fn a_synchronous_invocation_runs_at_once_or_is_turned_away() {
        let mut world = world();
        let number = world.invoke_synchronously("reaper", json!({"mode": "plan"})).unwrap();
        assert_eq!(
            world.invoke_synchronously("reaper", json!({})),
            Err("TooManyRequestsException")
        );
        let running = take(&mut world, 0);
        assert_eq!((running.len(), running[0].number), (1, number));
        assert_eq!(
            world.invoke_synchronously("reaper", json!({})),
            Err("TooManyRequestsException")
        );
        world.end(running[0].clone(), Err("failed".to_owned()));

        assert_eq!(
            (take(&mut world, 600), world.delivery.ended.len()),
            (Vec::new(), 1),
            "it is not tried again"
        );
        assert_eq!(
            world.invoke_synchronously("other", json!({})),
            Err("ResourceNotFoundException")
        );
    }
}

//! Lambda's asynchronous invocations, with their retries and the cut of loops, and what the end of
//! any invocation does.
//!
//! Source: Lambda Developer Guide, invocation-async-error-handling (two retries, after one and two
//! minutes; an event that is too old by then is discarded).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::invocation::{Ended, Hop, Invocation, Origin, RECURSION_HOPS_MAX};
use crate::world::agenda::Due;
use crate::world::state::World;

/// Lambda's pauses before the second and the third attempt of an asynchronous invocation.
const ASYNC_RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

impl World {
    /// Invokes a function asynchronously.
    pub fn invoke(&mut self, function: &str, payload: Value) {
        self.deliver(function, payload, Hop::FIRST);
    }

    /// Invokes a function asynchronously as part of a chain; Lambda drops what makes the chain too
    /// long. As it does not run, that is no invocation which ended.
    pub(in crate::world) fn deliver(&mut self, function_name: &str, payload: Value, hop: Hop) {
        if let Some(function) = self.delivery.functions.get_mut(function_name)
            && hop.0 > RECURSION_HOPS_MAX
            && !function.recursive_loop_allowed
        {
            function.recursion_drops += 1;
            function.dead_letters.push(payload);
            return;
        }
        let invocation = self.invocation(
            function_name,
            payload,
            hop,
            Origin::Asynchronous { retries: 0, throttles: 0, since: self.now },
        );
        self.delivery.make_ready(invocation);
    }

    /// An invocation has ended: messages are deleted or come back, a failed event is tried again or
    /// given up.
    pub fn end(&mut self, invocation: Invocation, result: Result<Value, String>) {
        if let Some(function) = self.delivery.functions.get_mut(&invocation.function) {
            // The execution is free before anything is tried again, so that what is tried again can
            // use it.
            function.running -= 1;
        }
        match invocation.origin.clone() {
            Origin::Queue { name, message_ids } => self.end_batch(&name, &message_ids, &result),
            Origin::Asynchronous { retries, since, .. } if result.is_err() => {
                self.end_failed(&invocation, retries, since);
            }
            // Nobody reads the answer of an asynchronous invocation, and whoever invokes
            // synchronously has to deal with an error.
            Origin::Asynchronous { .. } | Origin::Synchronous => {}
        }
        self.delivery.ended.push(Ended { invocation, time: self.now, result });
    }

    fn end_failed(&mut self, invocation: &Invocation, retries: usize, since: Timestamp) {
        let function = self.delivery.functions.get(&invocation.function);
        let event_age_max = function.map(|function| function.event_age_max).unwrap_or_default();
        let retries_max = function.map(|function| function.retries).unwrap_or_default();
        let pause = ASYNC_RETRIES.get(retries).copied().filter(|_| retries < retries_max);
        match pause.filter(|&pause| self.now + pause <= since + event_age_max) {
            Some(pause) => {
                // The event keeps its age but not its throttles: the pauses after throttles begin
                // from the shortest again.
                let origin = Origin::Asynchronous { retries: retries + 1, throttles: 0, since };
                let retry = Invocation { origin, ..invocation.clone() };
                self.plan(pause, Due::Invoke { invocation: retry });
            }
            None => {
                if let Some(function) = self.delivery.functions.get_mut(&invocation.function) {
                    function.dead_letters.push(invocation.payload.clone());
                }
            }
        }
    }

    pub(super) fn invocation(
        &mut self,
        function: &str,
        payload: Value,
        hop: Hop,
        origin: Origin,
    ) -> Invocation {
        self.delivery.invoked += 1;
        Invocation {
            number: self.delivery.invoked,
            function: function.to_owned(),
            payload,
            hop,
            origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::delivery::Function;

    /// The seconds at which an event is tried whose every attempt fails at once, by a function that
    /// keeps events for so long and is tried again so often.
    fn attempts(event_age_max: Duration, retries: usize) -> Vec<i64> {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let function =
            Function { event_age_max, retries, ..Function::new(Duration::from_secs(10)) };
        world.delivery.functions.insert("drainer".to_owned(), function);
        world.invoke("drainer", json!({}));
        let mut attempts = Vec::new();
        for _ in 0..600 {
            for (invocation, _) in world.take_ready() {
                attempts.push(world.now().as_second());
                world.end(invocation, Err("failed".to_owned()));
            }
            world.advance(world.now() + Duration::from_secs(1));
        }
        assert_eq!(world.delivery.functions["drainer"].dead_letters, [json!({})]);
        attempts
    }

    #[test]
    fn a_failed_event_is_tried_twice_more_unless_it_is_too_old_by_then() {
        assert_eq!(attempts(Duration::from_secs(6 * 3600), 2), [0, 60, 180]);
        assert_eq!(attempts(Duration::from_secs(120), 2), [0, 60]);
    }

    #[test]
    fn a_failed_event_is_tried_as_often_as_its_function_has_it() {
        assert_eq!(attempts(Duration::from_secs(6 * 3600), 1), [0, 60]);
        assert_eq!(attempts(Duration::from_secs(6 * 3600), 0), [0]);
    }
}

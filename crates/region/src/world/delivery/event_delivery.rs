//! EventBridge: events reach their rules' targets, at least once and a little later.

use std::time::Duration;

use serde_json::Value;

use super::event_rule::Target;
use super::mishaps::Mishaps;
use crate::world::agenda::Due;
use crate::world::state::World;

/// From an event to its rules' targets. Assumed: AWS only speaks of near real time.
const EVENT_LATENCY: (Duration, Duration) =
    (Duration::from_millis(300), Duration::from_millis(1500));

/// How much later a late delivery comes: long enough for a later event to overtake it.
const LATE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

impl World {
    /// Sends an event to EventBridge. It reaches the rules a little later.
    pub fn put_event(&mut self, event: Value) {
        // Both copies of a duplicate carry the same id, by which a consumer can tell that they are
        // one event.
        for after in self.delivery_delays(EVENT_LATENCY) {
            self.plan(after, Due::Event { event: event.clone() });
        }
    }

    /// After how long each delivery of one thing comes: one usually, none or two if a mishap
    /// befalls it.
    pub(super) fn delivery_delays(&mut self, latency: (Duration, Duration)) -> Vec<Duration> {
        if self.by_chance(self.delivery.mishaps.lost) {
            return Vec::new();
        }
        self.delivery_delays_at_least_once(latency)
    }

    /// Like [`Self::delivery_delays`], but never none: it is not lost.
    pub(super) fn delivery_delays_at_least_once(
        &mut self,
        latency: (Duration, Duration),
    ) -> Vec<Duration> {
        let Mishaps { duplicate, late, .. } = self.delivery.mishaps;
        let copies = if self.by_chance(duplicate) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let usual = self.random_duration(latency.0, latency.1);
                if self.by_chance(late) {
                    usual + self.random_duration(LATE.0, LATE.1)
                } else {
                    usual
                }
            })
            .collect()
    }

    /// What cannot happen draws no chance, so that a world without mishaps stays as it is.
    fn by_chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }

    /// An event reaches the rules, and the targets of those that match it.
    pub(in crate::world) fn route(&mut self, event: &Value) {
        let matching = self.delivery.rules.iter().filter(|rule| rule.matches(event));
        // An event that no rule matches is dropped, as it is by EventBridge.
        let targets: Vec<_> = matching.map(|rule| rule.target.clone()).collect();
        for target in targets {
            match target {
                Target::Queue(name) => self.send_message(&name, event.to_string()),
                Target::Function(name) => self.invoke(&name, event.clone()),
                Target::Topic(topic_arn) => {
                    self.publish(&topic_arn, None, &event.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::world::delivery::{Function, Rule};

    #[test]
    fn a_rule_can_send_an_event_to_a_topic() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let function = Function::new(Duration::from_secs(10));
        world.delivery.functions.insert("drainer".to_owned(), function);
        world.subscribe("topic", "drainer");
        world.delivery.rules.push(Rule {
            source: "aws.ec2".to_owned(),
            detail_types: vec!["notice".to_owned()],
            target: Target::Topic("topic".to_owned()),
        });
        let event = json!({"source": "aws.ec2", "detail-type": "notice"});
        world.put_event(event.clone());
        world.advance(world.now() + Duration::from_secs(5));

        let (invocation, _) = world.take_ready().remove(0);
        assert_eq!(invocation.payload["Records"][0]["Sns"]["Message"], event.to_string());
    }
}

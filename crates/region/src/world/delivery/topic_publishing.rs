//! SNS: topics whose messages reach the functions that subscribe to them.
//!
//! Sources: Lambda Developer Guide, with-sns (the event) and invocation-recursion (the cut of
//! loops).

use std::time::Duration;

use serde_json::{Value, json};

use super::invocation::Hop;
use crate::world::account::REGION;
use crate::world::agenda::Due;
use crate::world::history::Published;
use crate::world::state::World;

/// From a message to the invocation of a subscriber. Assumed: AWS documents no figures.
const LATENCY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(300));

impl World {
    /// Creates a topic; what is there stays as it is.
    pub fn create_topic(&mut self, topic_arn: &str) {
        self.topics.entry(topic_arn.to_owned()).or_default();
    }

    /// Subscribes a function to a topic, which is created if there is none.
    pub fn subscribe(&mut self, topic_arn: &str, function: &str) {
        let topic = self.topics.entry(topic_arn.to_owned()).or_default();
        topic.functions.push(function.to_owned());
    }

    /// Publishes a message as something does that is no function. Returns the message's id.
    pub fn publish(&mut self, topic_arn: &str, subject: Option<&str>, message: &str) -> String {
        self.publish_from(None, topic_arn, subject, message)
    }

    /// Publishes a message, from within an invocation if `cause` says so. A topic that nobody
    /// subscribes to delivers it to nobody.
    pub(crate) fn publish_from(
        &mut self,
        cause: Option<Hop>,
        topic_arn: &str,
        subject: Option<&str>,
        message: &str,
    ) -> String {
        let published = Published {
            topic_arn: topic_arn.to_owned(),
            subject: subject.map(str::to_owned),
            message: message.to_owned(),
            time: self.now(),
        };
        let message_id = self.uuid();
        let functions =
            self.topics.get(topic_arn).map(|topic| topic.functions.clone()).unwrap_or_default();
        // Each subscriber gets a delivery of its own: mishaps befall one without the others.
        for function in functions {
            let payload = self.sns_event(&message_id, &published);
            // The chain goes on through the topic: this is what Lambda's recursion detection counts
            // (Lambda Developer Guide, invocation-recursion).
            let hop = Hop::after(cause);
            for after in self.delivery_delays(LATENCY) {
                let (function, payload) = (function.clone(), payload.clone());
                self.plan(after, Due::Deliver { function, payload, hop });
            }
        }
        self.published.push(published);
        message_id
    }

    /// A message as Lambda passes it to a function.
    fn sns_event(&self, message_id: &str, published: &Published) -> Value {
        let topic_arn = &published.topic_arn;
        let host = format!("https://sns.{REGION}.amazonaws.com");
        let certificate = "SimpleNotificationService-60eadc530605d63b8e62a523676ef735.pem";
        let subscription = format!("{topic_arn}:f4fdba36-a856-4dde-ad38-99aa1190c534");
        let unsubscribe_url = format!("{host}/?Action=Unsubscribe&SubscriptionArn={subscription}");
        json!({"Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "Sns": {
                "Type": "Notification",
                "MessageId": message_id,
                "TopicArn": topic_arn,
                "Subject": published.subject,
                "Message": published.message,
                "Timestamp": format!("{:.3}", self.now),
                "SignatureVersion": "1",
                "Signature": "EXAMPLE",
                "SigningCertUrl": format!("{host}/{certificate}"),
                "UnsubscribeUrl": unsubscribe_url,
                "MessageAttributes": {},
            },
        }]})
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::delivery::{Function, Mishaps, RECURSION_HOPS_MAX};

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:lifecycle";

    fn world(mishaps: Mishaps) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world
            .delivery
            .functions
            .insert("drainer".to_owned(), Function::new(Duration::from_secs(10)));
        world.delivery.mishaps = mishaps;
        world.subscribe(TOPIC, "drainer");
        world
    }

    /// The payloads that the function gets for one message within some seconds.
    fn delivered(world: &mut World, seconds: u64) -> Vec<Value> {
        world.publish(TOPIC, None, "hello");
        world.advance(world.now() + Duration::from_secs(seconds));
        world.take_ready().into_iter().map(|(invocation, _)| invocation.payload).collect()
    }

    fn members(value: &Value) -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_subscriber_gets_the_message_as_lambda_wraps_it() {
        let mut world = world(Mishaps::default());
        let payloads = delivered(&mut world, 1);

        let record = &payloads[0]["Records"][0];
        assert_eq!((payloads.len(), &record["EventSource"]), (1, &json!("aws:sns")));
        assert_eq!(
            (&record["Sns"]["TopicArn"], &record["Sns"]["Message"]),
            (&json!(TOPIC), &json!("hello"))
        );
        assert_eq!(record["Sns"]["Subject"], Value::Null);
        assert_eq!(record["Sns"]["Timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(members(record), ["EventSource", "EventSubscriptionArn", "EventVersion", "Sns"]);
        let expected = "Message MessageAttributes MessageId Signature SignatureVersion \
                     SigningCertUrl Subject Timestamp TopicArn Type UnsubscribeUrl";
        assert_eq!(members(&record["Sns"]).join(" "), expected);
    }

    #[test]
    fn a_topic_that_nobody_subscribes_to_takes_messages() {
        let mut world = world(Mishaps::default());
        world.publish("arn:aws:sns:eu-west-1:111122223333:other", Some("s"), "m");

        assert_eq!((world.published.len(), world.next_due()), (1, None));
    }

    #[test]
    fn messages_can_be_lost_doubled_or_late() {
        let no_mishaps = Mishaps::default();
        assert_eq!(delivered(&mut world(Mishaps { lost: 1.0, ..no_mishaps }), 100).len(), 0);
        assert_eq!(delivered(&mut world(Mishaps { duplicate: 1.0, ..no_mishaps }), 1).len(), 2);
        let mut late = world(Mishaps { late: 1.0, ..no_mishaps });
        assert_eq!(delivered(&mut late, 1).len(), 0);
        late.advance(late.now() + Duration::from_secs(60));
        assert_eq!(late.take_ready().len(), 1);
    }

    /// Lets each invocation publish the next message, and says how many ran.
    fn loops(world: &mut World) -> usize {
        world.publish(TOPIC, None, "again");
        let mut ran = 0;
        while ran < 100 {
            world.advance(world.now() + Duration::from_secs(1));
            let Some((invocation, _)) = world.take_ready().pop() else { break };
            ran += 1;
            world.publish_from(Some(invocation.hop()), TOPIC, None, "again");
            world.end(invocation, Ok(Value::Null));
        }
        ran
    }

    #[test]
    fn a_loop_through_a_topic_is_cut_after_sixteen_hops() {
        let mut world = world(Mishaps::default());
        assert_eq!(loops(&mut world), RECURSION_HOPS_MAX as usize);

        let function = &world.delivery.functions["drainer"];
        assert_eq!((function.recursion_drops, function.dead_letters.len()), (1, 1));
        assert_eq!(loops(&mut world), 16, "a message from outside begins a new chain");
    }

    #[test]
    fn a_loop_that_is_allowed_goes_on() {
        let mut world = world(Mishaps::default());
        world.delivery.functions.get_mut("drainer").unwrap().recursive_loop_allowed = true;

        assert_eq!(loops(&mut world), 100);
        assert_eq!(world.delivery.functions["drainer"].recursion_drops, 0);
    }
}

//! The operation `SendMessage` of SQS: a drainer of others may put its message back into its queue.
//!
//! Source: SQS API Reference, `SendMessage`.

use std::time::Duration;

use serde_json::json;

use super::answer::Refusal;
use super::aws_json;
use crate::world::World;

/// What stands before the operation in the target of a call.
pub(super) const SERVICE: &str = "AmazonSQS";

/// The longest delay of a message.
const DELAY_SECONDS_MAX: u64 = 900;

pub(super) fn send_message(world: &mut World, body: &[u8]) -> Result<String, Refusal> {
    let input =
        aws_json::read_input_or("SendMessage", body, "com.amazonaws.sqs#UnsupportedOperation")?;
    let text = |key: &str| input[key].as_str().unwrap_or_default();
    let queue = text("QueueUrl").rsplit('/').next().unwrap_or_default();
    if !world.delivery.queues.contains_key(queue) {
        let message = "The specified queue does not exist.";
        return Err(Refusal::new("com.amazonaws.sqs#QueueDoesNotExist", message));
    }
    let delay = input["DelaySeconds"].as_u64().unwrap_or_default();
    if delay > DELAY_SECONDS_MAX || text("MessageBody").is_empty() {
        return Err(Refusal::new("InvalidParameterValue", "DelaySeconds is from 0 to 900"));
    }
    let delay = Duration::from_secs(delay);
    world.send_message_after(delay, queue, text("MessageBody").to_owned());
    Ok(json!({"MessageId": world.uuid(), "MD5OfMessageBody": ""}).to_string())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::delivery::{Function, Queue};

    #[test]
    fn a_message_with_a_delay_comes_when_it_is_over() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let function = Function::new(Duration::from_secs(10));
        world.delivery.functions.insert("drainer".to_owned(), function);
        world.add_queue("queue", Queue::for_function("drainer"));
        let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/queue";
        let input = json!({"QueueUrl": url, "MessageBody": "again", "DelaySeconds": 30});
        send_message(&mut world, input.to_string().as_bytes()).unwrap();

        world.advance(world.now() + Duration::from_secs(29));
        assert!(world.take_ready().is_empty());
        world.advance(world.now() + Duration::from_secs(3));
        let (invocation, _) = world.take_ready().remove(0);
        assert_eq!(invocation.payload["Records"][0]["body"], "again");

        let input = json!({"QueueUrl": "https://host/other", "MessageBody": "again"});
        assert!(send_message(&mut world, input.to_string().as_bytes()).is_err());
    }
}

//! SQS queues as event sources: Lambda receives messages in batches, and deletes what was dealt
//! with.
//!
//! Sources: Lambda Developer Guide, services-sqs-errorhandling (partial batch responses; a message
//! that is not deleted is visible again when its visibility time-out ends); SQS Developer Guide,
//! dead-letter queues.

use std::time::Duration;

use serde_json::{Value, json};

use super::invocation::{Hop, Origin};
use super::queue::{Message, Queue, sqs_record};
use crate::world::agenda::Due;
use crate::world::state::World;

impl World {
    /// Makes a queue the event source of its function.
    ///
    /// # Panics
    /// If the function's time-out is longer than the queue's visibility time-out: Lambda refuses
    /// that (Lambda Developer Guide, services-sqs-configure).
    pub fn add_queue(&mut self, name: &str, queue: Queue) {
        let timeout = self.delivery.functions.get(&queue.function).map(|function| function.timeout);
        assert!(
            timeout.is_some_and(|timeout| timeout <= queue.visibility_timeout),
            "the function of queue {name} must exist and have a time-out within the visibility \
             time-out"
        );
        self.delivery.queues.insert(name.to_owned(), queue);
    }

    /// Sends a message to a queue.
    pub fn send_message(&mut self, queue_name: &str, body: String) {
        self.send_message_after(Duration::ZERO, queue_name, body);
    }

    /// Sends a message that can be received after a delay.
    pub(crate) fn send_message_after(&mut self, delay: Duration, queue_name: &str, body: String) {
        let (id, now) = (self.uuid(), self.now);
        if let Some(queue) = self.delivery.queues.get_mut(queue_name) {
            let visible_at = now + delay;
            let message = Message { id, body, sent_at: now, visible_at, receive_count: 0 };
            queue.messages.push(message);
            // Each message plans a poll of its own. The poll of the first one takes what is there
            // by then, so the later ones often find nothing.
            let batch_window = queue.batch_window;
            self.plan(delay + batch_window, Due::Poll { queue: queue_name.to_owned() });
        }
    }

    /// Lambda receives what is visible in a queue, in batches. Due when a batch window ends, when
    /// messages become visible again (even if an invocation still deals with them), and when an
    /// invocation has ended.
    pub(in crate::world) fn poll(&mut self, name: &str) {
        let now = self.now;
        loop {
            // Counted anew for each batch, as the batch that was just made ready counts as well.
            let about_to_run =
                self.delivery.ready.iter().filter(|invocation| invocation.comes_from(name)).count();
            let Some(queue) = self.delivery.queues.get_mut(name) else { return };
            let Some(function) = self.delivery.functions.get(&queue.function) else { return };
            // Without room nothing is received, so that no message uses up a receive or its
            // visibility. The end of an invocation plans the next poll.
            if function.running + about_to_run
                >= queue.maximum_concurrency.min(function.concurrency)
            {
                return;
            }
            // A message goes to the dead-letter queue when it would be received once too often, not
            // when its last attempt fails (SQS Developer Guide, dead-letter queues).
            let (expired, live) =
                std::mem::take(&mut queue.messages).into_iter().partition(|message| {
                    message.is_visible(now) && message.receive_count >= queue.max_receive_count
                });
            queue.messages = live;
            queue.dead_letters.extend::<Vec<Message>>(expired);
            let batch: Vec<_> = queue
                .messages
                .iter_mut()
                .filter(|message| message.is_visible(now))
                .take(queue.batch_size)
                .map(|message| {
                    message.receive_count += 1;
                    message.visible_at = now + queue.visibility_timeout;
                    message.clone()
                })
                .collect();
            if batch.is_empty() {
                return;
            }
            let (function, visibility_timeout) = (queue.function.clone(), queue.visibility_timeout);
            // If the batch fails its messages become visible again then, and somebody must look.
            self.plan(visibility_timeout, Due::Poll { queue: name.to_owned() });
            let records: Vec<_> = batch.iter().map(|message| sqs_record(name, message)).collect();
            let payload = json!({"Records": records});
            let message_ids = batch.into_iter().map(|message| message.id).collect();
            let origin = Origin::Queue { name: name.to_owned(), message_ids };
            // A queue begins a new chain here: only loops through topics are counted.
            let invocation = self.invocation(&function, payload, Hop::FIRST, origin);
            self.delivery.make_ready(invocation);
        }
    }

    pub(super) fn end_batch(
        &mut self,
        name: &str,
        message_ids: &[String],
        result: &Result<Value, String>,
    ) {
        if let Some(queue) = self.delivery.queues.get_mut(name) {
            // What failed stays invisible until its visibility time-out ends (Lambda Developer
            // Guide, services-sqs-errorhandling).
            let failed = failed_messages(message_ids, result);
            queue.messages.retain(|message| {
                !message_ids.contains(&message.id) || failed.contains(&message.id.as_str())
            });
        }
        // Messages may have waited until an invocation ended and left room for another.
        self.plan(Duration::ZERO, Due::Poll { queue: name.to_owned() });
    }
}

/// The messages of a batch that must come back: all of them after an error, else those that the
/// function names in a partial batch response. One that names anything but messages of the batch,
/// or is none, brings all of them back too; `null`, and an answer that has none, brings nothing.
fn failed_messages<'a>(
    message_ids: &'a [String],
    result: &'a Result<Value, String>,
) -> Vec<&'a str> {
    let failures = match result {
        Ok(Value::Null) => &Value::Null,
        Ok(Value::Object(answer)) => answer.get("batchItemFailures").unwrap_or(&Value::Null),
        Ok(_) | Err(_) => return message_ids.iter().map(String::as_str).collect(),
    };
    let named = match failures {
        Value::Null => Some(Vec::new()),
        Value::Array(failures) => {
            let ids = failures.iter().map(|failure| failure["itemIdentifier"].as_str());
            ids.map(|id| id.filter(|id| message_ids.iter().any(|known| known == id))).collect()
        }
        _ => None,
    };
    named.unwrap_or_else(|| message_ids.iter().map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_batch_response_that_is_broken_brings_the_whole_batch_back() {
        let message_ids = ["m-1", "m-2"].map(str::to_owned);
        let failures = |ids: &[Value]| {
            let failures = ids.iter().map(|id| json!({"itemIdentifier": id}));
            json!({"batchItemFailures": failures.collect::<Vec<_>>()})
        };
        let all = ["m-1", "m-2"].as_slice();
        for (answer, failed) in [
            (json!(null), [].as_slice()),
            (json!({}), &[]),
            (json!({"batchItemFailures": null}), &[]),
            (failures(&[]), &[]),
            (failures(&[json!("m-2")]), &["m-2"]),
            (failures(&[json!("m-2"), json!("m-3")]), all),
            (failures(&[json!("m-2"), json!("")]), all),
            (failures(&[json!(null)]), all),
            (failures(&[json!(2)]), all),
            (json!({"batchItemFailures": [{"messageId": "m-2"}]}), all),
            (json!({"batchItemFailures": ["m-2"]}), all),
            (json!({"batchItemFailures": "m-2"}), all),
            (json!("done"), all),
        ] {
            let text = answer.to_string();
            assert_eq!(failed_messages(&message_ids, &Ok(answer)), failed, "{text}");
        }
        assert_eq!(failed_messages(&message_ids, &Err("timed out".to_owned())), all);
    }
}

//! Stories of messages that come by a queue: each comes again for itself.

use ebb_region::RunEnd;
use ebb_region::world::World;
use ebb_region::world::delivery::Queue;
use serde_json::{Value, json};

use crate::support::{FUNCTION, Sim, TIMEOUT, instance_id, message, quiet_shop, settings};

const QUEUE: &str = "lifecycle";

fn shop_with_queue() -> World {
    let mut world = quiet_shop();
    let queue = Queue { visibility_timeout: TIMEOUT, ..Queue::for_function(FUNCTION) };
    world.add_queue(QUEUE, queue);
    world
}

/// The texts of the messages of each invocation that came by the queue.
fn batches(world: &World) -> Vec<Vec<String>> {
    let payloads = world.delivery.ended.iter().map(|ended| &ended.invocation.payload);
    payloads
        .filter_map(|payload| {
            let records = payload["Records"].as_array()?;
            records.iter().map(|record| record["body"].as_str().map(str::to_owned)).collect()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_bad_message_of_a_batch_comes_again_alone() {
    let sim = Sim::start(shop_with_queue(), settings()).await;
    // Nothing but the queue tells of the termination.
    sim.region.world().topics.clear();
    sim.region.world().terminate_in_group(&instance_id(10), false).unwrap();
    let good = sim.message(&instance_id(10)).to_string();
    let mut malformed: Value = message(&instance_id(9), "shop-spot");
    malformed["EC2InstanceId"] = json!("web-1");
    let bad = malformed.to_string();
    for body in [&bad, &good] {
        sim.region.world().send_message(QUEUE, body.clone());
    }
    assert_eq!(sim.run(TIMEOUT * 8).await, RunEnd::Quiet);

    assert_eq!(sim.completed().instance_id, instance_id(10));
    let world = sim.region.world();
    assert_eq!(batches(&world)[0], [bad.clone(), good]);
    assert_eq!(batches(&world)[1..], vec![vec![bad.clone()]; 3]);
    let dead_letters = &world.delivery.queues[QUEUE].dead_letters;
    assert_eq!(dead_letters.iter().map(|letter| &letter.body).collect::<Vec<_>>(), [&bad]);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_several_events_comes_again_if_any_of_them_is_bad() {
    let sim = Sim::start(quiet_shop(), settings()).await;
    let events = json!([message(&instance_id(9), "shop-spot"), 7]);
    let record = |id: &str, body: &Value| json!({"messageId": id, "eventSource": "aws:sqs", "body": body.to_string()});
    let payload = json!({"Records": [record("m-1", &events), record("m-2", &events[0])]});
    let answer = sim.invoke(&payload).await.unwrap();

    let failed: Vec<_> =
        answer.batch_item_failures.iter().map(|failure| &failure.item_identifier).collect();
    assert_eq!(failed, ["m-1"]);
    assert_eq!(answer.outcomes.len(), 2, "its good event was handled, too: {answer:?}");
}

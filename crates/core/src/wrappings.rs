//! Every kind of event in every wrapping, and in wrappings of wrappings: whoever sends it, an event
//! of ours is found, and what is in its place is never taken for a success.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::event::{EVENTS_MAX, Event, Reader, Record, WRAPPINGS_MAX, parse};
use crate::lifecycle::action;
use crate::spot::notice;

type Wrap = fn(&Value) -> Value;

/// The wrappings, and how many of them each counts for.
const WRAPPINGS: [(&str, usize, Wrap); 9] = [
    ("list", 1, |event| json!([event])),
    ("JSON as text", 2, |event| json!(json!(text_of(event)).to_string())),
    ("queue", 2, |event| json!({"Records": [sqs_record(event)]})),
    ("Pipes", 2, |event| json!([sqs_record(event)])),
    ("record", 1, sqs_record),
    ("topic", 2, |event| json!({"Records": [{"EventSource": "aws:sns", "Sns": sns(event)}]})),
    ("notification", 1, sns),
    ("dead letter", 1, dead_letter),
    ("dead letter over EventBridge", 1, |event| {
        let detail_type = "Lambda Function Invocation Result - Failure";
        json!({"source": "lambda", "detail-type": detail_type, "detail": dead_letter(event)})
    }),
];

const TOPICS: [&str; 2] = ["topic", "notification"];

fn text_of(event: &Value) -> String {
    event.as_str().map_or_else(|| event.to_string(), str::to_owned)
}

fn sqs_record(event: &Value) -> Value {
    json!({"messageId": "m-1", "eventSource": "aws:sqs", "body": text_of(event)})
}

fn sns(event: &Value) -> Value {
    json!({"Type": "Notification", "TopicArn": "arn:hooks", "Message": text_of(event)})
}

fn dead_letter(event: &Value) -> Value {
    let context = json!({"condition": "RetriesExhausted"});
    json!({"version": "1.0", "requestContext": context, "requestPayload": event})
}

/// What an event is to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Own,
    Malformed,
    Foreign,
    Unknown,
}

fn notices() -> Vec<(Kind, Value)> {
    let detail = json!({"instance-id": "i-1a2b3c4d", "instance-action": "terminate"});
    let mut events = vec![
        (Kind::Own, ec2_event("EC2 Spot Instance Interruption Warning", &detail)),
        (Kind::Own, detail),
        (
            Kind::Own,
            json!({"instance-id": "i-1a2b3c4d", "instance-action": "stop",
                           "instance-termination-time": "2025-03-22T16:07:58Z", "azId": "euw1-az2"}),
        ),
        (Kind::Own, json!({"instance-id": "i-1a2b3c4d"})),
        (Kind::Own, json!({"instance-id": "i-1a2b3c4d", "state": "running"})),
        (Kind::Malformed, ec2_event("EC2 Instance Rebalance Recommendation", &json!({}))),
        (Kind::Malformed, json!({"instance-id": 7, "instance-action": "terminate"})),
        (Kind::Malformed, json!({"instance-action": "terminate"})),
        (Kind::Foreign, json!({"instance-id": "i-1a2b3c4d", "state": "stopped"})),
        (Kind::Foreign, lifecycle_message("autoscaling:EC2_INSTANCE_TERMINATING")),
        (Kind::Unknown, json!({"instance-id": "i-1a2b3c4d", "spot-instance-request-id": "sir-1"})),
    ];
    events.extend(events_of_nobody());
    events
}

fn lifecycle_actions() -> Vec<(Kind, Value)> {
    let message = lifecycle_message("autoscaling:EC2_INSTANCE_TERMINATING");
    let mut enveloped = ec2_event("EC2 Instance-terminate Lifecycle Action", &message);
    enveloped["source"] = json!("aws.autoscaling");
    let mut without_transition = message.clone();
    without_transition["LifecycleTransition"].take();
    let mut without_group = message.clone();
    without_group["AutoScalingGroupName"].take();
    let mut events = vec![
        (Kind::Own, enveloped),
        (Kind::Own, message),
        (Kind::Malformed, without_transition),
        (Kind::Malformed, without_group),
        (Kind::Foreign, lifecycle_message("autoscaling:EC2_INSTANCE_LAUNCHING")),
        (Kind::Foreign, json!({"Event": "autoscaling:TEST_NOTIFICATION"})),
        (Kind::Unknown, json!({"instance-id": "i-1a2b3c4d", "instance-action": "terminate"})),
        (Kind::Unknown, json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})),
    ];
    events.extend(events_of_nobody());
    events
}

/// What neither function knows, and what is somebody else's to both.
fn events_of_nobody() -> Vec<(Kind, Value)> {
    let of_ecs = json!({"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": {}});
    let s3 = json!({"Records": [{"eventSource": "aws:s3", "s3": {}}]});
    let unknown = [
        json!("disk full"),
        json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7}),
        json!({}),
        json!([]),
        json!({"Records": []}),
        json!({"Records": "none"}),
        json!({"detail": {"instance-id": "i-1a2b3c4d"}}),
        json!(7),
        json!(null),
        s3,
    ];
    let unknown = unknown.into_iter().map(|event| (Kind::Unknown, event));
    unknown.chain([(Kind::Foreign, of_ecs)]).collect()
}

fn ec2_event(detail_type: &str, detail: &Value) -> Value {
    json!({"source": "aws.ec2", "detail-type": detail_type, "detail": detail})
}

fn lifecycle_message(transition: &str) -> Value {
    json!({
        "LifecycleTransition": transition,
        "AutoScalingGroupName": "shop",
        "LifecycleHookName": "drain",
        "EC2InstanceId": "i-1a2b3c4d",
        "LifecycleActionToken": "token",
    })
}

/// The records' meanings in a word each.
fn words<T>(records: &[Record<T>]) -> Vec<&'static str> {
    let word = records.iter().map(|record| match &record.event {
        Ok(Event::Ours(_)) => "ours",
        Ok(Event::Ignored { .. }) => "ignored",
        Err(_) => "error",
    });
    word.collect()
}

/// What an event must come to.
fn expected(kind: Kind, over_topic: bool) -> &'static str {
    match (kind, over_topic) {
        (Kind::Own, _) => "ours",
        (Kind::Malformed, _) | (Kind::Unknown, false) => "error",
        (Kind::Foreign, _) | (Kind::Unknown, true) => "ignored",
    }
}

fn check_in_every_nesting<T>(events: &[(Kind, Value)], read: Reader<T>) {
    for (kind, event) in events {
        assert_eq!(words(&parse(event, read)), [expected(*kind, false)], "{event}");
        for (inner, _, wrap_inner) in WRAPPINGS {
            let wrapped = wrap_inner(event);
            for (middle, _, wrap_middle) in WRAPPINGS {
                let wrapped_twice = wrap_middle(&wrapped);
                for (outer, _, wrap_outer) in WRAPPINGS {
                    let payload = wrap_outer(&wrapped_twice);
                    let over_topic =
                        [inner, middle, outer].iter().any(|wrapping| TOPICS.contains(wrapping));
                    let records = parse(&payload, read);
                    assert_eq!(words(&records), [expected(*kind, over_topic)], "{payload}");
                    let takes_answer = outer == "queue";
                    assert_eq!(records[0].message_id.is_some(), takes_answer, "{payload}");
                }
            }
        }
    }
}

#[test]
fn every_event_means_the_same_in_all_wrappings_but_for_what_is_nobodys_over_a_topic() {
    check_in_every_nesting(&notices(), notice::read);
    check_in_every_nesting(&lifecycle_actions(), action::read);
}

fn lines<T>(events: &[(Kind, Value)], read: Reader<T>) -> Vec<String> {
    let mut lines = Vec::new();
    for (_, event) in events {
        lines.push(event.to_string());
        let bare = ("bare", 0, Value::clone as Wrap);
        let sample = [bare, WRAPPINGS[2], WRAPPINGS[6]];
        for (name, _, wrap) in sample {
            let records = parse(&wrap(event), read);
            let meaning = match &records[0].event {
                Ok(Event::Ours(_)) => "ours".to_owned(),
                Ok(Event::Ignored { why, .. }) => format!("ignored: {why}"),
                Err(error) => format!("failed to {error}"),
            };
            lines.push(format!("  {name}: {meaning}"));
        }
    }
    lines
}

#[test]
fn every_event_bare_by_queue_and_over_a_topic_comes_to_what_was_reviewed() {
    insta::assert_snapshot!("notices", lines(&notices(), notice::read).join("\n"));
    let actions = lines(&lifecycle_actions(), action::read).join("\n");
    insta::assert_snapshot!("lifecycle_actions", actions);
}

#[test]
fn the_last_topic_and_the_innermost_text_are_kept() {
    // The next hop publishes this text to that topic.
    let text = r#"{ "LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING", "more" : 1.50,
        "AutoScalingGroupName":"shop","LifecycleHookName":"drain","EC2InstanceId":"i-1a2b3c4d",
        "LifecycleActionToken":"token" }"#;
    let inner = json!({"Type": "Notification", "TopicArn": "arn:inner", "Message": text});
    let payload = json!({"Records": [sqs_record(&dead_letter(&sns(&sqs_record(&inner))))]});
    let Ok(Some(Event::Ours(action))) =
        parse(&payload, action::read).pop().map(|record| record.event).transpose()
    else {
        panic!("not an action: {payload}")
    };

    assert_eq!(action.message.text, text);
    assert_eq!(action.topic().unwrap().as_str(), "arn:inner");
}

#[test]
fn one_bad_event_of_a_list_hides_no_other() {
    let own = json!({"instance-id": "i-1a2b3c4d", "instance-action": "terminate"});
    let payload = json!([7, [own, {"source": "a", "detail-type": "b"}], "text", own]);
    let words = words(&parse(&payload, notice::read));

    assert_eq!(words, ["error", "ours", "ignored", "error", "ours"]);
}

#[test]
fn more_events_than_the_bound_are_an_error_of_each_message_that_has_them() {
    let events = vec![json!({"instance-id": "i-1a2b3c4d"}); EVENTS_MAX];
    assert!(!words(&parse(&json!(events), notice::read)).contains(&"error"));

    let message = |id: &str, events: &[Value]| json!({"messageId": id, "eventSource": "aws:sqs", "body": json!(events).to_string()});
    let records = [message("m-1", &events), message("m-2", &events[..9]), message("m-3", &events)];
    let records = parse(&json!({"Records": records}), notice::read);
    let failed: Vec<_> = records
        .iter()
        .filter(|record| record.event.is_err())
        .filter_map(|record| record.message_id.as_deref())
        .collect();
    assert_eq!(failed, ["m-2", "m-3"]);
    assert_eq!(records.len(), EVENTS_MAX + 2);
}

#[test]
fn an_event_is_found_in_as_many_wrappings_as_are_opened_and_is_an_error_in_more() {
    for event in [notices().swap_remove(0).1, json!({})] {
        let mut payload = event;
        for _ in 0..WRAPPINGS_MAX {
            payload = json!([payload]);
        }
        let is_own = payload.to_string().contains("aws.ec2");
        let words_within = words(&parse(&payload, notice::read));
        assert_eq!(words_within, [if is_own { "ours" } else { "error" }]);
        assert_eq!(words(&parse(&sns(&json!([payload])), notice::read)), ["error"]);
    }
}

/// Some wrappings, from the inside to the outside, each with events beside it or not. Not many more,
/// as text within text doubles each time.
fn any_nesting() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((0..WRAPPINGS.len(), any::<bool>()), 0..10)
}

proptest! {
    #[test]
    fn no_nesting_loses_an_event_of_ours(
        nesting in any_nesting(),
        event in prop::sample::select(notices()),
    ) {
        let (kind, mut payload) = event;
        let (mut wrappings, mut over_topic) = (0, false);
        for (index, has_siblings) in &nesting {
            let (name, count, wrap) = WRAPPINGS[*index];
            payload = wrap(&payload);
            over_topic |= TOPICS.contains(&name);
            wrappings += count;
            if *has_siblings {
                payload = json!([{"source": "a", "detail-type": "b"}, payload, {}]);
                wrappings += 1;
            }
        }
        let words = words(&parse(&payload, notice::read));
        if kind == Kind::Own {
            prop_assert!(words.contains(&"ours") || words.contains(&"error"), "{words:?}");
        }
        // Text in a message counts for one less.
        if wrappings <= WRAPPINGS_MAX {
            let wanted = expected(kind, over_topic);
            prop_assert!(words.contains(&wanted), "{wanted} is not in {words:?}");
        }
    }
}

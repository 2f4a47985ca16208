//! How events reach functions: EventBridge rules, SQS queues as event sources, and Lambda's asynchronous invocations.
//!
//! Sources: Lambda Developer Guide, invocation-async-error-handling (two retries, after one and two minutes),
//! services-sqs-errorhandling (partial batch responses; a message that is not deleted is visible again when its
//! visibility time-out ends); SQS Developer Guide, dead-letter queues.

mod concurrency;
pub mod schedule;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::schedule::Schedule;
use super::{ACCOUNT, Due, REGION, World};

/// From an event to its rules' targets.
const EVENT_LATENCY: (Duration, Duration) =
    (Duration::from_millis(300), Duration::from_millis(1500));

/// Lambda's pauses before the second and the third attempt of an asynchronous invocation.
const ASYNC_RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// For how long Lambda keeps an event by default.
const EVENT_AGE_MAX: Duration = Duration::from_secs(6 * 3600);

/// A late delivery comes this much later.
const LATE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How many invocations a loop through SNS may have; the next one is dropped.
/// Source: Lambda Developer Guide, invocation-recursion ("approximately 16").
pub const RECURSION_HOPS_MAX: u32 = 16;

/// Rules, queues and functions.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// EventBridge rules.
    pub rules: Vec<Rule>,
    /// EventBridge schedules by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// SQS queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// Lambda functions by name.
    pub functions: BTreeMap<String, Function>,
    /// Every invocation that ended, with what the function returned.
    pub ended: Vec<Ended>,
    /// What goes wrong between an event or a message and its receivers.
    pub mishaps: Mishaps,
    ready: VecDeque<Invocation>,
    invoked: u64,
}

/// What goes wrong with deliveries, each with its chance from 0 to 1. EventBridge and SNS deliver at least once, and
/// the events of EC2 and Auto Scaling on a best-effort basis (EventBridge reference, delivery level per service).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mishaps {
    /// It comes twice.
    pub duplicate: f64,
    /// It comes seconds to a minute later.
    pub late: f64,
    /// It never comes.
    pub lost: f64,
}

/// An EventBridge rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The `source` and the `detail-type`s that it matches.
    pub source: String,
    /// See `source`.
    pub detail_types: Vec<String>,
    /// Where matching events go.
    pub target: Target,
}

/// Where a rule sends its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A queue, by name.
    Queue(String),
    /// A function, by name, invoked asynchronously.
    Function(String),
}

/// An SQS queue that is the event source of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The function, by name.
    pub function: String,
    /// How many messages an invocation gets at most.
    pub batch_size: usize,
    /// How long Lambda waits for a full batch.
    pub batch_window: Duration,
    /// For how long a message that was received is invisible.
    pub visibility_timeout: Duration,
    /// How often a message is received before it goes to the dead-letter queue.
    pub max_receive_count: u32,
    /// How many invocations run at once at most.
    pub maximum_concurrency: usize,
    /// The messages.
    pub messages: Vec<Message>,
    /// The messages of its dead-letter queue.
    pub dead_letters: Vec<Message>,
}

impl Queue {
    /// A queue with the settings that Ebb recommends for interruption notices.
    pub fn feeding(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            batch_size: 80,
            batch_window: Duration::from_secs(1),
            visibility_timeout: Duration::from_secs(30),
            max_receive_count: 4,
            maximum_concurrency: 10,
            messages: Vec::new(),
            dead_letters: Vec::new(),
        }
    }
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// From when on it can be received.
    pub visible_at: Timestamp,
    /// How often it has been received.
    pub receive_count: u32,
}

/// A Lambda function, as far as invoking it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// After how long Lambda cuts it off.
    pub timeout: Duration,
    /// How many invocations run at once at most: its reserved concurrency.
    pub concurrency: usize,
    running: usize,
    /// For how long Lambda keeps an event that it cannot hand over: `MaximumEventAgeInSeconds`.
    pub event_age_max: Duration,
    /// How many invocations were throttled.
    pub throttles: u32,
    /// The events that failed for good.
    pub dead_letters: Vec<Value>,
    /// Whether it may invoke itself through SNS for as long as it likes: `RecursiveLoop` `Allow`.
    pub recursive_loop_allowed: bool,
    /// How many invocations were dropped because they were part of a loop: `RecursiveInvocationsDropped`.
    pub recursion_drops: u32,
}

impl Function {
    /// A function with a time-out and no reserved concurrency.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            concurrency: 1000,
            running: 0,
            event_age_max: EVENT_AGE_MAX,
            throttles: 0,
            dead_letters: Vec::new(),
            recursive_loop_allowed: false,
            recursion_drops: 0,
        }
    }

    /// Lets so many invocations run at once at most.
    #[must_use]
    pub fn reserving(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }
}

/// An invocation of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Its number.
    pub number: u64,
    /// The function, by name.
    pub function: String,
    /// What it gets.
    pub payload: Value,
    hop: Hop,
    origin: Origin,
}

/// Which invocation of its chain one is: 1 if no function caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop(pub u32);

impl Hop {
    const FIRST: Self = Self(1);

    /// The hop that an invocation causes; the first one if no invocation is the cause.
    pub fn after(cause: Option<Self>) -> Self {
        cause.map_or(Self::FIRST, |Self(hop)| Self(hop.saturating_add(1)))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Queue { name: String, message_ids: Vec<String> },
    Asynchronous { retries: usize, throttles: u32, since: Timestamp },
    Synchronous,
}

/// An invocation that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The invocation.
    pub invocation: Invocation,
    /// When it ended.
    pub at: Timestamp,
    /// What the function returned, or its error.
    pub result: Result<Value, String>,
}

impl World {
    /// Sends an event to EventBridge. It reaches the rules a little later.
    pub fn put_event(&mut self, event: Value) {
        for after in self.deliveries(EVENT_LATENCY) {
            self.plan(after, Due::Event { event: event.clone() });
        }
    }

    /// After how long each delivery of one thing comes: one usually, none or two if a mishap befalls it.
    pub(super) fn deliveries(&mut self, latency: (Duration, Duration)) -> Vec<Duration> {
        if self.by_chance(self.delivery.mishaps.lost) {
            return Vec::new();
        }
        self.deliveries_at_least_once(latency)
    }

    /// Like `deliveries`, but it is never lost.
    fn deliveries_at_least_once(&mut self, latency: (Duration, Duration)) -> Vec<Duration> {
        let Mishaps { duplicate, late, .. } = self.delivery.mishaps;
        let copies = if self.by_chance(duplicate) { 2 } else { 1 };
        let delivery = |_| {
            let usual = self.between(latency.0, latency.1);
            if self.by_chance(late) { usual + self.between(LATE.0, LATE.1) } else { usual }
        };
        (0..copies).map(delivery).collect()
    }

    /// What cannot happen draws no chance, so that a world without mishaps stays as it is.
    fn by_chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }

    pub(super) fn route(&mut self, event: &Value) {
        let matches = |rule: &&Rule| {
            let detail_type = event["detail-type"].as_str().unwrap_or_default();
            event["source"] == rule.source.as_str()
                && rule.detail_types.iter().any(|one| one == detail_type)
        };
        let targets: Vec<_> =
            self.delivery.rules.iter().filter(matches).map(|rule| rule.target.clone()).collect();
        for target in targets {
            match target {
                Target::Queue(name) => self.send_message(&name, event.to_string()),
                Target::Function(name) => self.invoke(&name, event.clone()),
            }
        }
    }

    /// Invokes a function asynchronously.
    pub fn invoke(&mut self, function: &str, payload: Value) {
        self.deliver(function, payload, Hop::FIRST);
    }

    /// Invokes a function asynchronously as part of a chain; Lambda drops what makes the chain too long. As it does
    /// not run, that is no invocation which ended.
    pub(super) fn deliver(&mut self, function: &str, payload: Value, hop: Hop) {
        let found = self.delivery.functions.get_mut(function);
        if let Some(function) =
            found.filter(|one| hop.0 > RECURSION_HOPS_MAX && !one.recursive_loop_allowed)
        {
            function.recursion_drops += 1;
            function.dead_letters.push(payload);
            return;
        }
        let invocation = self.invocation(
            function,
            payload,
            hop,
            Origin::Asynchronous { retries: 0, throttles: 0, since: self.now },
        );
        self.delivery.make_ready(invocation);
    }

    /// Makes a queue the event source of its function.
    ///
    /// # Panics
    /// If the function's time-out is longer than the queue's visibility time-out: Lambda refuses that
    /// (Lambda Developer Guide, services-sqs-configure).
    pub fn add_queue(&mut self, name: &str, queue: Queue) {
        let timeout = self.delivery.functions.get(&queue.function).map(|function| function.timeout);
        assert!(
            timeout.is_some_and(|timeout| timeout <= queue.visibility_timeout),
            "the function of queue {name} must exist and have a time-out within the visibility time-out"
        );
        self.delivery.queues.insert(name.to_owned(), queue);
    }

    /// Sends a message to a queue.
    pub fn send_message(&mut self, queue: &str, body: String) {
        let (id, now) = (self.uuid(), self.now);
        if let Some(found) = self.delivery.queues.get_mut(queue) {
            let message = Message { id, body, sent_at: now, visible_at: now, receive_count: 0 };
            found.messages.push(message);
            let after = found.batch_window;
            self.plan(after, Due::Poll { queue: queue.to_owned() });
        }
    }

    /// Lambda receives what is visible in a queue, in batches. Due when a batch window ends, when messages become
    /// visible again (even if an invocation still deals with them), and when an invocation has ended.
    pub(super) fn poll(&mut self, name: &str) {
        let now = self.now;
        loop {
            let flying = self.delivery.ready.iter().filter(|one| one.comes_from(name)).count();
            let Some(queue) = self.delivery.queues.get_mut(name) else { return };
            let Some(function) = self.delivery.functions.get(&queue.function) else { return };
            if function.running + flying >= queue.maximum_concurrency.min(function.concurrency) {
                return;
            }
            let (dead, alive) =
                std::mem::take(&mut queue.messages).into_iter().partition(|message| {
                    message.is_visible(now) && message.receive_count >= queue.max_receive_count
                });
            queue.messages = alive;
            queue.dead_letters.extend::<Vec<Message>>(dead);
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
            let (function, visible_again) = (queue.function.clone(), queue.visibility_timeout);
            self.plan(visible_again, Due::Poll { queue: name.to_owned() });
            let payload = json!({"Records": batch.iter().map(|one| sqs_record(name, one)).collect::<Vec<_>>()});
            let message_ids = batch.into_iter().map(|message| message.id).collect();
            let origin = Origin::Queue { name: name.to_owned(), message_ids };
            let invocation = self.invocation(&function, payload, Hop::FIRST, origin);
            self.delivery.make_ready(invocation);
        }
    }

    /// An invocation has ended: messages are deleted or come back, a failed event is tried again or given up.
    pub fn end(&mut self, invocation: Invocation, result: Result<Value, String>) {
        if let Some(function) = self.delivery.functions.get_mut(&invocation.function) {
            function.running -= 1;
        }
        match invocation.origin.clone() {
            Origin::Queue { name, message_ids } => self.end_batch(&name, &message_ids, &result),
            Origin::Asynchronous { retries, since, .. } if result.is_err() => {
                self.end_failed(&invocation, retries, since);
            }
            Origin::Asynchronous { .. } | Origin::Synchronous => {}
        }
        self.delivery.ended.push(Ended { invocation, at: self.now, result });
    }

    fn end_batch(&mut self, name: &str, message_ids: &[String], result: &Result<Value, String>) {
        let failed = |id: &str| match result {
            Err(_) => true,
            Ok(answer) => answer["batchItemFailures"].as_array().is_some_and(|failures| {
                failures.iter().any(|failure| failure["itemIdentifier"] == id)
            }),
        };
        if let Some(queue) = self.delivery.queues.get_mut(name) {
            queue
                .messages
                .retain(|message| !message_ids.contains(&message.id) || failed(&message.id));
        }
        // The others may have waited for this invocation's place.
        self.plan(Duration::ZERO, Due::Poll { queue: name.to_owned() });
    }

    fn end_failed(&mut self, invocation: &Invocation, retries: usize, since: Timestamp) {
        match ASYNC_RETRIES.get(retries) {
            Some(&pause) => {
                let origin = Origin::Asynchronous { retries: retries + 1, throttles: 0, since };
                let again = Invocation { origin, ..invocation.clone() };
                self.plan(pause, Due::Invoke { invocation: again });
            }
            None => {
                if let Some(function) = self.delivery.functions.get_mut(&invocation.function) {
                    function.dead_letters.push(invocation.payload.clone());
                }
            }
        }
    }

    fn invocation(
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

impl Delivery {
    pub(super) fn make_ready(&mut self, invocation: Invocation) {
        self.ready.push_back(invocation);
    }

    /// Whether an invocation waits to be taken.
    pub fn has_ready(&self) -> bool {
        self.ready.iter().any(|invocation| {
            self.functions
                .get(&invocation.function)
                .is_some_and(|function| function.running < function.concurrency)
        })
    }
}

impl Invocation {
    /// Which invocation of its chain it is.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    fn comes_from(&self, queue: &str) -> bool {
        matches!(&self.origin, Origin::Queue { name, .. } if name == queue)
    }
}

impl Message {
    fn is_visible(&self, now: Timestamp) -> bool {
        self.visible_at <= now
    }
}

/// A message as Lambda passes it to a function.
fn sqs_record(queue: &str, message: &Message) -> Value {
    json!({
        "messageId": message.id,
        "receiptHandle": format!("receipt-of-{}", message.id),
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receive_count.to_string(),
            "SentTimestamp": message.sent_at.as_millisecond().to_string(),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": message.sent_at.as_millisecond().to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": "not computed by the simulated Region",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
        "awsRegion": REGION,
    })
}

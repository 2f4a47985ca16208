//! The world: everything that is in the Region, and what happens to it as time goes by.
//!
//! Deterministic: time only moves by [`World::advance`], chance comes from one seeded source, and what is due at the
//! same moment happens in the order in which it was planned. It knows no protocol ([`crate::wire`]) and does not run
//! functions ([`crate::lambda`]): it says which invocations are due and is told how they ended.

pub mod autoscaling;
pub mod delivery;
pub mod ecs;
mod placement;
pub mod query;
pub mod rates;
mod scheduler;
pub mod sns;
pub mod spot;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use self::autoscaling::lifecycle::{CompletedAction, LifecycleAction};
use self::autoscaling::{Group, LifecycleState};
use self::delivery::{Delivery, Hop};
use self::ecs::{CapacityProvider, Cluster};
use self::rates::Rates;
use self::sns::Topic;
use crate::fault::Faults;

/// The account that everything belongs to: one of those that AWS keeps for documentation.
pub const ACCOUNT: &str = "111122223333";
/// The Region.
pub const REGION: &str = "eu-west-1";

/// Everything that is in the Region.
#[derive(Debug, Clone)]
pub struct World {
    now: Timestamp,
    rng: fastrand::Rng,
    agenda: BTreeMap<(Timestamp, u64), Due>,
    planned: u64,
    /// ECS clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// ECS capacity providers by name, but for AWS's own.
    pub capacity_providers: BTreeMap<String, CapacityProvider>,
    /// Auto Scaling groups by name.
    pub groups: BTreeMap<String, Group>,
    /// The lifecycle actions that hold an instance.
    pub lifecycle_actions: Vec<LifecycleAction>,
    /// Those that were completed, in order.
    pub completed_actions: Vec<CompletedAction>,
    /// The EC2 instances that were terminated.
    terminated: BTreeSet<String>,
    /// SNS topics by ARN. Messages can be published to others too: they are recorded and reach nobody.
    pub topics: BTreeMap<String, Topic>,
    /// Rules, queues and functions.
    pub delivery: Delivery,
    /// Whether DRAINING leaves protected tasks alone as long as they are protected. AWS does not say; off by default.
    pub protection_holds_drain: bool,
    /// The request rates of ECS.
    pub rates: Rates,
    /// Faults that are to befall calls.
    pub faults: Faults,
    /// What was published to SNS topics.
    pub published: Vec<Published>,
    /// Every API call that reached AWS, throttled ones included.
    pub calls: Vec<Call>,
    /// What has happened, in order.
    pub history: Vec<Entry>,
}

/// Something that is due at a moment.
#[derive(Debug, Clone)]
enum Due {
    /// A task takes the next step of its life.
    TaskStep { cluster: String, task: String },
    /// A service's scheduler looks at its tasks.
    Reconcile { cluster: String, service: String },
    /// EC2 takes an instance away.
    Interruption { instance_id: String, action: spot::Action },
    /// A launched instance has booted and joins its cluster.
    Joined { group: String, instance_id: String },
    /// A group looks at the balance of its Availability Zones.
    Rebalance { group: String },
    /// A lifecycle action's heartbeat or global timeout ends.
    ActionTimeout { token: String },
    /// A message reaches a function.
    Deliver { function: String, payload: Value, hop: Hop },
    /// Somebody terminates an instance of a group.
    TerminateInGroup { instance_id: String, decrement: bool },
    /// An event reaches the rules.
    Event { event: Value },
    /// A queue's messages are looked at.
    Poll { queue: String },
    /// A schedule's time has come.
    Schedule { name: String },
    /// A schedule's input is handed to Lambda.
    ScheduleAttempt { name: String, retries: u32, since: Timestamp },
    /// An asynchronous invocation is due.
    Invoke { invocation: delivery::Invocation },
}

/// A message that was published to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub topic_arn: String,
    pub subject: Option<String>,
    pub message: String,
}

/// An API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it took effect.
    pub at: Timestamp,
    /// The operation, such as `ListContainerInstances`.
    pub operation: String,
    /// The error code, if AWS refused.
    pub error: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// EC2 gave notice that it interrupts an instance.
    Notice { instance_id: String, action: spot::Action },
    /// A container instance has a new status.
    ContainerInstance { instance_id: String, status: ecs::Status },
    /// A container instance has another custom attribute; `None` if it has lost it.
    Attribute { instance_id: String, name: String, value: Option<String> },
    /// An instance was terminated, stopped or hibernated.
    InstanceGone { instance_id: String },
    /// A task has a new status.
    Task { task: String, name: String, instance_id: String, status: task::Status },
    /// A task was still running when its instance went away.
    TaskCutOff { task: String, name: String, instance_id: String },
    /// A service found no instance for a task; why not, in ECS's words.
    NotPlaced { service: String, why: String },
    /// A group has a new desired capacity.
    DesiredCapacity { group: String, desired_capacity: i32 },
    /// An instance of a group has a new state.
    LifecycleState { instance_id: String, state: LifecycleState },
    /// A lifecycle action was completed.
    ActionCompleted { action: CompletedAction },
}

impl World {
    /// An empty Region at `now`, with its own source of chance.
    pub fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            rng: fastrand::Rng::with_seed(seed),
            agenda: BTreeMap::new(),
            planned: 0,
            clusters: BTreeMap::new(),
            capacity_providers: BTreeMap::new(),
            groups: BTreeMap::new(),
            lifecycle_actions: Vec::new(),
            completed_actions: Vec::new(),
            terminated: BTreeSet::new(),
            topics: BTreeMap::new(),
            delivery: Delivery::default(),
            protection_holds_drain: false,
            rates: Rates::new(now),
            faults: Faults::default(),
            published: Vec::new(),
            calls: Vec::new(),
            history: Vec::new(),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda.keys().next().map(|&(at, _)| at)
    }

    /// Lets time pass until `now`; what was due by then happens, each at its moment. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), due) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::TaskStep { cluster, task } => self.step_task(&cluster, &task),
            Due::Reconcile { cluster, service } => self.reconcile(&cluster, &service),
            Due::Interruption { instance_id, action } => self.take_away(&instance_id, action),
            Due::Joined { group, instance_id } => self.join(&group, &instance_id),
            Due::Rebalance { group } => self.rebalance(&group),
            Due::ActionTimeout { token } => self.time_out_action(&token),
            Due::Deliver { function, payload, hop } => self.deliver(&function, payload, hop),
            Due::TerminateInGroup { instance_id, decrement } => {
                // Refused like any other call: an instance may have gone meanwhile.
                let _ = self.terminate_in_group(&instance_id, decrement);
            }
            Due::Event { event } => self.route(&event),
            Due::Poll { queue } => self.poll(&queue),
            Due::Schedule { name } => self.run_schedule(&name),
            Due::ScheduleAttempt { name, retries, since } => {
                self.attempt_schedule(&name, retries, since)
            }
            Due::Invoke { invocation } => self.delivery.make_ready(invocation),
        }
    }

    fn plan(&mut self, after: Duration, due: Due) {
        let at = self.now + after;
        self.plan_at(at, due);
    }

    fn plan_at(&mut self, at: Timestamp, due: Due) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), due);
    }

    fn record(&mut self, what: Happening) {
        self.history.push(Entry { at: self.now, what });
    }

    /// A duration between two bounds, by chance.
    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least).mul_f64(self.rng.f64())
    }

    /// An id of 32 hexadecimal digits, as ECS gives to container instances and tasks.
    fn hex_id(&mut self) -> String {
        format!("{:032x}", self.rng.u128(..))
    }

    /// A UUID, as AWS gives to events, messages and requests.
    pub(crate) fn uuid(&mut self) -> String {
        let id = self.hex_id();
        format!("{}-{}-4{}-a{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..])
    }
}

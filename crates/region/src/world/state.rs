//! Everything that is in the Region, and how time passes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::agenda::Due;
use super::autoscaling::{CarriedOut, CompletedAction, Group, LifecycleAction};
use super::delivery::{Delivery, Topic};
use super::ec2::{EndedBy, ScheduledEvent};
use super::ecs::request_rates::Rates;
use super::ecs::{CapacityProvider, Cluster};
use super::history::{Call, Entry, Happening, Published};
use super::lag::Lag;
use super::managed_capacity::ScalingMemory;
use super::metrics::Metrics;
use super::spot::Action;
use super::zonal_shift::ZonalShift;
use crate::fault::Faults;

/// What a deployed function runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The SHA-256 of its zip, in base64.
    pub code_sha256: String,
    /// What it is built for: `arm64` or `x86_64`.
    pub architecture: &'static str,
}

/// Everything that is in the Region.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) now: Timestamp,
    pub(super) rng: fastrand::Rng,
    pub(super) agenda: BTreeMap<(Timestamp, u64), Due>,
    pub(super) planned: u64,
    /// ECS clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// The instances in each Capacity Reservation of EC2.
    pub capacity_reservations: BTreeMap<String, Vec<String>>,
    /// What EC2 has scheduled, by instance.
    pub scheduled_events: BTreeMap<String, ScheduledEvent>,
    /// The load balancers that use each target group, all by their ARNs.
    pub target_groups: BTreeMap<String, Vec<String>>,
    /// The zonal shifts that were started, over or not.
    pub(super) zonal_shifts: Vec<ZonalShift>,
    /// ECS capacity providers by name, but for AWS's own.
    pub capacity_providers: BTreeMap<String, CapacityProvider>,
    /// What cluster auto scaling remembers, by capacity provider.
    pub(super) scaling_memory: BTreeMap<String, ScalingMemory>,
    /// Auto Scaling groups by name.
    pub groups: BTreeMap<String, Group>,
    /// The requests to launch instances that were carried out, by their client tokens.
    pub(super) launch_requests: BTreeMap<String, CarriedOut>,
    /// The lifecycle actions that hold an instance.
    pub lifecycle_actions: Vec<LifecycleAction>,
    /// Those that were completed, in order.
    pub completed_actions: Vec<CompletedAction>,
    /// The EC2 instances that are gone for good. ECS and their groups may not know it yet.
    pub(super) ended: BTreeSet<String>,
    /// SNS topics by ARN. Messages can be published to others too: they are recorded and reach
    /// nobody.
    pub topics: BTreeMap<String, Topic>,
    /// Rules, queues and functions.
    pub delivery: Delivery,
    /// What deployed functions run, by their names.
    pub packages: BTreeMap<String, Package>,
    /// Whether DRAINING leaves protected tasks alone as long as they are protected. AWS does not
    /// say; off by default.
    pub protection_holds_drain: bool,
    /// The request rates of ECS.
    pub rates: Rates,
    /// Faults that are to befall calls.
    pub faults: Faults,
    /// How far what ECS and Auto Scaling say lags behind what there is.
    pub lag: Lag,
    /// After how long an idle connection of a client in this process is closed, which the client finds
    /// out by its next call. `None`: never.
    pub idle_connections_last: Option<Duration>,
    /// What CloudWatch knows of metrics.
    pub metrics: Metrics,
    /// What was published to SNS topics.
    pub published: Vec<Published>,
    /// Every API call that reached AWS, throttled ones included.
    pub calls: Vec<Call>,
    /// What has happened, in order.
    pub history: Vec<Entry>,
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
            capacity_reservations: BTreeMap::new(),
            scheduled_events: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            zonal_shifts: Vec::new(),
            capacity_providers: BTreeMap::new(),
            scaling_memory: BTreeMap::new(),
            groups: BTreeMap::new(),
            launch_requests: BTreeMap::new(),
            lifecycle_actions: Vec::new(),
            completed_actions: Vec::new(),
            ended: BTreeSet::new(),
            topics: BTreeMap::new(),
            delivery: Delivery::default(),
            packages: BTreeMap::new(),
            protection_holds_drain: false,
            rates: Rates::new(now),
            faults: Faults::default(),
            lag: Lag::default(),
            idle_connections_last: None,
            metrics: Metrics::default(),
            published: Vec::new(),
            calls: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Whether an EC2 instance is gone for good.
    pub(crate) fn ended(&self, instance_id: &str) -> bool {
        self.ended.contains(instance_id)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda.keys().next().map(|&(time, _)| time)
    }

    /// Lets time pass until `now`; what was due by then happens, each at its moment. Time never
    /// goes back.
    pub fn advance(&mut self, now: Timestamp) {
        // The agenda is asked anew each time, because what happens may plan more that is due by
        // then.
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((time, _), due) = entry.remove_entry();
            self.keep_snapshot(time);
            // What happens must see its own moment and not the end of the span, or everything that
            // it plans would be late.
            self.now = self.now.max(time);
            self.carry_out(due);
        }
        // Whoever advances the world may be about to change it.
        self.keep_snapshot(now);
        self.now = self.now.max(now);
    }

    fn carry_out(&mut self, due: Due) {
        match due {
            Due::TaskStep { cluster, task } => self.step_task(&cluster, &task),
            Due::Reconcile { cluster, service } => self.reconcile(&cluster, &service),
            Due::Interruption { instance_id, action: Action::Terminate } => {
                self.end_in_ec2(&instance_id)
            }
            Due::Interruption { instance_id, action } => {
                self.remove_instance(&instance_id, action, EndedBy::Ec2)
            }
            Due::AgentLoss { cluster, container_instance } => {
                self.set_agent_connected(&cluster, &container_instance, false)
            }
            Due::Deregistration { cluster, container_instance } => {
                self.deregister(&cluster, &container_instance)
            }
            Due::HealthCheck { instance_id } => self.check_health(&instance_id),
            Due::Unhealthy { instance_id } => self.set_unhealthy(&instance_id),
            Due::UnhealthyReplacement { instance_id } => self.replace_unhealthy(&instance_id),
            Due::Removal { instance_id, by } => {
                self.remove_instance(&instance_id, Action::Terminate, by)
            }
            Due::Running { group, instance_id } => self.enter_service(&group, &instance_id),
            Due::Return { instance_id } => self.run_again(&instance_id),
            Due::AgentConnects { instance_id } => self.connect_agent(&instance_id),
            Due::RootVolumeReplaced { instance_id } => self.finish_root_volume(&instance_id),
            Due::Joined { group, instance_id } => {
                self.register_launched_instance(&group, &instance_id)
            }
            Due::Rebalance { group } => self.rebalance(&group),
            Due::Reservation { provider } => self.measure_reservation(&provider),
            Due::ManagedDraining { instance_id } => self.drain_managed(&instance_id),
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

    pub(super) fn plan(&mut self, after: Duration, due: Due) {
        self.plan_at(self.now + after, due);
    }

    pub(super) fn plan_at(&mut self, time: Timestamp, due: Due) {
        // The number makes the key unique and keeps what is due at one moment in the order of
        // planning, so that a seed repeats exactly.
        self.planned += 1;
        self.agenda.insert((time, self.planned), due);
    }

    pub(super) fn record(&mut self, happening: Happening) {
        self.history.push(Entry { time: self.now, happening });
    }

    /// A duration between two bounds, by chance.
    pub(super) fn random_duration(&mut self, min: Duration, max: Duration) -> Duration {
        min + (max - min).mul_f64(self.rng.f64())
    }

    /// An id of 32 hexadecimal digits, as ECS gives to container instances and tasks.
    pub(super) fn hex_id(&mut self) -> String {
        format!("{:032x}", self.rng.u128(..))
    }

    /// A UUID, as AWS gives to events, messages and requests.
    pub(crate) fn uuid(&mut self) -> String {
        let id = self.hex_id();
        format!("{}-{}-4{}-a{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..])
    }
}

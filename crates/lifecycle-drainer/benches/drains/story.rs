//! One mass termination, played by the real function on the simulated Region in virtual time.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::lifecycle::Answer;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::in_process::InProcess;
use ebb_region::world::World;
use ebb_region::world::autoscaling::{Group, Hook};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::{NewInstance, ServiceKind, TaskSpec};
use ebb_region::{Region, RunEnd, scenario};
use jiff::Timestamp;
use lifecycle_drainer::LifecycleDrainer;
use serde_json::Value;

/// The function's time-out.
const TIMEOUT: Duration = Duration::from_secs(900);

/// No hook holds an instance longer than 48 hours.
const LIMIT: Duration = Duration::from_secs(49 * 3600);

/// When every story begins.
pub(crate) const START: Timestamp = Timestamp::UNIX_EPOCH;

/// How long an outage lasts, from the start.
const OUTAGE: Duration = Duration::from_secs(900);

/// So many instances of one group that terminate at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    /// How many are terminated.
    pub(crate) drains: usize,
    /// How long a task stays after it was told to stop.
    pub(crate) deregistration_seconds: u64,
    /// The hook's heartbeat time-out.
    pub(crate) heartbeat_seconds: u64,
    /// How many executions the function may have at once; `None` is as many as it needs.
    pub(crate) executions: Option<usize>,
    /// What is out of order at first.
    pub(crate) outage: Outage,
}

/// What is out of order for the first quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Nothing.
    None,
    /// Every invocation fails.
    Failing,
    /// The account's executions are all taken, so that every invocation is throttled.
    Throttled,
}

impl Story {
    /// Instances whose hook has the default time-out, with executions for all of them.
    pub(crate) fn new(drains: usize, deregistration_seconds: u64) -> Self {
        Self {
            drains,
            deregistration_seconds,
            heartbeat_seconds: 3_600,
            executions: None,
            outage: Outage::None,
        }
    }

    /// The EC2 instances that are terminated.
    pub(crate) fn instance_ids(self) -> impl Iterator<Item = String> {
        instance_ids(self.drains)
    }

    /// Plays it to its end and returns the world as it is then.
    pub(crate) fn play(self) -> World {
        fastrand::seed(7);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without a thread can be built").block_on(async {
            let region = Region::start(self.world(), 1.0);
            let clients = Clients::new(&region.connect(config_loader()).await);
            let drainer = Arc::new(LifecycleDrainer::new(clients, LifecycleSettings::default()));
            let fails_until =
                if self.outage == Outage::Failing { START + OUTAGE } else { Timestamp::MIN };
            let handle = move |drainer, payload, now, deadline| {
                handle(drainer, payload, now, deadline, fails_until)
            };
            let lambda = InProcess::default().handling(
                scenario::LIFECYCLE_DRAINER,
                &region,
                &drainer,
                handle,
            );
            let (run_end, ()) =
                tokio::join!(region.run(&lambda, LIMIT), self.allow_executions(&region));
            assert_eq!(run_end, RunEnd::Quiet, "every hook ends");
            region.world().clone()
        })
    }

    /// Lets the function run as often at once as it may, from the end of the outage on.
    async fn allow_executions(self, region: &Region) {
        if self.outage != Outage::Throttled {
            return;
        }
        tokio::time::sleep(OUTAGE).await;
        let concurrency = self.function().concurrency;
        let mut world = region.world();
        let function = world.delivery.functions.get_mut(scenario::LIFECYCLE_DRAINER);
        function.expect("it is there from the start").concurrency = concurrency;
    }

    fn function(self) -> Function {
        let mut function = Function::new(TIMEOUT);
        // As Terraform sets it.
        function.recursive_loop_allowed = true;
        match self.executions {
            Some(executions) => function.reserving(executions),
            None => function,
        }
    }

    /// A cluster of twice as many instances as are terminated, with three tasks of a service on
    /// each.
    ///
    /// The instances take turns in the group's zones, as Auto Scaling would launch them, and so do
    /// those that are terminated: a group whose zones drift apart moves instances between them, and
    /// each move is one more drain.
    fn world(self) -> World {
        let mut world = World::new(START, 1);
        let ids: Vec<_> = instance_ids(2 * self.drains).collect();
        let group = Group::with_instances(scenario::CLUSTER, ids.clone());
        for (id, zone) in ids.iter().zip(group.zones.iter().cycle()) {
            world.add_instance(scenario::CLUSTER, NewInstance::new(id).zone(zone));
        }
        let spec = TaskSpec {
            deregistration_delay: Some(Duration::from_secs(self.deregistration_seconds)),
            ..TaskSpec::default()
        };
        let service = ServiceKind::replica(6 * self.drains);
        world.add_service(scenario::CLUSTER, "web", service, spec);
        world.add_group("group", group);
        let heartbeat_timeout = Duration::from_secs(self.heartbeat_seconds);
        let hook = Hook { heartbeat_timeout, ..Hook::new(scenario::HOOK) };
        let function = match self.outage {
            Outage::None | Outage::Failing => self.function(),
            Outage::Throttled => self.function().reserving(0),
        };
        scenario::route_terminations(&mut world, &hook, function);
        for id in self.instance_ids() {
            world.terminate_in_group(&id, true).expect("the group is above its minimum");
        }
        world
    }
}

fn instance_ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("i-{number:017x}"))
}

async fn handle(
    drainer: Arc<LifecycleDrainer>,
    payload: Value,
    now: Timestamp,
    deadline: Timestamp,
    fails_until: Timestamp,
) -> Result<Answer, String> {
    if now < fails_until {
        return Err("out of order".to_owned());
    }
    drainer.handle(&payload, now, deadline).await.map_err(|error| error.to_string())
}

//! One mass termination, played by the real function on the simulated Region in virtual time.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, clients::config_loader};
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

/// So many instances of one group that terminate at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    /// How many are terminated.
    pub(crate) drains: usize,
    /// How long a task stays after it was told to stop.
    pub(crate) deregistration_seconds: u64,
}

/// When every story begins.
pub(crate) const START: Timestamp = Timestamp::UNIX_EPOCH;

impl Story {
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
            let lambda = InProcess::default().handling(
                scenario::LIFECYCLE_DRAINER,
                &region,
                &drainer,
                handle,
            );
            assert_eq!(region.run(&lambda, LIMIT).await, RunEnd::Quiet, "every hook ends");
            region.world().clone()
        })
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
        let function = Function::new(TIMEOUT);
        scenario::route_terminations(&mut world, &Hook::new(scenario::HOOK), function);
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
) -> Result<Answer, HandlerError> {
    drainer.handle(&payload, now, deadline).await
}

//! The reaper on a simulated Region, with the lifecycle drainer behind the groups' hooks, ready to
//! be told a story.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, clients::config_loader};
use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{Answer, ClusterReport, OutcomeKind, RemovalOutcome};
use ebb_planner::KeepReason;
use ebb_region::in_process::InProcess;
pub(crate) use ebb_region::scenario::{CLUSTER, ON_DEMAND_GROUP as GROUP, instance_id};
use ebb_region::world::autoscaling::{Group, Hook, LifecycleState};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::{REGION, World};
use ebb_region::{Region, RunEnd, scenario};
use jiff::Timestamp;
use lifecycle_drainer::LifecycleDrainer;
use scale_in_reaper::ScaleInReaper;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The function's time-out: as long as Lambda allows.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);
/// From one sweep to the next.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1_800);

pub(crate) fn start_time() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

/// May act, and may remove everything at once: what it removes is then bounded by the group and the
/// headroom only. It has no patience, as most stories are about something else.
pub(crate) fn settings() -> ReaperSettings {
    ReaperSettings {
        clusters: Some(vec![Cluster::new(CLUSTER)]),
        mode: ReaperMode::Act,
        max_removals_percent: 100,
        low_for_sweeps: 1,
        hold_after_take_back: jiff::SignedDuration::ZERO,
        lifecycle_topic: Some(TopicArn::new(scenario::TERMINATION_TOPIC)),
        ..ReaperSettings::default()
    }
}

/// A cluster of six instances in one group of at least `min_size`, with three tasks of a service:
/// three instances are empty, as they are spread.
pub(crate) fn small(min_size: i32) -> World {
    let mut world = World::new(start_time(), 1);
    add_small(&mut world, CLUSTER, GROUP, 1..=6, min_size);
    world
}

/// Adds such a cluster with instances of these numbers.
pub(crate) fn add_small(
    world: &mut World,
    cluster: &str,
    group: &str,
    numbers: std::ops::RangeInclusive<usize>,
    min_size: i32,
) {
    for number in numbers.clone() {
        let zone = ["a", "b", "c"][number % 3];
        world.add_instance(
            cluster,
            NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}")),
        );
    }
    world.add_group(
        group,
        Group {
            min_size,
            max_size: 10,
            ..Group::with_instances(cluster, numbers.map(instance_id))
        },
    );
    world.add_service(cluster, "web", ServiceKind::replica(3), TaskSpec::default());
}

/// Puts termination hooks with the lifecycle drainer behind them onto every group.
pub(crate) fn hooked(mut world: World) -> World {
    scenario::route_terminations(&mut world, &Hook::new(scenario::HOOK), Function::new(TIMEOUT));
    world
}

pub(crate) struct Sim {
    pub(crate) region: Region,
    pub(crate) reaper: Arc<ScaleInReaper>,
    drainer: Arc<LifecycleDrainer>,
}

impl Sim {
    pub(crate) async fn start(mut world: World, settings: ReaperSettings) -> Self {
        if let Some(topic) = &settings.notification_topic {
            world.create_topic(topic.as_str());
        }
        // The SDK draws the jitter of its pauses from this source, and so does the drainer.
        fastrand::seed(7);
        let region = Region::start(world, 1.0);
        let clients = Clients::new(&region.connect(config_loader()).await);
        let drainer =
            Arc::new(LifecycleDrainer::new(clients.clone(), LifecycleSettings::default()));
        Self { region, reaper: Arc::new(ScaleInReaper::new(clients, settings)), drainer }
    }

    /// The same Region with other settings.
    pub(crate) async fn with(&self, settings: ReaperSettings) -> Self {
        let clients = Clients::new(&self.region.connect(config_loader()).await);
        let reaper = Arc::new(ScaleInReaper::new(clients, settings));
        Self { region: self.region.clone(), reaper, drainer: Arc::clone(&self.drainer) }
    }

    /// Invokes the reaper once.
    pub(crate) async fn invoke(&self, payload: &Value) -> Result<Answer, HandlerError> {
        let now = self.region.now();
        self.reaper.handle(payload, now, now + TIMEOUT).await
    }

    /// A sweep that succeeds.
    pub(crate) async fn sweep(&self) -> Answer {
        self.invoke(&json!({})).await.expect("the sweep succeeds")
    }

    /// A sweep of the one cluster that there is.
    pub(crate) async fn report(&self) -> ClusterReport {
        let mut answer = self.sweep().await;
        assert_eq!(answer.clusters.len(), 1, "{answer:?}");
        answer.clusters.remove(0)
    }

    /// A sweep, and once its `nth` call of an operation is through something else happens.
    pub(crate) async fn sweep_while(
        &self,
        operation: &str,
        nth: usize,
        happens: impl FnOnce(&mut World),
    ) -> ClusterReport {
        let begun = self.region.world().calls.len();
        let calls_made = || {
            let world = self.region.world();
            world.calls[begun..].iter().filter(|call| call.operation == operation).count()
        };
        let meanwhile = async {
            while calls_made() < nth {
                sleep(Duration::from_millis(1)).await;
            }
            happens(&mut self.region.world());
        };
        let (report, ()) = tokio::join!(self.report(), meanwhile);
        report
    }

    /// A sweep that is killed once it has made this many calls. Says whether it came that far.
    pub(crate) async fn kill_after(&self, calls: usize) -> bool {
        let begun = self.region.world().calls.len();
        let killed = async {
            while self.region.world().calls.len() < begun + calls {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let payload = json!({});
        tokio::select! {
            biased;
            () = killed => true,
            report = self.invoke(&payload) => { report.unwrap(); false }
        }
    }

    /// Lets time pass, with both functions behind what invokes them.
    pub(crate) async fn run(&self, limit: Duration) -> RunEnd {
        let handle = |drainer: Arc<LifecycleDrainer>, payload, now, deadline| async move {
            drainer.handle(&payload, now, deadline).await
        };
        let sweep = |reaper: Arc<ScaleInReaper>, payload, now, deadline| async move {
            reaper.handle(&payload, now, deadline).await
        };
        let lambda = InProcess::default()
            .handling(scenario::LIFECYCLE_DRAINER, &self.region, &self.drainer, handle)
            .handling(scenario::SCALE_IN_REAPER, &self.region, &self.reaper, sweep);
        let end = self.region.now() + limit;
        let later_results = self.region.run(&lambda, limit).await;
        // The Region comes back as soon as nothing more is to happen.
        sleep(Duration::try_from(end.duration_since(self.region.now())).unwrap_or_default()).await;
        later_results
    }

    /// The time until the next sweep.
    pub(crate) async fn until_next(&self) {
        self.run(INTERVAL).await;
    }

    pub(crate) fn with_status(&self, status: Status) -> Vec<String> {
        self.region.world().instances_with(status).into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn draining(&self) -> Vec<String> {
        self.with_status(Status::Draining)
    }

    pub(crate) fn active(&self) -> usize {
        self.with_status(Status::Active).len()
    }

    /// The instances in the cluster that bear our mark.
    pub(crate) fn marked(&self) -> Vec<String> {
        let world = self.region.world();
        let instances = world.clusters.values().flat_map(|cluster| cluster.instances.values());
        let marked = instances.filter(|instance| {
            instance.status != Status::Inactive && instance.attribute(DRAINED_BY).is_some()
        });
        marked.map(|instance| instance.instance_id.clone()).collect()
    }

    pub(crate) fn state_of(&self, instance_id: &str) -> Option<LifecycleState> {
        self.region.world().lifecycle_state(instance_id)
    }

    /// How often an operation was called.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.region.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// What must hold at any time: no task was cut off, every wanted task runs, no group is below
    /// its minimum.
    pub(crate) fn assert_unharmed(&self) {
        let world = self.region.world();
        let cut_off: Vec<_> =
            world.tasks_cut_off().into_iter().map(|task| task.name.clone()).collect();
        assert_eq!(cut_off, [""; 0]);
        assert_eq!(world.missing_tasks(), []);
        for (name, group) in &world.groups {
            assert!(group.desired_capacity >= group.min_size, "{name}: {group:?}");
        }
    }

    /// Nothing that a sweep began is left: no instance drains, and none bears a mark.
    pub(crate) fn assert_at_rest(&self) {
        assert_eq!((self.draining(), self.marked()), (Vec::new(), Vec::new()));
        self.assert_unharmed();
    }
}

/// The instances that went, or would go.
pub(crate) fn removed(report: &ClusterReport) -> Vec<String> {
    report.plan.remove.iter().map(|removal| removal.instance_id.to_string()).collect()
}

pub(crate) fn outcomes(removals: &[RemovalOutcome]) -> Vec<OutcomeKind> {
    removals.iter().map(|outcome| outcome.outcome).collect()
}

/// Why an instance stays.
pub(crate) fn reason(report: &ClusterReport, instance_id: &str) -> KeepReason {
    let kept = report.plan.keep.iter().find(|kept| kept.instance_id.as_str() == instance_id);
    kept.unwrap_or_else(|| panic!("{instance_id} is not kept: {:?}", report.plan)).reason.clone()
}

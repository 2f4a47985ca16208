//! What the Spot drainer costs, in API calls and in virtual seconds: for single notices, and for
//! mass interruptions under the real request rates of ECS, beside the least that those rates allow.
#![expect(clippy::print_stdout, reason = "prints its tables")]
#![expect(clippy::expect_used, reason = "a benchmark that fails may panic")]

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::event::Origin;
use ebb_core::ids::{Cluster, GroupName};
use ebb_core::spot::settings::SpotSettings;
use ebb_region::in_process::InProcess;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::ecs::request_rates::Class;
use ebb_region::world::ecs::{NewInstance, ServiceKind, Status, TaskSpec};
use ebb_region::world::spot::Action;
use ebb_region::world::{Happening, World};
use ebb_region::{Region, scenario};
use jiff::Timestamp;
use serde_json::json;
use spot_drainer::SpotDrainer;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Container instances in one `UpdateContainerInstancesState`.
const UPDATE_STATE_MAX: u64 = 10;

fn main() {
    single_notices();
    recommendations();
    mass_interruptions();
}

/// Runs a story in virtual time.
fn in_virtual_time<T>(story: impl Future<Output = T>) -> T {
    fastrand::seed(7);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without a thread can be built").block_on(story)
}

async fn drainer(region: &Region, settings: SpotSettings) -> Arc<SpotDrainer> {
    Arc::new(SpotDrainer::new(Clients::new(&region.connect(config_loader()).await), settings))
}

fn one_cluster() -> SpotSettings {
    SpotSettings {
        clusters: Some(vec![Cluster::new(scenario::CLUSTER)]),
        ..SpotSettings::default()
    }
}

fn single_notices() {
    let fallback = || SpotSettings {
        fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)),
        ..one_cluster()
    };
    println!("One notice                                       API calls  virtual ms");
    let container_instance = scenario::instance_id(7);
    for (title, instance_id, settings) in [
        ("one configured cluster", container_instance.as_str(), one_cluster()),
        ("one configured cluster, with a fallback group", &container_instance, fallback()),
        ("every cluster of the Region (one)", &container_instance, SpotSettings::default()),
        ("an instance of no cluster", "i-0fedcba9876543210", one_cluster()),
    ] {
        let (calls, took) = in_virtual_time(single_notice(instance_id, settings));
        println!("  {title:<46} {calls:>9}  {:>10}", took.as_millis());
    }
}

async fn single_notice(instance_id: &str, settings: SpotSettings) -> (usize, Duration) {
    let region = Region::start(scenario::shop(Timestamp::UNIX_EPOCH, 1), 1.0);
    let drainer = drainer(&region, settings).await;
    let notice = json!({
        "source": "aws.ec2",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    });
    let start = region.now();
    drainer
        .handle(&notice, &Origin::default(), start, start + TIMEOUT)
        .await
        .expect("the notice is handled");
    let took = Duration::try_from(region.now().duration_since(start)).expect("time goes forward");
    (region.world().calls.len(), took)
}

fn mass_interruptions() {
    println!(
        "\nMass interruption: every container instance of a cluster at once, notices through the queue"
    );
    println!(
        "instances  action     batch  invocations  lists  describes  updates  throttled  last DRAINING  floor  ratio"
    );
    // Those that may come back are marked, which shares the request rate with the drains.
    for (instances, action, batch_size) in [
        (500, Action::Terminate, 10),
        (500, Action::Terminate, 80),
        (5_000, Action::Terminate, 10),
        (5_000, Action::Terminate, 80),
        (500, Action::Stop, 80),
        (5_000, Action::Stop, 80),
    ] {
        let world = in_virtual_time(mass_interruption(instances, action, batch_size));
        let calls = |operation: &str| {
            world
                .calls
                .iter()
                .filter(|call| call.operation == operation && call.error.is_none())
                .count()
        };
        let throttled = world.calls.iter().filter(|call| call.error.is_some()).count();
        let last = last_drain(&world, instances);
        let floor = floor(instances);
        let ratio = if floor > 0.0 { format!("{:.2}", last / floor) } else { "-".to_owned() };
        println!(
            "{instances:>9}  {:<9}  {batch_size:>5}  {:>11}  {:>5}  {:>9}  {:>7}  {throttled:>9}  {last:>11.1} s  {floor:>3.0} s  {ratio:>5}",
            action.as_str(),
            world.delivery.ended.len(),
            calls("ListContainerInstances"),
            calls("DescribeContainerInstances"),
            calls("UpdateContainerInstancesState"),
        );
    }
}

async fn mass_interruption(instances: u64, action: Action, batch_size: usize) -> World {
    let mut world = scenario::mass_interruption(Timestamp::UNIX_EPOCH, instances, action);
    let queue = Queue { batch_size, ..Queue::for_function(scenario::SPOT_DRAINER) };
    scenario::route_notices(&mut world, queue, Function::new(TIMEOUT));
    let region = Region::start(world, 1.0);
    let drainer = drainer(&region, one_cluster()).await;
    let handle = |drainer: Arc<SpotDrainer>, payload, now, deadline| async move {
        drainer.handle(&payload, &Origin::default(), now, deadline).await
    };
    let lambda = InProcess::default().handling(scenario::SPOT_DRAINER, &region, &drainer, handle);
    region.run(&lambda, Duration::from_secs(600)).await;
    region.world().clone()
}

/// Seconds from the notices to the last container instance that became DRAINING.
fn last_drain(world: &World, instances: u64) -> f64 {
    let drains = world.history.iter().filter(|entry| is_drain(&entry.happening));
    let times: Vec<_> = drains.map(|entry| entry.time).collect();
    assert_eq!(
        u64::try_from(times.len()),
        Ok(instances),
        "every container instance is drained, once"
    );
    let last = times.into_iter().max().unwrap_or(Timestamp::UNIX_EPOCH);
    last.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

fn is_drain(happening: &Happening) -> bool {
    matches!(happening, Happening::ContainerInstance { status: Status::Draining, .. })
}

/// The least that the request rate of `UpdateContainerInstancesState` allows.
fn floor(instances: u64) -> f64 {
    let (burst, per_second) = Class::ClusterResourceModify.limits();
    let updates = u32::try_from(instances.div_ceil(UPDATE_STATE_MAX)).unwrap_or(u32::MAX);
    ((f64::from(updates) - burst) / per_second).max(0.0)
}

/// A recommendation takes a look at all of the instance's cluster.
fn recommendations() {
    println!(
        "\nOne rebalance recommendation: instances, services, and what the look at them costs"
    );
    println!("  instances  services  API calls  virtual s");
    for (instances, services) in [(12, 3), (500, 100)] {
        let (calls, took) = in_virtual_time(recommendation(instances, services));
        println!("  {instances:>9}  {services:>8}  {calls:>9}  {:>9.1}", took.as_secs_f64());
    }
}

async fn recommendation(instances: usize, services: usize) -> (usize, Duration) {
    let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
    for number in 0..services {
        let (name, kind) = (format!("service-{number}"), ServiceKind::replica(0));
        world.add_service(scenario::CLUSTER, &name, kind, TaskSpec::default());
    }
    for number in 1..=instances {
        world.add_instance(scenario::CLUSTER, NewInstance::new(scenario::instance_id(number)));
    }
    let kind = ServiceKind::replica(instances);
    world.add_service(scenario::CLUSTER, "web", kind, TaskSpec::default());
    let region = Region::start(world, 1.0);
    let settings = SpotSettings { drain_on_rebalance: true, ..one_cluster() };
    let drainer = drainer(&region, settings).await;
    let recommendation = json!({
        "source": "aws.ec2",
        "detail-type": "EC2 Instance Rebalance Recommendation",
        "detail": {"instance-id": scenario::instance_id(1)},
    });
    let start = region.now();
    let handled = drainer.handle(&recommendation, &Origin::default(), start, start + TIMEOUT).await;
    handled.expect("the cluster is read in time");
    let took = Duration::try_from(region.now().duration_since(start)).expect("time goes forward");
    (region.world().calls.len(), took)
}

//! What a sweep costs, in API calls and in virtual seconds, by the size of the cluster: with ECS's
//! real request rates.
#![expect(clippy::print_stdout, reason = "prints its table")]
#![expect(clippy::expect_used, reason = "a benchmark that fails may panic")]

use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::TaskSpec;
use ebb_region::world::ecs::{NewInstance, ServiceKind};
use ebb_region::{Region, scenario};
use jiff::Timestamp;
use scale_in_reaper::ScaleInReaper;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(900);

fn main() {
    println!(
        "instances  services  mode  removed  calls  reads of instances and tasks  throttled  seconds"
    );
    for (instances, services) in [(12, 4), (50, 10), (500, 40), (5_000, 200)] {
        for mode in [ReaperMode::Plan, ReaperMode::Act] {
            sweep(instances, services, mode);
        }
    }
}

/// Two tasks an instance, in services of equal size: less than half of what the instances have.
fn cluster(instances: usize, services: usize) -> World {
    let mut world = World::new(Timestamp::UNIX_EPOCH + Duration::from_secs(86_400), 1);
    let ids: Vec<_> = (0..instances).map(|number| format!("i-{number:017x}")).collect();
    for (number, id) in ids.iter().enumerate() {
        let zone = ["eu-west-1a", "eu-west-1b", "eu-west-1c"][number % 3];
        world.add_instance(scenario::CLUSTER, NewInstance::new(id).zone(zone));
    }
    for service in 0..services {
        let kind = ServiceKind::replica(2 * instances / services);
        world.add_service(
            scenario::CLUSTER,
            &format!("service{service}"),
            kind,
            TaskSpec::default(),
        );
    }
    world.add_group("group", Group::with_instances(scenario::CLUSTER, ids));
    scenario::route_terminations(&mut world, &Hook::new(scenario::HOOK), Function::new(TIMEOUT));
    world
}

fn sweep(instances: usize, services: usize, mode: ReaperMode) {
    fastrand::seed(7);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without a thread can be built").block_on(async {
        let region = Region::start(cluster(instances, services), 1.0);
        let clients = Clients::new(&region.connect(config_loader()).await);
        let clusters = Some(vec![Cluster::new(scenario::CLUSTER)]);
        let lifecycle_topic = Some(TopicArn::new(scenario::TERMINATION_TOPIC));
        let reaper = ScaleInReaper::new(
            clients,
            ReaperSettings {
                mode,
                clusters,
                lifecycle_topic,
                // A sweep that finds all that could go, and removes it.
                low_for_sweeps: 1,
                ..ReaperSettings::default()
            },
        );
        let now = region.now();
        let answer =
            reaper.handle(&json!({}), now, now + TIMEOUT).await.expect("the sweep succeeds");
        let took = region.now().duration_since(now).as_secs_f64();

        let world = region.world();
        let count = |which: &dyn Fn(&ebb_region::world::Call) -> bool| {
            world.calls.iter().filter(|call| which(call)).count()
        };
        let reads =
            ["ListContainerInstances", "DescribeContainerInstances", "ListTasks", "DescribeTasks"];
        println!(
            "{instances:>9}  {services:>8}  {:>4}  {:>7}  {:>5}  {:>28}  {:>9}  {took:>7.1}",
            if mode == ReaperMode::Act { "act" } else { "plan" },
            answer.clusters[0].plan.remove.len(),
            world.calls.len(),
            count(&|call| reads.contains(&call.operation.as_str())),
            count(&|call| call.error.as_deref() == Some("ThrottlingException")),
        );
    });
}

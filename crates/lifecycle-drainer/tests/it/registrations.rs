//! Stories of several container instances on one EC2 instance: its agent lost its state, and
//! registered anew, in the same cluster or in another. Each of them is drained and waited for.

use std::time::Duration;

use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;
use ebb_region::world::ecs::{NewInstance, Status, TaskSpec};
use jiff::SignedDuration;

use crate::support::{Sim, instance_id, last_stop, settings, shop, since_start};

/// Registers the instance once more, with a standalone task on it that stops by itself.
fn register_again(world: &mut World, cluster: &str, status: Status) -> String {
    world.add_cluster(cluster);
    let id = world.add_instance(cluster, NewInstance::new(instance_id(9)).status(status));
    world.run_task(cluster, &id, "report", TaskSpec::default())
}

/// Terminates the instance. After four minutes, which its service tasks do not need, the task of its
/// other registration is told to stop.
async fn terminate_and_stop_later(world: World, cluster: &str, task: &str) -> Sim {
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(240)).await;
        assert_eq!(sim.region.world().completed_actions, [], "a task runs");
        sim.region.world().stop_task(cluster, task);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), stop);
    sim
}

#[tokio::test(start_paused = true)]
async fn every_container_instance_is_drained_and_waited_for_wherever_it_is() {
    for cluster in ["shop", "old-shop", "a-cluster-that-comes-first"] {
        for status in [Status::Active, Status::Draining] {
            let mut world = shop();
            let task = register_again(&mut world, cluster, status);
            let sim = terminate_and_stop_later(world, cluster, &task).await;

            let completed = sim.completed();
            assert_eq!(completed.cause, CompletedBy::Caller);
            assert_eq!(sim.tasks_cut_off(), [""; 0], "{cluster}, {status:?}");
            let stopped = last_stop(&sim.region.world(), &instance_id(9), "logs");
            assert!(completed.time >= stopped, "{cluster}, {status:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_hop_waits_for_all_of_them() {
    let mut world = shop();
    let task = register_again(&mut world, "old-shop", Status::Active);
    let settings = LifecycleSettings { hop: SignedDuration::from_secs(100), ..settings() };
    let sim = Sim::start(world, settings).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(400)).await;
        assert_eq!(sim.region.world().completed_actions, [], "a task runs");
        sim.region.world().stop_task("old-shop", &task);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), stop);

    assert!(since_start(sim.completed().time) > SignedDuration::from_secs(400));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_registers_while_the_others_leave_their_cluster_is_found() {
    let mut world = shop();
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    world.add_cluster("new-shop");
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let register = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let task = {
            let mut world = sim.region.world();
            world.set_status("shop", &id, Status::Inactive);
            register_again(&mut world, "new-shop", Status::Active)
        };
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(sim.region.world().completed_actions, [], "a task runs");
        sim.region.world().stop_task("new-shop", &task);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), register);

    assert!(since_start(sim.completed().time) > SignedDuration::from_secs(220));
}

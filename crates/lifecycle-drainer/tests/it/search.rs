//! Stories of what a hop observes: whether the action is waited for, where the container instance
//! is, and what a call that fails leads to.

use std::time::Duration;

use ebb_aws::ErrorType;
use ebb_region::fault::Fault;
use ebb_region::world::autoscaling::{CompletedBy, Hook, LifecycleState};
use ebb_region::world::ecs::Status;
use jiff::SignedDuration;

use crate::support::{
    HOOK, Sim, TOPIC, instance_id, last_stop, over_sns, quiet_shop, settings, shop, shop_with_hook,
    since_start,
};

#[tokio::test(start_paused = true)]
async fn an_instance_of_no_cluster_is_let_go_at_once() {
    let mut world = shop();
    let cluster = world.clusters.get_mut("shop").unwrap();
    cluster.instances.retain(|_, instance| instance.instance_id != instance_id(9));
    cluster.tasks.retain(|_, task| cluster.instances.contains_key(&task.container_instance));
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(since_start(completed.time) < SignedDuration::from_secs(10), "{}", completed.time);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_never_completes_an_action() {
    for operation in
        ["ListContainerInstances", "ListTasks", "DescribeTasks", "DescribeAutoScalingInstances"]
    {
        for fault in [Fault::Throttle, Fault::ServerError, Fault::Timeout, Fault::Denied] {
            let mut world = shop();
            world.faults.plan(operation, fault, u32::MAX);
            let sim = Sim::start(world, settings()).await;
            sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
            sim.run(Duration::from_secs(850)).await;

            assert_eq!(sim.region.world().completed_actions, [], "{operation}, {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_ends_the_hop_at_once() {
    for operation in [
        "DescribeAutoScalingInstances",
        "DescribeLifecycleHooks",
        "RecordLifecycleActionHeartbeat",
        "ListContainerInstances",
        "UpdateContainerInstancesState",
        "ListTasks",
        "DescribeTasks",
        "DescribeServices",
    ] {
        let sim = Sim::start(quiet_shop(), settings()).await;
        {
            let mut world = sim.region.world();
            world.terminate_in_group(&instance_id(9), false).unwrap();
            world.faults.plan(operation, Fault::Denied, u32::MAX);
        }
        let answer = sim.invoke(&over_sns(&[sim.message(&instance_id(9))])).await;

        let error = answer.expect_err("the function lacks a permission");
        assert_eq!(error.error_type, ErrorType::AwsDenied, "{operation}: {error}");
        let took = since_start(sim.region.now());
        assert!(took < SignedDuration::from_secs(5), "{operation}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_registering_is_looked_at_again() {
    let mut world = shop();
    let id = world.container_instance(&instance_id(9)).unwrap().1.id.clone();
    world.set_status("shop", &id, Status::Registering);
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let activate = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(sim.region.world().completed_actions, []);
        sim.region.world().set_status("shop", &id, Status::Active);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), activate);

    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_about_to_wait_is_looked_at_again_and_nothing_is_completed_meanwhile() {
    let sim = Sim::start(quiet_shop(), settings()).await;
    {
        let mut world = sim.region.world();
        world.terminate_in_group(&instance_id(9), false).unwrap();
        world.set_lifecycle_state(&instance_id(9), LifecycleState::Terminating);
    }
    let wait = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut world = sim.region.world();
        assert_eq!(world.completed_actions, []);
        world.set_lifecycle_state(&instance_id(9), LifecycleState::TerminatingWait);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), wait);

    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}

#[tokio::test(start_paused = true)]
async fn the_hooks_metadata_says_where_to_look_first() {
    let hook = Hook {
        topic_arn: Some(TOPIC.to_owned()),
        metadata: Some("{\"cluster\":\"shop\"}".to_owned()),
        ..Hook::new(HOOK)
    };
    let mut world = shop_with_hook(hook);
    for number in 0..30 {
        world.add_cluster(&format!("cluster-{number:02}"));
    }
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let world = sim.region.world();
    let position = |operation| {
        let lists = world.calls.iter().take_while(|call| call.operation != operation);
        lists.filter(|call| call.operation == "ListContainerInstances").count()
    };
    assert_eq!(position("UpdateContainerInstancesState"), 1, "lists before it drains");
    // The shop once for what is ACTIVE, and then all 31 for what drains already.
    assert_eq!(position("CompleteLifecycleAction"), 32, "and before it completes the action");
}

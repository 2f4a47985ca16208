//! What a sweep leaves alone because it is somebody else's, and what it does not count on.

use std::time::Duration;

use ebb_region::world::World;
use ebb_region::world::autoscaling::LifecycleState;
use ebb_region::world::ecs::{CapacityProvider, NewInstance};

use crate::support::{
    CLUSTER, GROUP, Sim, add_small, hooked, instance_id, reason, removed, settings, small,
    start_time,
};

#[tokio::test(start_paused = true)]
async fn groups_of_other_services_and_what_is_to_be_kept_are_left_alone() {
    for (tag, code, owner) in [
        ("AWSBatchServiceTag", "group_owned", "AWS Batch"),
        ("elasticbeanstalk:environment-name", "group_owned", "AWS Elastic Beanstalk"),
        ("eks:cluster-name", "group_owned", "Amazon EKS"),
        ("ebb:keep", "keep", "ebb:keep"),
    ] {
        let mut world = hooked(small(1));
        world.groups.get_mut(GROUP).unwrap().tags.insert(tag.to_owned(), "x".to_owned());
        let sim = Sim::start(world, settings()).await;
        let report = sim.report().await;

        assert_eq!(removed(&report), [""; 0], "{tag}");
        for kept in &report.plan.keep {
            assert_eq!(kept.reason.code(), code, "{tag}");
            assert!(kept.reason.to_string().contains(owner), "{tag}: {}", kept.reason);
        }
        assert_eq!(sim.calls("DescribeInstanceRefreshes"), 0, "{tag}: no call is spent on it");
    }
    let mut world = World::new(start_time(), 1);
    let batch = "analytics_Batch_0b1c2d3e";
    add_small(&mut world, batch, "analytics", 1..=6, 1);
    let clusters = Some(vec![ebb_core::ids::Cluster::new(batch)]);
    let settings = ebb_core::reaper::settings::ReaperSettings { clusters, ..settings() };
    assert_eq!(removed(&Sim::start(world, settings).await.report().await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_its_operator_wants_kept_stays_or_comes_back() {
    let mut world = small(1);
    let id = world.container_instance(&instance_id(1)).unwrap().1.id.clone();
    world.put_attribute(CLUSTER, &id, "ebb.keep", "");
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;
    assert_eq!(reason(&report, &instance_id(1)).code(), "keep");
    assert!(!removed(&report).is_empty(), "others go: {report:?}");

    // One that a sweep has drained already.
    let draining = sim.draining().first().cloned().expect("one with a task on it");
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&draining).unwrap().1.id.clone();
        world.put_attribute(CLUSTER, &id, "ebb.keep", "yes");
    }
    sim.until_next().await;
    sim.sweep().await;
    assert!(!sim.draining().contains(&draining));
    assert_eq!(sim.state_of(&draining), Some(LifecycleState::InService));
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_member_is_no_room_and_stays() {
    let mut world = small(1);
    let group = world.groups.get_mut(GROUP).unwrap();
    group.suspended.insert("ReplaceUnhealthy".to_owned());
    for instance in &mut group.instances[..2] {
        instance.healthy = false;
    }
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    for number in [1, 2] {
        let reason = reason(&report, &instance_id(number));
        assert_eq!(reason.code(), "unhealthy");
    }
    assert_eq!(report.plan.headroom_before.instances, 4);
    sim.run(Duration::from_secs(60)).await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn managed_instances_are_no_room_no_headroom_and_no_floor() {
    let mut world = small(1);
    world.attach_capacity_provider(CLUSTER, "managed", CapacityProvider::for_group("none"));
    for number in [7, 8] {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
        let id = world.container_instance(&instance_id(number)).unwrap().1.id.clone();
        let instances = &mut world.clusters.get_mut(CLUSTER).unwrap().instances;
        instances.get_mut(&id).unwrap().capacity_provider = Some("managed".to_owned());
    }
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    assert_eq!(report.plan.headroom_before.instances, 6);
    for number in [7, 8] {
        assert_eq!(reason(&report, &instance_id(number)).code(), "ecs_managed");
    }
}

//! Stories of a Region with many clusters, none of which is configured, under ECS's real request
//! rates: a burst of 100 reads of container instances, and then 20 a second.

use std::time::Duration;

use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::{CompletedBy, Hook};
use ebb_region::world::ecs::{NewInstance, TaskSpec};
use jiff::SignedDuration;

use crate::support::{
    HOOK, Sim, TOPIC, instance_id, last_stop, settings, shop, shop_with_hook, since_start,
};

/// How many clusters answer within the five seconds that a read may lag, at the pace of a search.
/// They are asked once more if none has the instance.
const ASKED_TWICE_MAX: usize = 30 + 5 * 16;

/// Adds clusters before the shop until there are so many.
fn with_clusters(mut world: World, clusters: usize) -> World {
    for number in 1..clusters {
        world.add_cluster(&team(number));
    }
    world
}

fn team(number: usize) -> String {
    format!("a-team-{number:03}")
}

/// The shop without the container instance of an instance: its agent never registered.
fn never_joined(mut world: World) -> World {
    let cluster = world.clusters.get_mut("shop").unwrap();
    cluster.instances.retain(|_, instance| instance.instance_id != instance_id(9));
    cluster.tasks.retain(|_, task| cluster.instances.contains_key(&task.container_instance));
    world
}

/// How often an operation was called, and how often it was throttled.
fn calls(sim: &Sim, operation: &str) -> (usize, usize) {
    let world = sim.region.world();
    let calls = world.calls.iter().filter(|call| call.operation == operation);
    let (answered, throttled): (Vec<_>, Vec<_>) = calls.partition(|call| call.error.is_none());
    (answered.len(), throttled.len())
}

fn lists(sim: &Sim) -> (usize, usize) {
    calls(sim, "ListContainerInstances")
}

fn drain_began(sim: &Sim) -> SignedDuration {
    let world = sim.region.world();
    let mut calls = world.calls.iter();
    let drain = calls.find(|call| call.operation == "UpdateContainerInstancesState");
    since_start(drain.expect("it is drained").time)
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_deleted_during_the_search_has_no_instance() {
    let sim = Sim::start(never_joined(with_clusters(shop(), 3)), settings()).await;
    let delete = async {
        while calls(&sim, "ListClusters").0 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sim.region.world().clusters.remove(&team(1));
    };
    let instance_id = instance_id(9);
    tokio::join!(sim.terminate(&instance_id), delete);

    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller);
    assert!(since_start(completed.time) < SignedDuration::from_secs(15), "{}", completed.time);
    assert!(lists(&sim).1 > 0, "it was asked and not found");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_never_joined_costs_about_one_list_a_cluster_and_is_let_go() {
    for (clusters, seconds) in [(50, 10), (150, 25), (300, 35)] {
        let sim = Sim::start(with_clusters(never_joined(shop()), clusters), settings()).await;
        sim.terminate(&instance_id(9)).await;

        let completed = sim.completed();
        assert_eq!(completed.cause, CompletedBy::Caller);
        let took = since_start(completed.time);
        assert!(took < SignedDuration::from_secs(seconds), "{clusters} clusters: {took}");
        let (answered, throttled) = lists(&sim);
        let at_most = clusters + clusters.min(ASKED_TWICE_MAX);
        assert!(answered <= at_most && throttled == 0, "{clusters}: {answered}, {throttled}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_begins_when_its_cluster_answers_and_the_rest_of_the_search_follows() {
    // Where the shop is the last cluster, and where the others come after it.
    for (clusters, before, seconds) in [(50, 49, 3), (150, 149, 9), (300, 299, 18), (300, 10, 1)] {
        let mut world = with_clusters(shop(), before + 1);
        for number in before + 1..clusters {
            world.add_cluster(&format!("zoo-{number:03}"));
        }
        let sim = Sim::start(world, settings()).await;
        sim.terminate(&instance_id(9)).await;

        assert!(drain_began(&sim) < SignedDuration::from_secs(seconds), "{}", drain_began(&sim));
        assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
        let (answered, throttled) = lists(&sim);
        assert!(answered <= 2 * clusters + 10 && throttled == 0, "{answered}, {throttled}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cluster_that_the_metadata_names_is_drained_at_once_however_many_there_are() {
    let metadata = Some("{\"cluster\":\"shop\"}".to_owned());
    let hook = Hook { topic_arn: Some(TOPIC.to_owned()), metadata, ..Hook::new(HOOK) };
    let sim = Sim::start(with_clusters(shop_with_hook(hook), 300), settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert!(drain_began(&sim) < SignedDuration::from_secs(1), "{}", drain_began(&sim));
}

#[tokio::test(start_paused = true)]
async fn a_second_container_instance_in_the_last_cluster_is_waited_for() {
    let mut world = with_clusters(shop(), 150);
    world.add_cluster("zoo");
    let id = world.add_instance("zoo", NewInstance::new(instance_id(9)));
    let task = world.run_task("zoo", &id, "report", TaskSpec::default());
    let sim = Sim::start(world, settings()).await;
    sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(240)).await;
        assert_eq!(sim.region.world().completed_actions, [], "a task runs");
        sim.region.world().stop_task("zoo", &task);
    };
    tokio::join!(sim.run(Duration::from_secs(49 * 3600)), stop);

    assert!(since_start(sim.completed().time) > SignedDuration::from_secs(240));
    assert_eq!(sim.tasks_cut_off(), [""; 0]);
}

/// Its agent registers while the clusters are asked, first in one that was not asked yet, then in one
/// that was asked in the first five seconds.
#[tokio::test(start_paused = true)]
async fn an_instance_that_joins_during_the_search_is_drained() {
    for (joins, after) in [(team(290), 10), (team(1), 3)] {
        let sim = Sim::start(with_clusters(never_joined(shop()), 300), settings()).await;
        sim.region.world().terminate_in_group(&instance_id(9), false).unwrap();
        let join = async {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let task = {
                let mut world = sim.region.world();
                let id = world.add_instance(&joins, NewInstance::new(instance_id(9)));
                world.run_task(&joins, &id, "report", TaskSpec::default())
            };
            tokio::time::sleep(Duration::from_secs(120)).await;
            assert_eq!(sim.region.world().completed_actions, [], "a task runs");
            sim.region.world().stop_task(&joins, &task);
        };
        tokio::join!(sim.run(Duration::from_secs(49 * 3600)), join);

        assert_eq!(sim.completed().cause, CompletedBy::Caller);
        assert_eq!(sim.tasks_cut_off(), [""; 0], "{joins}");
    }
}

#[tokio::test(start_paused = true)]
async fn clusters_that_fail_are_asked_again_and_no_others() {
    let sim = Sim::start(with_clusters(never_joined(shop()), 30), settings()).await;
    // The first eight, which are asked at once, with all their attempts.
    sim.region.world().faults.plan("ListContainerInstances", Fault::Throttle, 40);
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    // The 22 others, then the eight, and all that were asked too early once more.
    let (answered, throttled) = lists(&sim);
    assert!((30..=60).contains(&answered), "{answered}");
    assert_eq!(throttled, 40);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_takes_longer_than_a_heartbeat_keeps_the_action_alive() {
    let hook = Hook {
        topic_arn: Some(TOPIC.to_owned()),
        heartbeat_timeout: Duration::from_secs(30),
        ..Hook::new(HOOK)
    };
    let world = with_clusters(never_joined(shop_with_hook(hook)), 900);
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.completed().cause, CompletedBy::Caller);
    assert!(since_start(sim.completed().time) > SignedDuration::from_secs(60));
    assert!(lists(&sim).0 <= 900 + ASKED_TWICE_MAX + 10, "{:?}", lists(&sim));
}

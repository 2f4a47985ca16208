//! Stories of a Region with many clusters, none of which is configured, under ECS's real request
//! rates: a burst of 100 reads of container instances, and then 20 a second.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, clients::config_loader};
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Answer, OutcomeKind};
use ebb_region::fault::Fault;
use ebb_region::in_process::InProcess;
use ebb_region::world::World;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::ecs::NewInstance;
use ebb_region::world::spot::Action;
use ebb_region::{Region, scenario};
use serde_json::Value;
use spot_drainer::SpotDrainer;

use crate::support::{Sim, TIMEOUT, failed, home, instance_id, kinds, notice, sqs, start_time};

/// On-demand instances, those of EKS, of ECS's Managed Instances: nobody's, for all that Ebb knows.
fn nobodys(number: usize) -> Value {
    notice(&instance_id(9_000 + number))
}

/// Clusters with a container instance each: `instance_id(0)` in the first and so on.
async fn sim(clusters: usize) -> Sim {
    let mut world = World::new(start_time(), 1);
    for number in 0..clusters {
        world.add_instance(&cluster(number), NewInstance::new(instance_id(number)));
    }
    Sim::start(world, SpotSettings::default()).await
}

fn cluster(number: usize) -> String {
    format!("team-{number:03}")
}

fn seconds(sim: &Sim) -> f64 {
    sim.region.now().duration_since(start_time()).as_secs_f64()
}

/// How often an operation was called, and how often it was throttled.
fn calls(sim: &Sim, operation: &str) -> (usize, usize) {
    let world = sim.region.world();
    let calls = world.calls.iter().filter(|call| call.operation == operation);
    let (answered, throttled): (Vec<_>, Vec<_>) = calls.partition(|call| call.error.is_none());
    (answered.len(), throttled.len())
}

/// Seconds until the first drain.
fn first_drain(sim: &Sim) -> f64 {
    let world = sim.region.world();
    let mut calls = world.calls.iter();
    let drain = calls.find(|call| call.operation == "UpdateContainerInstancesState").unwrap();
    drain.time.duration_since(start_time()).as_secs_f64()
}

fn assert_settled(answer: &Answer, expected: &[OutcomeKind]) {
    assert_eq!((kinds(answer), failed(answer)), (expected.to_vec(), vec![]), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_about_nobodys_instance_costs_one_list_a_cluster_and_is_settled() {
    for (clusters, at_most) in [(50, 1.0), (150, 5.0), (300, 13.0)] {
        let sim = sim(clusters).await;
        let answer = sim.invoke(&sqs(&[nobodys(1)])).await.unwrap();

        assert_settled(&answer, &[OutcomeKind::NotInCluster]);
        assert_eq!(calls(&sim, "ListContainerInstances"), (clusters, 0));
        assert!(seconds(&sim) < at_most, "{clusters} clusters: {} s", seconds(&sim));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_asked_once_for_all_notices_of_a_batch() {
    for clusters in [50, 150] {
        let sim = sim(clusters).await;
        let mut notices: Vec<_> = (0..10).map(nobodys).collect();
        notices.push(notice(&instance_id(clusters - 1)));
        let answer = sim.invoke(&sqs(&notices)).await.unwrap();

        let mut expected = vec![OutcomeKind::NotInCluster; 10];
        expected.push(OutcomeKind::Draining);
        assert_settled(&answer, &expected);
        assert_eq!(calls(&sim, "ListContainerInstances"), (clusters, 0));
        assert!(first_drain(&sim) < 5.0, "{clusters} clusters: {} s", first_drain(&sim));
    }
}

/// Most clusters are small, so that an instance is likely to be in one of the large ones.
#[tokio::test(start_paused = true)]
async fn the_clusters_with_most_container_instances_are_asked_first() {
    for (fault, drained_by) in
        [(None, 1.0), (Some(Fault::Denied), 13.0), (Some(Fault::Timeout), 14.0)]
    {
        let sim = sim(300).await;
        sim.region.world().add_instance(&cluster(299), NewInstance::new(instance_id(300)));
        if let Some(fault) = fault {
            sim.region.world().faults.plan("DescribeClusters", fault, u32::MAX);
        }
        let mut notices: Vec<_> = (0..10).map(nobodys).collect();
        notices.push(notice(&instance_id(300)));
        let answer = sim.invoke(&sqs(&notices)).await.unwrap();

        assert_eq!(failed(&answer), [""; 0]);
        assert_eq!(kinds(&answer).last(), Some(&OutcomeKind::Draining));
        assert!(first_drain(&sim) < drained_by, "{fault:?}: {} s", first_drain(&sim));
        assert_eq!(calls(&sim, "ListContainerInstances"), (300, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_joins_a_cluster_before_that_is_asked_is_found() {
    let sim = sim(150).await;
    let join = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let id = instance_id(9_001);
        sim.region.world().add_instance(&cluster(149), NewInstance::new(id));
    };
    let event = sqs(&[nobodys(1)]);
    let (answer, ()) = tokio::join!(sim.invoke(&event), join);

    assert_settled(&answer.unwrap(), &[OutcomeKind::Draining]);
}

#[tokio::test(start_paused = true)]
async fn clusters_that_fail_are_asked_again_and_no_others() {
    let sim = sim(30).await;
    // The first eight, which are asked at once, with all their attempts.
    sim.region.world().faults.plan("ListContainerInstances", Fault::Throttle, 40);
    let answer = sim.invoke(&sqs(&[nobodys(1)])).await.unwrap();

    assert_settled(&answer, &[OutcomeKind::NotInCluster]);
    assert_eq!(calls(&sim, "ListClusters"), (2, 0), "one for each round");
    assert_eq!(calls(&sim, "ListContainerInstances"), (30, 40));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_deleted_meanwhile_has_no_instance_and_is_not_asked_again() {
    let sim = sim(3).await;
    let delete = async {
        while calls(&sim, "ListClusters").0 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sim.region.world().clusters.remove(&cluster(0));
    };
    let event = sqs(&[nobodys(1)]);
    let (answer, ()) = tokio::join!(sim.invoke(&event), delete);

    assert_settled(&answer.unwrap(), &[OutcomeKind::NotInCluster]);
    assert_eq!(calls(&sim, "ListClusters"), (1, 0), "there is no second round");
    assert_eq!(calls(&sim, "ListContainerInstances"), (2, 1), "each is asked once");
}

/// Each has a pace of its own, and together they ask for more than ECS grants.
#[tokio::test(start_paused = true)]
async fn two_executions_at_once_share_the_request_rate_and_are_settled() {
    let (first, clusters) = (sim(300).await, 300);
    let second = first.with(SpotSettings::default()).await;
    let events = [1, 2].map(|number| sqs(&[nobodys(number)]));
    let answers = tokio::join!(first.invoke(&events[0]), second.invoke(&events[1]));

    for answer in [answers.0, answers.1] {
        assert_settled(&answer.unwrap(), &[OutcomeKind::NotInCluster]);
    }
    assert_eq!(calls(&first, "ListContainerInstances").0, 2 * clusters);
    // The account's burst and its rate allow 600 lists in 25 s.
    assert!(seconds(&first) < 28.0, "{} s", seconds(&first));
}

/// What runs out of time comes again, once most of the others are settled.
#[tokio::test(start_paused = true)]
async fn notices_that_come_one_by_one_to_an_execution_each_are_settled_in_the_end() {
    let mut world = sim(150).await.region.world().clone();
    let queue = Queue::for_function(scenario::SPOT_DRAINER);
    scenario::route_notices(&mut world, queue, Function::new(TIMEOUT));
    let region = Region::start(world, 1.0);
    let interrupt = async {
        for number in 0..4 {
            region.world().interrupt(&instance_id(9_000 + number), Action::Terminate);
            region.notify();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let clients = Arc::new(Clients::new(&region.connect(config_loader()).await));
    let handle = |clients: Arc<Clients>, payload, now, deadline| async move {
        let drainer = SpotDrainer::new(Clients::clone(&clients), SpotSettings::default());
        drainer.handle(&payload, &home(), now, deadline).await
    };
    let lambda = InProcess::default().handling(scenario::SPOT_DRAINER, &region, &clients, handle);
    tokio::join!(interrupt, region.run(&lambda, Duration::from_secs(600)));

    let world = region.world();
    let queue = &world.delivery.queues[scenario::SPOT_DRAINER];
    assert_eq!((queue.messages.len(), queue.dead_letters.len()), (0, 0));
    let last = world.delivery.ended.iter().map(|ended| ended.time).max().unwrap();
    assert!(last.duration_since(start_time()).as_secs() < 120, "the last is settled at {last}");
}

//! Several container instances on one EC2 instance: an agent that lost its state, or was given
//! another cluster, registers anew, and the old container instance stays until somebody deregisters
//! it. Every one of them is drained, and named.

use std::time::Duration;

use ebb_core::ids::{Cluster, GroupName};
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Answer, OutcomeKind};
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::World;
use ebb_region::world::ecs::{NewInstance, Status};

use crate::support::{Sim, failed, instance_id, kinds, notice, shop_settings, sqs, start_time};

const GHOSTLY: &str = "i-0feedfacecafe0001";

/// The container instance that the agent has forgotten.
fn ghost(status: Status) -> NewInstance {
    let day = Duration::from_secs(86_400);
    NewInstance::new(GHOSTLY).status(status).age(day).agent_disconnected()
}

/// Two container instances on one EC2 instance: the forgotten one, and the one that lives.
fn haunted(ghosts_cluster: &str, ghosts_status: Status, cluster: &str) -> World {
    let mut world = World::new(start_time(), 1);
    world.add_instance(ghosts_cluster, ghost(ghosts_status));
    world.add_instance(cluster, NewInstance::new(GHOSTLY));
    world
}

/// What was said about each container instance of the EC2 instance, by its ARN.
fn named(answer: &Answer) -> Vec<(String, OutcomeKind)> {
    let mut named = Vec::new();
    for outcome in &answer.outcomes {
        assert_eq!(outcome.instance_id.as_ref().unwrap().as_str(), GHOSTLY);
        let arn = outcome.container_instance_arn.as_ref().unwrap().to_string();
        named.push((arn, outcome.outcome));
    }
    named.sort_unstable();
    named.dedup();
    named
}

fn statuses(sim: &Sim) -> Vec<Status> {
    let world = sim.region.world();
    let registrations = world.registrations(GHOSTLY);
    registrations.iter().map(|(cluster, id)| world.clusters[cluster].instances[id].status).collect()
}

fn clusters(names: &[&str]) -> SpotSettings {
    let clusters = names.iter().copied().map(Cluster::new).collect();
    SpotSettings { clusters: Some(clusters), ..SpotSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn two_in_one_cluster_are_drained_and_named_each() {
    let sim = Sim::start(haunted("shop", Status::Active, "shop"), shop_settings()).await;
    let answer = sim.invoke(&notice(GHOSTLY)).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2]);
    assert_eq!(named(&answer).len(), 2, "{answer:?}");
    assert_eq!(statuses(&sim), [Status::Draining; 2]);

    let again = sim.invoke(&notice(GHOSTLY)).await.unwrap();
    assert_eq!(kinds(&again), [OutcomeKind::AlreadyDraining; 2]);
    assert_eq!(named(&again).len(), 2, "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn one_in_each_of_two_clusters_is_drained_and_named_in_whatever_order_they_answer() {
    for ghosts_status in [Status::Active, Status::Draining] {
        for (ghosts_cluster, cluster) in [("old", "shop"), ("zoo", "shop")] {
            for settings in [SpotSettings::default(), clusters(&[ghosts_cluster, cluster])] {
                let world = haunted(ghosts_cluster, ghosts_status, cluster);
                let sim = Sim::start(world, settings).await;
                let answer = sim.invoke(&notice(GHOSTLY)).await.unwrap();

                assert_eq!(statuses(&sim), [Status::Draining; 2]);
                let mut kinds = kinds(&answer);
                kinds.sort_unstable();
                let of_ghost = match ghosts_status {
                    Status::Draining => OutcomeKind::AlreadyDraining,
                    _ => OutcomeKind::Draining,
                };
                assert_eq!(kinds, [OutcomeKind::Draining, of_ghost]);
                assert_eq!(named(&answer).len(), 2, "{answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_notices_names_each_container_instance_of_each_instance() {
    let mut world = scenario::shop(start_time(), 1);
    world.add_instance("shop", NewInstance::new(GHOSTLY));
    world.add_instance("old", ghost(Status::Active));
    let sim = Sim::start(world, SpotSettings::default()).await;
    let notices = [instance_id(7), GHOSTLY.to_owned(), instance_id(9)].map(|id| notice(&id));
    let answer = sim.invoke(&sqs(&notices)).await.unwrap();

    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 4]);
    assert_eq!(failed(&answer), [""; 0]);
    let of_ghostly =
        answer.outcomes.iter().filter(|it| it.instance_id.as_ref().unwrap().as_str() == GHOSTLY);
    let clusters: Vec<_> = of_ghostly.map(|it| it.cluster.clone().unwrap()).collect();
    assert_eq!(clusters, ["old", "shop"]);
    assert_eq!(statuses(&sim), [Status::Draining; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_also_names_one_that_drains_already_and_costs_no_more_for_it() {
    let mut world = scenario::shop(start_time(), 1);
    world.add_instance("shop", NewInstance::new(GHOSTLY));
    world.add_instance("shop", ghost(Status::Draining));
    let sim = Sim::start(world, shop_settings()).await;
    let answer = sim.invoke(&sqs(&[notice(GHOSTLY), notice(&instance_id(7))])).await.unwrap();

    let mut kinds = kinds(&answer);
    kinds.sort_unstable();
    assert_eq!(kinds, [OutcomeKind::Draining, OutcomeKind::Draining, OutcomeKind::AlreadyDraining]);
    assert_eq!(
        sim.calls(),
        ["ListContainerInstances", "DescribeContainerInstances", "UpdateContainerInstancesState"]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_ecs_refuses_is_tried_again_though_the_other_is_drained() {
    let refuse_for = |duration: Duration| async move {
        let sim = Sim::start(haunted("old", Status::Active, "shop"), SpotSettings::default()).await;
        let (cluster, id) = sim.region.world().registrations(GHOSTLY).pop().unwrap();
        let refuse = async {
            // After the list of its cluster, before the update.
            tokio::time::sleep(Duration::from_millis(90)).await;
            sim.region.world().set_status(&cluster, &id, Status::Registering);
            tokio::time::sleep(duration).await;
            sim.region.world().set_status(&cluster, &id, Status::Active);
        };
        let event = sqs(&[notice(GHOSTLY)]);
        let (answer, ()) = tokio::join!(sim.invoke(&event), refuse);
        (answer.unwrap(), statuses(&sim))
    };

    let (answer, statuses) = refuse_for(Duration::from_secs(6)).await;
    assert_eq!(kinds(&answer), [OutcomeKind::Draining; 2], "{answer:?}");
    assert_eq!((named(&answer).len(), failed(&answer)), (2, vec![]));
    assert_eq!(statuses, [Status::Draining; 2]);

    let (answer, _) = refuse_for(Duration::from_secs(60)).await;
    assert_eq!(kinds(&answer), [OutcomeKind::Draining], "the other one: {answer:?}");
    assert_eq!(failed(&answer), ["m-0"], "and its message comes again");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_is_asked_again_though_another_has_one() {
    let sim = Sim::start(haunted("old", Status::Active, "shop"), SpotSettings::default()).await;
    // The first list is that of the cluster `old`.
    sim.region.world().faults.plan("ListContainerInstances", Fault::Throttle, 1);
    sim.region.world().faults.plan("ListContainerInstances", Fault::Denied, 1);
    let answer = sim.invoke(&sqs(&[notice(GHOSTLY)])).await.unwrap();
    assert_eq!(kinds(&answer), [OutcomeKind::Draining]);
    assert_eq!(failed(&answer), ["m-0"], "one of the clusters is not known: {answer:?}");

    let answer = sim.invoke(&sqs(&[notice(GHOSTLY)])).await.unwrap();
    assert_eq!(failed(&answer), [""; 0]);
    assert_eq!(statuses(&sim), [Status::Draining; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_fallback_group_counts_the_instance_once() {
    let settings = SpotSettings {
        fallback_group: Some(GroupName::new(scenario::ON_DEMAND_GROUP)),
        ..shop_settings()
    };
    for ghosts_status in [Status::Active, Status::Draining] {
        let mut world = scenario::shop(start_time(), 1);
        world.add_instance("shop", ghost(ghosts_status));
        world.add_instance("shop", NewInstance::new(GHOSTLY));
        let sim = Sim::start(world, settings.clone()).await;
        for _ in 0..3 {
            sim.invoke(&notice(GHOSTLY)).await.unwrap();
            let desired = sim.region.world().groups[scenario::ON_DEMAND_GROUP].desired_capacity;
            assert_eq!(desired, 7, "{ghosts_status:?}");
        }
    }
}

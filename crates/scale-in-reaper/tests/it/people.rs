//! What people are told of sweeps, and how often.

use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::notification::NotificationFormat;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::fault::Fault;
use ebb_region::seeds;
use ebb_region::world::ecs::Deployments;
use serde_json::{Value, json};

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, add_small, hooked, instance_id, settings, small,
};

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

fn telling(mode: ReaperMode) -> ReaperSettings {
    ReaperSettings {
        mode,
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        ..settings()
    }
}

/// The notices, and how many there are after each of some sweeps.
async fn sweep_times(sim: &Sim, sweeps: usize) -> (Vec<Value>, Vec<usize>) {
    let mut counts = Vec::new();
    for _ in 0..sweeps {
        // It may fail, for want of a permission.
        let _ = sim.invoke(&json!({})).await;
        counts.push(notices(sim).len());
        sim.until_next().await;
    }
    (notices(sim), counts)
}

fn notices(sim: &Sim) -> Vec<Value> {
    let world = sim.region.world();
    let sent = world.published.iter().filter(|sent| sent.topic_arn == PEOPLE);
    sent.map(|sent| serde_json::from_str(&sent.message).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_tasks_on_what_is_replaced_are_counted() {
    let mut world = hooked(small(6));
    let group = world.groups.get_mut(GROUP).unwrap();
    group.max_size = 20;
    (group.launch_template.default, group.launch_template.latest) = (2, 2);
    world.set_desired_count(CLUSTER, "web", 12);
    let sim = Sim::start(world, telling(ReaperMode::Act)).await;
    sim.run(INTERVAL).await;
    sim.invoke(&json!({"mode": "replace"})).await.unwrap();
    sim.until_next().await;
    sim.sweep().await;
    let notice = notices(&sim).pop().unwrap();
    assert_eq!(notice["tasks"], "12 tasks set in motion", "{notice}");
}

#[tokio::test(start_paused = true)]
async fn what_every_sweep_finds_again_is_told_once_an_hour() {
    let sim = Sim::start(hooked(small(1)), telling(ReaperMode::Act)).await;
    sim.region.world().faults.plan("UpdateContainerInstancesState", Fault::Denied, u32::MAX);
    let (notices, _) = sweep_times(&sim, 6).await;

    seeds::check_notices(&sim.region.world(), PEOPLE).unwrap();
    // Every other sweep takes the marks of the failed drains back instead.
    let failed: Vec<_> = notices
        .iter()
        .filter(|notice| notice["title"].as_str().unwrap().contains(" failed, in cluster shop"))
        .collect();
    assert_eq!(failed.len(), 3, "{notices:?}");
    for notice in failed {
        assert_eq!((&notice["kind"], &notice["clusters"]), (&json!("sweep"), &json!([CLUSTER])));
        let place = (&notice["account"], &notice["region"]);
        assert_eq!(place, (&json!("111122223333"), &json!("eu-west-1")));
        assert!(notice["next"].as_str().unwrap().contains("tries what failed again"), "{notice}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_notes_what_every_sweep_finds_is_told_in_the_first_half_of_an_hour() {
    let sim = Sim::start(hooked(small(1)), telling(ReaperMode::Act)).await;
    for operation in ["UpdateContainerInstancesState", "PutAttributes"] {
        sim.region.world().faults.plan(operation, Fault::Denied, u32::MAX);
    }
    let (notices, counts) = sweep_times(&sim, 4).await;

    assert_eq!(counts, [1, 1, 2, 2], "{notices:?}");
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_at_once_tell_what_they_do_once() {
    let sim = Sim::start(hooked(small(1)), telling(ReaperMode::Act)).await;
    let payload = json!({});
    let (first, second) = tokio::join!(sim.invoke(&payload), sim.invoke(&payload));

    assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    let notices = notices(&sim);
    let mut told: Vec<_> =
        notices.iter().flat_map(|notice| notice["instances"].as_array().unwrap()).collect();
    told.sort_by_key(|id| id.to_string());
    let all = told.len();
    told.dedup();
    assert!(all > 0);
    assert_eq!(told.len(), all, "{notices:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_once_a_day_for_each_cluster_and_only_where_it_is_wanted() {
    for notify_plans in [false, true] {
        let mut world = hooked(small(1));
        world.add_cluster("depot");
        add_small(&mut world, "depot", "depot-group", 11..=16, 1);
        let settings = ReaperSettings { clusters: None, notify_plans, ..telling(ReaperMode::Plan) };
        let sim = Sim::start(world, settings).await;
        let (told, counts) = sweep_times(&sim, 4).await;
        assert_eq!(counts, [if notify_plans { 2 } else { 0 }; 4], "{told:?}");

        tokio::time::sleep(Duration::from_secs(86_400) - 4 * INTERVAL).await;
        sim.sweep().await;
        let notices = notices(&sim);
        assert_eq!(notices.len(), if notify_plans { 4 } else { 0 });
        let threads: Vec<_> = notices.iter().map(|notice| &notice["thread"]).collect();
        if notify_plans {
            assert_eq!(threads[..2], ["sweeps of depot", "sweeps of shop"]);
            let title = "Ebb's plan: 5 of 6 container instances can go, in cluster shop";
            assert_eq!(notices[1]["title"], title);
            assert_eq!(notices[1]["next"], "nothing is changed, as sweeps only plan");
        }
    }
}

/// The titles of the notices of a halt.
fn halts(sim: &Sim) -> Vec<String> {
    let notices = notices(sim).into_iter().filter(|notice| notice["kind"] == "halted");
    notices.map(|notice| notice["title"].as_str().unwrap().to_owned()).collect()
}

fn deploy(sim: &Sim, deployments: Deployments) {
    let mut world = sim.region.world();
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.services.get_mut("web").unwrap().deployments = deployments;
}

#[tokio::test(start_paused = true)]
async fn what_halts_a_cluster_is_told_once_an_hour_and_another_cause_at_once() {
    let sim = Sim::start(hooked(small(1)), telling(ReaperMode::Act)).await;
    deploy(&sim, Deployments::Failing);
    sweep_times(&sim, 2).await;
    let fails = "Ebb removes nothing: the deployment of service web fails, in cluster shop";
    assert_eq!(halts(&sim), [fails]);

    let disconnect = |number| sim.region.world().disconnect_agent(&instance_id(number));
    (1..=2).for_each(disconnect);
    sim.sweep().await;
    let disconnected = "Ebb removes nothing: the agents of 2 of 6 ACTIVE instances are \
                        disconnected, more than HALT_AT_DISCONNECTED_PERCENT (25 %), in cluster \
                        shop";
    assert_eq!(halts(&sim), [fails, disconnected]);

    sim.until_next().await;
    sim.until_next().await;
    sim.sweep().await;
    assert_eq!(halts(&sim), [fails, disconnected, disconnected]);
    seeds::check_notices(&sim.region.world(), PEOPLE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_only_plans_is_told_of_a_halt_where_plans_are_told() {
    for (mode, notify_plans, payload, told) in [
        (ReaperMode::Plan, false, json!({}), 0),
        (ReaperMode::Plan, true, json!({}), 1),
        // Who asks for a plan reads it in the answer.
        (ReaperMode::Act, false, json!({"mode": "plan"}), 0),
        (ReaperMode::Act, false, json!({}), 1),
    ] {
        let sim =
            Sim::start(hooked(small(1)), ReaperSettings { notify_plans, ..telling(mode) }).await;
        deploy(&sim, Deployments::Failed);
        sim.invoke(&payload).await.unwrap();
        assert_eq!(halts(&sim).len(), told, "{mode:?}, {notify_plans}, {payload}");
    }
}

//! What a week came to: the functions' own metrics, as they print them, summed up cluster by cluster
//! and told once. Metrics are what a process prints, so that the week runs in one of its own.

use std::env;
use std::process::Command;
use std::time::Duration;

use ebb_core::ids::TopicArn;
use ebb_core::notification::NotificationFormat;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::summary::Counted;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::World;
use ebb_region::world::autoscaling::group_arn;
use ebb_region::world::ecs::Status;
use scale_in_reaper::FUNCTION;
use serde_json::{Value, json};

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, add_small, hooked, instance_id, settings, small,
};

const PEOPLE: &str = "arn:aws:sns:eu-west-1:111122223333:people";

fn summing_up(metrics_by_cluster: bool) -> ReaperSettings {
    ReaperSettings {
        clusters: None,
        notification_topic: Some(TopicArn::new(PEOPLE)),
        notification_format: NotificationFormat::Json,
        metrics_by_cluster,
        ..settings()
    }
}

/// Two clusters, and what the functions printed in the Region where `a_sweep_and_its_drains` ran.
fn two_clusters(printed: &str) -> World {
    let mut world = hooked(small(1));
    world.add_cluster("depot");
    add_small(&mut world, "depot", "depot-group", 11..=16, 1);
    printed.lines().for_each(|line| world.metrics.read(line));
    world
}

fn told(sim: &Sim) -> Vec<Value> {
    let world = sim.region.world();
    let sent = world.published.iter().filter(|sent| sent.topic_arn == PEOPLE);
    sent.map(|sent| serde_json::from_str(&sent.message).unwrap()).collect()
}

async fn sum_up(sim: &Sim) -> Value {
    sim.invoke(&json!({"mode": "summary"})).await.unwrap().to_json()
}

/// A sweep removes instances of one cluster, and the lifecycle drainer drains them.
#[tokio::test(start_paused = true)]
async fn a_sweep_and_its_drains() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    sim.sweep().await;
    sim.run(INTERVAL).await;
    sim.assert_unharmed();
}

/// What that prints.
fn printed() -> String {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "summary::a_sweep_and_its_drains", "--nocapture"])
        .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Later by an hour, as the hour that runs is part of the next week.
async fn an_hour_later(sim: &Sim) {
    sim.until_next().await;
    sim.until_next().await;
}

#[tokio::test(start_paused = true)]
async fn a_week_is_told_by_cluster_from_what_the_functions_print() {
    let sim = Sim::start(two_clusters(&printed()), summing_up(true)).await;
    an_hour_later(&sim).await;
    let answer = sum_up(&sim).await;

    let mut summaries = answer["summaries"].as_array().unwrap().iter();
    let shop = summaries.find(|summary| summary["clusters"] == json!([CLUSTER])).unwrap();
    let counts = &shop["counts"];
    assert_eq!(counts["scale-in-reaper"]["InstancesRemoved"], 5.0, "{answer:#}");
    assert_eq!(counts["lifecycle-drainer"]["Started"], 5.0);
    assert_eq!(counts["lifecycle-drainer"]["Completed"], 5.0);
    // Nothing of it happened, and what does not happen is not counted by cluster.
    assert_eq!(counts["lifecycle-drainer"]["TasksCutOff"], Value::Null);
    assert_eq!(counts["spot-drainer"]["Draining"], Value::Null);
    assert_eq!((&shop["instance_hours_max"], &shop["stuck"]), (&json!(5.0), &json!([])));

    let titles: Vec<_> = told(&sim).iter().map(|notice| notice["title"].clone()).collect();
    assert_eq!(
        titles,
        [
            "Ebb's week: no data, 0 stuck now, in cluster depot",
            "Ebb's week: 5 instances removed, 5 drained, 0 stuck now, in cluster shop"
        ]
    );
    assert_eq!(sim.calls("UpdateContainerInstancesState"), 0, "nothing but notes is written");
    assert_eq!(sim.calls("GetMetricData"), 1, "for all clusters together");
}

#[tokio::test(start_paused = true)]
async fn without_metrics_by_cluster_there_is_one_summary_of_the_whole() {
    let sim = Sim::start(two_clusters(&printed()), summing_up(false)).await;
    an_hour_later(&sim).await;
    let answer = sum_up(&sim).await;

    let [summary] = answer["summaries"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!(summary["clusters"], json!(["depot", "shop"]));
    assert_eq!(summary["counts"]["scale-in-reaper"]["InstancesRemoved"], 5.0);
    // The function as a whole counts what does not happen as well.
    assert_eq!(summary["counts"]["lifecycle-drainer"]["TasksCutOff"], 0.0);
    let [notice] = told(&sim).try_into().unwrap();
    assert_eq!(notice["thread"], "weeks");
    let details = notice["details"].to_string();
    assert!(details.contains("METRICS_BY_CLUSTER is `false`"), "{details}");
}

#[tokio::test(start_paused = true)]
async fn what_drains_and_nobody_sees_to_is_named_with_what_holds_it() {
    let mut world = hooked(small(1));
    for number in [1, 2] {
        let (cluster, id) = world
            .container_instance(&instance_id(number))
            .map(|(cluster, found)| (cluster.to_owned(), found.id.clone()))
            .unwrap();
        world.set_status(&cluster, &id, Status::Draining);
        world.disconnect_agent(&instance_id(number));
    }
    let sim = Sim::start(world, summing_up(true)).await;
    sum_up(&sim).await;

    let [notice] = told(&sim).try_into().unwrap();
    assert_eq!(notice["instances"], json!([instance_id(1), instance_id(2)]));
    let details = notice["details"].to_string();
    let why = "DRAINING since an unknown time, its agent is not connected: 1 task";
    assert!(details.contains(why), "{details}");
}

#[tokio::test(start_paused = true)]
async fn why_nothing_goes_is_what_keeps_a_sweep_from_it_a_zonal_shift_included() {
    let mut world = hooked(small(1));
    world.shift_away(&group_arn(GROUP), "euw1-az1", "ZONAL_SHIFT", Duration::from_secs(3_600));
    let sim = Sim::start(world, summing_up(true)).await;
    let answer = sum_up(&sim).await;
    let [why] = answer["summaries"][0]["nothing_goes"].as_array().unwrap().as_slice() else {
        panic!("{answer}")
    };
    let expected = format!("a zonal shift keeps group {GROUP} away from euw1-az1");
    assert!(why.as_str().unwrap().starts_with(&expected), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_week_is_told_once_where_shifts_cannot_be_read_and_the_invocation_fails() {
    let mut world = hooked(small(1));
    world.faults.plan("ListManagedResources", Fault::Denied, u32::MAX);
    let sim = Sim::start(world, summing_up(true)).await;
    for _ in 0..2 {
        let error = sim.invoke(&json!({"mode": "summary"})).await.unwrap_err();
        assert_eq!(error.error_type.as_str(), "AwsDenied", "{error}");
    }
    let [notice] = told(&sim).try_into().unwrap();
    let details = notice["details"].to_string();
    assert!(details.contains("whether a zonal shift is active is not known"), "{details}");
}

#[tokio::test(start_paused = true)]
async fn a_week_that_is_asked_for_twice_is_told_once() {
    let sim = Sim::start(two_clusters(""), summing_up(true)).await;
    sum_up(&sim).await;
    sum_up(&sim).await;
    assert_eq!(told(&sim).len(), 2, "one for each cluster: {:?}", told(&sim));

    an_hour_later(&sim).await;
    sum_up(&sim).await;
    assert_eq!(told(&sim).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_the_metrics_nothing_is_told_and_the_event_is_run_again() {
    let forever = u32::MAX;
    for (fault, error_type) in [
        (Fault::Denied, "AwsDenied"),
        (Fault::Throttle, "AwsThrottled"),
        (Fault::ServerError, "AwsOther"),
        (Fault::EmptyObject, "AwsOther"),
        (Fault::NullList, "AwsOther"),
    ] {
        let sim = Sim::start(two_clusters(""), summing_up(true)).await;
        sim.region.world().faults.plan("GetMetricData", fault, forever);
        let error = sim.invoke(&json!({"mode": "summary"})).await.unwrap_err();
        assert_eq!(error.error_type.as_str(), error_type, "{fault:?}: {error}");
        assert_eq!(told(&sim), [Value::Null; 0], "{fault:?}");
    }
    // A look that fails for a moment is made again.
    let sim = Sim::start(two_clusters(""), summing_up(true)).await;
    sim.region.world().faults.plan("GetMetricData", Fault::ServerError, 6);
    sum_up(&sim).await;
    assert_eq!(told(&sim).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_cannot_be_looked_at_hides_no_other_and_none_is_told_twice() {
    let sim = Sim::start(two_clusters(""), summing_up(true)).await;
    sim.region.world().faults.plan("ListServices", Fault::Denied, 1);
    let error = sim.invoke(&json!({"mode": "summary"})).await.unwrap_err();
    assert!(error.to_string().contains("cluster depot: failed to"), "{error}");
    assert_eq!(told(&sim).len(), 1);

    sum_up(&sim).await;
    let clusters: Vec<_> = told(&sim).iter().map(|notice| notice["clusters"][0].clone()).collect();
    assert_eq!(clusters, [CLUSTER, "depot"]);
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_not_told_without_one_of_its_clusters() {
    let sim = Sim::start(two_clusters(""), summing_up(false)).await;
    sim.region.world().faults.plan("ListServices", Fault::Denied, 1);
    sim.invoke(&json!({"mode": "summary"})).await.unwrap_err();
    assert_eq!(told(&sim), [Value::Null; 0]);
    sum_up(&sim).await;
    assert_eq!(told(&sim).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_the_metrics_are_put_together() {
    let printed = printed();
    let mut world = two_clusters(&printed);
    // The same an hour earlier: a page may end between two sums of one metric.
    for line in printed.lines() {
        let Ok(mut line) = serde_json::from_str::<Value>(line) else { continue };
        let time = line["_aws"]["Timestamp"].as_i64().unwrap_or_default();
        line["_aws"]["Timestamp"] = json!(time - 3_600_000);
        world.metrics.read(&line.to_string());
    }
    let sim = Sim::start(world, summing_up(true)).await;
    an_hour_later(&sim).await;
    let answer = sum_up(&sim).await;
    sim.region.world().metrics.page_max = 3;
    assert_eq!(sum_up(&sim).await, answer);
    assert!(sim.calls("GetMetricData") > 2);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_fargate_tasks_is_none_of_them() {
    let mut world = small(1);
    world.add_cluster("fargate");
    let sim = Sim::start(world, summing_up(true)).await;
    let answer = sum_up(&sim).await;
    assert_eq!(answer["summaries"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["mode"], json!(ReaperMode::Plan));
}

/// Names of functions and metrics are people's: they stand in docs/answers.md.
#[test]
fn what_is_counted_is_a_metric_of_its_function() {
    let documented = include_str!("../../../../docs/answers.md");
    let rows: Vec<_> = documented.lines().filter(|line| line.starts_with("| `")).collect();
    for counted in Counted::ALL {
        let (function, metric) = counted.source();
        let known = [scenario::SPOT_DRAINER, scenario::LIFECYCLE_DRAINER, FUNCTION];
        assert!(known.contains(&function), "{function}");
        let column =
            function.split('-').find(|part| ["spot", "lifecycle", "reaper"].contains(part));
        let of_function = format!("| {} | Count |", column.unwrap());
        let is_its_row =
            |row: &&str| row.contains(&format!("`{metric}`")) && row.contains(&of_function);
        assert!(rows.iter().any(is_its_row), "{metric} of the {function}");
    }
}

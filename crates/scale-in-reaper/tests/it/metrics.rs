//! Which invocations count as sweeps, and which as sweeps that failed. Metrics are what a process
//! prints, so that the story runs in one of its own.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use ebb_core::ids::Cluster;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::fault::Fault;
use scale_in_reaper::FUNCTION;
use serde_json::{Value, json};

use crate::support::{CLUSTER, Sim, add_small, settings, small};

/// What is asked, whether a cluster fails, and what that adds to `Sweeps` and to `SweepsFailed`.
fn invocations() -> [(Value, bool, [f64; 2]); 8] {
    [
        (json!({}), false, [1.0, 0.0]),
        (json!({"source": "schedule"}), false, [1.0, 0.0]),
        (json!({}), true, [0.0, 1.0]),
        (json!({"mode": "plan"}), false, [0.0, 0.0]),
        (json!({"mode": "act"}), false, [0.0, 0.0]),
        (json!({"mode": "plan"}), true, [0.0, 1.0]),
        (json!({"mode": "dry"}), false, [0.0, 0.0]),
        (json!({"Records": []}), false, [0.0, 0.0]),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_of_two_clusters_fails_at_times() {
    let mut world = small(1);
    add_small(&mut world, "other", "other-group", 11..=16, 1);
    let clusters = Some(vec![Cluster::new(CLUSTER), Cluster::new("other")]);
    let sim = Sim::start(world, ReaperSettings { clusters, ..settings() }).await;
    for (payload, fails, _) in invocations() {
        if fails {
            sim.region.world().faults.plan("ListContainerInstances", Fault::Denied, 1);
        }
        let answer = sim.invoke(&payload).await;
        assert_eq!(answer.is_err(), fails || payload["mode"] == "dry", "{payload}: {answer:?}");
    }
}

#[test]
fn a_sweep_counts_if_the_schedule_asks_for_it_and_no_cluster_fails() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "metrics::one_of_two_clusters_fails_at_times", "--nocapture"])
        .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<_> = lines.collect();
    let counted: Vec<_> = lines
        .iter()
        .filter(|line| line.get("Sweeps").is_some())
        .map(|line| ["Sweeps", "SweepsFailed"].map(|name| line[name].as_f64().unwrap()))
        .collect();
    assert_eq!(counted, invocations().map(|(_, _, counts)| counts), "{printed}");

    // What the clusters have in common is counted once for the function, and each has its own.
    let with = |metric: &str, dimensions: &Value| {
        let lines = lines.iter().filter(|line| line.get(metric).is_some());
        let lines = lines.filter(|line| {
            let sets = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"].as_array().unwrap();
            sets.contains(dimensions)
        });
        lines.map(|line| line["cluster"].as_str().unwrap_or_default()).collect::<BTreeSet<_>>()
    };
    let (alone, by_cluster) = (json!(["function"]), json!(["function", "cluster"]));
    assert_eq!(with("InstancesRemovable", &alone), [""].into());
    for metric in ["InstancesRemovable", "HeadroomCpuPercent"] {
        assert_eq!(with(metric, &by_cluster), [CLUSTER, "other"].into(), "{metric}");
    }
    assert_eq!(with("HeadroomCpuPercent", &alone), [CLUSTER, "other"].into());
}

//! What the log lines about a drain are about, whoever writes them. The story runs in a process of
//! its own: a subscriber that is there for one thread misses lines while other tests run.

use std::env;
use std::process::Command;

use ebb_region::fault::Fault;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use serde_json::Value;
use tracing_subscriber::fmt;

use crate::support::{Sim, instance_id, settings, shop};

/// Set where the story is to print its lines.
const PRINTS: &str = "EBB_TEST_PRINTS";

#[tokio::test(start_paused = true)]
async fn a_look_fails_and_a_service_cannot_leave() {
    if env::var_os(PRINTS).is_some() {
        fmt().json().with_span_list(false).init();
    }
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    // Before the cluster is known.
    world.faults.plan("RecordLifecycleActionHeartbeat", Fault::ServerError, 5);
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    assert_eq!(sim.outcomes().last().map(String::as_str), Some("timed_out"));
}

#[test]
fn each_names_the_instance_the_group_and_once_it_is_found_the_cluster() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "log_lines::a_look_fails_and_a_service_cannot_leave", "--nocapture"])
        .env(PRINTS, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let drains: Vec<_> = lines.filter(|line| line["span"]["name"] == "drain").collect();
    for line in &drains {
        let span = &line["span"];
        assert_eq!(span["host.id"], instance_id(9).as_str(), "{line}");
        assert!(span["asg.name"].is_string(), "{line}");
    }
    let warning = |text: &str| {
        let is_it = |line: &&Value| {
            line["level"] == "WARN" && line["fields"]["message"].as_str().unwrap().contains(text)
        };
        drains.iter().find(is_it).unwrap_or_else(|| panic!("no {text:?} in {printed}"))
    };
    let before = &warning("Looking again after a pause")["span"];
    assert!(before["ecs.cluster"].is_null(), "{before}");
    // Of the first hop, and of the second, which knows the cluster from the first.
    for text in ["still drains", "gives up draining"] {
        assert_eq!(warning(text)["span"]["ecs.cluster"], "shop");
    }
}

//! `ebb plan --mode replace`: what a sweep that replaces would do.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ebb::failure::ExitCode;
use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::Cluster;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_planner::HOLD_TAG;
use ebb_region::fault::Fault;
use ebb_region::scenario::{CLUSTER, ON_DEMAND_GROUP, SPOT_GROUP, idle_shop, instance_id};
use ebb_region::world::World;
use ebb_region::world::autoscaling::{Instance, LifecycleState};
use ebb_region::world::ec2::ScheduledEvent;
use insta::assert_snapshot;
use scale_in_reaper::ScaleInReaper;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Terminal, recording, run, start_time};

/// The shop, one of whose groups has a new launch template version, and keeps an instance that left
/// the cluster. EC2 is to retire one of the other group.
fn outdated() -> World {
    let mut world = idle_shop(start_time(), 1);
    let group = world.groups.get_mut(ON_DEMAND_GROUP).unwrap();
    group.max_size += 4;
    (group.launch_template.default, group.launch_template.latest) = (2, 2);
    let retained = Instance {
        state: LifecycleState::TerminatingRetained,
        ..Instance::in_service(instance_id(99))
    };
    group.instances.push(retained);
    let retired = world.groups[SPOT_GROUP].instances[0].instance_id.clone();
    let event = ScheduledEvent {
        code: "instance-retirement".to_owned(),
        description: "The instance is running on degraded hardware".to_owned(),
        not_before: "2025-03-18T00:00:00.000Z".to_owned(),
    };
    world.scheduled_events.insert(retired, event);
    world
}

/// A file that a test may write.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The function's own answer for the cluster.
async fn functions(terminal: &Terminal, settings: ReaperSettings) -> Value {
    let clients = Clients::new(&terminal.region.connect(config_loader()).await);
    let settings = ReaperSettings { clusters: Some(vec![Cluster::new(CLUSTER)]), ..settings };
    let now = terminal.region.now();
    let reaper = ScaleInReaper::new(clients, settings);
    let deadline = now + Duration::from_secs(900);
    let answer = reaper.handle(&json!({"mode": "replace"}), now, deadline).await.unwrap();
    answer.to_json()["clusters"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn it_is_what_the_function_would_do_and_a_recording_says_the_same() {
    let terminal = Terminal::start(outdated()).await;
    let command = "plan --mode replace --cluster shop --max-removals 20";
    let text = terminal.output(command).await;
    assert_snapshot!(text);
    let settings = ReaperSettings { max_removals_percent: 20, ..ReaperSettings::default() };
    let functions = functions(&terminal, settings).await;
    assert_eq!(text, functions["text"].as_str().unwrap());
    let json: Value =
        serde_json::from_str(&terminal.output(&format!("{command} --json")).await).unwrap();
    assert_eq!(json["clusters"][0]["replace"], functions["replace"]);
    assert_eq!(terminal.writes(), 0);

    let recorded = file("replace.json");
    fs::write(&recorded, terminal.output("record").await).unwrap();
    let from = format!("{command} --from {}", recorded.display());
    assert_eq!(run(&from, None).await.unwrap().text, text);

    fs::write(&recorded, terminal.output("record --anonymize").await).unwrap();
    let from = from.replace("--cluster shop ", "");
    let anonymous = run(&from, None).await.unwrap().text;
    let outcomes = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("      "));
        let mut lines: Vec<_> =
            lines.map(|line| line.split(':').next().unwrap().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(outcomes(&anonymous), outcomes(&text));
}

#[tokio::test(start_paused = true)]
async fn an_age_is_an_option_and_a_hold_says_so() {
    let terminal = Terminal::start(idle_shop(start_time(), 1)).await;
    let none = terminal.output("plan --mode replace").await;
    assert!(none.starts_with("Cluster shop: 0 of "), "{none}");
    sleep(Duration::from_secs(90_000)).await;
    let aged = "plan --mode replace --replace-after-days 1";
    let old = terminal.output(aged).await;
    assert!(old.contains("it registered at 2025-03-04T0"), "{old}");

    let tag = (HOLD_TAG.to_owned(), "forever".to_owned());
    terminal.region.world().clusters.get_mut(CLUSTER).unwrap().tags.extend([tag]);
    let held = terminal.output(aged).await;
    assert!(held.starts_with("Cluster shop: 0 of ") && held.contains("forever"), "{held}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_held_is_left_out_as_the_function_does() {
    let mut world = outdated();
    let group = world.groups.get_mut(ON_DEMAND_GROUP).unwrap();
    group.tags.insert(HOLD_TAG.to_owned(), "forever".to_owned());
    let terminal = Terminal::start(world).await;
    let text = terminal.output("plan --mode replace --max-removals 20").await;
    let settings = ReaperSettings { max_removals_percent: 20, ..ReaperSettings::default() };
    let functions = functions(&terminal, settings).await;
    assert_eq!(text, functions["text"].as_str().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_page_marks_what_a_sweep_would_begin_with() {
    let terminal = Terminal::start(outdated()).await;
    let page = file("replace.html");
    terminal.output(&format!("plan --mode replace --html {}", page.display())).await;
    let page = fs::read_to_string(page).unwrap();
    for text in [
        "to be replaced",
        "A sweep would begin with",
        "data-code=\"would_replace\"",
        "data-code=\"not_old\"",
        "EC2 has scheduled instance-retirement for it",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("This plan saves"));
}

#[tokio::test]
async fn a_recording_of_before_says_what_to_do() {
    let file = recording("version-1.json");
    let failure =
        run(&format!("plan --mode replace --from {}", file.display()), None).await.unwrap_err();
    assert_eq!(failure.exit_code, ExitCode::Input);
    assert!(failure.text.ends_with("record it anew"), "{}", failure.text);
}

#[tokio::test(start_paused = true)]
async fn what_ec2_may_not_be_asked_about_replaces_nothing_and_hides_nothing_else() {
    let mut world = outdated();
    world.faults.plan("DescribeLaunchTemplates", Fault::Denied, 10);
    let terminal = Terminal::start(world).await;
    let text = terminal.output("plan --mode replace").await;
    assert!(text.contains("instance-retirement") && !text.contains("version 1"), "{text}");
}

/// Whoever only plans removals needs no permission for the others.
#[tokio::test(start_paused = true)]
async fn a_plan_of_removals_asks_for_nothing_of_it() {
    let terminal = Terminal::start(outdated()).await;
    terminal.output("plan").await;
    let world = terminal.region.world();
    let mut calls = world.calls.iter().map(|call| call.operation.as_str());
    assert!(!calls.any(|it| ["DescribeLaunchTemplates", "DescribeInstanceStatus"].contains(&it)));
}

//! What `ebb plan` says of other instance types that a group may launch.

use std::fs;
use std::path::PathBuf;

use ebb_region::scenario::instance_id;
use ebb_region::world::autoscaling::{Group, LaunchSource, Override};
use ebb_region::world::ecs::{NewInstance, ServiceKind, TaskSpec};
use ebb_region::world::{REGION, World};
use serde_json::{Value, json};

use crate::support::{Terminal, run, start_time};

const GROUP: &str = "shop-instances";

/// Six `m7g.large` in three zones with one task each, of which no two share an instance: 1,040 of
/// 2,048 CPU units.
fn crowded(overrides: &[Override]) -> World {
    let mut world = World::new(start_time(), 1);
    for number in 1..=6 {
        let zone = ["a", "b", "c"][number % 3];
        let instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance("shop", instance);
    }
    let members = Group::with_instances("shop", (1..=6).map(instance_id));
    let source = LaunchSource::Mixed { on_demand_percentage: 100 };
    world.add_group(GROUP, Group { source, overrides: overrides.to_vec(), ..members });
    let spec = TaskSpec { cpu: 1_040, memory_mib: 1_024, ..TaskSpec::default() };
    world.add_service("shop", "web", ServiceKind::replica(6), spec);
    world
}

fn two_types() -> World {
    crowded(&[Override::InstanceType("m7g.large"), Override::InstanceType("m7g.2xlarge")])
}

/// One m7g.2xlarge holds all six tasks with a fifth of it free. Prices are the Region's.
const CHEAPER: &str = "shop-instances would carry the same load on 1 m7g.2xlarge: $0.36 an hour, \
                       $262 a month. It is 6 m7g.large for $0.54 an hour, $393 a month now, and \
                       would be 6 m7g.large for $0.54 an hour, $393 a month after all sweeps.";

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_the_load_would_cost_on_the_cheapest_mix_and_shows_it_on_its_page() {
    let terminal = Terminal::start(two_types()).await;
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cheaper.html");
    let text = terminal.output(&format!("plan --html {}", file.display())).await;

    assert!(text.contains(CHEAPER), "{text}");
    assert!(fs::read_to_string(file).unwrap().contains(CHEAPER));
    assert_eq!(terminal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn as_json_it_names_the_instances_and_what_they_cost() {
    let terminal = Terminal::start(two_types()).await;
    let json: Value = serde_json::from_str(&terminal.output("plan --json").await).unwrap();
    let present = json!({"instances": {"m7g.large": 6}, "usd_per_hour": 0.5388});
    assert_eq!(
        json["clusters"][0]["cheaper_shapes"],
        json!([{
            "group": GROUP,
            "now": present,
            "swept": present,
            "cheapest": {"instances": {"m7g.2xlarge": 1}, "usd_per_hour": 0.3592},
            "tried": ["m7g.large", "m7g.2xlarge"],
        }])
    );
}

#[tokio::test(start_paused = true)]
async fn a_recording_says_the_same_and_takes_other_prices() {
    let terminal = Terminal::start(two_types()).await;
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cheaper.json");
    fs::write(&file, terminal.output("record --anonymize").await).unwrap();
    let from = format!("--from {}", file.display());

    let text = run(&format!("plan {from}"), None).await.unwrap().text;
    assert!(text.contains(" would carry the same load on 1 m7g.2xlarge: $0.36"), "{text}");
    let dear = r#"{"m7g.2xlarge":9}"#;
    let text = run(&format!("plan {from} --prices {dear}"), None).await.unwrap().text;
    assert!(text.contains("No mix of m7g.large and m7g.2xlarge that was tried is"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn types_by_their_attributes_are_not_judged_and_one_type_is_not_spoken_of() {
    let terminal = Terminal::start(crowded(&[Override::Requirements])).await;
    let text = terminal.output("plan").await;
    let why = "is not judged: it asks for instance types by their attributes.";
    assert!(text.contains(why), "{text}");

    let terminal = Terminal::start(crowded(&[])).await;
    let json: Value = serde_json::from_str(&terminal.output("plan --json").await).unwrap();
    assert_eq!(json["clusters"][0]["cheaper_shapes"], json!([]));
    let calls = terminal.region.world().calls.clone();
    assert!(calls.iter().all(|call| call.operation != "DescribeInstanceTypes"));
}

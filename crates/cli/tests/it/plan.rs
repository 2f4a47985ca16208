//! `ebb plan`.

use std::fs;
use std::path::PathBuf;

use ebb::Printed;
use ebb::failure::ExitCode;
use ebb_aws::{Clients, clients::config_loader};
use ebb_core::ids::Cluster;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::ecs::NewInstance;
use insta::assert_snapshot;
use scale_in_reaper::ScaleInReaper;
use serde_json::{Value, json};

use crate::shapes::large;
use crate::support::{Terminal, start_time};

#[tokio::test(start_paused = true)]
async fn the_plan_is_the_functions_own_and_says_how_far_sweeps_would_come() {
    let terminal = Terminal::start(scenario::idle_shop(start_time(), 1)).await;
    let text = terminal.output("plan --cluster shop --managed-scaling assist").await;
    assert_snapshot!(text);

    let settings = ReaperSettings::default();
    let functions = functions_text(&terminal, settings).await;
    assert!(text.starts_with(&functions), "{functions}");
    assert_eq!(terminal.writes(), 0);
}

/// The plan of the function itself.
async fn functions_text(terminal: &Terminal, settings: ReaperSettings) -> String {
    let clients = Clients::new(&terminal.region.connect(config_loader()).await);
    let settings = ReaperSettings { clusters: Some(vec![Cluster::new("shop")]), ..settings };
    let now = terminal.region.now();
    let deadline = now + std::time::Duration::from_secs(900);
    let reaper = ScaleInReaper::new(clients, settings);
    let answer = reaper.handle(&json!({"mode": "plan"}), now, deadline).await.unwrap();
    answer.to_json()["clusters"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn of_a_large_cluster_the_function_reads_few_instances_and_the_plan_is_still_its_own() {
    let terminal = Terminal::start(large()).await;
    let functions = functions_text(&terminal, ReaperSettings::default()).await;
    assert!(functions.contains("its tasks were not read"), "{functions}");
    let text = terminal.output("plan --cluster shop").await;
    assert!(text.starts_with(&functions), "{functions}{text}");
}

#[tokio::test(start_paused = true)]
async fn options_are_the_functions_settings_and_prices_make_dollars() {
    let terminal = Terminal::start(scenario::idle_shop(start_time(), 1)).await;
    let prices = r#"{"m7g.large":0.0816,"m7g.xlarge":0.1632,"g4dn.xlarge":0.526}"#;
    let command = format!(
        "plan --headroom-cpu 10 --headroom-memory 10 --max-removals 100 --min-instances 2 \
         --group shop-on-demand --prices {prices}"
    );
    assert_snapshot!(terminal.output(&command).await);
}

#[tokio::test(start_paused = true)]
async fn as_json_it_is_the_functions_answer_with_the_end() {
    let terminal = Terminal::start(scenario::shop(start_time(), 1)).await;
    let json: Value = serde_json::from_str(&terminal.output("plan --json").await).unwrap();
    let cluster = &json["clusters"][0];
    let named = ["remove", "keep"].map(|key| cluster[key].as_array().unwrap().len());
    assert_eq!(named.iter().sum::<usize>(), 12);
    assert_snapshot!(format!(
        "{:#}",
        json!({
            "mode": json["mode"],
            "region": json["region"],
            "cluster": cluster["cluster"],
            "remove": cluster["remove"],
            "in_the_end": cluster["in_the_end"],
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn one_cluster_that_cannot_be_read_hides_no_other_and_fails_the_command() {
    let terminal = Terminal::start(scenario::shop(start_time(), 1)).await;
    let printed = terminal.run("plan --cluster shop --cluster shopp").await.unwrap();
    assert!(printed.text.starts_with("Cluster shop: "), "{}", printed.text);
    assert_snapshot!(format!("{:?}", printed.failures));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_in_one_sentence_with_what_to_do_next() {
    let terminal = Terminal::start(scenario::shop(start_time(), 1)).await;
    let wrong = terminal.run("plan --headroom-cpu 95 --min-instances many").await.unwrap_err();
    assert_snapshot!(format!("{wrong:?}"));

    terminal.region.world().faults.plan("ListClusters", Fault::Denied, 1);
    let denied = terminal.run("plan").await.unwrap_err();
    assert_snapshot!(format!("{denied:?}"));
}

/// A file that a test may write.
fn page_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[tokio::test(start_paused = true)]
async fn a_page_shows_every_instance_and_goes_beside_the_text() {
    let terminal = Terminal::start(scenario::idle_shop(start_time(), 1)).await;
    let file = page_file("plan.html");
    let text = terminal.output(&format!("plan --html {}", file.display())).await;
    assert_eq!(text, terminal.output("plan").await);

    let page = fs::read_to_string(file).unwrap();
    let world = terminal.region.world();
    let ids: Vec<_> = world.clusters["shop"]
        .instances
        .values()
        .map(|instance| format!("data-id=\"{}\"", instance.instance_id))
        .collect();
    assert!(ids.len() > 10, "{ids:?}");
    for id in ids {
        assert!(page.contains(&id), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_made_or_written_takes_nothing_of_the_text() {
    let mut world = scenario::shop(start_time(), 1);
    world.add_instance("depot", NewInstance::new("i-0d4e5f6a7b8c90001"));
    let terminal = Terminal::start(world).await;

    let file = page_file("two-clusters.html");
    let printed = terminal.run(&format!("plan --html {}", file.display())).await.unwrap();
    let two = "a page shows one cluster, and here are 2 clusters; name one with --cluster";
    assert_failed_page(&printed, two, "\nCluster shop: ");
    assert!(!file.exists());

    let command = "plan --cluster shop --html /nowhere/plan.html";
    let printed = terminal.run(command).await.unwrap();
    assert_failed_page(&printed, "name a file to write", "Cluster shop: ");
}

fn assert_failed_page(printed: &Printed, why: &str, text: &str) {
    let [failure] = printed.failures.as_slice() else { panic!("{printed:?}") };
    assert_eq!(failure.exit_code, ExitCode::Input);
    assert!(failure.text.starts_with("--html ") && failure.text.contains(why), "{failure:?}");
    assert!(printed.text.contains(text), "{}", printed.text);
}

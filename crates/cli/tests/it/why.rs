//! `ebb why`.

use ebb_region::fault::Fault;
use ebb_region::scenario::instance_id;
use ebb_region::world::ecs::NewInstance;
use insta::assert_snapshot;
use serde_json::Value;

use crate::shapes::shape;
use crate::support::Terminal;

#[tokio::test(start_paused = true)]
async fn each_instance_says_what_keeps_it_and_what_it_would_take() {
    let terminal = Terminal::start(shape("held")).await;
    let mut texts = Vec::new();
    for number in 1..=6 {
        texts.push(terminal.output(&format!("why {}", instance_id(number))).await);
    }
    assert_snapshot!(texts.join("\n"));
    assert_eq!(terminal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_settings_that_keep_an_instance_are_named() {
    let terminal = Terminal::start(shape("spread")).await;
    let command = "--headroom-cpu 70 --min-instances 11 --group shop-spot --json";
    let first = instance_id(1);
    let json = terminal.output(&format!("why {first} {command}")).await;
    let known: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(known["reason"], "group_not_allowed");
    assert_snapshot!(format!("{:#}", known["changes"]));
    assert_eq!(known["goes_then"], true);
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_no_cluster_is_wrong_input() {
    let terminal = Terminal::start(shape("spread")).await;
    let unknown = terminal.run("why i-0123456789abcdef0").await.unwrap_err();
    assert_snapshot!(format!("{unknown:?}"));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_cannot_be_asked_hides_no_instance_of_another_and_may_have_it() {
    let mut world = shape("spread");
    world.add_instance("depot", NewInstance::new("i-0d4e5f6a7b8c90001"));
    let terminal = Terminal::start(world).await;
    let first = instance_id(1);

    terminal.region.world().faults.plan("ListContainerInstances", Fault::Denied, 1);
    let text = terminal.output(&format!("why {first}")).await;
    assert!(text.starts_with(&format!("{first} in cluster shop")), "{text}");

    terminal.region.world().faults.plan("ListContainerInstances", Fault::Denied, 1);
    let denied = terminal.run("why i-0123456789abcdef0").await.unwrap_err();
    assert!(denied.text.contains("docs/ebb-read-only-policy.json"), "{denied:?}");
}

//! `ebb drains`.

use ebb_region::scenario;
use ebb_region::world::spot::Action;
use insta::assert_snapshot;
use serde_json::Value;

use crate::shapes::shape;
use crate::support::{Terminal, start_time};

#[tokio::test(start_paused = true)]
async fn what_drains_says_since_when_and_what_holds_it() {
    let terminal = Terminal::start(shape("held")).await;
    assert_snapshot!(terminal.output("drains").await);
    let json = terminal.output("drains --json").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_snapshot!(format!("{:#}", json["drains"]));
    assert_eq!(terminal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_drains_it_says_so() {
    let terminal = Terminal::start(scenario::shop(start_time(), 1)).await;
    assert_eq!(terminal.output("drains").await, "Nothing drains in 1 cluster.\n");
    terminal.region.world().interrupt(&scenario::instance_id(7), Action::Stop);
    // Without the functions nobody drains it.
    assert_eq!(terminal.output("drains").await, "Nothing drains in 1 cluster.\n");
}

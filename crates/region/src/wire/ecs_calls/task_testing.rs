//! A cluster with tasks and the calls on it, for the tests of the operations on tasks.

use std::time::Duration;

use serde_json::{Value, json};

use super::run;
use crate::wire::answer::Refusal;
use crate::world::World;
use crate::world::ecs::{NewInstance, ServiceKind, TaskSpec};

/// Two container instances with a service of two tasks and a daemon, and a standalone task on the
/// first.
pub(super) fn world() -> (World, String, String) {
    let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
    for id in ["i-1", "i-2"] {
        world.add_instance("shop", NewInstance::new(id));
    }
    world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
    world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
    let first = world.clusters["shop"].registered_instance("i-1").unwrap().id.clone();
    let standalone = world.run_task("shop", &first, "report", TaskSpec::default());
    pass(&mut world, 60);
    (world, first, standalone)
}

pub(super) fn pass(world: &mut World, seconds: u64) {
    world.advance(world.now() + Duration::from_secs(seconds));
}

pub(super) fn call(world: &mut World, operation: &str, mut input: Value) -> Result<Value, Refusal> {
    input["cluster"] = json!("shop");
    run(world, operation, input.to_string().as_bytes(), None)
        .map(|output| serde_json::from_str(&output).unwrap())
}

pub(super) fn list(world: &mut World, input: Value) -> Vec<String> {
    let arns = call(world, "ListTasks", input).unwrap()["taskArns"].clone();
    serde_json::from_value(arns).unwrap()
}

//! A group with termination hooks, for the tests of what they hold and of what they tell.

use std::time::Duration;

use super::group::Group;
use super::lifecycle_hook::{ActionResult, Hook};
use crate::world::ecs::{NewInstance, ServiceKind, TaskSpec};
use crate::world::state::World;

pub(super) const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:lifecycle";

pub(super) fn hook(name: &str) -> Hook {
    Hook {
        heartbeat_timeout: Duration::from_secs(300),
        default_result: ActionResult::Continue,
        topic_arn: Some(TOPIC.to_owned()),
        ..Hook::new(name)
    }
}

/// Two instances with a service, one of which terminates under these hooks.
pub(super) fn terminating(hooks: impl IntoIterator<Item = Hook>) -> World {
    let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
    world.create_topic(TOPIC);
    for id in ["i-1", "i-2"] {
        world.add_instance("shop", NewInstance::new(id));
    }
    world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
    let hooks = hooks.into_iter().collect();
    world.add_group(
        "group",
        Group { hooks, ..Group::with_instances("shop", ["i-1".into(), "i-2".into()]) },
    );
    world.terminate_in_group("i-1", true).unwrap();
    world
}

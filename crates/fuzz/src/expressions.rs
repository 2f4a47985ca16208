//! `memberOf` expressions, as services and task definitions bring them.

use std::collections::BTreeMap;

use ebb_planner::{Policy, plan};

use crate::inventories::{NOW, check, small};

/// Any text as the constraint of a service with a task on the first of two instances.
pub fn expressions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut inventory = small();
    for (number, instance) in inventory.instances.iter_mut().enumerate() {
        instance.attributes = BTreeMap::from([
            ("ecs.os-type".to_owned(), "linux".to_owned()),
            ("stack".to_owned(), if number == 0 { "blue" } else { "" }.to_owned()),
        ]);
    }
    inventory.services[0].constraints = vec![text];
    check(&inventory, &plan(&inventory, &Policy::default(), NOW));
}

//! What attributes and tags say: anybody who may tag can write into them.

use std::fmt;

use ebb_core::fallback_mark::FallbackMark;
use ebb_core::mark::Mark;
use ebb_core::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use ebb_core::reaper::sustained::{LOW_SINCE, TAKEN_BACK};
use ebb_planner::{EMPTIED_ATTRIBUTE, HOLD_ATTRIBUTE, HoldEnd, Policy, plan};

use crate::inventories::{NOW, check, small};

/// Any text in each of them.
pub fn marks(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    check_read_again(&text, Mark::parse);
    check_read_again(&text, FallbackMark::parse);
    check_read_again(&text, Claim::parse);

    let mut inventory = small();
    let group = inventory.instances[0].group.clone();
    let attributes =
        [HOLD_ATTRIBUTE, EMPTIED_ATTRIBUTE, LOW_SINCE, TAKEN_BACK, REPLACING_ATTRIBUTE];
    for name in attributes {
        inventory.instances[0].attributes.insert(name.to_owned(), text.clone());
    }
    inventory.hold_until = Some(text.clone());
    if let Some(group) = group.and_then(|name| inventory.groups.get_mut(&name)) {
        group.hold_until = Some(text);
    }
    let plan = plan(&inventory, &Policy::default(), NOW);
    check(&inventory, &plan);
    let is_over = |end: &HoldEnd| matches!(end, HoldEnd::At(end) if *end <= NOW);
    assert!(
        !plan.holds.iter().any(|hold| is_over(&hold.until)),
        "a hold that is over holds nothing"
    );
}

/// What is written of a value that was read is read as the same, to the second that is written.
fn check_read_again<T: fmt::Display>(text: &str, parse: fn(&str) -> Option<T>) {
    let Some(value) = parse(text) else { return };
    let written = value.to_string();
    let again = parse(&written).map(|value| value.to_string());
    assert_eq!(again.as_ref(), Some(&written), "{text:?}");
}

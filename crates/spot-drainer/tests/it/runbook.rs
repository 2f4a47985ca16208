//! The runbook has a section for each alarm and a row for each reason why something is held, and for
//! no other.

use std::collections::BTreeSet;

use ebb_core::ecs::Room;
use ebb_core::lifecycle::diagnosis::HoldReason;
use jiff::Timestamp;

use crate::documents::{read, rows};

const RUNBOOK: &str = "docs/runbook.md";

/// The text below a heading, up to the next of its level.
fn section(document: &str, heading: &str) -> String {
    let text = read(document);
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The keys of a map in `infra/alarms.tf`, which are indented by so many spaces.
fn keys(map: &str, indent: usize) -> Vec<String> {
    let indent = " ".repeat(indent);
    let keys = map.lines().filter_map(|line| line.strip_prefix(&indent)?.strip_suffix(" = {"));
    keys.filter(|key| !key.starts_with(' ')).map(str::to_owned).collect()
}

/// The sections that the alarms name: a function's own by the function too, the others by
/// themselves.
fn alarm_sections() -> BTreeSet<String> {
    let alarms = read("infra/alarms.tf");
    let map = |name: &str| {
        let (_, rest) = alarms.split_once(&format!("\n  {name} = {{\n")).expect("it is there");
        rest.split("\n  }\n").next().unwrap_or_default().to_owned()
    };
    let mut sections: BTreeSet<_> =
        ["function_alarms", "account_alarms"].iter().flat_map(|name| keys(&map(name), 4)).collect();
    for own in map("own_alarms").split("\n    }") {
        let Some(function) = keys(own, 4).pop() else { continue };
        sections.extend(keys(own, 6).iter().map(|alarm| format!("{function}-{alarm}")));
    }
    // The one alarm that is a resource of its own.
    sections.insert("scale-in-reaper-sweep-missing".to_owned());
    sections
}

#[test]
fn every_alarm_has_its_section_and_every_section_its_alarm() {
    let text = section(RUNBOOK, "When an alarm goes off");
    let headings = text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned);
    assert_eq!(headings.collect::<BTreeSet<_>>(), alarm_sections());
}

/// Each reason, in the order of the runbook.
fn hold_reasons() -> Vec<HoldReason> {
    vec![
        HoldReason::AgentDisconnected,
        HoldReason::Stopping,
        HoldReason::Standalone,
        HoldReason::CannotBeReplaced,
        HoldReason::Protected { until: Timestamp::UNIX_EPOCH },
        HoldReason::Unplaced { obstacle: "a port".to_owned() },
        HoldReason::NoRoom { needed: Room { cpu: 512, memory_mib: 1_024 } },
        HoldReason::Unknown,
    ]
}

/// A reason that is added does not compile here until it is among [`hold_reasons`].
fn is_listed(reason: &HoldReason) -> bool {
    match reason {
        HoldReason::AgentDisconnected
        | HoldReason::Stopping
        | HoldReason::Standalone
        | HoldReason::CannotBeReplaced
        | HoldReason::Protected { .. }
        | HoldReason::Unplaced { .. }
        | HoldReason::NoRoom { .. }
        | HoldReason::Unknown => true,
    }
}

/// Whether a text is what a row says, in which an ellipsis stands for what differs.
fn reads_as(text: &str, row: &str) -> bool {
    let mut rest = text;
    let mut parts = row.split('…').map(str::trim);
    let begins = parts.next().is_some_and(|begin| rest.starts_with(begin));
    let goes_on = parts.all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    });
    begins && goes_on
}

#[test]
fn every_reason_that_holds_a_drain_has_its_row_and_every_row_its_reason() {
    let rows = rows(RUNBOOK, "What holds a drain");
    let reasons = hold_reasons();
    assert!(reasons.iter().all(is_listed));
    assert_eq!(rows.len(), reasons.len(), "{rows:?}");
    for (row, reason) in rows.iter().zip(&reasons) {
        assert!(reads_as(&reason.to_string(), &row[0]), "{reason} has not the row {}", row[0]);
        assert!(row[1..=2].iter().all(|cell| !cell.is_empty()), "{row:?} does not say what to do");
    }
}

/// Which reasons there are is compared with the code where all of the answers are.
#[test]
fn every_reason_to_stay_says_what_can_be_done_and_the_runbook_leads_there() {
    for row in rows("docs/answers.md", "Reasons to stay") {
        assert!(!row[2].is_empty(), "{} does not say what can be done about it", row[0]);
    }
    let keeps = section(RUNBOOK, "What keeps an instance");
    assert!(keeps.contains("(answers.md#reasons-to-stay)"));
}

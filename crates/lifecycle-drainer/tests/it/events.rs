//! Every sample event: what it means stands in a reviewed snapshot, and run by the function on a
//! cluster that waits for nothing it changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use ebb_core::event::{Event, parse};
use ebb_core::lifecycle::action::{self, LifecycleAction};
use serde_json::Value;

use crate::support::Sim;

fn sample_events() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/lifecycle-drainer");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&fs::read(file).unwrap()).unwrap())
        })
        .collect()
}

fn meaning(action: &LifecycleAction) -> String {
    let LifecycleAction { instance_id, group, hook, metadata, time, carried, .. } = action;
    let time = time.map_or_else(|| "no time".to_owned(), |time| time.to_string());
    let hop =
        carried.as_ref().map(|carried| format!(", after hop {}", carried.hop)).unwrap_or_default();
    let metadata = metadata.as_ref().map(|text| format!(", metadata {text}")).unwrap_or_default();
    let topic = action.topic().map_or("no topic", |_| "a topic");
    format!("{instance_id} of {group} by {hook} at {time}, over {topic}{hop}{metadata}")
}

#[test]
fn every_sample_event_means_what_was_reviewed() {
    let mut lines = Vec::new();
    for (name, payload) in sample_events() {
        lines.push(format!("{name}:"));
        lines.extend(parse(&payload, action::read).iter().map(|record| match &record.event {
            Ok(Event::Ours(action)) => format!("  {}", meaning(action)),
            Ok(Event::Ignored { why, .. }) => format!("  ignored: {why}"),
            Err(error) => format!("  failed to {error}"),
        }));
    }
    insta::assert_snapshot!("sample_events", lines.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn no_sample_event_changes_anything_where_no_instance_is_waited_for() {
    for (name, payload) in sample_events() {
        let sim = Sim::shop().await;
        let before = sim.region.world().history.len();
        let answer = sim.invoke(&payload).await;

        let must_fail = ["malformed-", "unknown-"].iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(answer.is_err(), must_fail, "{name}: {answer:?}");
        if let Ok(answer) = answer {
            let records = parse(&payload, action::read);
            let bad = records.iter().filter(|record| record.event.is_err()).count();
            assert_eq!(answer.batch_item_failures.len(), bad, "{name}: {answer:?}");
        }
        let world = sim.region.world();
        assert_eq!(world.history.len(), before, "{name}");
        assert_eq!(world.completed_actions.len(), 0, "{name}");
        let only_reads =
            world.calls.iter().all(|call| call.operation == "DescribeAutoScalingInstances");
        assert!(only_reads, "{name}: {:?}", world.calls);
        assert!(
            !name.starts_with("foreign-") || world.calls.is_empty(),
            "{name}: {:?}",
            world.calls
        );
    }
}

//! Every sample event, run by the function on the shop's cluster. What each must come to stands in
//! a reviewed snapshot, so that no file goes unread and none changes its meaning unseen.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Sim, failed};

fn sample_events() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/spot-drainer");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(start_paused = true)]
async fn every_sample_event_comes_to_what_was_reviewed() {
    let mut lines = Vec::new();
    for file in sample_events() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let payload: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let sim = Sim::shop().await;
        lines.push(format!("{name}:"));
        let result = sim.invoke(&payload).await;
        let must_fail = ["malformed-", "unknown-"].iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(result.is_err(), must_fail, "{name}");
        match result {
            Ok(answer) => {
                lines.extend(answer.outcomes.iter().map(|outcome| {
                    let instance_id = outcome.instance_id.as_ref().map_or("-", |id| id.as_str());
                    let reason = outcome.reason.as_deref().unwrap_or_default();
                    format!("  {instance_id} {}: {reason}", outcome.outcome.as_str())
                }));
                lines.extend(
                    failed(&answer)
                        .iter()
                        .map(|_| "  one message to be delivered again".to_owned()),
                );
            }
            Err(error) => lines.push(format!("  {error:?}")),
        }
        let drained = sim.draining();
        assert!(drained.is_empty() || !name.starts_with("foreign-"), "{name} drained {drained:?}");
    }
    insta::assert_snapshot!("sample_events", lines.join("\n"));
}

//! Every sample event: what it means stands in a reviewed snapshot, and what asks for no sweep
//! makes no call.

use std::fs;
use std::path::{Path, PathBuf};

use ebb_core::event::Event;
use ebb_core::reaper::request::{Purpose, Request, read};
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use serde_json::Value;

use crate::support::{Sim, settings, small};

fn sample_events() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/scale-in-reaper");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    files
        .iter()
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), read(file)))
        .collect()
}

#[test]
fn every_sample_event_means_what_was_reviewed() {
    let meaning = |payload: &Value| match read(payload) {
        Ok(Event::Ours(Request::Summary)) => "what a week came to".to_owned(),
        Ok(Event::Ours(Request::Sweep(request))) => match request.mode {
            None if request.purpose == Purpose::Replace => "a sweep that replaces".to_owned(),
            None => "a sweep as the settings say".to_owned(),
            Some(ReaperMode::Plan) => "a plan".to_owned(),
            Some(ReaperMode::Act) => "a sweep that acts, if it may".to_owned(),
        },
        Ok(Event::Ignored { why, .. }) => format!("ignored: {why}"),
        Err(error) => format!("failed to {error}"),
    };
    let lines: Vec<_> = sample_events()
        .iter()
        .map(|(name, payload)| format!("{name}: {}", meaning(payload)))
        .collect();
    insta::assert_snapshot!("sample_events", lines.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn only_what_asks_for_a_sweep_makes_a_call_and_in_plan_mode_it_changes_nothing() {
    for (name, payload) in sample_events() {
        let sim =
            Sim::start(small(1), ReaperSettings { mode: ReaperMode::Plan, ..settings() }).await;
        let before = sim.region.world().history.len();
        let answer = sim.invoke(&payload).await;

        assert_eq!(answer.is_err(), name.starts_with("malformed-"), "{name}: {answer:?}");
        let world = sim.region.world();
        assert_eq!(world.history.len(), before, "{name}");
        let asks = !name.starts_with("malformed-") && !name.starts_with("foreign-");
        assert_eq!(!world.calls.is_empty(), asks, "{name}: {:?}", world.calls);
        assert_eq!(answer.is_ok_and(|answer| answer.ignored.is_none()), asks, "{name}");
    }
}

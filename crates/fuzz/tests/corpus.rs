//! Replays every input of the corpora, and every sample event as it is.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::{fs, panic};

use ebb_fuzz::{TARGETS, Target};

/// The files of a folder, and of its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_input_of_the_corpora_holds_what_its_target_claims() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs: Vec<(Target, PathBuf)> = Vec::new();
    for target in TARGETS {
        let own = files(&root.join("corpus").join(target.0));
        assert!(!own.is_empty(), "{} has no corpus", target.0);
        inputs.extend(own.into_iter().map(|path| (target, path)));
    }
    let events = files(&root.join("../../events")).into_iter();
    inputs.extend(events.map(|path| (("events", ebb_fuzz::events as fn(&[u8])), path)));
    let recordings = files(&root.join("../cli/tests/recordings")).into_iter();
    inputs.extend(recordings.map(|path| (("recordings", ebb_fuzz::recordings as fn(&[u8])), path)));

    for ((name, check), path) in inputs {
        let bytes = fs::read(&path).unwrap();
        let outcome = panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{name}: {}", path.display());
    }
}

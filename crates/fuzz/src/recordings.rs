//! Recordings of `ebb record`, which come in bug reports.

use ebb::recording::{Recording, anonymize};
use ebb::snapshot::Snapshot;
use ebb_planner::{Policy, plan};

use crate::inventories::check;

/// Any text as a recording.
pub fn recordings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(recording) = Recording::read(text) else { return };
    let mut without_names = recording.clone();
    anonymize(&mut without_names);
    for recording in [recording, without_names] {
        let snapshot = Snapshot::from(recording);
        for cluster in &snapshot.clusters {
            let plan = plan(&cluster.inventory, &Policy::default(), snapshot.at);
            check(&cluster.inventory, &plan);
        }
        let written = Recording::from(&snapshot);
        let json = written.to_json().unwrap_or_else(|failure| panic!("{}", failure.text));
        let again = Recording::read(&json).unwrap_or_else(|failure| panic!("{}", failure.text));
        assert_eq!(again, written, "what is written is read as the same");
    }
}

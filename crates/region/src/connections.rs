//! The connections of an HTTP client, as far as they matter to a Region that closes idle ones: a
//! function that was frozen for minutes finds them in its pool, and does not know that they are closed.
//!
//! Sources: Lambda Developer Guide, lambda-runtime-environment (an execution environment is frozen
//! between two invocations, and connections that idled meanwhile may be closed); hyper-util keeps
//! idle connections by host and takes the one that was used last. For how long AWS keeps an idle
//! connection open is not documented.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// The pool of a client: for each host when its idle connections were last used, the latest last. It
/// holds no more of them than there were calls to a host at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    idle: Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>>,
}

impl Connections {
    /// Takes a connection to a host out of the pool, or makes one. Whether the Region still has it
    /// open, which closes those that were idle for longer than `limit`, if there is one.
    pub(crate) fn take(&self, host: &str, limit: Option<Duration>, now: Timestamp) -> bool {
        let last_used = self.idle().get_mut(host).and_then(Vec::pop);
        let idle = last_used.map(|last_used| now.duration_since(last_used).unsigned_abs());
        idle.zip(limit).is_none_or(|(idle, limit)| idle <= limit)
    }

    /// Puts a connection into the pool once the call over it has been answered.
    pub(crate) fn put_back(&self, host: &str, now: Timestamp) {
        self.idle().entry(host.to_owned()).or_default().push(now);
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Timestamp>>> {
        // No holder can leave half a change behind.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

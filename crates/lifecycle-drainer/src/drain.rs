//! The drain that a hop is about, as the parts of the hop read it. Only the hop itself changes
//! anything in it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ebb_aws::{Clients, Clock};
use ebb_core::ids::Cluster;
use ebb_core::lifecycle::action::LifecycleAction;
use ebb_core::lifecycle::handoff::HandoffState;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{ClusterSearch, drain_began};
use jiff::Timestamp;

/// One drain: what it is about, and what its parts need to read and to change AWS.
#[derive(Clone, Copy)]
pub(crate) struct Drain<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) settings: &'a LifecycleSettings,
    /// The lifecycle action that holds the instance.
    pub(crate) action: &'a LifecycleAction,
    /// What the hops hand on to each other.
    pub(crate) state: &'a HandoffState,
    /// What this hop has heard from the clusters.
    pub(crate) search: &'a SearchMemory,
    pub(crate) clock: Clock,
}

/// What a hop has heard from the clusters. It is shared by look-ups that run at once.
#[derive(Debug, Default)]
pub(crate) struct SearchMemory(Mutex<ClusterSearch>);

impl SearchMemory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, ClusterSearch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain<'_> {
    /// When Auto Scaling began to wait for the drain.
    pub(crate) fn began(&self) -> Timestamp {
        drain_began(self.action.time, self.state.first_seen)
    }

    /// Whether the settings allow to look for container instances in a cluster.
    pub(crate) fn may_look_in(&self, cluster: &Cluster) -> bool {
        match &self.settings.clusters {
            None => true,
            Some(clusters) => clusters.iter().any(|allowed| allowed.name() == cluster.name()),
        }
    }
}

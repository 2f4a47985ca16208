//! What the looks of a hop have shown so far, and when and how the next one comes.
//!
//! The pauses are decided by `ebb_core::lifecycle`, and what the evidence allows by its `decide`.

use std::time::Duration;

use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::lifecycle::{
    DrainProgress, Evidence, LookTarget, PastLooks, READ_LAG_MAX, count_stopping_looks, jittered,
    next_look,
};
use jiff::{SignedDuration, Timestamp};

use crate::observation::Observation;

/// The looks of a hop.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(crate) evidence: Evidence,
    past: PastLooks,
}

impl Looks {
    /// No look yet, of a hop that begins now.
    pub(crate) fn new(message_time: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            evidence: Evidence {
                first_look: now,
                message_time,
                search_incomplete: false,
                tasks_seen: false,
                nothing_since: None,
            },
            past: PastLooks { looks: 0, stopping_looks: 0, drains_at_once: 1 },
        }
    }

    /// Takes a look into account.
    pub(crate) fn add(
        &mut self,
        observation: &Observation,
        settings: &LifecycleSettings,
        now: Timestamp,
    ) {
        let (progress, policy) = (&observation.progress, settings.standalone_tasks);
        let evidence = &mut self.evidence;
        evidence.search_incomplete = observation.search_incomplete;
        if progress.is_over(policy) {
            evidence.nothing_since = evidence.nothing_since.or(Some(now));
        // Until they are counted, nothing is known of the tasks.
        } else if matches!(progress, DrainProgress::Draining(_)) {
            evidence.tasks_seen = true;
            evidence.nothing_since = None;
        }
        if matches!(progress, DrainProgress::Draining(_)) {
            let holding = observation.holding_tasks(policy);
            self.past.stopping_looks = count_stopping_looks(&holding, self.past.stopping_looks);
        }
    }

    /// Takes into account how many instances the group waits for.
    pub(crate) fn share_with(&mut self, drains_at_once: usize) {
        self.past.drains_at_once = drains_at_once;
    }

    /// The next look at what holds the drain.
    pub(crate) fn next(
        &mut self,
        observation: &Observation,
        settings: &LifecycleSettings,
        now: Timestamp,
    ) -> (Duration, LookTarget) {
        let holding = observation.holding_tasks(settings.standalone_tasks);
        let next = next_look(&holding, self.past, settings.poll_interval, fastrand::f64(), now);
        self.past.looks = self.past.looks.saturating_add(1);
        (duration(next.pause), next.target)
    }

    /// The pause after a call that failed.
    pub(crate) fn pause_after_failure(settings: &LifecycleSettings) -> Duration {
        duration(jittered(settings.poll_interval, fastrand::f64()))
    }

    /// The pause before a look that confirms the one before it. Where that was no help, as a cluster
    /// cannot be searched, it is as long as any.
    pub(crate) fn confirming_pause(
        &self,
        settings: &LifecycleSettings,
        now: Timestamp,
    ) -> Duration {
        let is_confirmed =
            self.evidence.nothing_since.is_some_and(|since| now >= since + READ_LAG_MAX);
        if is_confirmed { Self::pause_after_failure(settings) } else { duration(READ_LAG_MAX) }
    }
}

/// A pause for the clock. None is negative.
fn duration(pause: SignedDuration) -> Duration {
    pause.unsigned_abs()
}

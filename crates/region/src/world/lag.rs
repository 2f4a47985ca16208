//! Reads that are not up to date: ECS and Auto Scaling answer a question from a copy of their data,
//! which may be some seconds old.
//!
//! Source: ECS API, `RunTask` ("follows an eventual consistency model": what a call changes may not
//! be visible at once to all later calls). That Auto Scaling does so as well is inferred. How far
//! reads lag is not documented, nor that two questions are answered from the same copy.
//!
//! What lags is what clusters and groups look like. Calls that change something act on the present,
//! and their own answers are true.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::autoscaling::Group;
use super::ecs::{CapacityProvider, Cluster};

/// How far reads lag behind at most.
const LAG_MAX: Duration = Duration::from_secs(60);

/// For how long the next page of a list is from the same moment as the one before. With `LAG_MAX`
/// it bounds what is kept: a snapshot for each second, 71 in all.
const PAGE_TIME: Duration = Duration::from_secs(10);

/// How far reads lag behind. By default not at all: then no snapshot is taken and nothing drawn.
#[derive(Debug, Clone)]
pub struct Lag {
    max: Duration,
    /// A source of its own, so that what else happens in a world is the same with and without lag.
    rng: fastrand::Rng,
    /// What there was, the latest last.
    pub(super) snapshots: VecDeque<Snapshot>,
    /// For each question that was asked lately, from which moment the answer was.
    pub(super) answered: BTreeMap<String, Timestamp>,
}

/// What there was until a moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) until: Timestamp,
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) capacity_providers: BTreeMap<String, CapacityProvider>,
    pub(super) groups: BTreeMap<String, Group>,
}

impl Default for Lag {
    fn default() -> Self {
        Self::up_to(Duration::ZERO, 0)
    }
}

impl Lag {
    /// Each read sees what there was at a moment between now and `max` ago, drawn from the seed;
    /// 60 s at most. The same question, asked again, never gets an older answer than before.
    pub fn up_to(max: Duration, seed: u64) -> Self {
        Self {
            max: max.min(LAG_MAX),
            rng: fastrand::Rng::with_seed(seed),
            snapshots: VecDeque::new(),
            answered: BTreeMap::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.max > Duration::ZERO
    }

    /// What was before this moment no read can see any more.
    pub(super) fn oldest(&self, now: Timestamp) -> Timestamp {
        now - self.max - PAGE_TIME
    }

    /// From which moment the answer to a question is that is asked now.
    pub(super) fn moment_of(
        &mut self,
        question: &str,
        next_page: bool,
        now: Timestamp,
    ) -> Timestamp {
        // What was answered longer ago than that forbids nothing any more.
        let oldest = self.oldest(now);
        self.answered.retain(|_, moment| *moment > oldest);
        let drawn = now - self.max.mul_f64(self.rng.f64());
        let moment = match self.answered.get(question) {
            // The pages of a list are from one snapshot, or an item could be on none of them.
            Some(&last) if next_page => last,
            Some(&last) => drawn.max(last),
            None => drawn,
        };
        self.answered.insert(question.to_owned(), moment);
        moment
    }
}

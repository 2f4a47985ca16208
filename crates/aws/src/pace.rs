//! How fast reads may follow each other: within the request rates of ECS, with room left for
//! everybody else.
//!
//! ECS counts calls in token buckets that the whole account shares, one for each class of calls
//! (ECS API Reference, request-throttling). A sweep of a large cluster would empty one and throttle
//! the functions that cannot wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// For calls that can wait: a burst well under the buckets' 50 and 100, and then 16 calls per second
/// of the 20 that each bucket gets back.
const PATIENT: Rate = Rate { burst: 30, interval: Duration::from_micros(62_500) };
/// For a search that cannot: a burst of four fifths of the bucket, and then 18 calls per second. What
/// is left is for what is found.
const URGENT: Rate = Rate { burst: 80, interval: Duration::from_micros(55_556) };

/// How fast calls of one class may follow each other.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// How many may follow each other at once.
    burst: u32,
    /// The time between calls after a burst.
    interval: Duration,
}

/// How many calls wait for their answers at once. The pacers bound how fast calls follow each
/// other; this bounds how many answers are held in memory. At 16 per second, 8 suffice for answers
/// that take half a second.
const CONCURRENT_READS_MAX: usize = 8;

/// The pace of a client's reads. Cheap to clone: every clone keeps the same pace.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Reads of container instances and tasks.
    pub(crate) resources: Pacer,
    /// Reads of services.
    pub(crate) services: Pacer,
    /// Reads of task definitions.
    pub(crate) task_definitions: Pacer,
    /// Lists of a search through many clusters.
    pub(crate) searches: Pacer,
    /// How many calls of one read may wait for their answers at once.
    pub(crate) concurrent_reads_max: usize,
}

impl Pace {
    /// One call after another, without waits between them: for a few calls that cannot wait. Only a
    /// search through many clusters keeps a pace.
    pub(crate) fn unlimited() -> Self {
        Self {
            resources: Pacer::unlimited(),
            services: Pacer::unlimited(),
            task_definitions: Pacer::unlimited(),
            searches: Pacer::patient(),
            concurrent_reads_max: 1,
        }
    }

    /// Several calls at once, within the request rates of ECS: for many calls that can wait.
    pub(crate) fn within_request_rates() -> Self {
        Self {
            resources: Pacer::patient(),
            services: Pacer::patient(),
            task_definitions: Pacer::patient(),
            searches: Pacer::patient(),
            concurrent_reads_max: CONCURRENT_READS_MAX,
        }
    }
}

/// The pace of one class of calls.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    /// `None` for calls that never wait.
    paced: Option<Paced>,
}

#[derive(Debug, Clone)]
struct Paced {
    rate: Rate,
    /// When the next call is due if none may come early.
    due: Arc<Mutex<Option<Instant>>>,
}

impl Pacer {
    pub(crate) fn unlimited() -> Self {
        Self { paced: None }
    }

    /// For calls that can wait.
    pub(crate) fn patient() -> Self {
        Self::at(PATIENT)
    }

    /// For calls that have two minutes at most.
    pub(crate) fn urgent() -> Self {
        Self::at(URGENT)
    }

    fn at(rate: Rate) -> Self {
        Self { paced: Some(Paced { rate, due: Arc::default() }) }
    }

    /// Waits until a call may be made. Whoever asks first is served first.
    pub(crate) async fn turn(&self) {
        let Some(Paced { rate, due }) = &self.paced else { return };
        // The lock is held for the reservation alone, and not while sleeping: other calls reserve
        // their turns meanwhile.
        let turn =
            rate.reserve(&mut due.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        sleep_until(turn).await;
    }
}

impl Rate {
    /// Takes the next turn, and says when it is: up to a burst of them are early.
    fn reserve(self, due: &mut Option<Instant>, now: Instant) -> Instant {
        // A due time in the past must not add up to a burst larger than the bucket's.
        let regular_turn = due.unwrap_or(now).max(now);
        *due = Some(regular_turn + self.interval);
        let early_max = self.interval * (self.burst - 1);
        regular_turn.checked_sub(early_max).map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (pacer, start) = (Pacer::patient(), Instant::now());
        for _ in 0..PATIENT.burst {
            pacer.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..160 {
            pacer.turn().await;
        }
        assert!((start.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let (pacer, start) = (Pacer::unlimited(), Instant::now());
        for _ in 0..1_000 {
            pacer.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back_up_to_the_burst() {
        let pacer = Pacer::patient();
        for _ in 0..200 {
            pacer.turn().await;
        }
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        for _ in 0..=PATIENT.burst {
            pacer.turn().await;
        }
        assert!(
            start.elapsed() > Duration::ZERO
                && start.elapsed() <= PATIENT.interval + Duration::from_millis(1)
        );
    }
}

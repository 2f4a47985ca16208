//! How fast reads may follow each other: within the request rates of ECS, with room left for everybody else.
//!
//! ECS counts calls in token buckets that the whole account shares, one for each class of calls (ECS API Reference,
//! request-throttling). A sweep of a large cluster would empty one and throttle the functions that cannot wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How many calls of one class may follow each other at once: well under the buckets' 50 and 100.
const BURST: u32 = 30;
/// After that one every this often: 16 a second, of the 20 that each bucket gets back.
const INTERVAL: Duration = Duration::from_micros(62_500);

/// The paces of the classes of reads. Cheap to clone: every clone keeps the same pace.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Reads of container instances and tasks.
    pub resources: Pacer,
    /// Reads of services.
    pub services: Pacer,
    /// Reads of task definitions.
    pub definitions: Pacer,
}

/// The pace of one class of calls.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    /// When the next call is due if none may come early.
    due: Arc<Mutex<Option<Instant>>>,
}

impl Pacer {
    /// Waits until a call may be made. Whoever asks first goes first.
    pub async fn turn(&self) {
        let turn = self.reserve(Instant::now());
        sleep_until(turn).await;
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let this = due.unwrap_or(now).max(now);
        *due = Some(this + INTERVAL);
        let early = INTERVAL * (BURST - 1);
        this.checked_sub(early).map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        for _ in 0..BURST {
            pacer.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..160 {
            pacer.turn().await;
        }
        assert!((start.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back_up_to_the_burst() {
        let pacer = Pacer::default();
        for _ in 0..200 {
            pacer.turn().await;
        }
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        for _ in 0..=BURST {
            pacer.turn().await;
        }
        assert!(
            start.elapsed() > Duration::ZERO
                && start.elapsed() <= INTERVAL + Duration::from_millis(1)
        );
    }
}

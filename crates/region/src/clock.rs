//! World time, tied to tokio's clock: virtual where that is paused, and `speed` times as fast as
//! the wall otherwise.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Says what time it is in the world.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    world_start: Timestamp,
    started: Instant,
    speed: f64,
}

impl Clock {
    /// Starts the clock: it is `world_start` now, and world time runs `speed` times as fast as
    /// tokio's.
    pub fn start(world_start: Timestamp, speed: f64) -> Self {
        Self { world_start, started: Instant::now(), speed }
    }

    /// The time in the world.
    pub fn now(&self) -> Timestamp {
        self.world_start + self.started.elapsed().mul_f64(self.speed)
    }

    /// When tokio's clock will show that the world has come to `time`. A little late rather than
    /// early, as `now` must have reached `time` then.
    pub fn instant_of(&self, time: Timestamp) -> Instant {
        // A moment before the start has been reached already.
        let ahead =
            Duration::try_from(time.duration_since(self.world_start)).unwrap_or(Duration::ZERO);
        self.started + ahead.div_f64(self.speed) + Duration::from_micros(1)
    }

    /// How long `duration` of the world takes on tokio's clock.
    pub fn scaled(&self, duration: Duration) -> Duration {
        duration.div_f64(self.speed)
    }
}

//! The Region as the outside sees it: a world whose time passes with tokio's clock, shared by
//! everyone who calls it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::lambda::{Lambda, run};
use crate::world::World;
use crate::world::delivery::Invocation;

/// A running Region. Cheap to clone: every clone is the same Region.
#[derive(Debug, Clone)]
pub struct Region {
    world: Arc<Mutex<World>>,
    clock: Arc<Mutex<Clock>>,
    changed: Arc<Notify>,
}

/// Why [`Region::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Nothing is due any more and no invocation runs.
    Quiet,
    /// The time is up.
    TimeUp,
}

impl Region {
    /// Starts a world's time, `speed` times as fast as tokio's clock.
    pub fn start(world: World, speed: f64) -> Self {
        let clock = Arc::new(Mutex::new(Clock::start(world.now(), speed)));
        Self { world: Arc::new(Mutex::new(world)), clock, changed: Arc::new(Notify::new()) }
    }

    /// The world as it is now. Nobody else can use it until the guard is dropped, so drop it before
    /// any `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // A panic that held the guard is reported by itself; to refuse the world to everybody else
        // would only hide it.
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(self.now());
        world
    }

    /// The time in the world.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// The clock, at the speed that it has now.
    pub fn clock(&self) -> Clock {
        *self.lock_clock()
    }

    /// Lets the world's time run `speed` times as fast as tokio's clock from now on. For moments in
    /// which nothing runs: whoever waits already waits as long as the speed before has it.
    pub fn set_speed(&self, speed: f64) {
        let mut clock = self.lock_clock();
        *clock = Clock::start(clock.now(), speed);
    }

    fn lock_clock(&self) -> MutexGuard<'_, Clock> {
        // As with the world.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever lets the Region run that something new may be due: after a change that was
    /// made while it runs.
    pub fn notify(&self) {
        self.changed.notify_one();
    }

    /// Lets the Region run for up to `limit` of its own time, with `lambda` running the functions,
    /// until nothing more is to happen. Invocations that still run when the time is up are waited
    /// for; their time-outs bound that.
    pub async fn run(&self, lambda: &dyn Lambda, limit: Duration) -> RunEnd {
        // The limit is turned into one moment of tokio's clock, so that it does not depend on how
        // often the loop goes round.
        let clock = self.clock();
        let end = clock.instant_of(clock.now() + limit);
        let mut running = JoinSet::new();
        loop {
            let next = self.start_ready(lambda, &mut running);
            let time_up = Instant::now() >= end;
            match (running.is_empty(), next) {
                // An agenda without entries is not the end while an invocation runs, as its calls
                // can still plan something.
                (true, None) => return RunEnd::Quiet,
                (true, Some(_)) if time_up => return RunEnd::TimeUp,
                _ => {}
            }
            // Once the time is up nothing that is due wakes the loop any more, or it would spin
            // until the last invocation ends.
            let wake = next.filter(|_| !time_up).map(|next| clock.instant_of(next).min(end));
            self.wait(&mut running, wake).await;
        }
    }

    /// Lets the Region run for ever, also when nothing is to happen: someone may call it at any
    /// time.
    pub async fn run_forever(&self, lambda: &dyn Lambda) -> Infallible {
        let mut running = JoinSet::new();
        loop {
            let next = self.start_ready(lambda, &mut running);
            self.wait(&mut running, next.map(|next| self.clock().instant_of(next))).await;
        }
    }

    /// Starts the invocations that are due, and returns when something is due next.
    fn start_ready(&self, lambda: &dyn Lambda, running: &mut JoinSet<Run>) -> Option<Timestamp> {
        // The guard is dropped before the functions start, as their calls lock the world
        // themselves.
        let (ready, next) = {
            let mut world = self.world();
            (world.take_ready(), world.next_due())
        };
        for (invocation, timeout) in ready {
            running.spawn(run(lambda, self.clock(), invocation, timeout));
        }
        next
    }

    /// Waits until something is due, has changed, or an invocation has ended.
    async fn wait(&self, running: &mut JoinSet<Run>, wake: Option<Instant>) {
        let due = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In this order, so that a run repeats exactly.
            biased;
            () = due => {}
            () = self.changed.notified() => {}
            Some(ended) = running.join_next(), if !running.is_empty() => {
                // A panic in a function fails the test that runs it.
                let (invocation, result) =
                    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                self.world().end(invocation, result);
            }
        }
    }
}

/// An invocation with its result.
type Run = (Invocation, Result<Value, String>);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_from_where_it_was_at_another_speed() {
        let start = Timestamp::UNIX_EPOCH;
        let region = Region::start(World::new(start, 1), 20.0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        region.set_speed(200.0);
        assert_eq!(region.now(), start + Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(region.world().now(), start + Duration::from_secs(660));
    }
}

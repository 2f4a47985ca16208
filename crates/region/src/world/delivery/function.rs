//! Lambda functions, as far as invoking them is concerned.

use std::time::Duration;

use serde_json::Value;

/// How often Lambda tries an event again by default that the function has failed on.
const RETRIES: usize = 2;

/// For how long Lambda keeps an event by default.
const EVENT_AGE_MAX: Duration = Duration::from_secs(6 * 3600);

/// A Lambda function, as far as invoking it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// After how long Lambda cuts it off.
    pub timeout: Duration,
    /// How many invocations run at once at most: its reserved concurrency.
    pub concurrency: usize,
    pub(super) running: usize,
    /// For how long Lambda keeps an event that it cannot hand over: `MaximumEventAgeInSeconds`.
    pub event_age_max: Duration,
    /// How often Lambda tries an event again that it has failed on: `MaximumRetryAttempts`, 2 at most.
    pub retries: usize,
    /// How many invocations were throttled.
    pub throttles: u32,
    /// The events that failed for good.
    pub dead_letters: Vec<Value>,
    /// Whether it may invoke itself through SNS for as long as it likes: `RecursiveLoop` `Allow`.
    pub recursive_loop_allowed: bool,
    /// How many invocations were dropped because they were part of a loop:
    /// `RecursiveInvocationsDropped`.
    pub recursion_drops: u32,
}

impl Function {
    /// A function with a time-out and no reserved concurrency.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            concurrency: 1000,
            running: 0,
            event_age_max: EVENT_AGE_MAX,
            retries: RETRIES,
            throttles: 0,
            dead_letters: Vec::new(),
            recursive_loop_allowed: false,
            recursion_drops: 0,
        }
    }

    /// Lets so many invocations run at once at most.
    #[must_use]
    pub fn reserving(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }
}

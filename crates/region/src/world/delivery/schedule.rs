//! EventBridge Scheduler's schedules.

use std::time::Duration;

use serde_json::Value;

/// A schedule. It never ends, so a world that has one never comes to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The function, by name.
    pub function: String,
    /// How often.
    pub interval: Duration,
    /// What the function gets, without any envelope.
    pub input: Value,
    /// How often an invocation that Lambda does not take is tried again.
    pub retries_max: u32,
    /// For how long it is tried again.
    pub event_age_max: Duration,
    /// The inputs that were given up.
    pub dead_letters: Vec<Value>,
}

impl Schedule {
    /// A schedule with AWS's retry policy.
    pub fn every(interval: Duration, function: &str, input: Value) -> Self {
        Self {
            function: function.to_owned(),
            interval,
            input,
            retries_max: 185,
            event_age_max: Duration::from_secs(86_400),
            dead_letters: Vec::new(),
        }
    }
}

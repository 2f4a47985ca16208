//! Invocations of functions: where they come from, and how they ended.

use jiff::Timestamp;
use serde_json::Value;

/// How many invocations a loop through SNS may have; the next one is dropped.
/// Source: Lambda Developer Guide, invocation-recursion ("approximately 16").
pub const RECURSION_HOPS_MAX: u32 = 16;

/// An invocation of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Its number.
    pub number: u64,
    /// The function, by name.
    pub function: String,
    /// What it gets.
    pub payload: Value,
    pub(super) hop: Hop,
    pub(super) origin: Origin,
}

impl Invocation {
    /// Which invocation of its chain it is.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    pub(super) fn comes_from(&self, queue: &str) -> bool {
        matches!(&self.origin, Origin::Queue { name, .. } if name == queue)
    }
}

/// Which invocation of its chain one is: 1 if no function caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop(pub u32);

impl Hop {
    pub(super) const FIRST: Self = Self(1);

    /// The hop that an invocation causes; the first one if no invocation is the cause.
    pub fn after(cause: Option<Self>) -> Self {
        cause.map_or(Self::FIRST, |Self(hop)| Self(hop.saturating_add(1)))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    Queue { name: String, message_ids: Vec<String> },
    Asynchronous { retries: usize, throttles: u32, since: Timestamp },
    Synchronous,
}

/// An invocation that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The invocation.
    pub invocation: Invocation,
    /// When it ended.
    pub time: Timestamp,
    /// What the function returned, or its error.
    pub result: Result<Value, String>,
}

//! EC2 Spot: what an interruption does to an instance, and how much notice it gives.

use std::time::Duration;

/// From the notice to the interruption.
pub const NOTICE_PERIOD: Duration = Duration::from_secs(120);

/// What EC2 does to an interrupted instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The instance is gone for good.
    Terminate,
    /// The instance stops and may start again.
    Stop,
    /// The instance is written to disk and may start again.
    Hibernate,
}

impl Action {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }

    /// Reads AWS's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Terminate, Self::Stop, Self::Hibernate]
            .into_iter()
            .find(|action| action.as_str() == word)
    }
}

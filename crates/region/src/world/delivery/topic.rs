//! SNS topics.

/// A topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topic {
    /// The functions that subscribe to it, by name.
    pub functions: Vec<String>,
}

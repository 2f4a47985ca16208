//! EventBridge rules: which events go where.

/// An EventBridge rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The `source` and the `detail-type`s that it matches.
    pub source: String,
    /// See `source`.
    pub detail_types: Vec<String>,
    /// Where matching events go.
    pub target: Target,
}

/// Where a rule sends its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A queue, by name.
    Queue(String),
    /// A function, by name, invoked asynchronously.
    Function(String),
}

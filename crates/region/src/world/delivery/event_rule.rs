//! EventBridge rules: which events go where.

use serde_json::Value;

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
    /// A topic, by ARN.
    Topic(String),
}

impl Rule {
    pub(super) fn matches(&self, event: &Value) -> bool {
        let detail_type = event["detail-type"].as_str().unwrap_or_default();
        event["source"] == self.source.as_str()
            && self.detail_types.iter().any(|name| name == detail_type)
    }
}

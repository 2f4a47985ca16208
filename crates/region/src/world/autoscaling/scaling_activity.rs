//! What Auto Scaling answers to a call: the activity that it starts, or why it refuses.

use jiff::Timestamp;

/// What Auto Scaling says that it is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its id.
    pub id: String,
    /// The group.
    pub group: String,
    /// The instance that it terminates.
    pub instance_id: String,
    /// When it started.
    pub started_at: Timestamp,
    /// From and to what the desired capacity falls with it, if it does.
    pub shrinks: Option<(i32, i32)>,
}

/// Why a call was refused, as Auto Scaling says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The error code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl Refused {
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self { code: "ValidationError", message: message.into() }
    }
}

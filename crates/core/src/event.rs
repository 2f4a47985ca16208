//! What an invocation brings, read into values that need no further checks.
//!
//! [`parse`] opens what events come wrapped in and hands each event to a reader:
//! [`crate::spot::notice::read`] for EC2's notices, [`crate::lifecycle::action::read`] for Auto
//! Scaling's lifecycle actions. What asks for a sweep comes bare, and
//! [`crate::reaper::request::read`] reads it as it is. An event that is not the reader's is
//! [`Event::Ignored`] with a reason; one that claims to be and cannot be read is a [`ParseError`]
//! that names the field. What to do about an event is left to the modules of the functions.

mod envelope;

use serde_json::Value;

pub(crate) use self::envelope::is_notification;
pub use self::envelope::{Batch, Message, Record, parse};
use crate::ids::InstanceId;

/// One event, whatever it came wrapped in.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<T> {
    /// What the reader reads.
    Ours(T),
    /// An event that is not for the function. Normal: rules, topics and queues are shared.
    Ignored {
        /// The instance that the event is about, where it says so.
        instance_id: Option<InstanceId>,
        /// Why it is not for us, for the log.
        why: String,
    },
}

impl<T> Event<T> {
    pub(crate) fn ignored(why: impl Into<String>) -> Self {
        Self::Ignored { instance_id: None, why: why.into() }
    }
}

/// An event that claims to be one of ours and cannot be read. It is an error, so that it reaches
/// the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{field}` of the {event}: expected {expected}, found {found}")]
pub struct ParseError {
    /// What the event says it is.
    pub event: String,
    /// The field, as a dotted path.
    pub field: &'static str,
    /// What should have stood there.
    pub expected: &'static str,
    /// What stood there, shortened.
    pub found: String,
}

/// How much of a text an error shows: enough for an id or a word of AWS, and not a whole event,
/// which may hold user data.
const TEXT_CHARS_MAX: usize = 40;

/// Describes a JSON value in a few words for an error message; long text is cut, as it may be
/// anything.
pub(crate) fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(_)) => "a boolean".to_owned(),
        Some(Value::Number(number)) => format!("the number {number}"),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
        Some(Value::String(text)) if text.chars().count() <= TEXT_CHARS_MAX => {
            format!("{text:?}")
        }
        Some(Value::String(text)) => {
            let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
            format!("{shown:?}… ({} bytes)", text.len())
        }
    }
}

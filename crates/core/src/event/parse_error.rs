//! What is wrong with an event that cannot be read.

use serde_json::Value;

/// An event that claims to be one of ours and cannot be read, or what is recognised as no event at
/// all. It is an error, so that it reaches the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{field}` of the {event}: expected {expected}, found {actual}")]
pub struct ParseError {
    /// What the event says it is.
    pub event: String,
    /// The field, as a dotted path.
    pub field: &'static str,
    /// What should have stood there.
    pub expected: &'static str,
    /// What stood there, shortened.
    pub actual: String,
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
            // By characters and not by bytes, which might end in the middle of one.
            let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
            format!("{shown:?}… ({} bytes)", text.len())
        }
    }
}

//! What stands in the way of a function, and the one error of its handler: "run this event again",
//! and nothing else.

use std::error::Error;
use std::fmt;

use ebb_core::event::ParseError;
use ebb_core::words::{REASON_CHARS_MAX, cut};
use lambda_runtime::Diagnostic;

use crate::error::{AwsError, AwsErrorKind};

/// What alarms are built on: few, and stable. The order is that of how much a person can do about
/// it, so the first that applies names an invocation's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorType {
    /// An event that claims to be ours and cannot be read, or what is recognised as no event.
    InvalidEvent,
    /// The function lacks a permission.
    AwsDenied,
    /// AWS throttled the function for longer than trying again could help.
    AwsThrottled,
    /// Any other failure of AWS, or too little time.
    AwsOther,
}

impl ErrorType {
    /// The word in logs and in Lambda's `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidEvent => "InvalidEvent",
            Self::AwsDenied => "AwsDenied",
            Self::AwsThrottled => "AwsThrottled",
            Self::AwsOther => "AwsOther",
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that could not be dealt with, with the whole chain of its causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub error_type: ErrorType,
    /// What it is, for the log.
    pub text: String,
}

impl Problem {
    /// A problem that is none of AWS's errors.
    pub fn other(text: impl Into<String>) -> Self {
        Self { error_type: ErrorType::AwsOther, text: text.into() }
    }
}

impl From<&AwsError> for Problem {
    fn from(error: &AwsError) -> Self {
        let error_type = match error.kind {
            AwsErrorKind::Denied => ErrorType::AwsDenied,
            AwsErrorKind::Throttled => ErrorType::AwsThrottled,
            AwsErrorKind::NotFound | AwsErrorKind::QuotaReached | AwsErrorKind::Other => {
                ErrorType::AwsOther
            }
        };
        Self { error_type, text: with_causes(error) }
    }
}

impl From<AwsError> for Problem {
    fn from(error: AwsError) -> Self {
        Self::from(&error)
    }
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Self {
        Self { error_type: ErrorType::InvalidEvent, text: with_causes(&error) }
    }
}

fn with_causes(error: &dyn Error) -> String {
    format!("failed to {}", error_chain(error))
}

/// An error with the whole chain of its causes, as far as people will read it.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        // The SDK's errors often repeat what their cause says.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        cause = error.source();
    }
    cut(&text, REASON_CHARS_MAX)
}

/// How many problems an error names; the rest are counted. An SQS batch may bring thousands.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// "Run this event again", and why.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct HandlerError {
    /// The first of [`ErrorType`] that applies.
    pub error_type: ErrorType,
    text: String,
}

impl HandlerError {
    /// Puts problems together; `None` if there are none.
    pub fn of(problems: &[Problem]) -> Option<Self> {
        let error_type = problems.iter().map(|problem| problem.error_type).min()?;
        let shown = problems.iter().take(PROBLEMS_SHOWN_MAX);
        let mut texts: Vec<_> = shown.map(|problem| problem.text.clone()).collect();
        let left_out = problems.len() - texts.len();
        if left_out > 0 {
            texts.push(format!("and {left_out} more"));
        }
        Some(Self { error_type, text: texts.join("; ") })
    }
}

/// The runtime logs errors by their `Debug` text, so this is the text for people.
impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.text)
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self { error_type: error.error_type.to_string(), error_message: error.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operators' alarms and log queries name these words: they are never renamed.
    #[test]
    fn the_error_types_have_the_words_that_alarms_are_built_on() {
        let words = [
            (ErrorType::InvalidEvent, "InvalidEvent"),
            (ErrorType::AwsDenied, "AwsDenied"),
            (ErrorType::AwsThrottled, "AwsThrottled"),
            (ErrorType::AwsOther, "AwsOther"),
        ];
        for (error_type, word) in words {
            let problem = Problem { error_type, text: "failed to list clusters".to_owned() };
            let error = HandlerError::of(&[problem]).unwrap();
            assert_eq!(format!("{error:?}"), format!("{word}: failed to list clusters"));
            assert_eq!(Diagnostic::from(error).error_type, word);
        }
    }

    #[test]
    fn an_error_names_its_first_problems_and_counts_the_rest() {
        let problems: Vec<_> = (0..30).map(|number| Problem::other(number.to_string())).collect();
        let error = HandlerError::of(&problems).unwrap();
        assert!(error.to_string().ends_with("; 18; 19; and 10 more"), "{error}");
    }

    #[test]
    fn a_problem_names_every_cause() {
        let error = AwsError::unusable_answer("list clusters", "an entry has no name");
        assert_eq!(Problem::from(error).text, "failed to list clusters: an entry has no name");
    }
}

//! What is wrong with an HTTP 200 that is no answer.

use std::error::Error;
use std::iter::successors;

/// A response that is not the answer to the operation that was called. Whether the call took effect
/// is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no {operation} answer: {problem}")]
pub(crate) struct BrokenAnswer {
    pub(super) operation: String,
    pub(super) problem: String,
}

impl BrokenAnswer {
    /// The broken answer that an error of the SDK stems from, if it does.
    pub(crate) fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
    }
}

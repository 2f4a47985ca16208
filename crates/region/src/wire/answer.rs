//! What comes of a call: an HTTP answer, or AWS's refusal before it is put into a protocol's words.

use http::StatusCode;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content type.
    pub content_type: &'static str,
    /// The id that AWS gives to the request, for the header `x-amzn-requestid`.
    pub request_id: String,
    /// The error's code for the header `x-amzn-errortype`, where the protocol has it there.
    pub error_type: Option<String>,
    /// The body.
    pub body: String,
}

/// A call that AWS refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    /// The caller's mistake.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.to_owned(), message: message.into() }
    }
}

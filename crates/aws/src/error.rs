//! What can go wrong with an AWS call, in the few kinds that callers tell apart.

use std::error::Error;

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};

use crate::answers::BrokenAnswer;

/// A call that failed, after the SDK's own attempts.
///
/// The text does not include the source: it completes "failed to …", and the chain below it says
/// why.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct AwsError {
    /// What was being done, such as `list the container instances of cluster shop`.
    pub operation: String,
    /// What kind of failure it is.
    pub kind: AwsErrorKind,
    /// What the SDK says, or what is wrong with an answer.
    pub source: Box<dyn Error + Send + Sync>,
}

/// The failures that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AwsErrorKind {
    /// A permission is missing. Trying again does not help.
    Denied,
    /// What the call is about does not exist.
    NotFound,
    /// One of the things that the call is about can have no more of what it asks for. Trying again
    /// does not help; the others may have it.
    QuotaReached,
    /// Too many calls. Trying again later helps.
    Throttled,
    /// Anything else: time-outs, broken connections, server errors, and codes that are not known.
    /// Trying again may help.
    Other,
}

impl AwsError {
    /// Whether a call about several may have failed for one of them alone.
    pub fn may_be_about_one(&self) -> bool {
        matches!(self.kind, AwsErrorKind::NotFound | AwsErrorKind::QuotaReached)
    }

    /// Classifies a failed call by the error code that AWS sent, modelled by the SDK or not.
    pub(crate) fn new<E, R>(operation: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let kind = AwsErrorKind::of_code(error.code());
        let source: Box<dyn Error + Send + Sync> = match BrokenAnswer::cause_of(&error) {
            // The SDK calls it a failure of the connection, which would send people the wrong way.
            Some(broken) => Box::new(broken.clone()),
            None => Box::new(error),
        };
        Self { operation: operation.into(), kind, source }
    }

    /// An answer that arrived and cannot be used.
    pub(crate) fn unusable_answer(operation: impl Into<String>, why: impl Into<String>) -> Self {
        Self { operation: operation.into(), kind: AwsErrorKind::Other, source: why.into().into() }
    }
}

impl AwsErrorKind {
    /// Sources: the "Common Errors" of ECS, Auto Scaling and SNS in their API references. The query
    /// protocol sends `Throttling`, the JSON protocol `ThrottlingException` and
    /// `RequestLimitExceeded`. Lambda's API Reference has `ResourceNotFoundException` and
    /// `TooManyRequestsException`.
    fn of_code(code: Option<&str>) -> Self {
        match code {
            Some(
                "AccessDenied"
                | "AccessDeniedException"
                | "AuthorizationError"
                | "UnauthorizedOperation"
                // Of a topic whose messages are encrypted: the key, too, must let the function use
                // it (SNS API, `Publish`).
                | "KMSAccessDenied"
                | "KMSAccessDeniedException",
            ) => Self::Denied,
            Some(
                "ClusterNotFoundException"
                | "TargetNotFoundException"
                | "NotFound"
                | "ResourceNotFoundException",
            ) => Self::NotFound,
            // Ten attributes on a container instance (ECS API, `PutAttributes`).
            Some("AttributeLimitExceededException") => Self::QuotaReached,
            Some(
                "Throttling"
                | "ThrottlingException"
                | "ThrottledException"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
                | "LimitExceeded"
                | "KMSThrottling"
                | "KMSThrottlingException",
            ) => Self::Throttled,
            Some(_) | None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_told_from_what_waiting_helps_against() {
        for (code, kind) in [
            ("AccessDenied", AwsErrorKind::Denied),
            ("AccessDeniedException", AwsErrorKind::Denied),
            ("AuthorizationError", AwsErrorKind::Denied),
            ("KMSAccessDenied", AwsErrorKind::Denied),
            ("Throttling", AwsErrorKind::Throttled),
            ("KMSThrottling", AwsErrorKind::Throttled),
            ("ClusterNotFoundException", AwsErrorKind::NotFound),
            ("AttributeLimitExceededException", AwsErrorKind::QuotaReached),
            ("InternalFailure", AwsErrorKind::Other),
        ] {
            assert_eq!(AwsErrorKind::of_code(Some(code)), kind, "{code}");
        }
        assert_eq!(AwsErrorKind::of_code(None), AwsErrorKind::Other);
    }
}

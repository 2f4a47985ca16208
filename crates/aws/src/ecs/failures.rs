//! Partial failures: ECS reports them inside an HTTP 200 (`failures[]`), and none may pass as a
//! success.

use aws_sdk_ecs::types::Failure;

use crate::error::AwsError;

/// Fails unless ECS described everything that was asked for. What is `MISSING` has gone since it
/// was listed, and counts as described.
pub(super) fn check_complete(
    operation: &str,
    asked: usize,
    described: usize,
    failures: &[Failure],
) -> Result<(), AwsError> {
    check_failures(operation, failures)?;
    if described + failures.len() < asked {
        return Err(AwsError::unusable_answer(operation, "the answer does not mention every one"));
    }
    Ok(())
}

/// Fails if anything could not be described for another reason than that it is gone.
pub(super) fn check_failures(operation: &str, failures: &[Failure]) -> Result<(), AwsError> {
    match failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
        Some(failure) => Err(AwsError::unusable_answer(operation, reason(failure))),
        None => Ok(()),
    }
}

/// ECS's reason for a failure, with the detail if there is any.
pub(super) fn reason(failure: &Failure) -> String {
    let reason = failure.reason().unwrap_or("no reason given");
    failure.detail().map_or_else(|| reason.to_owned(), |detail| format!("{reason}: {detail}"))
}

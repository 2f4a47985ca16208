//! What a function answers for the messages of a queue that must be delivered again.
//!
//! Which those are is left to the functions.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::BatchItemFailure;

/// The `batchItemFailures` of an answer (Lambda Developer Guide, services-sqs-errorhandling). What has
/// no id cannot be named: then the invocation must fail.
pub fn batch_item_failures(failed_message_ids: BTreeSet<Option<String>>) -> Vec<BatchItemFailure> {
    failed_message_ids.into_iter().flatten().map(batch_item_failure).collect()
}

fn batch_item_failure(message_id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message_id;
    failure
}

//! What ECS says about partial failures inside an HTTP 200 (`failures[]`).

use aws_sdk_ecs::types::Failure;

pub(super) fn reason(failure: &Failure) -> String {
    let reason = failure.reason().unwrap_or("no reason given");
    failure.detail().map_or_else(|| reason.to_owned(), |detail| format!("{reason}: {detail}"))
}

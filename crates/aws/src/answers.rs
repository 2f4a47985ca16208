//! Which HTTP 200 counts as an answer: only the one of the operation that was called, whole, with
//! the list that it must carry, and of a bounded size.
//!
//! The SDK takes an empty body, `{}`, `null` for a list, an HTML page and a document that breaks
//! off for an answer without items, and so "no tasks", "no container instance" or "completed": a
//! proxy or a broken endpoint would end a drain. Here it is a call that failed, which the SDK tries
//! again. What an answer says, and what is missing inside an item of a list, is left to the methods
//! that read it.

mod broken_answer;
mod contract;
mod http_client;
mod json;
mod xml;

pub(crate) use self::broken_answer::BrokenAnswer;
pub use self::contract::READ_OPERATIONS;
pub(crate) use self::http_client::{Allows, CheckedHttpClient};

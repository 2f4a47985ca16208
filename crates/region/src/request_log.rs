//! Keeps what is asked of the Region in process, so that the tests with boto3 can hold it to the
//! service models of AWS: only if `EBB_REQUESTS` names a file.

use std::collections::BTreeSet;
use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;

use serde_json::json;

use crate::wire::Request;

/// The kinds of requests that this process has kept. Their number is bounded by what the code that
/// is tested can ask, whatever the number of its calls.
static KEPT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Keeps a request as a line of JSON, unless one of its kind is kept already.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn keep(request: &Request) -> io::Result<()> {
    let Some(path) = env::var_os("EBB_REQUESTS") else { return Ok(()) };
    let (operation, body) = (request.operation(), request.body());
    let is_new = KEPT.lock().is_ok_and(|mut kept| kept.insert(kind(operation, body)));
    if !is_new {
        return Ok(());
    }
    let line = json!({"operation": operation, "body": body});
    // In one piece, as other processes write to the same file.
    let line = format!("{line}\n");
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// A request without its ids, times and numbers. The lengths of its lists remain.
fn kind(operation: &str, body: &str) -> String {
    let words = body.split_inclusive(|character: char| !character.is_ascii_alphanumeric());
    let without_numbers = words.map(|word| match word.contains(|c: char| c.is_ascii_digit()) {
        true => word.trim_start_matches(|c: char| c.is_ascii_alphanumeric()),
        false => word,
    });
    format!("{operation} {}", without_numbers.collect::<String>())
}

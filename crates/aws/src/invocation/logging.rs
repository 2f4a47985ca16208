//! How log lines are written, so that Lambda neither drops nor mistakes them.
//!
//! What is logged is left to the functions; metrics have a form of their own, see `metrics.rs`.

use std::fmt::Display;
use std::{env, io};

use jiff::Timestamp;
use lambda_runtime::tracing::subscriber;
use serde_json::{Map, Value, json};
use subscriber::EnvFilter;
use tracing::{Level, enabled, info};

use crate::invocation::clock::Clock;

/// Writes log lines to standard output, as JSON where Lambda's log format is JSON, each with its
/// level and its time.
///
/// The runtime's own `init_default_subscriber` leaves out the time. Lambda takes a JSON line without
/// one for INFO, and drops it where the function's log level is WARN or ERROR (Lambda Developer
/// Guide, `monitoring-cloudwatchlogs-log-level`).
pub fn init_logging() {
    // What `RUST_LOG` asks for counts where Lambda sets no level, as on a developer's machine.
    let level = env::var("RUST_LOG").unwrap_or_else(|_| DEFAULT_LEVEL.to_owned());
    let filter = EnvFilter::new(env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or(level));
    let lines = subscriber::fmt().with_target(false).with_env_filter(filter);
    if is_json() {
        lines.json().with_span_list(false).init();
    } else {
        lines.init();
    }
}

/// Whether Lambda's log format is JSON.
fn is_json() -> bool {
    env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"))
}

/// Logs the answer of an invocation at level INFO, the last line of its own: what was done in a
/// `message`, the answer as an object, how many problems there were, and how long it took.
pub fn log_answer(clock: Clock, message: impl Display, answer: Value, failed: usize) {
    let duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    let fields = json!({"answer": answer, "failed": failed, "duration_ms": duration_ms});
    log_line("answer", clock.now(), &message.to_string(), fields);
}

/// Logs a line at level INFO whose fields may be objects: a subscriber of `tracing` writes those as
/// text in a string. `name` is what OpenTelemetry calls `event.name`: what kind of line it is.
pub(crate) fn log_line(name: &'static str, now: Timestamp, message: &str, fields: Value) {
    if !enabled!(Level::INFO) {
        return;
    }
    if is_json() {
        print_line(&json_line(name, now, message, fields));
    } else {
        info!(event.name = name, "{message} {fields}");
    }
}

/// The line as the subscriber would write it, if it could.
fn json_line(name: &'static str, now: Timestamp, message: &str, fields: Value) -> Value {
    let mut line_fields = Map::new();
    line_fields.insert("event.name".to_owned(), json!(name));
    line_fields.insert("message".to_owned(), json!(message));
    if let Value::Object(fields) = fields {
        line_fields.extend(fields);
    }
    json!({"timestamp": now.to_string(), "level": "INFO", "fields": line_fields})
}

#[expect(clippy::print_stdout, reason = "the line must stand alone, as in `metrics.rs`")]
fn print_line(line: &Value) {
    println!("{line}");
}

/// Writes warnings alone, and to the standard error output: for people at a terminal, whose standard
/// output is for what they asked for.
pub fn init_warnings() {
    let lines = subscriber::fmt().with_target(false).without_time().with_writer(io::stderr);
    lines.with_env_filter(EnvFilter::new("WARN")).init();
}

const DEFAULT_LEVEL: &str = "INFO";

/// The level of the function's logging configuration, below which Lambda drops lines.
pub(crate) fn lambda_level() -> String {
    env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|_| DEFAULT_LEVEL.to_owned())
}

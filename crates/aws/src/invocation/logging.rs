//! How log lines are written, so that Lambda neither drops nor mistakes them.
//!
//! What is logged is left to the functions; metrics have a form of their own, see `metrics.rs`.

use std::fmt::Display;
use std::io;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;
use tracing::{Level, enabled, info};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

use crate::environment::{Lookup, variable};
use crate::invocation::clock::Clock;

/// Writes log lines to standard output, as JSON where Lambda's log format is JSON, each with its
/// level and its time.
///
/// The runtime's own `init_default_subscriber` leaves out the time. Lambda takes a JSON line without
/// one for INFO, and drops it where the function's log level is WARN or ERROR (Lambda Developer
/// Guide, `monitoring-cloudwatchlogs-log-level`).
pub fn init_logging() {
    let lines = fmt::layer().with_target(false);
    if is_json() {
        registry().with(levels(variable)).with(lines.json().with_span_list(false)).init();
    } else {
        registry().with(levels(variable)).with(lines).init();
    }
}

/// The level of the lines that are written, or a level for each target. What `RUST_LOG` asks for
/// counts where Lambda sets no level, as on a developer's machine.
fn levels(lookup: Lookup) -> Targets {
    let levels = lookup("AWS_LAMBDA_LOG_LEVEL").or_else(|| lookup("RUST_LOG"));
    levels
        .and_then(|levels| levels.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// Whether Lambda's log format is JSON.
fn is_json() -> bool {
    variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"))
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
    let lines = fmt().with_target(false).without_time().with_writer(io::stderr);
    lines.with_max_level(LevelFilter::WARN).init();
}

/// The level of the function's logging configuration, below which Lambda drops lines.
pub(crate) fn lambda_level() -> String {
    variable("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|| "INFO".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_sets_the_level_and_else_rust_log_does_for_each_target() {
        let by_lambda = levels(|name| match name {
            "AWS_LAMBDA_LOG_LEVEL" => Some("WARN".to_owned()),
            _ => Some("debug".to_owned()),
        });
        assert!(by_lambda.would_enable("ebb_aws", &Level::WARN));
        assert!(!by_lambda.would_enable("ebb_aws", &Level::INFO));

        let by_rust_log =
            levels(|name| (name == "RUST_LOG").then(|| "error,ebb_aws=debug".to_owned()));
        assert!(by_rust_log.would_enable("ebb_aws::prices", &Level::DEBUG));
        assert!(!by_rust_log.would_enable("hyper", &Level::WARN));
    }

    #[test]
    fn a_level_that_is_none_leaves_it_at_info() {
        for levels in [levels(|_| None), levels(|_| Some("ebb_aws=much".to_owned()))] {
            assert!(levels.would_enable("ebb_aws", &Level::INFO));
            assert!(!levels.would_enable("ebb_aws", &Level::DEBUG));
        }
    }
}

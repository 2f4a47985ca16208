//! How log lines are written, so that Lambda neither drops nor mistakes them.
//!
//! What is logged is left to the functions; metrics have a form of their own, see `metrics.rs`.

use std::{env, io};

use lambda_runtime::tracing::subscriber;
use subscriber::EnvFilter;

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
    if env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json")) {
        lines.json().init();
    } else {
        lines.init();
    }
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

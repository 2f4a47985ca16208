//! How a function starts: a line that says with which version and settings, or what is wrong with
//! them, told to Lambda as well.

use std::env;
use std::error::Error;
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use lambda_runtime_api_client::PooledClient;
use lambda_runtime_api_client::body::Body;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tracing::{error, warn};

use crate::invocation::logging::log_line;

/// Lambda's word for the kind of error, as alarms and callers see it.
const INVALID_SETTINGS: &str = "InvalidSettings";

/// The Runtime API is on the same machine: longer, and it does not answer at all.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a function with the settings that were read from `variables`: logs both its version and
/// what is set.
///
/// # Errors
/// If the settings are wrong. That is logged, and told to Lambda, which then gives it as the answer
/// to whoever invokes the function, instead of a `Runtime.ExitError` that says nothing.
pub async fn start<Settings, E>(
    function: &str,
    variables: &[&'static str],
    settings: Result<Settings, E>,
) -> Result<Settings, lambda_runtime::Error>
where
    E: Error + Send + Sync + 'static,
{
    match settings {
        Ok(settings) => {
            log_start(function, variables);
            Ok(settings)
        }
        Err(error) => {
            // In the log as well: what `main` returns is printed without a level, and dropped with
            // INFO.
            error!("error.type" = INVALID_SETTINGS, "{error}");
            report_init_error(&error.to_string()).await;
            Err(error.into())
        }
    }
}

fn log_start(function: &str, variables: &[&'static str]) {
    let set = variables.iter().filter_map(|variable| {
        let value = env::var(variable).ok()?;
        Some(((*variable).to_owned(), Value::String(value)))
    });
    let version = env!("CARGO_PKG_VERSION");
    let fields = json!({
        "service.name": function,
        "service.version": version,
        "settings": set.collect::<Map<_, _>>(),
    });
    let message = format!("Ebb's {function} {version} starts");
    log_line("start", Timestamp::now(), &message, fields);
}

/// Tells Lambda why the function cannot start (Lambda Developer Guide, `runtimes-api`,
/// "Initialization error"). Best effort: it is in the log already.
async fn report_init_error(text: &str) {
    // Unset where no Lambda runs the program.
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return;
    }
    let report = async {
        let client = PooledClient::builder().build();
        let body = json!({"errorType": INVALID_SETTINGS, "errorMessage": text}).to_string();
        let request = Request::post("/2018-06-01/runtime/init/error")
            .header("content-type", "application/json")
            .header("lambda-runtime-function-error-type", INVALID_SETTINGS)
            .body(Body::from(body))?;
        client.call(request).await?;
        Ok::<_, lambda_runtime::Error>(())
    };
    match timeout(REPORT_TIMEOUT, report).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("Lambda was not told that the start failed: {error}"),
        Err(_) => warn!("Lambda was not told that the start failed: it did not answer"),
    }
}

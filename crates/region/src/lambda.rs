//! What runs the functions, and how a call is told to come from an invocation.
//!
//! Functions run in this process ([`crate::in_process`]) or behind Lambda's Invoke API
//! ([`crate::invoke_api`]).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::world::delivery::{Hop, Invocation};

/// A running invocation, and in the end its result.
pub type Invoked = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Runs functions.
pub trait Lambda: Sync {
    /// Runs a function by name on a payload; it must end by the deadline. `Err` is the error that
    /// the function returned, or that it could not be run.
    fn invoke(&self, function: &str, payload: Value, deadline: Timestamp) -> Invoked;
}

/// Runs an invocation and cuts it off, wherever it is, when the function's time is up.
pub(crate) fn run(
    lambda: &dyn Lambda,
    clock: Clock,
    invocation: Invocation,
    time: Duration,
) -> impl Future<Output = (Invocation, Result<Value, String>)> + Send + use<> {
    let invoked =
        lambda.invoke(&invocation.function, invocation.payload.clone(), clock.now() + time);
    // The deadline is in the world's time, and the time-out below counts on tokio's clock.
    let time = clock.scaled(time);
    async move {
        // A future that runs out of time is dropped where it stands, as Lambda stops a function in
        // the middle of whatever it does.
        let result = HOP.scope(invocation.hop(), timeout(time, invoked)).await;
        (invocation, result.unwrap_or_else(|_| Err("Task timed out".to_owned())))
    }
}

tokio::task_local! {
    /// The hop of the invocation that runs in this task, so that its calls can be told from
    /// others'.
    static HOP: Hop;
}

/// The hop of the invocation that calls; `None` outside of any.
pub(crate) fn calling_hop() -> Option<Hop> {
    HOP.try_get().ok()
}

/// The hop in an `x-amzn-trace-id`, which Lambda keeps in `Lineage=FLAG:HASH:COUNT`, several joined
/// by `|`; the AWS SDK passes it on. Source: aws-runtime, `RecursionDetectionInterceptor`; Lambda
/// Developer Guide, invocation-recursion.
pub(crate) fn hop_in_trace(trace_id: &str) -> Option<Hop> {
    let lineage = trace_id.split(';').find_map(|part| part.trim().strip_prefix("Lineage="))?;
    lineage.split('|').filter_map(|entry| entry.rsplit(':').next()?.parse().ok()).max().map(Hop)
}

/// The trace of an invocation, as Lambda passes it to the function.
pub(crate) fn trace_id(Hop(hop): Hop) -> String {
    format!("Root=1-00000000-000000000000000000000000;Sampled=0;Lineage=1:ebb00000:{hop}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hop_is_read_from_the_lineage_of_a_trace() {
        assert_eq!(hop_in_trace(&trace_id(Hop(7))), Some(Hop(7)));
        assert_eq!(
            hop_in_trace("Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:1|68fd508a:5"),
            Some(Hop(5))
        );
        assert_eq!(hop_in_trace("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"), None);
    }
}

//! What runs the functions: in process for tests, or through Lambda's Invoke API for `cargo lambda watch`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::Region;
use crate::world::delivery::{Hop, Invocation};

tokio::task_local! {
    /// The hop of the invocation that runs in this task, so that its calls can be told from others'.
    static HOP: Hop;
}

/// The hop of the invocation that calls; `None` outside of any.
pub(crate) fn calling_hop() -> Option<Hop> {
    HOP.try_get().ok()
}

/// The hop in an `x-amzn-trace-id`, which Lambda keeps in `Lineage=FLAG:HASH:COUNT`, several joined by `|`; the AWS
/// SDK passes it on. Source: aws-runtime, `RecursionDetectionInterceptor`; Lambda Developer Guide, invocation-recursion.
pub(crate) fn hop_in_trace(trace_id: &str) -> Option<Hop> {
    let lineage = trace_id.split(';').find_map(|part| part.trim().strip_prefix("Lineage="))?;
    lineage.split('|').filter_map(|one| one.rsplit(':').next()?.parse().ok()).max().map(Hop)
}

/// The trace of an invocation, as Lambda passes it to the function.
fn trace_id(Hop(hop): Hop) -> String {
    format!("Root=1-00000000-000000000000000000000000;Sampled=0;Lineage=1:ebb00000:{hop}")
}

/// What an invocation comes to.
pub type Invoked = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Runs functions.
pub trait Lambda: Sync {
    /// Runs a function by name on a payload; it must end by the deadline. `Err` is the error that the function
    /// returned, or that it could not be run.
    fn invoke(&self, function: &str, payload: Value, deadline: Timestamp) -> Invoked;
}

/// Functions in this process.
#[derive(Clone, Default)]
pub struct InProcess {
    functions: BTreeMap<String, Arc<dyn Fn(Value, Timestamp) -> Invoked + Send + Sync>>,
}

impl InProcess {
    /// Adds a function: from its payload and deadline to what it returns.
    #[must_use]
    pub fn with<F, I>(mut self, name: &str, function: F) -> Self
    where
        F: Fn(Value, Timestamp) -> I + Send + Sync + 'static,
        I: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let boxed = move |payload, deadline| Box::pin(function(payload, deadline)) as Invoked;
        self.functions.insert(name.to_owned(), Arc::new(boxed));
        self
    }
}

impl InProcess {
    /// Adds a function of this project: from itself, its payload, the time and its deadline to its answer.
    #[must_use]
    pub fn handling<T, F, H, A, E>(
        self,
        name: &str,
        region: &Region,
        function: &Arc<T>,
        handle: H,
    ) -> Self
    where
        T: Send + Sync + 'static,
        H: Fn(Arc<T>, Value, Timestamp, Timestamp) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize,
        E: Display,
    {
        let (clock, function) = (region.clone(), Arc::clone(function));
        self.with(name, move |payload, deadline| {
            let handled = handle(Arc::clone(&function), payload, clock.now(), deadline);
            async move {
                let answer = handled.await.map_err(|error| error.to_string())?;
                serde_json::to_value(answer).map_err(|error| error.to_string())
            }
        })
    }
}

impl Lambda for InProcess {
    fn invoke(&self, function: &str, payload: Value, deadline: Timestamp) -> Invoked {
        match self.functions.get(function) {
            Some(function) => function(payload, deadline),
            None => Box::pin(std::future::ready(Err(format!("there is no function {function}")))),
        }
    }
}

/// Functions behind Lambda's Invoke API on this machine, as `cargo lambda watch` serves it.
/// Source: Lambda API Reference, `Invoke`.
#[derive(Debug, Clone)]
pub struct InvokeApi {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl InvokeApi {
    /// The API at this address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn post(self, function: String, payload: Value) -> Result<Value, String> {
        let uri = format!("http://{}/2015-03-31/functions/{function}/invocations", self.address);
        let mut request = http::Request::post(uri).header("content-type", "application/json");
        if let Some(hop) = calling_hop() {
            request = request.header("x-amzn-trace-id", trace_id(hop));
        }
        let request = request
            .body(Full::new(Bytes::from(payload.to_string())))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let failed = !response.status().is_success()
            || response.headers().contains_key("x-amz-function-error");
        let body =
            response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        if failed {
            return Err(String::from_utf8_lossy(&body).into_owned());
        }
        let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        // The local API answers a function's error like any other answer.
        if answer.get("errorType").is_some() { Err(answer.to_string()) } else { Ok(answer) }
    }
}

impl Lambda for InvokeApi {
    fn invoke(&self, function: &str, payload: Value, _: Timestamp) -> Invoked {
        Box::pin(self.clone().post(function.to_owned(), payload))
    }
}

/// Runs an invocation and cuts it off, wherever it is, when the function's time is up.
pub(crate) fn run(
    lambda: &dyn Lambda,
    region: &Region,
    invocation: Invocation,
    time: Duration,
) -> impl Future<Output = (Invocation, Result<Value, String>)> + Send + use<> {
    let invoked =
        lambda.invoke(&invocation.function, invocation.payload.clone(), region.now() + time);
    let time = region.clock().scaled(time);
    async move {
        let result = HOP.scope(invocation.hop(), timeout(time, invoked)).await;
        (invocation, result.unwrap_or_else(|_| Err("Task timed out".to_owned())))
    }
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

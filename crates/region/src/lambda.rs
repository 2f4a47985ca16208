//! What runs the functions: in process for tests, or through Lambda's Invoke API for `cargo lambda watch`.

use std::collections::BTreeMap;
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
use serde_json::Value;
use tokio::time::timeout;

use crate::Region;
use crate::world::delivery::Invocation;

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
        let request = http::Request::post(uri)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(payload.to_string())))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let failed =
            !response.status().is_success() || response.headers().contains_key("x-amz-function-error");
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
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
    let invoked = lambda.invoke(&invocation.function, invocation.payload.clone(), region.now() + time);
    let time = region.clock().scaled(time);
    async move {
        let result = timeout(time, invoked).await;
        (invocation, result.unwrap_or_else(|_| Err("Task timed out".to_owned())))
    }
}

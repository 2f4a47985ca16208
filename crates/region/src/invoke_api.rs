//! Functions behind Lambda's Invoke API on this machine, as `cargo lambda watch` serves them.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::Value;

use crate::lambda::{Invoked, Lambda, calling_hop, trace_id};

/// Functions behind Lambda's Invoke API on this machine, as `cargo lambda watch` serves it.
/// Source: Lambda API Reference, `Invoke`.
#[derive(Debug, Clone)]
pub struct InvokeApi {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl InvokeApi {
    /// The API at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn post(self, function: String, payload: Value) -> Result<Value, String> {
        let uri = format!("http://{}/2015-03-31/functions/{function}/invocations", self.address);
        let mut request = http::Request::post(uri).header("content-type", "application/json");
        // The function's SDK passes the trace on, so that its calls can be counted into the chain.
        if let Some(hop) = calling_hop() {
            request = request.header("x-amzn-trace-id", trace_id(hop));
        }
        let request = request
            .body(Full::new(Bytes::from(payload.to_string())))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| format!("{}: {error}", self.address))?;
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

//! The in-process face: an HTTP client for the AWS SDK whose requests reach the world without a
//! network.

use std::time::Duration;

use aws_config::{ConfigLoader, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use tokio::time::sleep;

use crate::connections::Connections;
use crate::endless_body::EndlessBody;
use crate::fault::Fault;
use crate::lambda::calling_hop;
use crate::region::Region;
use crate::request_log;
use crate::wire::{Answer, Request};
use crate::world::REGION;
use crate::world::delivery::Hop;

/// How long a request takes to reach AWS, and its answer to come back. Assumed; it must not be
/// zero, so that calls that run side by side overlap in virtual time as they do in real time.
const ONE_WAY: Duration = Duration::from_millis(20);

impl Region {
    /// An HTTP client for the AWS SDK whose calls reach this Region.
    pub fn http_client(&self) -> RegionHttpClient {
        RegionHttpClient { region: self.clone(), connections: Connections::default() }
    }

    /// Completes a configuration of the AWS SDK, so that its clients call this Region.
    pub async fn connect(&self, loader: ConfigLoader) -> SdkConfig {
        loader
            .http_client(self.http_client())
            .credentials_provider(Credentials::new(
                "AKIDEXAMPLE",
                "example",
                None,
                None,
                "simulated Region",
            ))
            .region(aws_config::Region::new(REGION))
            .load()
            .await
    }
}

/// An HTTP client for the AWS SDK, connected to a [`Region`].
#[derive(Debug, Clone)]
pub struct RegionHttpClient {
    region: Region,
    connections: Connections,
}

impl RegionHttpClient {
    async fn send(
        self,
        request: HttpRequest,
        hop: Option<Hop>,
    ) -> Result<HttpResponse, ConnectorError> {
        let host = host_of(&request);
        let request = read(request)?.called_from(hop);
        request_log::keep(&request).map_err(|error| ConnectorError::user(error.into()))?;
        let limit = self.region.world().idle_connections_last;
        if !self.connections.take(&host, limit, self.region.now()) {
            return Err(reset());
        }
        // The fault is taken when the request arrives, not when it is sent, so that calls meet
        // faults in the order in which AWS sees them.
        sleep(ONE_WAY).await;
        let fault = self.region.world().faults.take(request.operation());
        match fault {
            Some(Fault::Timeout) => std::future::pending().await,
            Some(Fault::ConnectionReset) => return Err(reset()),
            _ => {}
        }
        let answer = request.call(&mut self.region.world(), fault);
        // The call may have planned something earlier than what the running Region sleeps for.
        self.region.notify();
        // After the effect: the caller cannot tell this from a request that never arrived, and must
        // be able to repeat it.
        if fault == Some(Fault::AnswerLost) {
            return Err(reset());
        }
        sleep(ONE_WAY).await;
        self.connections.put_back(&host, self.region.now());
        response(answer, fault)
    }
}

impl HttpConnector for RegionHttpClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request, calling_hop()))
    }
}

impl HttpClient for RegionHttpClient {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn host_of(request: &HttpRequest) -> String {
    let uri: Option<http::Uri> = request.uri().parse().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

fn read(request: HttpRequest) -> Result<Request, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = Bytes::copy_from_slice(body.bytes().unwrap_or_default());
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Request::read(path, &parts.headers, body)
        .ok_or_else(|| ConnectorError::user("not a request to a simulated service".into()))
}

fn response(answer: Answer, fault: Option<Fault>) -> Result<HttpResponse, ConnectorError> {
    let body = match fault {
        Some(Fault::EndlessAnswer) => SdkBody::from_body_1_x(EndlessBody::new(answer.body)),
        _ => SdkBody::from(answer.body),
    };
    let mut response = http::Response::builder()
        .status(answer.status)
        .header("content-type", answer.content_type)
        .header("x-amzn-requestid", answer.request_id);
    if let Some(error_type) = answer.error_type {
        response = response.header("x-amzn-errortype", error_type);
    }
    let response = response.body(body).map_err(|error| ConnectorError::user(error.into()))?;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}

fn reset() -> ConnectorError {
    ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::in_process::InProcess;
    use crate::world::World;
    use crate::world::delivery::Function;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:lifecycle";

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_idle_for_too_long_breaks_once() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.create_topic(TOPIC);
        world.idle_connections_last = Some(Duration::from_secs(60));
        let region = Region::start(world, 1.0);
        let client = region.http_client();
        for (pause, calls) in [(0, 1), (59, 2), (61, 2), (0, 3)] {
            sleep(Duration::from_secs(pause)).await;
            let is_open = publish(client.clone()).await.is_ok();
            assert_eq!((is_open, region.world().calls.len()), (pause < 60, calls));
        }
    }

    /// A function that publishes again whatever it gets, as the SDK's client would.
    async fn publish(client: RegionHttpClient) -> Result<Value, String> {
        let mut request = HttpRequest::new(SdkBody::from(format!(
            "Action=Publish&Version=2010-03-31&TopicArn={TOPIC}&Message=again"
        )));
        request.set_method("POST").map_err(|error| error.to_string())?;
        request
            .set_uri("http://sns.eu-west-1.amazonaws.com/")
            .map_err(|error| error.to_string())?;
        client.call(request).await.map_err(|error| error.to_string())?;
        Ok(Value::Null)
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_publishes_to_its_own_topic_is_cut_off_after_sixteen_invocations() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world
            .delivery
            .functions
            .insert("drainer".to_owned(), Function::new(Duration::from_secs(10)));
        world.subscribe(TOPIC, "drainer");
        world.publish(TOPIC, None, "first");
        let region = Region::start(world, 1.0);
        let client = region.http_client();
        let lambda = InProcess::default().with("drainer", move |_, _| publish(client.clone()));
        region.run(&lambda, Duration::from_secs(600)).await;

        let world = region.world();
        assert_eq!(world.delivery.ended.len(), 16);
        assert!(world.delivery.ended.iter().all(|ended| ended.result.is_ok()));
        assert_eq!(world.delivery.functions["drainer"].recursion_drops, 1);
    }
}

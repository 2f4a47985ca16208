//! An HTTP client that hands on only what is an answer.
//!
//! It stands between the SDK and its HTTP client, because that is where a response has not been
//! read yet, and can be cut off, and where a failure is one of the connection, which the SDK tries
//! again.

use std::mem;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;

use super::broken_answer::BrokenAnswer;
use super::contract::{Contract, is_read};
use super::{json, xml};

/// No answer is larger. A hundred container instances, tasks or services with a hundred events each
/// are below 2 MiB; a page of a hundred groups reaches this with some 20,000 instances in them. A
/// function has 128 MB of memory or more.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An HTTP client whose responses are answers, or errors that the SDK tries again.
#[derive(Debug, Clone)]
pub(crate) struct CheckedHttpClient {
    http_client: SharedHttpClient,
    allows: Allows,
}

/// Which operations are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allows {
    /// Every one that Ebb knows.
    Everything,
    /// Those that change nothing.
    Reads,
}

impl CheckedHttpClient {
    /// Wraps the client that sends the requests.
    pub(crate) fn new(http_client: SharedHttpClient, allows: Allows) -> Self {
        Self { http_client, allows }
    }
}

impl HttpClient for CheckedHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.http_client.http_connector(settings, components);
        SharedHttpConnector::new(CheckedConnector { connector, allows: self.allows })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.http_client.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.http_client.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http_client.connector_metadata()
    }
}

#[derive(Debug)]
struct CheckedConnector {
    connector: SharedHttpConnector,
    allows: Allows,
}

impl HttpConnector for CheckedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(&request).unwrap_or("unnamed").to_owned();
        // Before anything is sent: what cannot be checked must not take effect either.
        let Some(contract) = Contract::of(&operation) else {
            let problem = format!("nothing says what an answer to operation {operation} is");
            return HttpConnectorFuture::ready(Err(ConnectorError::user(problem.into())));
        };
        if self.allows == Allows::Reads && !is_read(&operation) {
            let problem = format!("operation {operation} is not among the reads that may be sent");
            return HttpConnectorFuture::ready(Err(ConnectorError::user(problem.into())));
        }
        let response = self.connector.call(request);
        HttpConnectorFuture::new(async move { check(response.await?, operation, contract).await })
    }
}

/// The operation that a request calls: awsJson1.1 names it in a header, the query protocol in the
/// first field of the form. What restJson1 asks for is in the method and the path, and here are those
/// that are called.
fn operation(request: &HttpRequest) -> Option<&str> {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.split_once('.').map(|(_, operation)| operation);
    }
    let body = std::str::from_utf8(request.body().bytes()?).ok()?;
    if let Some(form) = body.strip_prefix("Action=") {
        return form.split('&').next();
    }
    let path = request.uri().split('?').next()?;
    if request.method() != "GET" {
        return None;
    }
    if path.ends_with("/managedresources") {
        return Some("ListManagedResources");
    }
    let (_, path) = path.split_once("/2015-03-31/functions/")?;
    path.ends_with("/configuration").then_some("GetFunctionConfiguration")
}

async fn check(
    mut response: HttpResponse,
    operation: String,
    contract: Contract,
) -> Result<HttpResponse, ConnectorError> {
    let body = mem::replace(response.body_mut(), SdkBody::taken());
    let bytes = read(body).await?;
    let problem = match bytes {
        None => Some(format!("it is larger than {} MiB", ANSWER_BYTES_MAX / (1024 * 1024))),
        // An error has its own form, and the SDK knows it by its status.
        Some(bytes) if !response.status().is_success() => {
            *response.body_mut() = SdkBody::from(bytes);
            None
        }
        Some(bytes) => {
            let problem = problem(&bytes, &operation, contract);
            *response.body_mut() = SdkBody::from(bytes);
            problem
        }
    };
    match problem {
        Some(problem) => Err(ConnectorError::io(BrokenAnswer { operation, problem }.into())),
        None => Ok(response),
    }
}

/// Reads a body as far as an answer may go. `None` if it goes further.
async fn read(body: SdkBody) -> Result<Option<Vec<u8>>, ConnectorError> {
    let (mut stream, mut bytes) = (ByteStream::new(body), Vec::new());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| ConnectorError::io(error.into()))?;
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn problem(bytes: &[u8], operation: &str, contract: Contract) -> Option<String> {
    if bytes.is_empty() {
        return Some("it is empty".to_owned());
    }
    match contract {
        Contract::Texts(key) => json::texts_problem(bytes, key),
        Contract::Structures(key, texts) => json::structures_problem(bytes, key, texts),
        Contract::Structure(key, texts) => json::structure_problem(bytes, key, texts),
        Contract::Document(texts) => json::document_problem(bytes, texts),
        Contract::Elements(path) => xml::problem(bytes, &format!("{operation}Response"), path, &[]),
        Contract::Members(path, texts) => {
            xml::problem(bytes, &format!("{operation}Response"), path, texts)
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;

    use super::*;

    const GROUPS: &str = "DescribeAutoScalingGroups";

    fn problem_of(operation: &str, body: &str) -> Option<String> {
        problem(body.as_bytes(), operation, Contract::of(operation).unwrap())
    }

    async fn checked(status: u16, body: SdkBody) -> Result<HttpResponse, ConnectorError> {
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), body);
        check(response, "ListTasks".to_owned(), Contract::of("ListTasks").unwrap()).await
    }

    #[test]
    fn an_answer_without_items_is_one() {
        for (operation, body) in [
            ("ListTasks", "{\"taskArns\":[]}"),
            ("ListTasks", " {\"nextToken\":null,\"taskArns\":[ \"arn-1\" , \"arn-2\" ]}\n"),
            ("DescribeTasks", "{\"failures\":[{\"reason\":\"MISSING\"}],\"tasks\":[]}"),
            ("StopTask", "{\"task\":{\"taskArn\":\"arn-1\"}}"),
            (
                GROUPS,
                "<DescribeAutoScalingGroupsResponse xmlns=\"http://a/\"><DescribeAutoScalingGroupsResult>\
                 <AutoScalingGroups/></DescribeAutoScalingGroupsResult><ResponseMetadata/>\
                 </DescribeAutoScalingGroupsResponse>",
            ),
            (
                "CompleteLifecycleAction",
                "<?xml version=\"1.0\"?>\n<CompleteLifecycleActionResponse>\n  \
                 <CompleteLifecycleActionResult></CompleteLifecycleActionResult>\n\
                 </CompleteLifecycleActionResponse>\n",
            ),
            ("SetDesiredCapacity", "<SetDesiredCapacityResponse/>"),
        ] {
            assert_eq!(problem_of(operation, body), None, "{body}");
        }
    }

    #[test]
    fn whatever_else_is_refused_and_says_why() {
        for (operation, body, problem) in [
            ("ListTasks", "", "it is empty"),
            ("ListTasks", "{}", "it lacks taskArns"),
            ("ListTasks", "{\"serviceArns\":[]}", "it lacks taskArns"),
            ("ListTasks", "{\"taskArns\":null}", "its taskArns is no list"),
            ("ListTasks", "{\"taskArns\":{}}", "its taskArns is no list"),
            ("ListTasks", "{\"taskArns\":[\"arn-1\",null]}", "an item of its taskArns is no text"),
            ("ListTasks", "{\"taskArns\":[\"\"]}", "an item of its taskArns is no text"),
            ("ListTasks", "{\"taskArns\":[\"arn-1\"]", "it breaks off"),
            ("ListTasks", "{\"taskArns\":[]} {}", "it is no JSON"),
            ("ListTasks", "<html><body>Bad gateway</body></html>", "it is no JSON"),
            ("ListTasks", "null", "it is no JSON object"),
            ("DescribeTasks", "{\"tasks\":[[]]}", "an item of its tasks is no object"),
            (
                "DescribeTasks",
                "{\"tasks\":[{\"taskArn\":\"arn-1\",\"lastStatus\":null}]}",
                "an item of its tasks lacks lastStatus",
            ),
            ("StopTask", "{\"task\":[]}", "its task is no object"),
            ("StopTask", "{\"task\":{}}", "its task lacks taskArn"),
            (GROUPS, "{\"AutoScalingGroups\":[]}", "it is no XML"),
            (GROUPS, "<html><body/></html>", "it is a document of html"),
            (GROUPS, "<!DOCTYPE html><html><br></html>", "it is a document of html"),
            ("SetDesiredCapacity", "<SetDesiredCapacityResponse>", "it breaks off"),
            ("SetDesiredCapacity", "<!-- nothing -->", "it breaks off"),
            (
                "SetDesiredCapacity",
                "<SetDesiredCapacityResponse><a></b></SetDesiredCapacityResponse>",
                "its b ends where it may not",
            ),
            (
                "SetDesiredCapacity",
                "<SetDesiredCapacityResponse/><SetDesiredCapacityResponse/>",
                "it is no XML",
            ),
            (
                "CompleteLifecycleAction",
                "<CompleteLifecycleActionResponse/>",
                "it lacks CompleteLifecycleActionResult",
            ),
            (
                "CompleteLifecycleAction",
                "<RecordLifecycleActionHeartbeatResponse/>",
                "it is a document of RecordLifecycleActionHeartbeatResponse",
            ),
            (
                "DescribeInstanceRefreshes",
                "<DescribeInstanceRefreshesResponse><DescribeInstanceRefreshesResult>\
                 <InstanceRefreshes><member><Status>Failed</Status></member>\
                 <member><Status> </Status><More><Status>Failed</Status></More></member>\
                 </InstanceRefreshes></DescribeInstanceRefreshesResult>\
                 </DescribeInstanceRefreshesResponse>",
                "an item of its InstanceRefreshes lacks Status",
            ),
            (
                GROUPS,
                "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult/>\
                 <AutoScalingGroups/></DescribeAutoScalingGroupsResponse>",
                "it lacks AutoScalingGroups",
            ),
            (
                GROUPS,
                "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult>\
                 <AutoScalingGroups><member>",
                "it breaks off",
            ),
        ] {
            assert_eq!(problem_of(operation, body).as_deref(), Some(problem), "{body}");
        }
    }

    #[test]
    fn a_document_that_only_nests_is_not_read_to_its_end() {
        let deep = "<SetDesiredCapacityResponse>".repeat(1_000_000);
        let problem = problem_of("SetDesiredCapacity", &deep);
        assert_eq!(problem.as_deref(), Some("it nests more than 64 deep"));

        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert_eq!(problem_of("ListTasks", &deep).as_deref(), Some("it breaks off"));
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound_and_no_further() {
        let body =
            |len: usize| SdkBody::from("{\"taskArns\":[]}".to_owned() + &" ".repeat(len - 15));

        let answer = checked(200, body(ANSWER_BYTES_MAX)).await.unwrap();
        assert_eq!(answer.body().bytes().map(<[u8]>::len), Some(ANSWER_BYTES_MAX));
        for status in [200, 500] {
            let error = checked(status, body(ANSWER_BYTES_MAX + 1)).await.unwrap_err();
            assert!(error.is_io(), "the SDK tries again after an error of the connection");
            let broken = BrokenAnswer::cause_of(&error).unwrap();
            let sentence = "the answer is no ListTasks answer: it is larger than 16 MiB";
            assert_eq!(broken.to_string(), sentence);
        }
    }

    #[tokio::test]
    async fn an_error_of_aws_is_handed_on_as_it_is() {
        let body = "{\"__type\":\"ThrottlingException\"}";
        let answer = checked(400, SdkBody::from(body)).await.unwrap();
        assert_eq!(answer.body().bytes(), Some(body.as_bytes()));
    }

    /// Sends nothing, and must not be asked to.
    #[derive(Debug)]
    struct Unused;

    impl HttpConnector for Unused {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            panic!("sent: {request:?}");
        }
    }

    fn unused(allows: Allows) -> CheckedConnector {
        CheckedConnector { connector: SharedHttpConnector::new(Unused), allows }
    }

    #[tokio::test]
    async fn whoever_may_only_look_sends_nothing_but_reads() {
        let connector = unused(Allows::Reads);
        let refused: Vec<_> = Contract::operations().filter(|it| !is_read(it)).collect();
        for write in [
            "CompleteLifecycleAction",
            "DeleteAttributes",
            "LaunchInstances",
            "Publish",
            "PutAttributes",
            "RecordLifecycleActionHeartbeat",
            "SetDesiredCapacity",
            "StopTask",
            "TerminateInstanceInAutoScalingGroup",
            "UpdateContainerInstancesState",
        ] {
            assert!(refused.contains(&write), "{write}");
        }
        for operation in refused {
            let form = format!("Action={operation}&Version=2011-01-01");
            let error = connector.call(HttpRequest::new(SdkBody::from(form))).await.unwrap_err();
            assert!(error.is_user(), "the SDK does not try again");
            assert_eq!(
                error.into_source().to_string(),
                format!("operation {operation} is not among the reads that may be sent")
            );
        }
    }

    #[tokio::test]
    async fn an_operation_without_a_contract_is_not_called() {
        let connector = unused(Allows::Everything);
        let form = "Action=DeleteAutoScalingGroup&Version=2011-01-01";
        let error = connector.call(HttpRequest::new(SdkBody::from(form))).await.unwrap_err();

        assert!(error.is_user(), "the SDK does not try again");
        assert_eq!(
            error.into_source().to_string(),
            "nothing says what an answer to operation DeleteAutoScalingGroup is"
        );
    }

    #[test]
    fn the_operation_is_named_by_a_header_the_form_or_the_path() {
        let mut request = HttpRequest::new(SdkBody::from("{}"));
        assert_eq!(operation(&request), None);
        let target = "AmazonEC2ContainerServiceV20141113.ListTasks";
        request.headers_mut().insert("X-Amz-Target", target);
        assert_eq!(operation(&request), Some("ListTasks"));
        let form = "Action=Publish&Version=2010-03-31&Message=Action%3DNone";
        assert_eq!(operation(&HttpRequest::new(SdkBody::from(form))), Some("Publish"));
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri("/2015-03-31/functions/ebb/configuration").unwrap();
        assert_eq!(operation(&request), Some("GetFunctionConfiguration"));
        request.set_method("PUT").unwrap();
        assert_eq!(operation(&request), None);
    }
}

//! Calls of services whose SDK client is not linked: put together from the parts that every client
//! of the SDK is made of (credentials, signature, retries and time-outs). See decision 010.
//!
//! What the calls ask, and what their answers mean, is left to the services' own files.

use std::error::Error;
use std::fmt;

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_ecs::error::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use serde_json::Value;
use xmlparser::{ElementEnd, Token, Tokenizer};

use crate::error::AwsError;

/// A service in one Region.
#[derive(Debug, Clone)]
pub(crate) struct UnmodeledService {
    config: SdkConfig,
    name: &'static str,
    region: Region,
    endpoint: String,
}

/// What a call sends.
#[derive(Debug)]
pub(crate) enum Input {
    /// A form of the query protocol.
    Form(String),
    /// A document of awsJson1.1 for a target.
    Json(&'static str, Value),
    /// The same of awsJson1.0.
    Json10(&'static str, Value),
    /// Nothing but the path, by restJson1.
    Path(String),
}

impl UnmodeledService {
    /// A service by the name that its calls are signed for. `endpoint` holds unless the configuration
    /// names one for all services.
    pub(crate) fn new(
        config: &SdkConfig,
        name: &'static str,
        region: Region,
        endpoint: String,
    ) -> Self {
        let endpoint = config.endpoint_url().map_or(endpoint, str::to_owned);
        Self { config: config.clone(), name, region, endpoint }
    }

    /// The document that is answered. `operation` says in an error what was being done.
    pub(crate) async fn invoke(
        &self,
        call: OperationBuilder,
        operation: &str,
        input: Input,
    ) -> Result<String, AwsError> {
        let Some(call) = self.operation(call) else {
            return Err(AwsError::unusable_answer(operation, "there is no HTTP client"));
        };
        call.invoke(input).await.map_err(|error| AwsError::new(operation, error))
    }

    /// `None` without an HTTP client.
    fn operation(&self, call: OperationBuilder) -> Option<Operation<Input, String, Refusal>> {
        let config = &self.config;
        let mut operation = call
            .service_name(self.name)
            .http_client(config.http_client()?)
            .endpoint_url(&self.endpoint)
            .runtime_plugin(self.signature())
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
            .retry_classifier(HttpStatusCodeClassifier::default());
        if let Some(version) = config.behavior_version() {
            operation = operation.behavior_version(version);
        }
        if let Some(retries) = config.retry_config() {
            operation = operation.standard_retry(retries);
        }
        if let Some(timeouts) = config.timeout_config() {
            operation = operation.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = config.sleep_impl() {
            operation = operation.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            operation = operation.time_source(time);
        }
        Some(operation.serializer(request).deserializer(answer).build())
    }

    /// Signs with the function's credentials, as the SDK's own clients do.
    fn signature(&self) -> StaticRuntimePlugin {
        let mut layer = Layer::new("unmodeled service");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(SigningName::from_static(self.name));
        layer.store_put(self.region.clone());
        layer.store_put(SigningRegion::from(self.region.clone()));
        let mut signing_options = SigningOptions::default();
        signing_options.double_uri_encode = true;
        signing_options.normalize_uri_path = true;
        layer.store_put(SigV4OperationSigningConfig { signing_options, ..Default::default() });

        let mut components = RuntimeComponentsBuilder::new("unmodeled service");
        components.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
        components.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
            StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]),
        )));
        if let Some(credentials) = self.config.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, credentials);
        }
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

fn request(input: Input) -> Result<HttpRequest, Box<dyn Error + Send + Sync>> {
    let (body, content_type, target) = match input {
        Input::Form(form) => (form, "application/x-www-form-urlencoded", None),
        Input::Json(target, document) => {
            (document.to_string(), "application/x-amz-json-1.1", Some(target))
        }
        Input::Json10(target, document) => {
            (document.to_string(), "application/x-amz-json-1.0", Some(target))
        }
        Input::Path(path) => {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(path)?;
            return Ok(request);
        }
    };
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-type", content_type);
    if let Some(target) = target {
        request.headers_mut().insert("x-amz-target", target);
    }
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<String, OrchestratorError<Refusal>> {
    let body = response.body().bytes().unwrap_or_default();
    let document = std::str::from_utf8(body).unwrap_or_default();
    if response.status().is_success() {
        return Ok(document.to_owned());
    }
    let (code, message) = match serde_json::from_str::<Value>(document) {
        Ok(refusal) => json_refusal(response.headers().get("x-amzn-errortype"), &refusal),
        Err(_) => {
            let first = |element| texts(document, element).into_iter().next().unwrap_or_default();
            (first("Code"), first("Message"))
        }
    };
    let metadata = ErrorMetadata::builder().code(code).message(message).build();
    Err(OrchestratorError::operation(Refusal(metadata)))
}

/// The code and the message. A code may stand in a header, behind a namespace and before a URI, and
/// the message in either case. Source: Smithy, AWS JSON 1.1 and AWS restJson1 protocols, "Operation
/// error serialization".
fn json_refusal(error_type: Option<&str>, refusal: &Value) -> (String, String) {
    let text = |key: &str| refusal[key].as_str().unwrap_or_default();
    let code = error_type.unwrap_or_else(|| text("__type"));
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let message = [text("message"), text("Message")].concat();
    (code.to_owned(), message)
}

/// The texts of every element of this name; one without a text is left out. That the document is
/// whole was checked before.
pub(crate) fn texts(document: &str, element: &str) -> Vec<String> {
    let (mut texts, mut is_in) = (Vec::new(), false);
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => is_in = local.as_str() == element,
            Token::Text { text } if is_in => texts.push(text.as_str().to_owned()),
            // After `<nextToken/>` comes the text between two elements.
            Token::ElementEnd { end: ElementEnd::Close(..) | ElementEnd::Empty, .. } => {
                is_in = false;
            }
            _ => {}
        }
    }
    texts
}

/// The texts within each item of a document's list, each with the name of its element, however deep
/// in the item; `depth` is how deep the items stand. That the document is whole was checked before.
pub(crate) fn items(document: &str, depth: usize) -> Vec<Vec<(&str, &str)>> {
    let (mut items, mut open) = (Vec::new(), Vec::new());
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                open.push(local.as_str());
                if open.len() == depth {
                    items.push(Vec::new());
                }
            }
            Token::Text { text } if open.len() > depth => {
                if let (Some(item), Some(name)) = (items.last_mut(), open.last()) {
                    item.push((*name, text.as_str()));
                }
            }
            Token::ElementEnd { end: ElementEnd::Empty | ElementEnd::Close(..), .. } => {
                open.pop();
            }
            _ => {}
        }
    }
    items
}

/// What a service says when it refuses.
#[derive(Debug)]
struct Refusal(ErrorMetadata);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;

    use super::*;

    #[test]
    fn an_element_without_a_text_has_none() {
        let document = "<a>\n  <b/>\n  <b></b>\n  <b>1</b>\n  <b c=\"d\"/>\n</a>\n";
        assert_eq!(texts(document, "b"), ["1"]);
    }

    #[test]
    fn a_refusal_may_have_its_code_in_a_header() {
        let status = StatusCode::try_from(404).unwrap();
        let body = r#"{"Type":"User","Message":"Function not found"}"#;
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        let header = "ResourceNotFoundException:http://internal.amazon.com/coral/";
        response.headers_mut().insert("x-amzn-errortype", header);
        let error = answer(&response).unwrap_err();
        let refusal = error.as_operation_error().unwrap().meta();
        assert_eq!(refusal.code(), Some("ResourceNotFoundException"));
        assert_eq!(refusal.message(), Some("Function not found"));
    }

    #[test]
    fn a_refusal_is_read_in_either_protocol() {
        for body in [
            r#"{"__type":"AccessDeniedException","message":"not allowed"}"#,
            r#"{"__type":"com.amazonaws.pricing#AccessDeniedException","Message":"not allowed"}"#,
            "<Response><Errors><Error><Code>AccessDeniedException</Code>\
             <Message>not allowed</Message></Error></Errors></Response>",
        ] {
            let status = StatusCode::try_from(400).unwrap();
            let error = answer(&HttpResponse::new(status, SdkBody::from(body))).unwrap_err();
            let refusal = error.as_operation_error().unwrap();
            let refused = (refusal.meta().code(), refusal.meta().message());
            assert_eq!(refused, (Some("AccessDeniedException"), Some("not allowed")), "{body}");
        }
    }
}

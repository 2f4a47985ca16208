//! Amazon EC2, of which three reads are needed: which instances run in a Capacity Reservation, in
//! which Availability Zones subnets are, and how many network interfaces instance types have.
//!
//! The SDK's client of EC2 is larger than all of Ebb. These calls are put together from the parts
//! that every client of the SDK is made of: credentials, signature, retries and time-outs. See
//! decision 010.

use std::collections::{BTreeMap, BTreeSet};
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
use ebb_core::ids::{CapacityReservationId, InstanceId};
use xmlparser::{ElementEnd, Token, Tokenizer};

use crate::error::AwsError;

/// How many values a filter may have. Source: EC2 User Guide, `Using_Filtering`.
const FILTER_VALUES_MAX: usize = 200;
/// How many instance types an answer describes at most. Source: EC2 API, `DescribeInstanceTypes`.
const INSTANCE_TYPES_MAX: usize = 100;
/// How deep the items of an answer's list stand: in the list, in the document's own element.
const ITEM_DEPTH: usize = 3;

/// Amazon EC2.
#[derive(Debug, Clone)]
pub struct Ec2 {
    config: SdkConfig,
}

impl Ec2 {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone() }
    }

    /// The instances that run in a Capacity Reservation, or begin to. All in one answer: a Capacity
    /// Block has 64 at most (EC2 User Guide, capacity-blocks).
    ///
    /// # Errors
    /// If the call fails.
    pub async fn instances_in(
        &self,
        reservation: &CapacityReservationId,
    ) -> Result<Vec<InstanceId>, AwsError> {
        let operation = format!("describe the instances in Capacity Reservation {reservation}");
        let call = Operation::builder().operation_name("DescribeInstances");
        // An id has no character that a form would have to escape.
        let form = format!(
            "Action=DescribeInstances&Version=2016-11-15\
             &Filter.1.Name=capacity-reservation-id&Filter.1.Value.1={reservation}\
             &Filter.2.Name=instance-state-name&Filter.2.Value.1=pending&Filter.2.Value.2=running"
        );
        let document = self.invoke(call, &operation, form).await?;
        let ids = texts(&document, "instanceId");
        ids.iter()
            .map(|id| InstanceId::parse(id))
            .collect::<Option<_>>()
            .ok_or_else(|| AwsError::unusable_answer(operation, "it has an id that is none"))
    }

    /// The Availability Zones of subnets. One that EC2 does not know, or leaves to a further page, is
    /// left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn subnet_zones(
        &self,
        subnets: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let mut zones = BTreeMap::new();
        let subnets: Vec<_> = subnets.iter().collect();
        for batch in subnets.chunks(FILTER_VALUES_MAX) {
            let operation = format!("describe {} subnets", batch.len());
            let call = Operation::builder().operation_name("DescribeSubnets");
            // By a filter: asked for by its id, one that is gone would fail the call.
            let form = filtered("DescribeSubnets", "subnet-id", batch);
            let document = self.invoke(call, &operation, form).await?;
            // The contract of the answer is that every subnet has both.
            zones.extend(
                texts(&document, "subnetId").into_iter().zip(texts(&document, "availabilityZone")),
            );
        }
        Ok(zones)
    }

    /// How many network interfaces an instance of each type has, the primary one included. Of a type
    /// with several network cards it is what one card takes: nothing says that ECS uses the others.
    /// A type that EC2 does not know, or of which it does not say that, is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn network_interfaces(
        &self,
        instance_types: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, i64>, AwsError> {
        let mut interfaces = BTreeMap::new();
        // Nothing that a form would have to escape, and no `*`, which a filter takes for any text.
        let is_plain = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '-');
        let instance_types: Vec<_> =
            instance_types.iter().filter(|name| name.chars().all(is_plain)).collect();
        for batch in instance_types.chunks(INSTANCE_TYPES_MAX) {
            let operation = format!("describe {} instance types", batch.len());
            let call = Operation::builder().operation_name("DescribeInstanceTypes");
            // By a filter: asked for by its name, one that is not known would fail the call.
            let form = filtered("DescribeInstanceTypes", "instance-type", batch);
            let document = self.invoke(call, &operation, form).await?;
            interfaces.extend(items(&document).iter().filter_map(|item| interfaces_of(item)));
        }
        Ok(interfaces)
    }

    /// The document that is answered.
    async fn invoke(
        &self,
        call: OperationBuilder,
        operation: &str,
        form: String,
    ) -> Result<String, AwsError> {
        let Some(call) = self.operation(call) else {
            return Err(AwsError::unusable_answer(operation, "there is no HTTP client"));
        };
        call.invoke(form).await.map_err(|error| AwsError::new(operation, error))
    }

    /// `None` without an HTTP client.
    fn operation(&self, call: OperationBuilder) -> Option<Operation<String, String, Ec2Error>> {
        let config = &self.config;
        let mut operation = call
            .service_name("ec2")
            .http_client(config.http_client()?)
            .endpoint_url(&self.endpoint())
            .runtime_plugin(self.signature())
            .retry_classifier(TransientErrorClassifier::<Ec2Error>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Ec2Error>::new())
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

    /// Source: AWS General Reference, ec2-service. China has a domain of its own.
    fn endpoint(&self) -> String {
        let region = self.config.region().map_or("us-east-1", Region::as_ref);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = self.config.endpoint_url();
        url.map_or_else(|| format!("https://ec2.{region}.{domain}"), str::to_owned)
    }

    /// Signs with the function's credentials, as the SDK's own clients do.
    fn signature(&self) -> StaticRuntimePlugin {
        let mut layer = Layer::new("ec2");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(SigningName::from_static("ec2"));
        if let Some(region) = self.config.region() {
            layer.store_put(region.clone());
            layer.store_put(SigningRegion::from(region.clone()));
        }
        let mut signing_options = SigningOptions::default();
        signing_options.double_uri_encode = true;
        signing_options.normalize_uri_path = true;
        layer.store_put(SigV4OperationSigningConfig { signing_options, ..Default::default() });

        let mut components = RuntimeComponentsBuilder::new("ec2");
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

/// A form with one filter. The values must need no escape.
fn filtered(action: &str, filter: &str, values: &[&String]) -> String {
    let mut form = format!("Action={action}&Version=2016-11-15&Filter.1.Name={filter}");
    for (number, value) in (1..).zip(values) {
        form += &format!("&Filter.1.Value.{number}={value}");
    }
    form
}

fn request(form: String) -> Result<HttpRequest, Box<dyn Error + Send + Sync>> {
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<String, OrchestratorError<Ec2Error>> {
    let body = response.body().bytes().unwrap_or_default();
    let document = std::str::from_utf8(body).unwrap_or_default();
    if response.status().is_success() {
        return Ok(document.to_owned());
    }
    let first = |element| texts(document, element).into_iter().next().unwrap_or_default();
    let metadata = ErrorMetadata::builder().code(first("Code")).message(first("Message")).build();
    Err(OrchestratorError::operation(Ec2Error(metadata)))
}

/// The texts of every element of this name. That the document is whole was checked before.
fn texts(document: &str, element: &str) -> Vec<String> {
    let (mut texts, mut is_in) = (Vec::new(), false);
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => is_in = local.as_str() == element,
            Token::Text { text } if is_in => texts.push(text.as_str().to_owned()),
            Token::ElementEnd { end: ElementEnd::Close(..), .. } => is_in = false,
            _ => {}
        }
    }
    texts
}

/// The texts within each item of a document's list, each with the name of its element, however deep
/// in the item. That the document is whole was checked before.
fn items(document: &str) -> Vec<Vec<(&str, &str)>> {
    let (mut items, mut open) = (Vec::new(), Vec::new());
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                open.push(local.as_str());
                if open.len() == ITEM_DEPTH {
                    items.push(Vec::new());
                }
            }
            Token::Text { text } if open.len() > ITEM_DEPTH => {
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

/// An instance type, and the fewest network interfaces that its description names: for all of it,
/// and for each network card.
fn interfaces_of(item: &[(&str, &str)]) -> Option<(String, i64)> {
    let texts = |element| item.iter().filter(move |(name, _)| *name == element);
    let (_, instance_type) = texts("instanceType").next()?;
    let numbers = texts("maximumNetworkInterfaces").map(|(_, text)| text.parse::<i64>().ok());
    let fewest = numbers.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    Some(((*instance_type).to_owned(), fewest))
}

/// What EC2 says when it refuses.
#[derive(Debug)]
struct Ec2Error(ErrorMetadata);

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Ec2Error {}

impl ProvideErrorMetadata for Ec2Error {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_type_has_the_interfaces_of_one_network_card() {
        let document = "<DescribeInstanceTypesResponse><requestId>r</requestId><instanceTypeSet>\
            <item><networkInfo><networkCards><item><maximumNetworkInterfaces>3\
            </maximumNetworkInterfaces></item></networkCards><maximumNetworkInterfaces>3\
            </maximumNetworkInterfaces></networkInfo><instanceType>m7g.large</instanceType></item>\
            <item><instanceType>p5.48xlarge</instanceType><networkInfo><maximumNetworkInterfaces>64\
            </maximumNetworkInterfaces><networkCards><item><maximumNetworkInterfaces>2\
            </maximumNetworkInterfaces></item><item><maximumNetworkInterfaces>2\
            </maximumNetworkInterfaces></item></networkCards></networkInfo></item>\
            <item><instanceType>of-no-network</instanceType><networkInfo/></item>\
            </instanceTypeSet></DescribeInstanceTypesResponse>";
        let interfaces: BTreeMap<_, _> =
            items(document).iter().filter_map(|item| interfaces_of(item)).collect();
        let expected = [("m7g.large".to_owned(), 3), ("p5.48xlarge".to_owned(), 2)];
        assert_eq!(interfaces, BTreeMap::from(expected));
    }
}

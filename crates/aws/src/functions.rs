//! AWS Lambda, of which one read is needed: which package a function runs.
//!
//! The SDK's client of it is not linked for one call: see decision 010. Which package it should be is
//! left to whoever asks.

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_types::base64;
use serde_json::Value;

use crate::error::AwsError;
use crate::unmodeled::{Input, UnmodeledService};

/// AWS Lambda.
#[derive(Debug, Clone)]
pub struct Functions {
    service: UnmodeledService,
}

/// What a function runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedPackage {
    /// The function's name, without an alias.
    pub function: String,
    /// The SHA-256 of its zip, in hexadecimal digits.
    pub sha256: String,
}

impl Functions {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let endpoint = endpoint(region.as_ref(), config.use_fips().unwrap_or_default());
        Self { service: UnmodeledService::new(config, "lambda", region, endpoint) }
    }

    /// The package of a function, which is named as Lambda takes it: name or ARN, with an alias or
    /// without.
    ///
    /// # Errors
    /// If the call fails, or there is no such function.
    pub async fn deployed_package(&self, function: &str) -> Result<DeployedPackage, AwsError> {
        let operation = format!("read which package {function} runs");
        let call = Operation::builder().operation_name("GetFunctionConfiguration");
        // A name or an ARN has no other character that a path would have to escape.
        let path = format!("/2015-03-31/functions/{}/configuration", function.replace(':', "%3A"));
        let document = self.service.invoke(call, &operation, Input::Path(path)).await?;
        package(&document)
            .ok_or_else(|| AwsError::unusable_answer(operation, "its CodeSha256 is no SHA-256"))
    }
}

/// Source: AWS General Reference, lambda-service. China has a domain of its own.
fn endpoint(region: &str, use_fips: bool) -> String {
    let host = if use_fips { "lambda-fips" } else { "lambda" };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}")
}

/// `None` if the answer does not name a SHA-256, which Lambda has in base64.
fn package(document: &str) -> Option<DeployedPackage> {
    let answer: Value = serde_json::from_str(document).ok()?;
    let sha256 = base64::decode(answer["CodeSha256"].as_str()?).ok()?;
    let digits = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let function = answer["FunctionName"].as_str()?.to_owned();
    (sha256.len() == 32).then_some(DeployedPackage { function, sha256: digits })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_sha256_says_what_runs() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for (sha256, expected) in [
            (empty, Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
            ("47DEQpj8HBSa", None),
            ("not base64", None),
        ] {
            let answer = json!({"FunctionName": "ebb-spot-drainer", "CodeSha256": sha256});
            let package = package(&answer.to_string());
            assert_eq!(package.as_ref().map(|package| package.sha256.as_str()), expected);
        }
    }

    #[test]
    fn every_partition_has_its_endpoint() {
        assert_eq!(endpoint("cn-north-1", false), "https://lambda.cn-north-1.amazonaws.com.cn");
        assert_eq!(endpoint("us-east-1", true), "https://lambda-fips.us-east-1.amazonaws.com");
    }
}

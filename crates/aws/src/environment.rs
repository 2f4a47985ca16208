//! The SDK's configuration as Lambda gives it: from environment variables alone.
//!
//! The SDK's own loader also looks into profiles, and asks containers, instances and STS for
//! credentials. A function has none of these, and to ask them is code that each would carry. (Lambda
//! gives credentials by a container's endpoint to functions with `SnapStart` alone, which OS-only runtimes
//! do not have: Lambda Developer Guide, `snapstart`.)

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::app_name::AppName;
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Gives the value of a variable, or `None` where it has none.
pub(crate) type Lookup = fn(&str) -> Option<String>;

/// The value of an environment variable. One that is empty counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Credentials, Region, endpoints and the name that requests carry. Source: AWS SDKs and Tools
/// Reference Guide, "Environment variables list".
pub(crate) fn sdk_config(lookup: Lookup) -> Builder {
    let flag = |name| lookup(name).map(|value| value.eq_ignore_ascii_case("true"));
    let region = lookup("AWS_REGION").or_else(|| lookup("AWS_DEFAULT_REGION"));
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(region.map(Region::new));
    config.set_app_name(lookup("AWS_SDK_UA_APP_ID").and_then(|name| AppName::new(name).ok()));
    config.set_use_fips(flag("AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(flag("AWS_USE_DUALSTACK_ENDPOINT"));
    if flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") != Some(true) {
        config.set_endpoint_url(lookup("AWS_ENDPOINT_URL"));
        config.set_service_config(Some(ServiceVariables { lookup }));
    }
    config
}

/// Variables that hold for one service, before those that hold for all: `AWS_ENDPOINT_URL_ECS`.
#[derive(Debug)]
struct ServiceVariables {
    lookup: Lookup,
}

impl LoadServiceConfig for ServiceVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        (self.lookup)(&format!("{}_{service}", key.env())).or_else(|| (self.lookup)(key.env()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the SDK's client of Auto Scaling sends its requests.
    fn auto_scaling_endpoint(config: &SdkConfig) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id("Auto Scaling")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .unwrap();
        config.service_config().and_then(|variables| variables.load_config(key))
    }

    #[test]
    fn the_variables_of_the_sdk_hold() {
        let config = sdk_config(|name| {
            let value = match name {
                "AWS_REGION" => "us-gov-west-1",
                "AWS_DEFAULT_REGION" => "eu-west-1",
                "AWS_USE_FIPS_ENDPOINT" => "True",
                "AWS_USE_DUALSTACK_ENDPOINT" => "false",
                "AWS_SDK_UA_APP_ID" => "drains",
                "AWS_ENDPOINT_URL" => "http://all",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .build();
        assert_eq!(config.region().map(AsRef::as_ref), Some("us-gov-west-1"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(false)));
        assert_eq!(config.app_name().map(AsRef::as_ref), Some("drains"));
        assert_eq!(config.endpoint_url(), Some("http://all"));
        assert_eq!(auto_scaling_endpoint(&config).as_deref(), Some("http://all"));
        assert!(config.credentials_provider().is_some());
    }

    #[test]
    fn nothing_is_made_up_where_nothing_is_set() {
        let config = sdk_config(|_| None).build();
        assert_eq!(config.region(), None);
        assert_eq!((config.use_fips(), config.use_dual_stack()), (None, None));
        assert_eq!((config.endpoint_url(), auto_scaling_endpoint(&config)), (None, None));
    }

    #[test]
    fn one_service_may_have_an_endpoint_of_its_own() {
        let config = sdk_config(|name| match name {
            "AWS_ENDPOINT_URL" => Some("http://all".to_owned()),
            "AWS_ENDPOINT_URL_AUTO_SCALING" => Some("http://groups".to_owned()),
            _ => None,
        });
        assert_eq!(auto_scaling_endpoint(&config.build()).as_deref(), Some("http://groups"));
    }

    #[test]
    fn configured_endpoints_can_be_ignored() {
        let config = sdk_config(|name| match name {
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" => Some("true".to_owned()),
            _ => name.starts_with("AWS_ENDPOINT_URL").then(|| "http://all".to_owned()),
        });
        let config = config.build();
        assert_eq!((config.endpoint_url(), auto_scaling_endpoint(&config)), (None, None));
    }
}

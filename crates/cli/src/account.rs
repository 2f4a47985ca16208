//! The account and the Region that are looked at: from options, profiles and the environment to
//! clients that cannot change anything.

use aws_credential_types::provider::ProvideCredentials;
use ebb_aws::clients::{config_loader, https_client};
use ebb_aws::{Clients, Clock};
use jiff::Timestamp;

use crate::failure::Failure;

/// Access to one Region of one account, by reads alone.
#[derive(Debug, Clone)]
pub struct Account {
    /// The clients: they refuse whatever is no read.
    pub clients: Clients,
    /// The Region's name.
    pub region: String,
    /// The time.
    pub clock: Clock,
}

/// Which one, if not the environment's.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The profile.
    pub profile: Option<String>,
    /// The Region.
    pub region: Option<String>,
}

impl Account {
    /// Connects as the AWS CLI would: by options, the environment, profiles (SSO and programs
    /// included), and the roles of containers and instances.
    ///
    /// # Errors
    /// If there is no Region, or there are no credentials.
    pub async fn connect(choice: &Choice) -> Result<Self, Failure> {
        let mut loader = config_loader().http_client(https_client());
        if let Some(profile) = &choice.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &choice.region {
            loader = loader.region(aws_config::Region::new(region.clone()));
        }
        // Boxed, as the SDK's futures are large and deeply nested.
        let config = Box::pin(loader.load()).await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            Failure::input(
                "no Region is set: give one by --region, by AWS_REGION or in the profile",
            )
        })?;
        // Asked for by itself: without credentials every call fails, each after all its attempts.
        let Some(provider) = config.credentials_provider() else { return Err(no_credentials("")) };
        if let Err(error) = provider.provide_credentials().await {
            let error: &dyn std::error::Error = &error;
            return Err(no_credentials(&causes(error)));
        }
        let clients = Clients::read_only(&config);
        Ok(Self { clients, region, clock: Clock::start(Timestamp::now()) })
    }
}

fn no_credentials(why: &str) -> Failure {
    Failure::input(format!(
        "there are no credentials for AWS{why}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         name a profile by --profile, or sign in by `aws sso login`"
    ))
}

/// An error's causes, in parentheses.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = chain.map(ToString::to_string).collect();
    format!(" ({})", texts.join(": "))
}

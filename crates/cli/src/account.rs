//! The account and the Region that are looked at: from options, profiles and the environment to
//! clients that cannot change anything.

use std::error::Error;

use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
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
        let provider = config.credentials_provider();
        let provider = provider.ok_or_else(|| no_credentials(choice, None))?;
        if let Err(error) = provider.provide_credentials().await {
            return Err(no_credentials(choice, Some(&error)));
        }
        let clients = Clients::read_only(&config);
        Ok(Self { clients, region, clock: Clock::start(Timestamp::now()) })
    }
}

/// Why is said only where there were some: that nothing was found at each of five places is long.
fn no_credentials(choice: &Choice, error: Option<&CredentialsError>) -> Failure {
    let why = match error {
        None | Some(CredentialsError::CredentialsNotLoaded(_)) => String::new(),
        Some(error) => format!(" ({})", causes(error)),
    };
    Failure::input(match &choice.profile {
        Some(profile) => format!(
            "profile {profile} gives no credentials{why}: `aws configure list-profiles` names the \
             profiles, and `aws sso login --profile {profile}` signs in"
        ),
        None => format!(
            "there are no credentials for AWS{why}: set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, name a profile by --profile, or sign in by `aws sso login`"
        ),
    })
}

/// An error with its causes.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

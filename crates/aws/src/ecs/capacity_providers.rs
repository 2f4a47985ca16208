//! The capacity providers of the Region: whose size is decided by their managed scaling.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::CapacityProvider;

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;
use crate::pace::Pacer;
use crate::reads::list;

/// A Region has some dozens of capacity providers, listed by 10 per page. A list that goes on after
/// this is an error.
const PROVIDER_PAGES_MAX: usize = 100;

impl Ecs {
    /// The ARNs of the Auto Scaling groups whose size a capacity provider's managed scaling
    /// decides.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn managed_groups(&self) -> Result<BTreeSet<String>, AwsError> {
        let operation = "describe the capacity providers";
        let request = self.client.describe_capacity_providers();
        // A few calls per invocation need no pace.
        let pacer = Pacer::unlimited();
        let pages = list(operation, PROVIDER_PAGES_MAX, &pacer, |token| {
            let page = request.clone().set_next_token(token).send();
            async {
                page.await
                    .map(|page| (page.capacity_providers.unwrap_or_default(), page.next_token))
            }
        });
        Ok(pages.await?.iter().filter_map(managed_group).collect())
    }
}

/// `None` for a provider without a group, or without managed scaling.
fn managed_group(provider: &CapacityProvider) -> Option<String> {
    let group = provider.auto_scaling_group_provider()?;
    let status = group.managed_scaling()?.status()?;
    (status.as_str() != "DISABLED").then(|| group.auto_scaling_group_arn().to_owned())
}

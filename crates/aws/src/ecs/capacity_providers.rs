//! The capacity providers of the Region: whose size is decided by their managed scaling, and how.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{CapacityProvider, ManagedScalingStatus, ManagedTerminationProtection};
use ebb_planner::ManagedScaling;

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;
use crate::pace::Pacer;
use crate::reads::list;

/// A Region has some dozens of capacity providers, listed by 10 per page. A list that goes on after
/// this is an error.
const PROVIDER_PAGES_MAX: usize = 100;

/// What ECS takes where a provider does not say. Source: ECS API, `ManagedScaling.targetCapacity`.
const TARGET_CAPACITY: u32 = 100;

impl Ecs {
    /// The Auto Scaling groups whose size a capacity provider's managed scaling decides, by ARN, and
    /// how it does. Whether one is scaled out just now is not known here.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn managed_groups(&self) -> Result<BTreeMap<String, ManagedScaling>, AwsError> {
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
fn managed_group(provider: &CapacityProvider) -> Option<(String, ManagedScaling)> {
    let group = provider.auto_scaling_group_provider()?;
    let scaling = group.managed_scaling()?;
    // A status that AWS adds later is taken for on: that is the more careful reading.
    (*scaling.status()? != ManagedScalingStatus::Disabled).then(|| {
        let target_capacity = scaling.target_capacity().and_then(|percent| percent.try_into().ok());
        let protection = group.managed_termination_protection();
        let managed_scaling = ManagedScaling {
            target_capacity: target_capacity.unwrap_or(TARGET_CAPACITY),
            termination_protection: protection == Some(&ManagedTerminationProtection::Enabled),
            scaling_out: false,
        };
        (group.auto_scaling_group_arn().to_owned(), managed_scaling)
    })
}

//! The capacity providers of the Region.

use std::collections::BTreeSet;

use crate::ecs::ecs_client::Ecs;
use crate::error::AwsError;

/// A Region has some dozens of capacity providers, listed by 10. A list that goes on after this is an error.
const PROVIDER_PAGES_MAX: usize = 100;

impl Ecs {
    /// The ARNs of the Auto Scaling groups whose size a capacity provider's managed scaling decides.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn managed_groups(&self) -> Result<BTreeSet<String>, AwsError> {
        let operation = "describe the capacity providers";
        let (mut groups, mut token) = (BTreeSet::new(), None);
        for _ in 0..PROVIDER_PAGES_MAX {
            let answer =
                self.client.describe_capacity_providers().set_next_token(token).send().await;
            let answer = answer.map_err(|error| AwsError::new(operation, error))?;
            for provider in answer.capacity_providers() {
                let Some(group) = provider.auto_scaling_group_provider() else { continue };
                let managed = group.managed_scaling().and_then(|scaling| scaling.status());
                if managed.is_some_and(|status| status.as_str() != "DISABLED") {
                    groups.insert(group.auto_scaling_group_arn().to_owned());
                }
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(groups);
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {PROVIDER_PAGES_MAX} pages")))
    }
}

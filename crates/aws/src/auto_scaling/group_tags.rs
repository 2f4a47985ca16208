//! Tags of groups: the project's memory of what a group was.

use aws_sdk_autoscaling::types::Tag;
use aws_sdk_autoscaling::types::builders::TagBuilder;
use ebb_core::ids::GroupName;

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::AwsError;

impl AutoScaling {
    /// Puts a tag onto a group, and not onto its instances. Putting it again replaces its value.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn put_tag(&self, group: &GroupName, key: &str, value: &str) -> Result<(), AwsError> {
        let tag = tag(group, key).value(value).propagate_at_launch(false).build();
        let request = self.client.create_or_update_tags().tags(tag);
        request
            .send()
            .await
            .map_err(|error| AwsError::new(format!("put tag {key} onto group {group}"), error))?;
        Ok(())
    }

    /// Removes a tag from a group. One that it does not have is no error.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn delete_tag(&self, group: &GroupName, key: &str) -> Result<(), AwsError> {
        let request = self.client.delete_tags().tags(tag(group, key).build());
        request.send().await.map_err(|error| {
            AwsError::new(format!("remove tag {key} from group {group}"), error)
        })?;
        Ok(())
    }
}

/// Source: Auto Scaling API, `Tag`.
fn tag(group: &GroupName, key: &str) -> TagBuilder {
    Tag::builder().resource_id(group.as_str()).resource_type("auto-scaling-group").key(key)
}

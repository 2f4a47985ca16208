//! The attributes of container instances: Ebb keeps there what an event that comes twice must not do twice.

use std::collections::HashMap;

use aws_sdk_ecs::types::{Attribute, ContainerInstance, TargetType};
use ebb_core::ids::{Cluster, ContainerInstanceArn};

use crate::ecs::ecs_client::Ecs;
use crate::error::{AwsError, AwsErrorKind};

/// Source: ECS API, `PutAttributes`.
const PUT_ATTRIBUTES_MAX: usize = 10;

/// Source: ECS API, `DeleteAttributes`.
const DELETE_ATTRIBUTES_MAX: usize = 10;

impl Ecs {
    /// Reads one attribute of container instances; one that does not have it, or has left the cluster, is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn read_attribute(
        &self,
        cluster: &Cluster,
        arns: &[ContainerInstanceArn],
        name: &str,
    ) -> Result<HashMap<ContainerInstanceArn, String>, AwsError> {
        let convert = |described: &ContainerInstance| attribute_value(described, name);
        Ok(self.describe_as(cluster, arns, &convert).await?.into_iter().collect())
    }

    /// Writes one attribute on container instances, in tens. Writing it again replaces its value.
    ///
    /// # Errors
    /// If a call fails; those of the tens before it are written.
    pub async fn put_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        values: &[(&ContainerInstanceArn, String)],
    ) -> Result<(), AwsError> {
        let operation =
            || format!("put attribute {name} on container instances of cluster {}", cluster.name());
        for values in values.chunks(PUT_ATTRIBUTES_MAX) {
            let mut request = self.client.put_attributes().cluster(cluster.as_str());
            for (arn, value) in values {
                let attribute = Attribute::builder()
                    .name(name)
                    .value(value)
                    .target_type(TargetType::ContainerInstance)
                    .target_id(arn.as_str())
                    .build()
                    .map_err(|error| AwsError::unusable_answer(operation(), error.to_string()))?;
                request = request.attributes(attribute);
            }
            request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        }
        Ok(())
    }

    /// Removes one attribute from container instances, in tens. One that does not have it, or has left the cluster, is
    /// as good as without it.
    ///
    /// # Errors
    /// If a call fails; from those of the tens before it, it is removed.
    pub async fn delete_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        arns: &[ContainerInstanceArn],
    ) -> Result<(), AwsError> {
        let operation = || {
            format!(
                "delete attribute {name} from container instances of cluster {}",
                cluster.name()
            )
        };
        for arns in arns.chunks(DELETE_ATTRIBUTES_MAX) {
            let mut request = self.client.delete_attributes().cluster(cluster.as_str());
            for arn in arns {
                let attribute = Attribute::builder()
                    .name(name)
                    .target_type(TargetType::ContainerInstance)
                    .target_id(arn.as_str())
                    .build()
                    .map_err(|error| AwsError::unusable_answer(operation(), error.to_string()))?;
                request = request.attributes(attribute);
            }
            match request.send().await.map_err(|error| AwsError::new(operation(), error)) {
                Err(error) if error.kind != AwsErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// `None` if it does not have the attribute.
fn attribute_value(
    described: &ContainerInstance,
    name: &str,
) -> Option<(ContainerInstanceArn, String)> {
    let arn = ContainerInstanceArn::new(described.container_instance_arn()?);
    let mut attributes = described.attributes().iter();
    let attribute = attributes.find(|attribute| attribute.name() == name)?;
    Some((arn, attribute.value()?.to_owned()))
}

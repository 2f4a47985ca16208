//! The attributes of container instances. Ebb keeps there what must survive an invocation, so that
//! an event which is delivered twice does not act twice.

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
    /// Reads one attribute of container instances. A container instance that does not have it, or
    /// has left the cluster, is left out.
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

    /// Writes one attribute on container instances, ten per call. Writing it again replaces its
    /// value.
    ///
    /// # Errors
    /// If a call fails. What the calls before it wrote stays written.
    pub async fn put_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        values: &[(&ContainerInstanceArn, String)],
    ) -> Result<(), AwsError> {
        let operation =
            format!("put attribute {name} on container instances of cluster {}", cluster.name());
        for batch in values.chunks(PUT_ATTRIBUTES_MAX) {
            let attributes = batch.iter().map(|(arn, value)| attribute(name, arn, Some(value)));
            let request = self.client.put_attributes().cluster(cluster.as_str());
            let request = request.set_attributes(Some(attributes.collect::<Result<_, _>>()?));
            request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        }
        Ok(())
    }

    /// Removes one attribute from container instances, ten per call. A container instance that does
    /// not have it, or has left the cluster, counts as done.
    ///
    /// # Errors
    /// If a call fails. What the calls before it removed stays removed.
    pub async fn delete_attribute(
        &self,
        cluster: &Cluster,
        name: &str,
        arns: &[ContainerInstanceArn],
    ) -> Result<(), AwsError> {
        for batch in arns.chunks(DELETE_ATTRIBUTES_MAX) {
            match self.delete_from(cluster, name, batch).await {
                // One that has left the cluster fails the call for the whole batch.
                Err(error) if error.kind == AwsErrorKind::NotFound && batch.len() > 1 => {
                    for arn in batch {
                        unless_gone(
                            self.delete_from(cluster, name, std::slice::from_ref(arn)).await,
                        )?;
                    }
                }
                result => unless_gone(result)?,
            }
        }
        Ok(())
    }

    async fn delete_from(
        &self,
        cluster: &Cluster,
        name: &str,
        arns: &[ContainerInstanceArn],
    ) -> Result<(), AwsError> {
        let cluster_name = cluster.name();
        let operation =
            format!("delete attribute {name} from container instances of cluster {cluster_name}");
        let attributes = arns.iter().map(|arn| attribute(name, arn, None));
        let request = self.client.delete_attributes().cluster(cluster.as_str());
        let request = request.set_attributes(Some(attributes.collect::<Result<_, _>>()?));
        request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        Ok(())
    }
}

fn unless_gone(result: Result<(), AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if error.kind != AwsErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An attribute of a container instance, as it is put; without a value, as it is deleted.
fn attribute(
    name: &str,
    arn: &ContainerInstanceArn,
    value: Option<&str>,
) -> Result<Attribute, AwsError> {
    let attribute = Attribute::builder()
        .name(name)
        .set_value(value.map(str::to_owned))
        .target_type(TargetType::ContainerInstance)
        .target_id(arn.as_str());
    attribute.build().map_err(|error| {
        AwsError::unusable_answer(format!("build attribute {name}"), error.to_string())
    })
}

/// `None` if it does not have the attribute.
pub(super) fn attribute_value(
    described: &ContainerInstance,
    name: &str,
) -> Option<(ContainerInstanceArn, String)> {
    let arn = ContainerInstanceArn::new(described.container_instance_arn()?);
    let mut attributes = described.attributes().iter();
    let attribute = attributes.find(|attribute| attribute.name() == name)?;
    Some((arn, attribute.value()?.to_owned()))
}

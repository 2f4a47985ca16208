//! ECS's operations on the attributes of container instances.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, id_in, invalid, page};
use crate::world::World;
use crate::world::ecs::{ContainerInstance, Status};

/// The most attributes of a call.
const ATTRIBUTES_MAX: usize = 10;
/// Custom attributes that a resource may have. Source: ECS API, `PutAttributes`.
const CUSTOM_ATTRIBUTES_MAX: usize = 10;

/// An attribute that a call names.
struct Attribute<'a> {
    name: &'a str,
    value: Option<&'a str>,
    container_instance: &'a str,
}

/// Nothing is written unless everything can be.
pub(super) fn put_attributes(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let cluster_name = cluster_name.to_owned();
    let attributes = read(input, &cluster_name, &cluster.instances)?;
    let mut custom_names = BTreeMap::new();
    for attribute in &attributes {
        let instance = &cluster.instances[attribute.container_instance];
        let names = custom_names
            .entry(attribute.container_instance)
            .or_insert_with(|| instance.custom_attributes());
        names.insert(attribute.name.to_owned());
        if names.len() > CUSTOM_ATTRIBUTES_MAX {
            return Err(Refusal::new(
                "AttributeLimitExceededException",
                "A resource has 10 custom attributes at most.",
            ));
        }
    }
    for Attribute { name, value, container_instance } in attributes {
        world.put_attribute(&cluster_name, container_instance, name, value.unwrap_or_default());
    }
    Ok(json!({"attributes": input.value["attributes"]}))
}

/// An attribute that is not there is deleted without a word; AWS does not say what it does.
pub(super) fn delete_attributes(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let cluster_name = cluster_name.to_owned();
    for Attribute { name, container_instance, .. } in
        read(input, &cluster_name, &cluster.instances)?
    {
        world.delete_attribute(&cluster_name, container_instance, name);
    }
    Ok(json!({"attributes": input.value["attributes"]}))
}

/// The attributes of every container instance of a cluster, by name and value if they are given.
pub(super) fn list_attributes(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    if input.text("targetType")? != Some("container-instance") {
        return Err(invalid("The target type must be container-instance."));
    }
    let (name, value) = (input.text("attributeName")?, input.text("attributeValue")?);
    if value.is_some() && name.is_none() {
        return Err(invalid("An attribute value needs an attribute name."));
    }
    let instances =
        cluster.instances.values().filter(|instance| instance.status != Status::Inactive);
    let attributes = instances.flat_map(|instance| {
        let arn = instance.arn(cluster_name);
        instance
            .attribute_names()
            .map(|name| (name, instance.attribute(name).unwrap_or_default()))
            .filter(|(its_name, _)| name.is_none_or(|name| name == *its_name))
            .filter(|(_, its_value)| value.is_none_or(|value| value == *its_value))
            .map(|(name, value)| match value {
                "" => json!({"name": name, "targetId": arn}),
                value => json!({"name": name, "value": value, "targetId": arn}),
            })
            .collect::<Vec<_>>()
    });
    page(input, "attributes", attributes.collect())
}

/// Reads the attributes that a call names, all of them or none.
fn read<'a>(
    input: Input<'a>,
    cluster_name: &str,
    instances: &BTreeMap<String, ContainerInstance>,
) -> Result<Vec<Attribute<'a>>, Refusal> {
    let attributes = input.list("attributes", ATTRIBUTES_MAX)?;
    attributes.iter().map(|attribute| read_attribute(attribute, cluster_name, instances)).collect()
}

fn read_attribute<'a>(
    attribute: &'a Value,
    cluster_name: &str,
    instances: &BTreeMap<String, ContainerInstance>,
) -> Result<Attribute<'a>, Refusal> {
    let attribute = Input { value: attribute, fault: None };
    let (Some(name), Some(target)) = (attribute.text("name")?, attribute.text("targetId")?) else {
        return Err(invalid("An attribute must have a name and a target."));
    };
    if !is_attribute_name(name) {
        return Err(invalid("The name of the attribute is not valid."));
    }
    let value = attribute.text("value")?;
    if !value.is_none_or(is_attribute_value) {
        return Err(invalid("The value of the attribute is not valid."));
    }
    match attribute.text("targetType")? {
        Some("container-instance") => {}
        // An ARN says by itself what it names.
        None if target.contains('/') => {}
        _ => return Err(invalid("The target type must be container-instance.")),
    }
    let container_instance = id_in("container-instance", cluster_name, target)?;
    match instances.get(container_instance) {
        Some(instance) if instance.status != Status::Inactive => {
            Ok(Attribute { name, value, container_instance })
        }
        _ => Err(Refusal::new("TargetNotFoundException", "The specified target wasn't found.")),
    }
}

/// Source: ECS API, `Attribute.name`. What ECS says to the name of a built-in attribute is not
/// documented; they are its own.
fn is_attribute_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/\\.".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with("ecs.")
}

/// Source: ECS API, `Attribute.value`.
fn is_attribute_value(value: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/\\: ".contains(&byte);
    (1..=128).contains(&value.len()) && value.bytes().all(is_allowed) && value.trim() == value
}

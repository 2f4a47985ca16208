//! ECS's operations on the tags of clusters and of services. Other resources have none here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, arn_parts, invalid};
use crate::world::World;

/// Tags that a resource may have. Source: ECS API, `TagResource`.
const TAGS_MAX: usize = 50;
/// Characters of a key and of a value. Source: ECS API, `Tag`.
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;

type Tags = BTreeMap<String, String>;

pub(super) fn tag_resource(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let added = input
        .list("tags", TAGS_MAX)?
        .iter()
        .map(|tag| Some((tag["key"].as_str()?, tag["value"].as_str().unwrap_or_default())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| invalid("A tag must have a key."))?;
    if let Some((key, _)) = added.iter().find(|(key, value)| !is_allowed(key, value)) {
        return Err(invalid(format!("Tag {key} is not valid.")));
    }
    let tags = tags_of(world, input)?;
    let mut all = tags.clone();
    all.extend(added.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    if all.len() > TAGS_MAX {
        return Err(invalid(format!("A resource has {TAGS_MAX} tags at most.")));
    }
    *tags = all;
    Ok(json!({}))
}

/// A tag that is not there is taken off without a word.
pub(super) fn untag_resource(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let keys = input.texts("tagKeys", TAGS_MAX)?;
    let tags = tags_of(world, input)?;
    tags.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(json!({}))
}

pub(super) fn list_tags_for_resource(
    world: &mut World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    // Unlike the others it has no error of its own for what is not there (ECS API, `Errors`).
    let tags = tags_of(world, input).map_err(|refusal| match refusal.code.as_str() {
        "ResourceNotFoundException" => invalid(refusal.message),
        _ => refusal,
    })?;
    Ok(json!({"tags": tags_json(tags)}))
}

/// Tags as they are described; none unless the call asks for them (ECS API, `include` of
/// `DescribeClusters` and `DescribeServices`).
pub(super) fn included_tags(included: &[&str], tags: &Tags) -> Value {
    if included.contains(&"TAGS") { tags_json(tags) } else { json!([]) }
}

fn tags_json(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// Source: ECS API, `Tag`.
fn is_allowed(key: &str, value: &str) -> bool {
    let is_text = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
    let is_of_aws = key.to_ascii_lowercase().starts_with("aws:");
    !key.is_empty()
        && key.chars().count() <= KEY_MAX
        && value.chars().count() <= VALUE_MAX
        && !is_of_aws
        && is_text(key)
        && is_text(value)
}

fn tags_of<'w>(world: &'w mut World, input: Input<'_>) -> Result<&'w mut Tags, Refusal> {
    let arn = input.text("resourceArn")?.ok_or_else(|| invalid("resourceArn is missing."))?;
    let no_cluster = || Refusal::new("ClusterNotFoundException", "Cluster not found.");
    match arn_parts(arn)?[..] {
        ["cluster", name] => {
            let cluster = world.clusters.get_mut(name).ok_or_else(no_cluster)?;
            Ok(&mut cluster.tags)
        }
        ["service", cluster, name] => {
            let cluster = world.clusters.get_mut(cluster).ok_or_else(no_cluster)?;
            let service = cluster.services.get_mut(name);
            service.map(|service| &mut service.tags).ok_or_else(|| {
                Refusal::new("ResourceNotFoundException", "The specified resource was not found.")
            })
        }
        _ => Err(invalid("The simulated Region has tags of clusters and services only.")),
    }
}

//! Auto Scaling's operations on the tags of groups.

use crate::wire::answer::Refusal;
use crate::wire::query_protocol::{Form, element, invalid, member};
use crate::world::World;

/// Tags that a group may have. Source: Auto Scaling User Guide, ec2-auto-scaling-tagging.
const TAGS_MAX: usize = 50;

pub(super) fn create_or_update_tags(world: &mut World, form: &Form) -> Result<String, Refusal> {
    for Tag { group, key, value } in named_tags(world, form)? {
        let Some(group) = world.groups.get_mut(&group) else { continue };
        group.tags.insert(key, value.unwrap_or_default());
    }
    Ok(String::new())
}

/// One with a value is deleted only if it has that (Auto Scaling User Guide, delete-tag); one that is not
/// there, without a word.
pub(super) fn delete_tags(world: &mut World, form: &Form) -> Result<String, Refusal> {
    for Tag { group, key, value } in named_tags(world, form)? {
        let Some(group) = world.groups.get_mut(&group) else { continue };
        group.tags.retain(|its_key, its_value| {
            *its_key != key || value.as_ref().is_some_and(|value| value != its_value)
        });
    }
    Ok(String::new())
}

/// The tag of a group as it is described.
pub(super) fn tag_xml(group: &str, key: &str, value: &str) -> String {
    member(
        &[
            element("ResourceId", group),
            element("ResourceType", "auto-scaling-group"),
            element("Key", key),
            element("Value", value),
            element("PropagateAtLaunch", "true"),
        ]
        .concat(),
    )
}

struct Tag {
    group: String,
    key: String,
    value: Option<String>,
}

/// The tags that a call names, `Tags.member.1.Key` and so on. Nothing is changed unless every one is
/// right.
fn named_tags(world: &World, form: &Form) -> Result<Vec<Tag>, Refusal> {
    let mut tags = Vec::new();
    for number in 1..=TAGS_MAX {
        let field = |name: &str| form.text(&format!("Tags.member.{number}.{name}"));
        let Some(key) = field("Key") else { break };
        let group = field("ResourceId").unwrap_or_default();
        if !world.groups.contains_key(group) {
            return Err(invalid(format!(
                "AutoScalingGroup name not found - no such group: {group}"
            )));
        }
        if field("ResourceType").is_some_and(|kind| kind != "auto-scaling-group") {
            return Err(invalid("ResourceType must be auto-scaling-group"));
        }
        let value = field("Value").map(str::to_owned);
        tags.push(Tag { group: group.to_owned(), key: key.to_owned(), value });
    }
    if tags.is_empty() {
        return Err(invalid("1 validation error detected: Tags is required"));
    }
    Ok(tags)
}

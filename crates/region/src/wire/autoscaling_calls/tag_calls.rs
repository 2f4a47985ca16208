//! Auto Scaling's operations on the tags of groups. Whether a tag is put onto the instances that are
//! launched is not played.
//!
//! Sources: Auto Scaling API, `CreateOrUpdateTags`, `DeleteTags` and `Tag`.

use crate::wire::answer::Refusal;
use crate::wire::query_protocol::{Form, element, invalid, member};
use crate::world::World;
use crate::world::autoscaling::Group;

const KEY_MAX: usize = 128;

const VALUE_MAX: usize = 256;

/// How many tags a group has at most (Auto Scaling User Guide, ec2-auto-scaling-tagging).
const TAGS_MAX: usize = 50;

/// A tag of a request.
struct Tag<'a> {
    group: &'a str,
    key: &'a str,
    value: Option<&'a str>,
    propagates: bool,
}

/// It has no result.
pub(super) fn create_or_update_tags(world: &mut World, form: &Form) -> Result<String, Refusal> {
    for Tag { group, key, value, propagates } in tags(world, form)? {
        let Some(group) = world.groups.get_mut(group) else { continue };
        if group.tags.len() >= TAGS_MAX && !group.tags.contains_key(key) {
            let message = "You have reached the limit for the number of tags for this resource";
            return Err(Refusal::new("LimitExceeded", message));
        }
        group.tags.insert(key.to_owned(), value.unwrap_or_default().to_owned());
        match propagates {
            true => group.tags_of_its_own.remove(key),
            false => group.tags_of_its_own.insert(key.to_owned()),
        };
    }
    Ok(String::new())
}

/// It has no result. A tag that is not there is no error.
pub(super) fn delete_tags(world: &mut World, form: &Form) -> Result<String, Refusal> {
    for Tag { group, key, value, .. } in tags(world, form)? {
        let Some(group) = world.groups.get_mut(group) else { continue };
        // With a value, only a tag that has it is removed.
        if value.is_none_or(|value| group.tags.get(key).is_some_and(|tag| tag == value)) {
            group.tags.remove(key);
        }
    }
    Ok(String::new())
}

/// The tag of a group as it is described.
pub(super) fn tag_xml(name: &str, group: &Group, key: &str, value: &str) -> String {
    member(
        &[
            element("ResourceId", name),
            element("ResourceType", "auto-scaling-group"),
            element("Key", key),
            element("Value", value),
            element("PropagateAtLaunch", &(!group.tags_of_its_own.contains(key)).to_string()),
        ]
        .concat(),
    )
}

/// The tags of a request, of groups that exist.
fn tags<'a>(world: &World, form: &'a Form) -> Result<Vec<Tag<'a>>, Refusal> {
    let mut tags = Vec::new();
    for number in 1.. {
        let field = |name: &str| format!("Tags.member.{number}.{name}");
        let Some(key) = form.text(&field("Key")) else { break };
        let value = form.text(&field("Value"));
        let (group, kind) = (form.text(&field("ResourceId")), form.text(&field("ResourceType")));
        let group = group.filter(|group| world.groups.contains_key(*group));
        let Some(group) = group.filter(|_| kind == Some("auto-scaling-group")) else {
            return Err(invalid("No AutoScalingGroups found for the tags"));
        };
        if key.is_empty() || key.chars().count() > KEY_MAX || key.starts_with("aws:") {
            return Err(invalid(format!("The key of a tag must have 1 to {KEY_MAX} characters")));
        }
        if value.is_some_and(|value| value.chars().count() > VALUE_MAX) {
            return Err(invalid(format!("The value of a tag has at most {VALUE_MAX} characters")));
        }
        // Without it a tag is for the instances as well (Auto Scaling User Guide,
        // ec2-auto-scaling-tagging).
        let propagates = form.bool(&field("PropagateAtLaunch"))?.unwrap_or(true);
        tags.push(Tag { group, key, value, propagates });
    }
    if tags.is_empty() { Err(invalid("Tags is required")) } else { Ok(tags) }
}

//! What EC2 says of members of groups by their ids, as drainers of others ask to find the cluster:
//! `DescribeInstances` with `InstanceId`, and `DescribeInstanceAttribute` of the user data.
//!
//! Source: EC2 API Reference, of each operation.

use aws_smithy_types::base64;

use super::answer::Refusal;
use super::query_protocol::{Form, element};
use crate::world::World;
use crate::world::autoscaling::Group;

/// The members that `InstanceId.1`, `InstanceId.2`, … ask for, with their group's tags, and those
/// that have ended, without; `None` if a form asks for none. One that never was fails the call.
pub(super) fn members(world: &World, form: &Form) -> Option<Result<String, Refusal>> {
    let ids: Vec<_> =
        (1..).map_while(|number| form.text(&format!("InstanceId.{number}"))).collect();
    if ids.is_empty() {
        return None;
    }
    let items: Result<String, _> = ids.into_iter().map(|id| member(world, id)).collect();
    Some(items.map(|items| format!("<reservationSet>{items}</reservationSet>")))
}

fn member(world: &World, id: &str) -> Result<String, Refusal> {
    let ended = world.ended(id);
    let tags: String = match group(world, id) {
        Ok(group) => group.tags.iter().map(|(key, value)| tag(key, value)).collect(),
        Err(_) if ended => String::new(),
        Err(refusal) => return Err(refusal),
    };
    let (code, name) = if ended { ("48", "terminated") } else { ("16", "running") };
    let state = [element("code", code), element("name", name)].concat();
    Ok(format!(
        "<item><instancesSet><item>{}<instanceState>{state}</instanceState><tagSet>{tags}</tagSet>\
         </item></instancesSet></item>",
        element("instanceId", id)
    ))
}

fn tag(key: &str, value: &str) -> String {
    format!("<item>{}{}</item>", element("key", key), element("value", value))
}

/// Of the user data alone: the line by which the ECS-optimized AMI joins its cluster.
pub(super) fn describe_instance_attribute(world: &World, form: &Form) -> Result<String, Refusal> {
    let id = form.required("InstanceId")?;
    if form.text("Attribute") != Some("userData") {
        return Err(Refusal::new("InvalidParameterValue", "Only the user data here"));
    }
    let cluster = &group(world, id)?.cluster;
    let script = format!("#!/bin/bash\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n");
    let value = element("value", &base64::encode(script));
    Ok(format!("{}<userData>{value}</userData>", element("instanceId", id)))
}

fn group<'w>(world: &'w World, instance_id: &str) -> Result<&'w Group, Refusal> {
    let (_, group) = world.group_of(instance_id).ok_or_else(|| {
        let message = format!("The instance ID '{instance_id}' does not exist");
        Refusal::new("InvalidInstanceID.NotFound", message)
    })?;
    Ok(group)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn world() -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let mut group = Group::with_instances("shop", ["i-1".to_owned()]);
        group.tags.insert("team".to_owned(), "web".to_owned());
        world.add_group("group", group);
        world
    }

    #[test]
    fn a_member_is_described_with_the_tags_of_its_group() {
        let form = Form::read(b"InstanceId.1=i-1");
        let described = members(&world(), &form).unwrap().unwrap();
        let tag = "<tagSet><item><key>team</key><value>web</value></item></tagSet>";
        assert!(described.contains(tag), "{described}");

        let mut world = world();
        world.terminate("i-1", std::time::Duration::ZERO);
        world.advance(world.now());
        let described = members(&world, &form).unwrap().unwrap();
        assert!(described.contains("<name>terminated</name>"), "{described}");

        assert_eq!(members(&world, &Form::read(b"")), None);
        let refusal = members(&world, &Form::read(b"InstanceId.1=i-2")).unwrap().unwrap_err();
        assert_eq!(refusal.code, "InvalidInstanceID.NotFound");
    }

    #[test]
    fn the_user_data_of_a_member_names_the_cluster() {
        let form = Form::read(b"InstanceId=i-1&Attribute=userData");
        let answer = describe_instance_attribute(&world(), &form).unwrap();
        let value = answer.split("<value>").nth(1).and_then(|rest| rest.split('<').next());
        let script = base64::decode(value.unwrap()).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("ECS_CLUSTER=shop >> /etc/ecs/ecs.config"), "{script}");
    }
}

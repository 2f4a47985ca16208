//! Auto Scaling and SNS over the query protocol: a form comes in, XML goes out.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::StatusCode;

use super::{Answer, Refusal};
use crate::world::autoscaling::{Group, Refused};
use crate::world::{ACCOUNT, Published, REGION, World};

const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
/// Source: SNS API, `Publish`.
const MESSAGE_BYTES_MAX: usize = 262_144;
const SNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The operation of a form; `None` if the body is not a form with an `Action`.
pub(super) fn operation(body: &[u8]) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == "Action").map(|(_, value)| value.into_owned())
}

pub(super) fn answer(request_id: String, operation: &str, result: Result<String, Refusal>) -> Answer {
    let content_type = "text/xml";
    let id = element("RequestId", &request_id);
    let namespace = if operation == "Publish" { SNS } else { AUTO_SCALING };
    match result {
        Ok(result) => {
            let metadata = format!("<ResponseMetadata>{id}</ResponseMetadata>");
            let body = format!(
                "<{operation}Response xmlns=\"{namespace}\">{result}{metadata}</{operation}Response>"
            );
            Answer { status: StatusCode::OK, content_type, request_id, body }
        }
        Err(Refusal { status, code, message }) => {
            let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
            let error =
                [element("Type", kind), element("Code", &code), element("Message", &message)].concat();
            let body =
                format!("<ErrorResponse xmlns=\"{namespace}\"><Error>{error}</Error>{id}</ErrorResponse>");
            Answer { status, content_type, request_id, body }
        }
    }
}

pub(super) fn run(world: &mut World, operation: &str, body: &[u8]) -> Result<String, Refusal> {
    let form = Form(form_urlencoded::parse(body).into_owned().collect());
    match operation {
        "DescribeAutoScalingGroups" => describe_auto_scaling_groups(world, &form),
        "SetDesiredCapacity" => set_desired_capacity(world, &form),
        "Publish" => publish(world, &form),
        _ => Err(Refusal::new("InvalidAction", format!("Could not find operation {operation}"))),
    }
}

fn describe_auto_scaling_groups(world: &World, form: &Form) -> Result<String, Refusal> {
    let names = form.list("AutoScalingGroupNames");
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let groups: String = world
        .groups
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, group)| member(&group_xml(world, name, group)))
        .collect();
    Ok(format!(
        "<DescribeAutoScalingGroupsResult><AutoScalingGroups>{groups}</AutoScalingGroups></DescribeAutoScalingGroupsResult>"
    ))
}

fn group_xml(world: &World, name: &str, group: &Group) -> String {
    let arn = format!(
        "arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:00000000-0000-4000-a000-000000000000:autoScalingGroupName/{name}"
    );
    let zones: String =
        ["a", "b", "c"].iter().map(|zone| element("member", &format!("{REGION}{zone}"))).collect();
    let instances: String = group.instances.iter().map(|id| member(&instance_xml(world, id))).collect();
    [
        element("AutoScalingGroupName", name),
        element("AutoScalingGroupARN", &arn),
        element("MinSize", &group.min_size.to_string()),
        element("MaxSize", &group.max_size.to_string()),
        element("DesiredCapacity", &group.desired_capacity.to_string()),
        element("DefaultCooldown", "300"),
        format!("<AvailabilityZones>{zones}</AvailabilityZones>"),
        element("HealthCheckType", "EC2"),
        element("HealthCheckGracePeriod", "300"),
        element("CreatedTime", "2025-01-01T00:00:00.000Z"),
        format!("<Instances>{instances}</Instances>"),
    ]
    .concat()
}

/// An instance that has not joined its cluster yet is `Pending`.
fn instance_xml(world: &World, instance_id: &str) -> String {
    let joined = world.container_instance(instance_id);
    let zone = joined.map_or_else(|| format!("{REGION}a"), |(_, one)| one.zone.clone());
    [
        element("InstanceId", instance_id),
        element("AvailabilityZone", &zone),
        element("LifecycleState", if joined.is_some() { "InService" } else { "Pending" }),
        element("HealthStatus", "Healthy"),
        element("ProtectedFromScaleIn", "false"),
    ]
    .concat()
}

fn set_desired_capacity(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    let desired_capacity = form
        .required("DesiredCapacity")?
        .parse()
        .map_err(|_| Refusal::new("ValidationError", "DesiredCapacity must be a number"))?;
    world
        .set_desired_capacity(name, desired_capacity)
        .map_err(|Refused { code, message }| Refusal::new(code, message))?;
    Ok(String::new())
}

fn publish(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let topic_arn = form.required("TopicArn")?;
    if !topic_arn.starts_with(&format!("arn:aws:sns:{REGION}:{ACCOUNT}:")) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: TopicArn"));
    }
    let (subject, message) = (form.0.get("Subject"), form.required("Message")?);
    // The API says fewer than 100 characters; AWS takes 100 (moto#1503).
    if subject.is_some_and(|subject| subject.chars().count() > 100 || subject.contains(char::is_control)) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Subject"));
    }
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Message too long"));
    }
    let published =
        Published { topic_arn: topic_arn.to_owned(), subject: subject.cloned(), message: message.to_owned() };
    world.published.push(published);
    let message_id = world.uuid();
    Ok(format!("<PublishResult>{}</PublishResult>", element("MessageId", &message_id)))
}

/// A form of the query protocol.
struct Form(BTreeMap<String, String>);

impl Form {
    fn required(&self, key: &str) -> Result<&str, Refusal> {
        self.0.get(key).map(String::as_str).ok_or_else(|| {
            Refusal::new("ValidationError", format!("1 validation error detected: {key} is required"))
        })
    }

    /// The items `KEY.member.1`, `KEY.member.2`, …
    fn list(&self, key: &str) -> Vec<&str> {
        (1..).map_while(|number| self.0.get(&format!("{key}.member.{number}"))).map(String::as_str).collect()
    }
}

fn member(xml: &str) -> String {
    format!("<member>{xml}</member>")
}

fn element(name: &str, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Not allowed in XML 1.0 as they are.
            control if control.is_control() => {
                let _ = write!(escaped, "&#x{:x};", u32::from(control));
            }
            _ => escaped.push(character),
        }
    }
    format!("<{name}>{escaped}</{name}>")
}

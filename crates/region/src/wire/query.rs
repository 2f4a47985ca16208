//! Auto Scaling and SNS over the query protocol: a form comes in, XML goes out.

mod autoscaling;

use std::collections::BTreeMap;
use std::fmt::Write;

use http::StatusCode;

use super::{Answer, Refusal};
use crate::world::autoscaling::Refused;
use crate::world::delivery::Hop;
use crate::world::{ACCOUNT, REGION, World};

const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
/// Source: SNS API, `Publish`.
const MESSAGE_BYTES_MAX: usize = 262_144;
const SNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The operation of a form; `None` if the body is not a form with an `Action`.
pub(super) fn operation(body: &[u8]) -> Option<String> {
    form_urlencoded::parse(body)
        .find(|(key, _)| key == "Action")
        .map(|(_, value)| value.into_owned())
}

pub(super) fn answer(
    request_id: String,
    operation: &str,
    result: Result<String, Refusal>,
) -> Answer {
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
                [element("Type", kind), element("Code", &code), element("Message", &message)]
                    .concat();
            let body = format!(
                "<ErrorResponse xmlns=\"{namespace}\"><Error>{error}</Error>{id}</ErrorResponse>"
            );
            Answer { status, content_type, request_id, body }
        }
    }
}

pub(super) fn run(
    world: &mut World,
    operation: &str,
    body: &[u8],
    hop: Option<Hop>,
) -> Result<String, Refusal> {
    let form = Form(form_urlencoded::parse(body).into_owned().collect());
    match operation {
        "Publish" => publish(world, &form, hop),
        _ => autoscaling::run(world, operation, &form),
    }
}

fn publish(world: &mut World, form: &Form, hop: Option<Hop>) -> Result<String, Refusal> {
    let topic_arn = form.required("TopicArn")?;
    if !topic_arn.starts_with(&format!("arn:aws:sns:{REGION}:{ACCOUNT}:")) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: TopicArn"));
    }
    let (subject, message) = (form.text("Subject"), form.required("Message")?);
    // The API says fewer than 100 characters; AWS takes 100 (moto#1503).
    if subject
        .is_some_and(|subject| subject.chars().count() > 100 || subject.contains(char::is_control))
    {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Subject"));
    }
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Message too long"));
    }
    let message_id = world.publish_from(hop, topic_arn, subject, message);
    Ok(format!("<PublishResult>{}</PublishResult>", element("MessageId", &message_id)))
}

/// A form of the query protocol.
struct Form(BTreeMap<String, String>);

impl Form {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn required(&self, key: &str) -> Result<&str, Refusal> {
        self.text(key)
            .ok_or_else(|| invalid(format!("1 validation error detected: {key} is required")))
    }

    /// A number, within the bounds of the service model.
    fn number(&self, key: &str, least: i32, most: i32) -> Result<Option<i32>, Refusal> {
        let number =
            |text: &str| text.parse().ok().filter(|number| (least..=most).contains(number));
        self.text(key)
            .map(|text| {
                number(text).ok_or_else(|| invalid(format!("{key} must be from {least} to {most}")))
            })
            .transpose()
    }

    /// The items `KEY.member.1`, `KEY.member.2`, …
    fn list(&self, key: &str) -> Vec<&str> {
        (1..)
            .map_while(|number| self.0.get(&format!("{key}.member.{number}")))
            .map(String::as_str)
            .collect()
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { code, message }: Refused) -> Self {
        Self::new(code, message)
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message)
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

//! SNS's operations `Publish` and, for a person who tries Ebb, `CreateTopic`.

use http::StatusCode;

use super::answer::Refusal;
use super::query_protocol::{Form, element};
use crate::world::delivery::Hop;
use crate::world::{ACCOUNT, REGION, World};

/// Source: SNS API, `Publish`.
const MESSAGE_BYTES_MAX: usize = 262_144;

pub(super) fn publish(world: &mut World, form: &Form, hop: Option<Hop>) -> Result<String, Refusal> {
    let topic_arn = form.required("TopicArn")?;
    if !topic_arn.starts_with(&format!("arn:aws:sns:{REGION}:{ACCOUNT}:")) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: TopicArn"));
    }
    if !world.topics.contains_key(topic_arn) {
        let message = "Topic does not exist".to_owned();
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            code: "NotFound".to_owned(),
            message,
        });
    }
    let (subject, message) = (form.text("Subject"), form.required("Message")?);
    if subject.is_some_and(|subject| !is_subject(subject)) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Subject"));
    }
    if message.is_empty() {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Empty message"));
    }
    // AWS limits bytes and not characters.
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Message too long"));
    }
    let message_id = world.publish_from(hop, topic_arn, subject, message);
    Ok(format!("<PublishResult>{}</PublishResult>", element("MessageId", &message_id)))
}

/// ASCII text that begins with a letter, a number or a punctuation mark, without control characters.
/// The API says fewer than 100 characters; AWS takes 100 (moto#1503). Source: SNS API, `Publish`.
fn is_subject(subject: &str) -> bool {
    let is_printable = subject.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable && (1..=100).contains(&subject.len()) && !subject.starts_with(' ')
}

/// Creating a topic again answers with the topic that there is (SNS API, `CreateTopic`).
pub(super) fn create_topic(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("Name")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=256).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Topic Name"));
    }
    let topic_arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
    world.create_topic(&topic_arn);
    Ok(format!("<CreateTopicResult>{}</CreateTopicResult>", element("TopicArn", &topic_arn)))
}

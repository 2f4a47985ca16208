//! SNS's operation `Publish`.

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
    let (subject, message) = (form.text("Subject"), form.required("Message")?);
    // The API says fewer than 100 characters; AWS takes 100 (moto#1503).
    if subject
        .is_some_and(|subject| subject.chars().count() > 100 || subject.contains(char::is_control))
    {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Subject"));
    }
    // AWS limits bytes and not characters.
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new("InvalidParameter", "Invalid parameter: Message too long"));
    }
    let message_id = world.publish_from(hop, topic_arn, subject, message);
    Ok(format!("<PublishResult>{}</PublishResult>", element("MessageId", &message_id)))
}

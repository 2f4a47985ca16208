//! What the tests of notifications are made of, and what SNS and chat take.

use serde_json::Value;

use super::{Message, Notification, NotificationFormat, NotificationKind};
use crate::event::Origin;
use crate::ids::InstanceId;

pub(crate) fn id(number: usize) -> InstanceId {
    InstanceId::parse(&format!("i-0a1b2c3d4e5f6{number:04}")).unwrap()
}

pub(crate) fn origin() -> Origin {
    Origin { account: Some("111122223333".to_owned()), region: Some("eu-west-1".to_owned()) }
}

pub(crate) fn notification() -> Notification {
    Notification {
        kind: NotificationKind::StillDrains,
        title: format!("Ebb still drains {}", id(1)),
        origin: origin(),
        clusters: vec!["shop".to_owned()],
        instances: vec![id(1)],
        tasks: "2 tasks left".to_owned(),
        details: vec!["1 task of web: <none> of `it` & more".to_owned(), "and 1 more".to_owned()],
        next: "it is let go at 2025-03-04T06:00:00Z, with what still runs on it".to_owned(),
        steps: vec!["Stop it".to_owned(), "Or wait".to_owned()],
        thread: id(1).to_string(),
    }
}

/// A notification in every form, each within its limits.
pub(crate) fn forms(notification: &Notification) -> String {
    let form = |format| {
        let message = notification.message(format);
        assert_is_sns(&message);
        let body = match format {
            NotificationFormat::Text => message.body,
            NotificationFormat::Json | NotificationFormat::Chat => {
                if format == NotificationFormat::Chat {
                    assert_is_chat(&message.body);
                }
                let json: Value = serde_json::from_str(&message.body).unwrap();
                serde_json::to_string_pretty(&json).unwrap()
            }
        };
        format!("-- {}: {}\n{body}\n", format.as_str(), message.subject)
    };
    NotificationFormat::ALL.map(form).concat()
}

/// Checks SNS's limits. Source: SNS API, `Publish`.
pub(crate) fn assert_is_sns(Message { subject, body }: &Message) {
    let is_printable = subject.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(is_printable && !subject.starts_with(' '), "{subject:?}");
    assert!((1..100).contains(&subject.len()), "{subject:?}");
    assert!(!body.trim().is_empty());
    assert!(body.len() <= 262_144, "{} bytes", body.len());
}

/// Checks that a body is a custom notification: the schema of the Administrator Guide, custom-notifs,
/// and the lengths that Slack shows.
pub(crate) fn assert_is_chat(body: &str) {
    let json: Value = serde_json::from_str(body).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let is_text = |value: &Value, chars_max: usize| {
        let text = value.as_str().unwrap();
        assert!(!text.trim().is_empty(), "{json}");
        assert!(text.chars().count() <= chars_max, "{} characters: {text}", text.chars().count());
    };
    let are_texts = |value: &Value, most: usize, chars_max: usize| {
        let texts = value.as_array().unwrap();
        assert!(texts.len() <= most, "{json}");
        texts.iter().for_each(|text| is_text(text, chars_max));
    };
    assert_eq!(keys(&json), ["content", "metadata", "source", "version"]);
    assert_eq!((json["version"].as_str(), json["source"].as_str()), (Some("1.0"), Some("custom")));
    let content = &json["content"];
    assert_eq!(keys(content), ["description", "keywords", "nextSteps", "textType", "title"]);
    assert_eq!(content["textType"], "client-markdown");
    is_text(&content["title"], 250);
    is_text(&content["description"], 3_000);
    are_texts(&content["nextSteps"], 10, 350);
    are_texts(&content["keywords"], 10, 75);
    let metadata = &json["metadata"];
    assert_eq!(
        keys(metadata),
        [
            "additionalContext",
            "enableCustomActions",
            "eventType",
            "relatedResources",
            "summary",
            "threadId"
        ]
    );
    is_text(&metadata["threadId"], 256);
    is_text(&metadata["summary"], 250);
    is_text(&metadata["eventType"], 100);
    are_texts(&metadata["relatedResources"], 10, 100);
    let context = metadata["additionalContext"].as_object().unwrap();
    context.values().for_each(|value| is_text(value, 100));
    assert!(metadata["enableCustomActions"].is_boolean());
}

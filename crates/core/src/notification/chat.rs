//! A notification as Amazon Q Developer in chat applications shows it: a "custom notification" of
//! version 1.0. Free text over a topic it drops.
//!
//! Source: Amazon Q Developer in chat applications Administrator Guide, custom-notifs, "Event schema" and
//! "Parameter details". `version` must be `1.0` and `source` `custom`, and both must be there; the rest
//! may be missing. `id` is an event's own and so left out: nothing would look for it. `textType` can be
//! nothing but `client-markdown`, the markup of whichever chat shows it. All else is text or a list of
//! texts, and so are the values of `additionalContext`.
//!
//! That page names no lengths. So the limits here are our own: people read less than the 3,000 characters
//! that Slack shows in a section (Slack API, block elements).

use serde_json::json;

use super::{Notification, fitting};

const TITLE_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 2_800;
/// How long a fact, what happens next, or a step may be.
const PART_CHARS_MAX: usize = 300;
const STEPS_MAX: usize = 5;
const KEYWORDS_MAX: usize = 5;
const KEYWORD_CHARS_MAX: usize = 60;
const RELATED_MAX: usize = 10;
const THREAD_CHARS_MAX: usize = 255;

pub(super) fn render(notification: &Notification) -> String {
    let Notification { kind, title, origin, clusters, instances, steps, thread, .. } = notification;
    let keywords = std::iter::once(kind.as_str()).chain(clusters.iter().map(String::as_str));
    json!({
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": field(title, TITLE_CHARS_MAX),
            "description": description(notification),
            "nextSteps": steps
                .iter()
                .take(STEPS_MAX)
                .map(|step| field(step, PART_CHARS_MAX))
                .collect::<Vec<_>>(),
            "keywords": keywords
                .take(KEYWORDS_MAX)
                .map(|keyword| field(keyword, KEYWORD_CHARS_MAX))
                .collect::<Vec<_>>(),
        },
        "metadata": {
            "threadId": field(thread, THREAD_CHARS_MAX),
            "summary": field(title, TITLE_CHARS_MAX),
            "eventType": kind,
            "relatedResources": instances.iter().take(RELATED_MAX).collect::<Vec<_>>(),
            "additionalContext": {
                "account": origin.account.as_deref().unwrap_or("not known"),
                "region": origin.region.as_deref().unwrap_or("not known"),
                "kind": kind,
                "instances": instances.len().to_string(),
            },
            // Ebb takes no orders from chat.
            "enableCustomActions": false,
        },
    })
    .to_string()
}

fn description(notification: &Notification) -> String {
    let facts = notification.facts();
    let mut lines: Vec<_> = facts
        .iter()
        .map(|(name, value)| format!("*{name}:* {}", marked_up(value, PART_CHARS_MAX)))
        .collect();
    let next = marked_up(&notification.next, PART_CHARS_MAX);
    lines.push(format!("*What happens next:* {next}"));
    if !notification.details.is_empty() {
        let used: usize = lines.iter().map(|line| line.chars().count() + 1).sum();
        let details: Vec<_> = notification
            .details
            .iter()
            .flat_map(|detail| detail.lines())
            .map(|line| marked_up(line, DESCRIPTION_CHARS_MAX))
            .collect();
        // As it stands: its columns, and no name in it that chat takes for markup or a mention.
        lines.push("```".to_owned());
        lines.extend(fitting(&details, DESCRIPTION_CHARS_MAX - used - 8));
        lines.push("```".to_owned());
    }
    lines.join("\n")
}

/// A text in which chat finds no markup of its own: nothing that it takes for a link, a mention or
/// code (Slack API, formatting message text). What is too long ends with "…".
fn marked_up(text: &str, chars_max: usize) -> String {
    let (mut escaped, mut chars) = (String::new(), 0);
    for c in text.chars() {
        let mut utf8 = [0; 4];
        let part = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '`' => "'",
            c if c.is_control() => " ",
            c => c.encode_utf8(&mut utf8),
        };
        chars += part.chars().count();
        if chars > chars_max {
            escaped.push('…');
            break;
        }
        escaped.push_str(part);
    }
    escaped
}

/// The same for a field that must not be empty.
fn field(text: &str, chars_max: usize) -> String {
    match marked_up(text, chars_max) {
        text if text.trim().is_empty() => "Ebb".to_owned(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_markup_and_are_not_cut_within_an_escape() {
        assert_eq!(marked_up("<!channel> `a` & b\n", 100), "&lt;!channel&gt; 'a' &amp; b ");
        assert_eq!(marked_up("a&&", 6), "a&amp;…");
        assert_eq!(marked_up("été", 3), "été");
        assert_eq!((field(" \n", 9).as_str(), field("", 9).as_str()), ("Ebb", "Ebb"));
    }
}

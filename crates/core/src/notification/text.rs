//! A notification as lines for people.

use super::{BODY_CHARS_MAX, Notification, fitting};
use crate::words::cut;

/// How long a part may be that is one line as a rule.
const PART_CHARS_MAX: usize = 1_000;
/// How many steps there are at most.
const STEPS_MAX: usize = 10;

pub(super) fn render(notification: &Notification) -> String {
    let short = |text: &str| cut(text, PART_CHARS_MAX);
    let mut end: Vec<_> =
        notification.facts().map(|(name, value)| format!("{name}: {}", short(&value))).into();
    end.extend([String::new(), format!("What happens next: {}", short(&notification.next))]);
    if !notification.steps.is_empty() {
        end.push("What to do:".to_owned());
        let steps = notification.steps.iter().take(STEPS_MAX);
        end.extend(steps.map(|step| format!("- {}", short(step))));
    }
    let end = end.join("\n");
    let title = short(&notification.title);
    let room = BODY_CHARS_MAX - end.chars().count() - title.chars().count();
    let mut lines = vec![title, String::new()];
    if !notification.details.is_empty() {
        lines.extend(fitting(&notification.details, room));
        lines.push(String::new());
    }
    lines.push(end);
    lines.join("\n")
}

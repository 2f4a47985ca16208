//! A notification as a JSON object for programs.

use serde_json::json;

use super::{BODY_CHARS_MAX, INSTANCES_MAX, Notification, fitting};
use crate::words::cut;

/// The version of the object: fields are added to it, not renamed.
const VERSION: u32 = 1;
/// How long a text may be that is one line as a rule. Six bytes a character where it is escaped, the
/// whole stays below SNS's 256 KiB.
const TEXT_CHARS_MAX: usize = 500;
/// How many clusters and steps are listed.
const LIST_MAX: usize = 10;

pub(super) fn render(notification: &Notification) -> String {
    let Notification {
        kind,
        title,
        origin,
        clusters,
        instances,
        tasks,
        details,
        next,
        steps,
        thread,
    } = notification;
    let short = |text: &String| cut(text, TEXT_CHARS_MAX);
    json!({
        "version": VERSION,
        "source": "ebb",
        "kind": kind,
        "title": short(title),
        "account": origin.account,
        "region": origin.region,
        "clusters": clusters.iter().take(LIST_MAX).map(short).collect::<Vec<_>>(),
        "instances": instances.iter().take(INSTANCES_MAX).collect::<Vec<_>>(),
        "instances_in_all": instances.len(),
        "tasks": short(tasks),
        "details": fitting(details, BODY_CHARS_MAX),
        "next": short(next),
        "steps": steps.iter().take(LIST_MAX).map(short).collect::<Vec<_>>(),
        "thread": short(thread),
    })
    .to_string()
}

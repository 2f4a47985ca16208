//! Notifications to people: what each of them says, whatever it is about, and the forms in which it
//! goes to the topic.
//!
//! What happened is put into these words beside the decisions, in `spot`, `lifecycle` and `reaper`;
//! whether it was told already is for [`cause`]; publishing is left to `ebb-aws`. In the documents
//! they are "notices to people"; an interruption notice is EC2's, and read by `spot::notice`.

pub mod cause;
mod chat;
mod json;
mod subject;
#[cfg(test)]
pub(crate) mod testing;
mod text;

use crate::event::Origin;
use crate::ids::InstanceId;
use crate::settings::{Whole, word};
use crate::vocabulary::vocabulary;

vocabulary! {
    /// In which form notifications are published.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NotificationFormat {
        /// Lines for people, as a subscription by e-mail shows them.
        Text = "text",
        /// One JSON object, for programs.
        Json = "json",
        /// The JSON object that Amazon Q Developer in chat applications shows. It shows nothing else
        /// (its Administrator Guide, custom-notifs).
        Chat = "chat",
    }
}

/// How the setting is read.
pub(crate) const FORMAT: Whole<NotificationFormat> = word!(NotificationFormat);

vocabulary! {
    /// What a notification is about.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NotificationKind {
        /// Instances are drained on an interruption notice, or are back and ACTIVE again.
        Interrupted = "interrupted",
        /// The fallback group does not replace interrupted instances.
        NotReplaced = "not_replaced",
        /// A drain has taken half of its time, and is not over.
        StillDrains = "still_drains",
        /// A drain is given up with tasks left.
        GivesUp = "gives_up",
        /// A hook's own time-out has cut tasks off.
        CutOff = "cut_off",
        /// A sweep has changed something, has failed to, or has found what nobody looks after.
        Sweep = "sweep",
        /// A sweep that only plans has found instances that could go.
        Plan = "plan",
        /// Nothing is removed in a cluster, as something is wrong in it.
        Halted = "halted",
        /// What a week came to.
        Summary = "summary",
    }
}

/// One notification. Every form of it names all of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub kind: NotificationKind,
    /// What happened, with how many of each, in one line.
    pub title: String,
    /// In which account and Region.
    pub origin: Origin,
    /// The names of the clusters, each once.
    pub clusters: Vec<String>,
    /// The EC2 instances, each once.
    pub instances: Vec<InstanceId>,
    /// The tasks that it concerns, or why they are not known.
    pub tasks: String,
    /// More about it, line by line.
    pub details: Vec<String>,
    /// What happens next if nobody does anything.
    pub next: String,
    /// What people may do, step by step.
    pub steps: Vec<String>,
    /// What it belongs to: chat shows those of one thread below each other.
    pub thread: String,
}

/// A notification as it is published. SNS's own limits are kept: see [`Notification::message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SNS's `Subject`.
    pub subject: String,
    /// SNS's `Message`, never empty.
    pub body: String,
}

/// How many characters of text or of details a message has at most. SNS takes 256 KiB (SNS API,
/// `Publish`): four bytes a character, or six where JSON escapes it, leave room for the rest.
const BODY_CHARS_MAX: usize = 20_000;

/// How many instances the forms for programs list; the others are counted. It bounds the object
/// beside its details.
const INSTANCES_MAX: usize = 50;

impl Notification {
    /// The notification in a form, within the limits of SNS, and of chat: what has no room is left
    /// out, and that is said.
    pub fn message(&self, format: NotificationFormat) -> Message {
        let body = match format {
            NotificationFormat::Text => text::render(self),
            NotificationFormat::Json => json::render(self),
            NotificationFormat::Chat => chat::render(self),
        };
        Message { subject: subject::subject(&self.title), body }
    }

    /// Cluster, account, Region and tasks, each with its name.
    fn facts(&self) -> [(&'static str, String); 4] {
        let clusters = match self.clusters.len() {
            0 => "not known".to_owned(),
            _ => self.clusters.join(", "),
        };
        let known = |part: &Option<String>| part.clone().unwrap_or_else(|| "not known".to_owned());
        [
            (if self.clusters.len() > 1 { "Clusters" } else { "Cluster" }, clusters),
            ("Account", known(&self.origin.account)),
            ("Region", known(&self.origin.region)),
            ("Tasks", self.tasks.clone()),
        ]
    }
}

/// As many of the lines as have room, and how many more there are.
fn fitting(lines: &[String], chars_max: usize) -> Vec<String> {
    let (mut fitting, mut chars) = (Vec::new(), 0);
    for (number, line) in lines.iter().enumerate() {
        chars += line.chars().count() + 1;
        // A line about the rest is short, and needs room as well.
        if chars + 40 > chars_max {
            fitting
                .push(format!("… and {}", crate::words::count(lines.len() - number, "more line")));
            break;
        }
        fitting.push(line.clone());
    }
    fitting
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::testing::{assert_is_chat, assert_is_sns, forms, id, notification};
    use super::*;

    #[test]
    fn every_form_says_everything() {
        insta::assert_snapshot!("every_form", forms(&notification()));
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        let unknown = Notification {
            origin: Origin::default(),
            clusters: Vec::new(),
            instances: Vec::new(),
            details: Vec::new(),
            steps: Vec::new(),
            ..notification()
        };
        let text = unknown.message(NotificationFormat::Text).body;
        for line in ["Cluster: not known", "Account: not known", "Region: not known"] {
            assert!(text.contains(line), "{text}");
        }
        forms(&unknown);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let lines: Vec<_> = (0..100).map(|number| format!("line {number}")).collect();
        assert_eq!(fitting(&lines, 100_000), lines);
        let cut = fitting(&lines, 100);
        assert_eq!((cut.len(), cut.last().unwrap().as_str()), (9, "… and 92 more lines"));
        assert_eq!(fitting(&["x".repeat(500)], 100), ["… and 1 more line"]);
    }

    prop_compose! {
        fn any_notification()(
            title in "\\PC{0,300}|[\\s\\S]{0,300}",
            clusters in prop::collection::vec("[\\s\\S]{0,300}", 0..20),
            instances in 0..200_usize,
            tasks in "[\\s\\S]{0,300}",
            details in prop::collection::vec("[\\s\\S]{0,400}", 0..80),
            next in "[\\s\\S]{0,3000}",
            steps in prop::collection::vec("[\\s\\S]{0,1000}", 0..20),
            thread in "[\\s\\S]{0,600}",
        ) -> Notification {
            let instances = (0..instances).map(id).collect();
            Notification {
                title, clusters, instances, tasks, details, next, steps, thread, ..notification()
            }
        }
    }

    proptest! {
        // Each case is a large text three times.
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Names of groups and services, and what AWS says, may be anything.
        #[test]
        fn whatever_is_in_it_every_form_is_within_the_limits(any in any_notification()) {
            for format in NotificationFormat::ALL {
                let message = any.message(format);
                assert_is_sns(&message);
                match format {
                    NotificationFormat::Text => {}
                    NotificationFormat::Json => {
                        serde_json::from_str::<Value>(&message.body).unwrap();
                    }
                    NotificationFormat::Chat => assert_is_chat(&message.body),
                }
            }
        }
    }
}

//! Which container instances are to be replaced, and why: by age, by their launch template, by what
//! EC2 has scheduled for them. Reading the versions and the events is left to `ebb-aws`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ebb_planner::{Instance, Inventory};
use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ids::InstanceId;
use crate::reaper::replace::claim::Claim;

/// Of how many instances that are to be replaced a sweep reads the tasks. The others wait: a sweep
/// of 10 % replaces so many in a cluster of 2,000.
const READ_MAX: usize = 200;

/// A launch template and its version, as a group or an instance names it: a number, `$Latest` or
/// `$Default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaunchTemplate {
    /// `LaunchTemplateId`.
    pub id: String,
    /// `Version`.
    pub version: String,
}

/// What the aliases of a launch template's versions stand for. Source: EC2 API, `LaunchTemplate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateVersions {
    /// `DefaultVersionNumber`: `$Default`, and what no version stands for.
    pub default: u64,
    /// `LatestVersionNumber`: `$Latest`.
    pub latest: u64,
}

/// The launch templates of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatesOf {
    /// What it was launched from, if that was a launch template.
    pub own: Option<LaunchTemplate>,
    /// What its group launches from now.
    pub group: LaunchTemplate,
}

/// What EC2 has scheduled for an instance. Source: EC2 API, `InstanceStatusEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// `Code`: one of [`EVENT_CODES`].
    pub code: String,
    /// `NotBefore`, as EC2 writes it.
    pub not_before: String,
}

/// The events for which an instance is replaced: each ends it, or interrupts it with all its tasks.
/// Those that are completed or cancelled are left out by their description. Source: EC2 User Guide,
/// `schedevents_actions`.
pub const EVENT_CODES: [&str; 5] = [
    "instance-retirement",
    "instance-stop",
    "instance-reboot",
    "system-reboot",
    "system-maintenance",
];

/// Why an instance is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// EC2 is to end or interrupt it.
    ScheduledEvent(ScheduledEvent),
    /// Its group launches from another version, or from another launch template.
    LaunchTemplate {
        /// What it was launched from; `None` if that was no launch template.
        own: Option<LaunchTemplate>,
        /// What its group launches from, its version as a number.
        group: LaunchTemplate,
    },
    /// It registered longer ago than is wanted.
    Age {
        /// When it registered.
        registered_at: Timestamp,
    },
    /// An earlier sweep has begun to replace it.
    Begun,
}

impl Why {
    /// The word for it in the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ScheduledEvent(_) => "scheduled_event",
            Self::LaunchTemplate { .. } => "launch_template",
            Self::Age { .. } => "age",
            Self::Begun => "begun",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScheduledEvent(ScheduledEvent { code, not_before }) => {
                write!(f, "EC2 has scheduled {code} for it, not before {not_before}")
            }
            Self::LaunchTemplate { own: Some(own), group } if own.id == group.id => write!(
                f,
                "it has version {} of its launch template, its group {}",
                own.version, group.version
            ),
            Self::LaunchTemplate { own: Some(own), group } => {
                write!(f, "it has launch template {}, its group {}", own.id, group.id)
            }
            Self::LaunchTemplate { own: None, group } => {
                write!(f, "it has no launch template, its group has {}", group.id)
            }
            Self::Age { registered_at } => write!(f, "it registered at {registered_at}"),
            Self::Begun => f.write_str("an earlier sweep has begun to replace it"),
        }
    }
}

/// What tells which instances are outdated, beside the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// After how long an instance is to be replaced; `None` for never.
    pub replace_after: Option<SignedDuration>,
    /// By instance: its launch templates, where its group has one.
    pub templates: BTreeMap<InstanceId, TemplatesOf>,
    /// By `LaunchTemplateId`: what its aliases stand for, as far as that is known.
    pub versions: BTreeMap<String, TemplateVersions>,
    /// By instance: what EC2 has scheduled.
    pub events: BTreeMap<InstanceId, ScheduledEvent>,
}

impl Evidence {
    /// Why each instance of a cluster is to be replaced, by its position in the inventory: what is
    /// most pressing comes first. Instances that are up to date are left out.
    pub fn outdated(&self, inventory: &Inventory, now: Timestamp) -> BTreeMap<usize, Why> {
        let instances = inventory.instances.iter().enumerate();
        instances.filter_map(|(index, instance)| Some((index, self.why(instance, now)?))).collect()
    }

    /// Whose tasks must be known, by their positions: what is being replaced, the oldest of what is
    /// to be, and what is retained.
    pub fn to_read(&self, inventory: &Inventory, now: Timestamp) -> BTreeSet<usize> {
        let mut outdated: Vec<_> = self.outdated(inventory, now).into_iter().collect();
        outdated.sort_by_key(|(index, why)| {
            let instance = &inventory.instances[*index];
            let is_begun = Claim::among(&instance.attributes).is_some();
            let is_scheduled = matches!(why, Why::ScheduledEvent(_));
            (!is_begun, !is_scheduled, instance.registered_at, *index)
        });
        let read = outdated.into_iter().map(|(index, _)| index).take(READ_MAX);
        let instances = inventory.instances.iter().enumerate();
        let retained = instances.filter(|(_, instance)| {
            instance.lifecycle_state == LifecycleState::TerminatingRetained
        });
        read.chain(retained.map(|(index, _)| index)).collect()
    }

    fn why(&self, instance: &Instance, now: Timestamp) -> Option<Why> {
        if let Some(event) = self.events.get(&instance.instance_id) {
            return Some(Why::ScheduledEvent(event.clone()));
        }
        let claim = Claim::among(&instance.attributes).filter(|claim| claim.is_open());
        self.other_template(instance)
            .or_else(|| self.too_old(instance, now))
            .or_else(|| claim.map(|_| Why::Begun))
    }

    /// What cannot be compared counts as the same: a version that is not known replaces nothing.
    fn other_template(&self, instance: &Instance) -> Option<Why> {
        let TemplatesOf { own, group } = self.templates.get(&instance.instance_id)?;
        let wanted = self.resolved(group)?;
        let differs = match own {
            None => true,
            Some(own) if own.id != wanted.id => true,
            // Auto Scaling names the number that an instance was launched from.
            Some(own) => own.version != wanted.version && own.version.parse::<u64>().is_ok(),
        };
        differs.then(|| Why::LaunchTemplate { own: own.clone(), group: wanted })
    }

    /// A launch template with its version as a number; `None` if that is not known.
    fn resolved(&self, template: &LaunchTemplate) -> Option<LaunchTemplate> {
        let number = match template.version.as_str() {
            "$Latest" => self.versions.get(&template.id)?.latest,
            "" | "$Default" => self.versions.get(&template.id)?.default,
            number => number.parse().ok()?,
        };
        Some(LaunchTemplate { id: template.id.clone(), version: number.to_string() })
    }

    fn too_old(&self, instance: &Instance, now: Timestamp) -> Option<Why> {
        let registered_at = instance.registered_at?;
        let is_old = now.duration_since(registered_at) >= self.replace_after?;
        is_old.then_some(Why::Age { registered_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::replace::claim::REPLACING_ATTRIBUTE;
    use crate::reaper::testing::{NOW, id, instance, inventory, seconds_ago};

    fn template(id: &str, version: &str) -> LaunchTemplate {
        LaunchTemplate { id: id.to_owned(), version: version.to_owned() }
    }

    /// What an instance that registered a day ago is replaced for.
    fn why(evidence: &Evidence) -> Option<&'static str> {
        let outdated = evidence.outdated(&inventory(vec![instance(1)]), NOW);
        outdated.get(&0).map(Why::code)
    }

    fn with_templates(own: Option<LaunchTemplate>, group: LaunchTemplate) -> Evidence {
        let versions = TemplateVersions { default: 3, latest: 7 };
        Evidence {
            templates: [(id(1), TemplatesOf { own, group })].into(),
            versions: [("lt-1".to_owned(), versions)].into(),
            ..Evidence::default()
        }
    }

    #[test]
    fn every_way_to_name_a_version_is_compared_by_its_number() {
        for (own, group, expected) in [
            ("3", "$Default", None),
            ("3", "", None),
            ("3", "$Latest", Some("launch_template")),
            ("7", "$Latest", None),
            ("7", "$Default", Some("launch_template")),
            ("3", "3", None),
            ("3", "4", Some("launch_template")),
            ("3", "newest", None),
            ("$Latest", "$Latest", None),
        ] {
            let evidence = with_templates(Some(template("lt-1", own)), template("lt-1", group));
            assert_eq!(why(&evidence), expected, "{own} {group}");
        }
    }

    #[test]
    fn another_template_differs_and_an_unknown_version_does_not() {
        let of = |own, group| why(&with_templates(own, group));
        let differs = Some("launch_template");
        assert_eq!(of(Some(template("lt-2", "3")), template("lt-1", "3")), differs);
        assert_eq!(of(None, template("lt-1", "$Latest")), differs);
        assert_eq!(of(Some(template("lt-9", "1")), template("lt-9", "$Latest")), None);
        assert_eq!(of(None, template("lt-9", "$Latest")), None);
    }

    #[test]
    fn an_instance_is_old_from_the_day_on_and_never_without_the_setting() {
        let after = |days| Evidence { replace_after: days, ..Evidence::default() };
        let day = SignedDuration::from_hours(24);
        assert_eq!(instance(1).registered_at, Some(seconds_ago(86_400)));
        assert_eq!(why(&after(Some(day))), Some("age"));
        assert_eq!(why(&after(Some(day + SignedDuration::from_secs(1)))), None);
        assert_eq!(why(&after(None)), None);
    }

    #[test]
    fn what_ec2_has_scheduled_is_the_reason_that_is_given_first() {
        let event = ScheduledEvent {
            code: "instance-retirement".to_owned(),
            not_before: "2025-04-01T00:00:00.000Z".to_owned(),
        };
        let evidence = Evidence {
            events: [(id(1), event)].into(),
            ..with_templates(None, template("lt-1", "1"))
        };
        assert_eq!(why(&evidence), Some("scheduled_event"));
    }

    #[test]
    fn each_reason_has_its_words() {
        let event =
            ScheduledEvent { code: "instance-stop".to_owned(), not_before: "noon".to_owned() };
        let differs = |own| Why::LaunchTemplate { own, group: template("lt-1", "7") };
        for (why, words) in [
            (Why::ScheduledEvent(event), "EC2 has scheduled instance-stop for it, not before noon"),
            (
                differs(Some(template("lt-1", "3"))),
                "it has version 3 of its launch template, its group 7",
            ),
            (differs(Some(template("lt-2", "3"))), "it has launch template lt-2, its group lt-1"),
            (differs(None), "it has no launch template, its group has lt-1"),
            (Why::Age { registered_at: NOW }, "it registered at 1970-01-01T00:00:00Z"),
            (Why::Begun, "an earlier sweep has begun to replace it"),
        ] {
            assert_eq!(why.to_string(), words);
        }
    }

    /// Of more than are read at a time, the last but two is begun, then one has an event and one is
    /// retained.
    #[test]
    fn what_is_begun_scheduled_or_retained_is_read_however_many_are_old() {
        let number = READ_MAX + 10;
        let mut inventory = inventory((1..).take(number).map(instance).collect());
        let [begun, scheduled, retained] = [3, 2, 1].map(|from_end| number - from_end);
        let claim = Claim::Raised { since: NOW }.to_string();
        let attributes = &mut inventory.instances[begun].attributes;
        attributes.insert(REPLACING_ATTRIBUTE.to_owned(), claim);
        inventory.instances[retained].lifecycle_state = LifecycleState::TerminatingRetained;
        let event = ScheduledEvent { code: String::new(), not_before: String::new() };
        let evidence = Evidence {
            replace_after: Some(SignedDuration::from_hours(24)),
            events: [(inventory.instances[scheduled].instance_id.clone(), event)].into(),
            ..Evidence::default()
        };
        let read = evidence.to_read(&inventory, NOW);
        assert!([begun, scheduled, retained].iter().all(|index| read.contains(index)), "{read:?}");
        assert_eq!(read.len(), READ_MAX + 1);
    }
}

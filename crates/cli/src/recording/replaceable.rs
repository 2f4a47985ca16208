//! What a sweep that replaces looks at beside a cluster, as a recording holds it.

use std::collections::BTreeMap;

use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::reaper::replace::members::{GroupMember, GroupMembers};
use ebb_core::reaper::replace::outdated::{
    Evidence, LaunchTemplate, ScheduledEvent, TemplateVersions, TemplatesOf,
};
use ebb_core::reaper::replace::planned::ReplaceFacts;
use serde::{Deserialize, Serialize};

/// What a sweep that replaces looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordedReplace {
    /// The cluster's groups.
    #[serde(default)]
    pub groups: BTreeMap<GroupName, RecordedMembers>,
    /// The launch templates of instances, where their group has one.
    #[serde(default)]
    pub launch_templates: BTreeMap<InstanceId, RecordedTemplates>,
    /// What the aliases of each launch template's versions stand for.
    #[serde(default)]
    pub template_versions: BTreeMap<String, RecordedVersions>,
    /// What EC2 has scheduled for instances.
    #[serde(default)]
    pub scheduled_events: BTreeMap<InstanceId, RecordedEvent>,
    /// Why groups may not be changed just now.
    #[serde(default)]
    pub unavailable: BTreeMap<GroupName, String>,
}

/// What Auto Scaling says of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMembers {
    /// Its maximum.
    pub max_size: i64,
    /// The zones that it is enabled in.
    pub zones: Vec<String>,
    /// Its instances, in the cluster or not.
    pub members: Vec<RecordedGroupMember>,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedGroupMember {
    /// The EC2 instance.
    pub instance_id: InstanceId,
    /// Auto Scaling's word for where it stands.
    pub lifecycle_state: String,
    /// What it counts for.
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Whether its group protects it from scale-in.
    #[serde(default)]
    pub protected_from_scale_in: bool,
}

/// The launch templates of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedTemplates {
    /// What it was launched from.
    #[serde(default)]
    pub own: Option<RecordedTemplate>,
    /// What its group launches from.
    pub group: RecordedTemplate,
}

/// A launch template and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedTemplate {
    /// Its id.
    pub id: String,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
}

/// The versions of a launch template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedVersions {
    /// `$Default`.
    pub default: u64,
    /// `$Latest`.
    pub latest: u64,
}

/// What EC2 has scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// EC2's word for it.
    pub code: String,
    /// The earliest time, as EC2 writes it.
    pub not_before: String,
}

impl From<&ReplaceFacts> for RecordedReplace {
    fn from(ReplaceFacts { groups, evidence, unavailable }: &ReplaceFacts) -> Self {
        let Evidence { templates, versions, events, .. } = evidence;
        let of_group = |(name, group): (&GroupName, &GroupMembers)| (name.clone(), group.into());
        let of_instance = |(id, TemplatesOf { own, group }): (&InstanceId, &TemplatesOf)| {
            let own = own.as_ref().map(RecordedTemplate::from);
            (id.clone(), RecordedTemplates { own, group: group.into() })
        };
        let versions_of = |(id, versions): (&String, &TemplateVersions)| {
            let TemplateVersions { default, latest } = *versions;
            (id.clone(), RecordedVersions { default, latest })
        };
        let event_of = |(id, event): (&InstanceId, &ScheduledEvent)| {
            let ScheduledEvent { code, not_before } = event.clone();
            (id.clone(), RecordedEvent { code, not_before })
        };
        Self {
            groups: groups.iter().map(of_group).collect(),
            launch_templates: templates.iter().map(of_instance).collect(),
            template_versions: versions.iter().map(versions_of).collect(),
            scheduled_events: events.iter().map(event_of).collect(),
            unavailable: unavailable.clone(),
        }
    }
}

impl From<RecordedReplace> for ReplaceFacts {
    fn from(recorded: RecordedReplace) -> Self {
        let of_instance = |(id, RecordedTemplates { own, group }): (InstanceId, _)| {
            (id, TemplatesOf { own: own.map(LaunchTemplate::from), group: group.into() })
        };
        let versions_of = |(id, RecordedVersions { default, latest }): (String, _)| {
            (id, TemplateVersions { default, latest })
        };
        let event_of = |(id, RecordedEvent { code, not_before }): (InstanceId, _)| {
            (id, ScheduledEvent { code, not_before })
        };
        let groups = recorded.groups.into_iter();
        Self {
            groups: groups.map(|(name, group)| (name, group.into())).collect(),
            evidence: Evidence {
                // The settings say that.
                replace_after: None,
                templates: recorded.launch_templates.into_iter().map(of_instance).collect(),
                versions: recorded.template_versions.into_iter().map(versions_of).collect(),
                events: recorded.scheduled_events.into_iter().map(event_of).collect(),
            },
            unavailable: recorded.unavailable,
        }
    }
}

impl From<&GroupMembers> for RecordedMembers {
    fn from(GroupMembers { max_size, zones, members }: &GroupMembers) -> Self {
        let members = members.iter().map(|member| RecordedGroupMember {
            instance_id: member.instance_id.clone(),
            lifecycle_state: member.lifecycle_state.as_str().to_owned(),
            weight: member.weight,
            zone: member.zone.clone(),
            protected_from_scale_in: member.protected_from_scale_in,
        });
        Self { max_size: *max_size, zones: zones.clone(), members: members.collect() }
    }
}

impl From<RecordedMembers> for GroupMembers {
    fn from(RecordedMembers { max_size, zones, members }: RecordedMembers) -> Self {
        let members = members.into_iter().map(|member| GroupMember {
            instance_id: member.instance_id,
            lifecycle_state: LifecycleState::from(member.lifecycle_state.as_str()),
            weight: member.weight,
            zone: member.zone,
            protected_from_scale_in: member.protected_from_scale_in,
        });
        Self { max_size, zones, members: members.collect() }
    }
}

impl From<&LaunchTemplate> for RecordedTemplate {
    fn from(LaunchTemplate { id, version }: &LaunchTemplate) -> Self {
        Self { id: id.clone(), version: version.clone() }
    }
}

impl From<RecordedTemplate> for LaunchTemplate {
    fn from(RecordedTemplate { id, version }: RecordedTemplate) -> Self {
        Self { id, version }
    }
}

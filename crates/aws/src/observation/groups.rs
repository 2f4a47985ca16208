//! The Auto Scaling groups of the Region, and how a cluster's instances stand in them. What their tags
//! say is left to `ebb_core::reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::reaper::managed_scaling::note_scale_out;
use ebb_core::reaper::owners::{is_managed_instance, owner};
use ebb_core::reaper::replace::members::{GroupMember, GroupMembers};
use ebb_core::reaper::replace::outdated::TemplatesOf;
use ebb_core::reaper::tags::{hold_until, is_kept};
use ebb_core::reaper::termination::GroupZones;
use ebb_planner::{Group, Instance, Inventory};
use jiff::Timestamp;

use crate::auto_scaling::GroupDescription;

/// The Auto Scaling groups of the Region, for all clusters.
#[derive(Debug)]
pub struct Groups(Vec<GroupDescription>);

impl From<Vec<GroupDescription>> for Groups {
    fn from(groups: Vec<GroupDescription>) -> Self {
        Self(groups)
    }
}

impl Groups {
    /// The group with this name.
    pub fn named(&self, name: &GroupName) -> Option<&GroupDescription> {
        self.0.iter().find(|group| group.name == *name)
    }

    /// How many instances the groups have in service, by zone.
    pub fn zones(&self) -> GroupZones {
        let mut zones = GroupZones::default();
        for group in &self.0 {
            group.zones.iter().for_each(|zone| zones.add(&group.name, zone, 0));
            for member in &group.members {
                let in_service = member.lifecycle_state == LifecycleState::InService;
                zones.add(&group.name, &member.zone, usize::from(in_service));
            }
        }
        zones
    }

    /// The groups that a cluster's instances are in.
    pub fn of(&self, inventory: &Inventory) -> impl Iterator<Item = &GroupDescription> {
        self.0.iter().filter(|group| inventory.groups.contains_key(&group.name))
    }

    /// The launch templates of the members of these groups, where a group has one.
    pub fn templates(&self, names: &BTreeSet<GroupName>) -> BTreeMap<InstanceId, TemplatesOf> {
        let groups = self.0.iter().filter(|group| names.contains(&group.name));
        let members =
            groups.flat_map(|group| group.members.iter().map(move |member| (group, member)));
        let templates = members.filter_map(|(group, member)| {
            let own = member.launch_template.clone();
            let group = group.template_for(&member.instance_type)?.clone();
            Some((member.instance_id.clone(), TemplatesOf { own, group }))
        });
        templates.collect()
    }

    /// What Auto Scaling says of the groups of a cluster beyond what a plan needs.
    pub fn members_of(&self, inventory: &Inventory) -> BTreeMap<GroupName, GroupMembers> {
        let groups = self.0.iter().filter(|group| inventory.groups.contains_key(&group.name));
        groups.map(|group| (group.name.clone(), members_of(group))).collect()
    }

    /// The instances that their groups say are in service, or retain: they are paid for.
    pub fn members_paid_for(&self) -> Vec<(InstanceId, GroupName)> {
        let members = self
            .0
            .iter()
            .flat_map(|group| group.members.iter().map(|member| (member, &group.name)));
        members
            .filter(|(member, _)| {
                [LifecycleState::InService, LifecycleState::TerminatingRetained]
                    .contains(&member.lifecycle_state)
            })
            .map(|(member, group)| (member.instance_id.clone(), group.clone()))
            .collect()
    }

    /// Joins the instances of a cluster with their groups.
    pub(super) fn join(&self, inventory: &mut Inventory, now: Timestamp) {
        let members: BTreeMap<_, _> = self
            .0
            .iter()
            .flat_map(|group| group.members.iter().map(move |member| (group, member)))
            .map(|(group, member)| (&member.instance_id, (group, member)))
            .collect();
        for instance in &mut inventory.instances {
            if let Some((description, member)) = members.get(&instance.instance_id) {
                instance.group = Some(description.name.clone());
                instance.lifecycle_state = member.lifecycle_state.clone();
                instance.unhealthy = member.unhealthy;
                instance.protected_from_scale_in = member.protected_from_scale_in;
                instance.weight = member.weight;
                instance.zone.clone_from(&member.zone);
                instance.instance_type.clone_from(&member.instance_type);
                inventory
                    .groups
                    .entry(description.name.clone())
                    .or_insert_with(|| group_of(description, &inventory.cluster));
            }
            instance.ecs_managed = is_managed_instance(instance);
        }
        for description in &self.0 {
            let Some(group) = inventory.groups.get_mut(&description.name) else { continue };
            let members = description.members.iter();
            let members = members.map(|member| (&member.lifecycle_state, member.weight));
            let of_group =
                |instance: &&Instance| instance.group.as_ref() == Some(&description.name);
            let registered = inventory.instances.iter().filter(of_group);
            let youngest = registered.filter_map(|instance| instance.registered_at).max();
            note_scale_out(group, members, youngest, now);
        }
    }
}

/// The group as the planner takes it, with what its tags say.
pub fn group_of(description: &GroupDescription, cluster: &Cluster) -> Group {
    let mut group = description.group.clone();
    group.owner = owner(cluster, &description.name, &description.tags).map(str::to_owned);
    group.tagged_keep = is_kept(&description.tags);
    group.hold_until = hold_until(&description.tags).cloned();
    group
}

/// What Auto Scaling says of a group beyond what a plan needs.
pub fn members_of(group: &GroupDescription) -> GroupMembers {
    let members = group.members.iter().map(|member| GroupMember {
        instance_id: member.instance_id.clone(),
        lifecycle_state: member.lifecycle_state.clone(),
        weight: member.weight,
        zone: member.zone.clone(),
        protected_from_scale_in: member.protected_from_scale_in,
    });
    let members = members.collect();
    GroupMembers { max_size: group.max_size, zones: group.zones.clone(), members }
}

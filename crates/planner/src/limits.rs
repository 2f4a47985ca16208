//! How far a plan may go, whatever there is room for: minimums, shares, balanced zones, headroom.

use std::collections::BTreeMap;

use crate::ecs::ContainerInstanceStatus;
use crate::headroom::headroom;
use crate::ids::GroupName;
use crate::inventory::{Group, Inventory};
use crate::model::Model;
use crate::policy::Policy;
use crate::reason::{HeadroomResource, KeepReason};

/// What is left of each limit, and what removing each instance takes of it.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    groups: Vec<GroupLimit>,
    group_of: Vec<u16>,
    zone_of: Vec<u16>,
    weight: Vec<i64>,
    keep_zone_balance: bool,
    /// How many more instances may go, and what says so.
    removals: usize,
    removals_reason: KeepReason,
    /// The shares of CPU and memory that must be free.
    headroom_percent: [u32; 2],
    /// In hundredths: what is free of CPU and memory beyond the headroom.
    spare: [i64; 2],
    /// In hundredths: what of it removing each instance takes.
    spare_taken: Vec<[i64; 2]>,
}

/// A limit that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Removals,
    Group,
    Headroom(HeadroomResource),
    Zones,
}

/// The limits of one group.
#[derive(Debug, Clone)]
struct GroupLimit {
    name: GroupName,
    /// Its minimum.
    min_size: i64,
    /// The capacity that may still go.
    left: i64,
    /// The least weight of its instances.
    weight_min: i64,
    /// Usable instances that stay, by zone.
    zones: Vec<i64>,
    /// How far zones may differ.
    spread_max: i64,
}

impl GroupLimit {
    fn spread(&self) -> i64 {
        let most = self.zones.iter().max().copied().unwrap_or_default();
        most - self.zones.iter().min().copied().unwrap_or_default()
    }
}

/// Two zones of a group may always differ by one instance.
const SPREAD_ALLOWED: i64 = 1;

impl Limits {
    /// The limits before anything is removed.
    pub(crate) fn new<const D: usize>(
        inventory: &Inventory,
        policy: &Policy,
        model: &Model<D>,
    ) -> Self {
        let (groups, group_of, zone_of) = groups(inventory, model);
        let (removals, removals_reason) = removals(inventory, policy, model.len());
        let percent = [policy.headroom_cpu_percent, policy.headroom_memory_percent].map(i64::from);
        let before = headroom(model, |_| false);
        let [free, registered] =
            [before.free, before.registered].map(|all| [all.cpu, all.memory_mib]);
        let taken = |number: usize| {
            let moved = moved(model, number);
            std::array::from_fn(|dimension| {
                let free = i64::from(model.free[number][dimension]) + moved[dimension];
                100 * free - percent[dimension] * i64::from(model.capacity[number][dimension])
            })
        };
        Self {
            groups,
            group_of,
            zone_of,
            weight: model.origin.iter().map(|&index| inventory.instances[index].weight).collect(),
            keep_zone_balance: policy.keep_zone_balance,
            removals,
            removals_reason,
            headroom_percent: [policy.headroom_cpu_percent, policy.headroom_memory_percent],
            // What is on its way may be said to need more than any cluster has.
            spare: std::array::from_fn(|at| {
                free[at].saturating_mul(100).saturating_sub(percent[at] * registered[at])
            }),
            spare_taken: (0..model.len()).map(taken).collect(),
        }
    }

    /// Why an instance may not go as well, if so.
    pub(crate) fn refuse(&self, number: usize) -> Option<KeepReason> {
        self.limit(number).map(|limit| match limit {
            Limit::Removals => self.removals_reason.clone(),
            Limit::Group => {
                let GroupLimit { name, min_size, .. } = &self.groups[self.group_of(number)];
                KeepReason::GroupAtMinimum { group: name.clone(), min_size: *min_size }
            }
            Limit::Headroom(resource) => {
                let percent = match resource {
                    HeadroomResource::Cpu => self.headroom_percent[0],
                    HeadroomResource::Memory => self.headroom_percent[1],
                };
                KeepReason::Headroom { resource, percent }
            }
            Limit::Zones => KeepReason::ZoneBalance,
        })
    }

    /// Whether an instance may go as well.
    pub(crate) fn allows(&self, number: usize) -> bool {
        self.limit(number).is_none()
    }

    /// The first limit that removing an instance would break. Cheap, as the search asks all the time.
    fn limit(&self, number: usize) -> Option<Limit> {
        if self.removals == 0 {
            return Some(Limit::Removals);
        }
        if self.groups[self.group_of(number)].left < self.weight[number] {
            return Some(Limit::Group);
        }
        let [cpu, memory] = self.spare;
        let [cpu_taken, memory_taken] = self.spare_taken[number];
        if cpu < cpu_taken {
            return Some(Limit::Headroom(HeadroomResource::Cpu));
        }
        if memory < memory_taken {
            return Some(Limit::Headroom(HeadroomResource::Memory));
        }
        self.is_behind(number).then_some(Limit::Zones)
    }

    /// Whether the zone of an instance is too far behind another of its group's once it is gone as well.
    fn is_behind(&self, number: usize) -> bool {
        let group = &self.groups[self.group_of(number)];
        let left = group.zones[usize::from(self.zone_of[number])] - 1;
        self.keep_zone_balance && group.zones.iter().any(|others| others - left > group.spread_max)
    }

    /// Takes an instance from the limits.
    pub(crate) fn take(&mut self, number: usize) {
        self.removals -= 1;
        self.change(number, 1);
    }

    /// Gives it back.
    pub(crate) fn give_back(&mut self, number: usize) {
        self.removals += 1;
        self.change(number, -1);
    }

    fn change(&mut self, number: usize, sign: i64) {
        let group = &mut self.groups[usize::from(self.group_of[number])];
        group.left -= sign * self.weight[number];
        group.zones[usize::from(self.zone_of[number])] -= sign;
        for (spare, taken) in self.spare.iter_mut().zip(self.spare_taken[number]) {
            *spare -= sign * taken;
        }
    }

    /// How many more instances may go.
    pub(crate) fn removals(&self) -> usize {
        self.removals
    }

    /// How many groups there are.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The group of an instance, as a number.
    pub(crate) fn group_of(&self, number: usize) -> usize {
        usize::from(self.group_of[number])
    }

    /// How many instances of a group may go at most.
    pub(crate) fn group_removals(&self, group: usize) -> usize {
        let group = &self.groups[group];
        usize::try_from(group.left / group.weight_min.max(1)).unwrap_or(0)
    }

    /// In hundredths: what is free of CPU and memory beyond the headroom.
    pub(crate) fn spare(&self) -> [i64; 2] {
        self.spare
    }

    /// In hundredths: what of that removing an instance takes.
    pub(crate) fn spare_taken(&self, number: usize) -> [i64; 2] {
        self.spare_taken[number]
    }
}

/// CPU and memory of the tasks that would move off an instance.
fn moved<const D: usize>(model: &Model<D>, number: usize) -> [i64; 2] {
    let mut moved = [0; 2];
    for &(kind, count) in model.held.of(number) {
        for (sum, one) in moved.iter_mut().zip(model.kinds[usize::from(kind)].demand) {
            *sum += i64::from(one) * i64::from(count);
        }
    }
    moved
}

/// The groups of usable instances with the group and the zone of each instance.
fn groups<const D: usize>(
    inventory: &Inventory,
    model: &Model<D>,
) -> (Vec<GroupLimit>, Vec<u16>, Vec<u16>) {
    // What drains already has not left its group's desired capacity yet, unless the group is terminating it.
    let mut draining = BTreeMap::<&GroupName, i64>::new();
    for instance in &inventory.instances {
        let counts =
            instance.status == ContainerInstanceStatus::Draining && instance.is_in_service();
        if let Some(group) = instance.group.as_ref().filter(|_| counts) {
            let draining: &mut i64 = draining.entry(group).or_default();
            // A weight that cannot be true gives the group no room.
            *draining = draining.saturating_add(instance.weight.max(1));
        }
    }
    let mut numbers = BTreeMap::<Option<&GroupName>, (u16, BTreeMap<&str, u16>)>::new();
    let mut limits = Vec::<GroupLimit>::new();
    let (mut group_of, mut zone_of) = (Vec::new(), Vec::new());
    for &index in &model.origin {
        let instance = &inventory.instances[index];
        let next = u16::try_from(limits.len()).unwrap_or(u16::MAX);
        let (group, zones) = numbers.entry(instance.group.as_ref()).or_insert_with(|| {
            limits.push(group_limit(inventory, instance.group.as_ref(), &draining));
            (next, BTreeMap::new())
        });
        let limit = &mut limits[usize::from(*group)];
        let next = u16::try_from(zones.len()).unwrap_or(u16::MAX);
        let zone = *zones.entry(instance.zone.as_str()).or_insert_with(|| {
            limit.zones.push(0);
            next
        });
        limit.zones[usize::from(zone)] += 1;
        limit.weight_min = limit.weight_min.min(instance.weight);
        group_of.push(*group);
        zone_of.push(zone);
    }
    for limit in &mut limits {
        limit.spread_max = limit.spread().max(SPREAD_ALLOWED);
    }
    (limits, group_of, zone_of)
}

fn group_limit(
    inventory: &Inventory,
    name: Option<&GroupName>,
    draining: &BTreeMap<&GroupName, i64>,
) -> GroupLimit {
    // Instances in no group are no candidates, and neither are those of a group that was not found.
    let group = name.and_then(|name| inventory.groups.get(name));
    let left = group.map_or(0, Group::capacity_above_minimum);
    let draining = name.and_then(|name| draining.get(name)).copied().unwrap_or_default();
    GroupLimit {
        name: name.cloned().unwrap_or_else(|| GroupName::new("")),
        min_size: group.map_or(0, |group| group.min_size),
        left: left.saturating_sub(draining),
        weight_min: i64::MAX,
        zones: Vec::new(),
        spread_max: 0,
    }
}

/// How many instances may go, and which setting says so. Those that drain already count towards the share.
fn removals(inventory: &Inventory, policy: &Policy, usable: usize) -> (usize, KeepReason) {
    let draining = inventory
        .instances
        .iter()
        .filter(|one| one.status == ContainerInstanceStatus::Draining)
        .count();
    let percent = usize::try_from(policy.max_removals_percent).unwrap_or(100).min(100);
    let share = (usable * percent).div_ceil(100).saturating_sub(draining);
    let above_minimum = usable.saturating_sub(policy.min_instances);
    if above_minimum < share {
        (above_minimum, KeepReason::MinInstances { min_instances: policy.min_instances })
    } else {
        (share, KeepReason::MaxRemovals { max_removals_percent: policy.max_removals_percent })
    }
}

//! How far a plan may go, whatever there is room for: minimums, shares, balanced zones, headroom.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Amount;
use crate::eligibility::Held;
use crate::headroom::headroom;
use crate::ids::GroupName;
use crate::index::{ClassIndex, GroupIndex, InstanceIndex, Table, ZoneIndex};
use crate::inventory::{Group, Inventory};
use crate::managed_scaling::Spare;
use crate::model::Model;
use crate::policy::Policy;
use crate::reach::{ReachLimit, Shortage};
use crate::reason::{HeadroomResource, KeepReason};

/// What is left of each limit, and what removing each instance takes of it.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    groups: Table<GroupIndex, GroupLimit>,
    group_of: Table<InstanceIndex, GroupIndex>,
    zone_of: Table<InstanceIndex, ZoneIndex>,
    weight: Table<InstanceIndex, i64>,
    keep_zone_balance: bool,
    removals: Removals,
    /// Whether nothing but daemon tasks is on each instance.
    is_empty: Table<InstanceIndex, bool>,
    /// The shares of CPU and memory that must be free, in percent.
    headroom_percent: [u32; 2],
    /// In hundredths: what is free of CPU and memory beyond the headroom.
    spare: [i64; 2],
    /// In hundredths: what of it removing each instance takes.
    spare_taken: Table<InstanceIndex, [i64; 2]>,
    /// The limits of parts of the cluster.
    reaches: Vec<ReachLimit>,
}

/// How many instances may go, whatever they are.
#[derive(Debug, Clone)]
struct Removals {
    /// How many go already: all of them, and the empty ones.
    taken: usize,
    empty_taken: usize,
    /// How many may go until the least number of usable instances is left.
    above_minimum: usize,
    /// How many may go as the share of one sweep, and how many empty ones beside those.
    share: usize,
    empty_share: usize,
    /// The settings that these follow from, for the reasons that are given.
    min_instances: usize,
    max_removals_percent: u32,
}

impl Removals {
    /// Those that drain already count towards both shares.
    fn new(inventory: &Inventory, policy: &Policy, usable: usize) -> Self {
        let draining = inventory.instances.iter().filter(|instance| instance.is_draining()).count();
        let Policy { min_instances, max_removals_percent, max_empty_removals_percent, .. } =
            *policy;
        let empty_percent = if max_removals_percent == 0 { 0 } else { max_empty_removals_percent };
        Self {
            taken: 0,
            empty_taken: 0,
            above_minimum: usable.saturating_sub(min_instances),
            share: Amount::Percent(max_removals_percent).of(usable).saturating_sub(draining),
            empty_share: Amount::Percent(empty_percent).of(usable).saturating_sub(draining),
            min_instances,
            max_removals_percent,
        }
    }

    /// Why no more may go, if so.
    fn refuse(&self, is_empty: bool) -> Option<KeepReason> {
        let Self { min_instances, max_removals_percent, .. } = *self;
        // Empty ones use up their own share first, and then that of all.
        let has_own_share = is_empty && self.empty_taken < self.empty_share;
        if !has_own_share && self.of_share() >= self.share {
            Some(KeepReason::MaxRemovals { max_removals_percent })
        } else if self.taken >= self.above_minimum {
            Some(KeepReason::MinInstances { min_instances, service: None })
        } else {
            None
        }
    }

    /// How many of those that go count towards the share of all.
    fn of_share(&self) -> usize {
        self.taken - self.empty_taken.min(self.empty_share)
    }

    /// Upper bound on how many more may go.
    fn left(&self) -> usize {
        let most = self.above_minimum.min(self.share + self.empty_share);
        most.saturating_sub(self.taken)
    }
}

/// A limit that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Group,
    TargetCapacity(u32),
    Headroom(HeadroomResource),
    Zones,
    /// Of a part of the cluster, by its position.
    Reach(usize, Shortage),
}

/// The limits of one group.
#[derive(Debug, Clone)]
struct GroupLimit {
    name: GroupName,
    min_size: i64,
    /// The capacity that may still go.
    capacity_left: i64,
    /// What managed scaling leaves, if it decides the size of the group.
    managed: Option<Spare>,
    /// The least weight of its instances.
    weight_min: i64,
    /// Usable instances that stay, by zone.
    zones: Table<ZoneIndex, i64>,
    /// How far zones may differ.
    spread_max: i64,
}

impl GroupLimit {
    fn new(
        inventory: &Inventory,
        name: Option<&GroupName>,
        draining: &BTreeMap<&GroupName, i64>,
        waiting: &BTreeMap<&GroupName, usize>,
        held: &BTreeMap<GroupName, Held>,
    ) -> Self {
        // Instances in no group are no candidates, and neither are those of a group that was not
        // found.
        let group = name.and_then(|name| inventory.groups.get(name));
        let above_minimum = group.map_or(0, Group::capacity_above_minimum);
        let draining = name.and_then(|name| draining.get(name)).copied().unwrap_or_default();
        Self {
            name: name.cloned().unwrap_or_else(|| GroupName::new("")),
            min_size: group.map_or(0, |group| group.min_size),
            // What drains is on its way out of the desired capacity, and so has used up its part
            // already.
            capacity_left: above_minimum.saturating_sub(draining),
            managed: group.zip(name).and_then(|(group, name)| {
                let waiting = waiting.get(name).copied().unwrap_or_default();
                Spare::new(inventory, name, group, waiting, held.contains_key(name))
            }),
            // Every group gets an instance right after this, which lowers it.
            weight_min: i64::MAX,
            zones: Table::default(),
            spread_max: 0,
        }
    }

    fn spread(&self) -> i64 {
        let most = self.zones.iter().max().copied().unwrap_or_default();
        most - self.zones.iter().min().copied().unwrap_or_default()
    }
}

/// Two zones of a group may always differ by one instance: at 0, no instance of a balanced group
/// could ever go.
const SPREAD_ALLOWED: i64 = 1;

impl Limits {
    /// The limits before anything is removed.
    pub(crate) fn new<const D: usize>(
        inventory: &Inventory,
        policy: &Policy,
        model: &Model<D>,
        held: &BTreeMap<GroupName, Held>,
    ) -> Self {
        let GroupMembership { groups, group_of, zone_of } =
            GroupMembership::new(inventory, model, held);
        let headroom_percent = [policy.headroom_cpu_percent, policy.headroom_memory_percent];
        Self {
            groups,
            group_of,
            zone_of,
            weight: model
                .origin
                .iter()
                .map(|&position| inventory.instances[position].weight)
                .collect(),
            keep_zone_balance: policy.keep_zone_balance,
            removals: Removals::new(inventory, policy, model.len()),
            is_empty: model
                .origin
                .iter()
                .map(|&position| inventory.instances[position].is_empty())
                .collect(),
            headroom_percent,
            spare: spare(model, headroom_percent),
            spare_taken: model
                .instances()
                .map(|instance| spare_taken(model, instance, headroom_percent))
                .collect(),
            reaches: model
                .reaches
                .iter()
                .map(|reach| ReachLimit::new(reach, policy, model))
                .collect(),
        }
    }

    /// Why an instance may not go as well, if so.
    pub(crate) fn refuse(&self, instance: InstanceIndex) -> Option<KeepReason> {
        if let Some(reason) = self.removals.refuse(self.is_empty[instance]) {
            return Some(reason);
        }
        self.limit(instance).map(|limit| match limit {
            Limit::Group => {
                let GroupLimit { name, min_size, .. } = &self.groups[self.group_of[instance]];
                KeepReason::GroupAtMinimum { group: name.clone(), min_size: *min_size }
            }
            Limit::TargetCapacity(target_capacity) => {
                let group = self.groups[self.group_of[instance]].name.clone();
                KeepReason::TargetCapacity { group, target_capacity }
            }
            Limit::Headroom(resource) => self.headroom_reason(resource, None),
            Limit::Zones => KeepReason::ZoneBalance,
            Limit::Reach(reach, shortage) => {
                let service = Some(self.reaches[reach].service.clone());
                match shortage {
                    Shortage::Instances => {
                        let min_instances = self.removals.min_instances;
                        KeepReason::MinInstances { min_instances, service }
                    }
                    Shortage::Headroom(resource) => self.headroom_reason(resource, service),
                }
            }
        })
    }

    fn headroom_reason(&self, resource: HeadroomResource, service: Option<String>) -> KeepReason {
        let [cpu, memory] = self.headroom_percent;
        let percent = match resource {
            HeadroomResource::Cpu => cpu,
            HeadroomResource::Memory => memory,
        };
        KeepReason::Headroom { resource, percent, service }
    }

    /// Whether an instance may go as well.
    pub(crate) fn allows(&self, instance: InstanceIndex) -> bool {
        self.removals.refuse(self.is_empty[instance]).is_none() && self.limit(instance).is_none()
    }

    /// The first limit beside those of [`Removals`] that removing an instance would break. Cheap, as the search asks all the
    /// time.
    fn limit(&self, instance: InstanceIndex) -> Option<Limit> {
        // The order decides which reason people read where several limits are reached.
        let group = &self.groups[self.group_of[instance]];
        if group.capacity_left < self.weight[instance] {
            return Some(Limit::Group);
        }
        if let Some(spare) = group.managed
            && !spare.allows(self.is_empty[instance])
        {
            return Some(Limit::TargetCapacity(spare.target_capacity()));
        }
        let [cpu, memory] = self.spare;
        let [cpu_taken, memory_taken] = self.spare_taken[instance];
        if cpu < cpu_taken {
            return Some(Limit::Headroom(HeadroomResource::Cpu));
        }
        if memory < memory_taken {
            return Some(Limit::Headroom(HeadroomResource::Memory));
        }
        let mut reaches = self.reaches.iter().enumerate();
        let shortage = reaches.find_map(|(reach, limit)| {
            limit.shortage(instance).map(|shortage| Limit::Reach(reach, shortage))
        });
        shortage.or_else(|| self.unbalances_zones(instance).then_some(Limit::Zones))
    }

    /// Whether the zone of an instance would be too far behind another of its group's without it.
    pub(crate) fn unbalances_zones(&self, instance: InstanceIndex) -> bool {
        let GroupLimit { zones, spread_max, .. } = &self.groups[self.group_of[instance]];
        // Its own zone needs no exception: it loses one instance, which is always allowed.
        let remaining = zones[self.zone_of[instance]] - 1;
        self.keep_zone_balance && zones.iter().any(|zone| zone - remaining > *spread_max)
    }

    /// Takes a removed instance from the limits.
    pub(crate) fn take(&mut self, instance: InstanceIndex) {
        self.removals.taken += 1;
        self.removals.empty_taken += usize::from(self.is_empty[instance]);
        self.reaches.iter_mut().for_each(|reach| reach.take(instance));
        self.change(instance, 1);
    }

    /// Gives back what [`Limits::take`] took.
    pub(crate) fn give_back(&mut self, instance: InstanceIndex) {
        self.removals.taken -= 1;
        self.removals.empty_taken -= usize::from(self.is_empty[instance]);
        self.reaches.iter_mut().for_each(|reach| reach.give_back(instance));
        self.change(instance, -1);
    }

    fn change(&mut self, instance: InstanceIndex, sign: i64) {
        let group = &mut self.groups[self.group_of[instance]];
        group.capacity_left -= sign * self.weight[instance];
        group.zones[self.zone_of[instance]] -= sign;
        if let Some(spare) = &mut group.managed {
            spare.change(self.is_empty[instance], sign);
        }
        for (spare, taken) in self.spare.iter_mut().zip(self.spare_taken[instance]) {
            *spare -= sign * taken;
        }
    }

    /// Upper bound on how many more instances may go.
    pub(crate) fn removals(&self) -> usize {
        self.removals.left()
    }

    /// How many groups there are.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The group of an instance.
    pub(crate) fn group_of(&self, instance: InstanceIndex) -> GroupIndex {
        self.group_of[instance]
    }

    /// The group and the zone of an instance.
    pub(crate) fn zone_of(&self, instance: InstanceIndex) -> (GroupIndex, ZoneIndex) {
        (self.group_of[instance], self.zone_of[instance])
    }

    /// Upper bound on how many instances of a group may go.
    pub(crate) fn group_removals(&self, group: GroupIndex) -> usize {
        let GroupLimit { capacity_left, weight_min, .. } = self.groups[group];
        // Negative where a group is below its minimum or drains more than it may lose: none may go
        // then.
        usize::try_from(capacity_left / weight_min.max(1)).unwrap_or(0)
    }

    /// In hundredths: what is free of CPU and memory beyond the headroom.
    pub(crate) fn spare(&self) -> [i64; 2] {
        self.spare
    }

    /// In hundredths: what of that removing an instance takes.
    pub(crate) fn spare_taken(&self, instance: InstanceIndex) -> [i64; 2] {
        self.spare_taken[instance]
    }
}

/// In hundredths, so that a percentage needs no division: what is free of CPU and memory beyond the
/// headroom.
fn spare<const D: usize>(model: &Model<D>, headroom_percent: [u32; 2]) -> [i64; 2] {
    let before = headroom(model, |_| false);
    let free = [before.free.cpu, before.free.memory_mib];
    let registered = [before.registered.cpu, before.registered.memory_mib];
    // What is on its way may be said to need more than any cluster has.
    std::array::from_fn(|dimension| {
        let kept_free =
            i64::from(headroom_percent[dimension]).saturating_mul(registered[dimension]);
        free[dimension].saturating_mul(100).saturating_sub(kept_free)
    })
}

/// In hundredths: what of [`spare`] goes with an instance. Its own free room goes and its tasks
/// take room elsewhere, but headroom of it need not be kept any more.
fn spare_taken<const D: usize>(
    model: &Model<D>,
    instance: InstanceIndex,
    headroom_percent: [u32; 2],
) -> [i64; 2] {
    let mut moved = [0; 2];
    for &(kind, count) in model.movable.of(instance) {
        for (sum, demand) in moved.iter_mut().zip(model.kinds[kind].demand) {
            *sum += i64::from(demand) * i64::from(count);
        }
    }
    let (free, capacity) = (model.free[instance], model.capacity[instance]);
    std::array::from_fn(|dimension| {
        // Below zero where free room and moving tasks come to less than the headroom that the
        // instance calls for: removing it gives some back.
        let taken = i64::from(free[dimension]) + moved[dimension];
        100 * taken - i64::from(headroom_percent[dimension]) * i64::from(capacity[dimension])
    })
}

/// The groups of usable instances, with the group and the zone of each instance.
struct GroupMembership {
    groups: Table<GroupIndex, GroupLimit>,
    group_of: Table<InstanceIndex, GroupIndex>,
    zone_of: Table<InstanceIndex, ZoneIndex>,
}

impl GroupMembership {
    fn new<const D: usize>(
        inventory: &Inventory,
        model: &Model<D>,
        held: &BTreeMap<GroupName, Held>,
    ) -> Self {
        let draining = draining_capacity(inventory);
        let waiting = waiting_tasks(inventory, model);
        let mut group_indices = BTreeMap::<Option<&GroupName>, GroupIndex>::new();
        let mut zone_indices = BTreeMap::<(GroupIndex, &str), ZoneIndex>::new();
        let mut groups = Table::<GroupIndex, GroupLimit>::default();
        let (mut group_of, mut zone_of) = (Table::default(), Table::default());
        for &position in model.origin.iter() {
            let instance = &inventory.instances[position];
            let name = instance.group.as_ref();
            let group = *group_indices.entry(name).or_insert_with(|| {
                groups.push(GroupLimit::new(inventory, name, &draining, &waiting, held))
            });
            let limit = &mut groups[group];
            let zone = *zone_indices
                .entry((group, instance.zone.as_str()))
                .or_insert_with(|| limit.zones.push(0));
            limit.zones[zone] += 1;
            limit.weight_min = limit.weight_min.min(instance.weight);
            group_of.push(group);
            zone_of.push(zone);
        }
        for limit in groups.iter_mut() {
            // Zones that differ by more already may go on doing so, as long as no removal makes it
            // worse.
            limit.spread_max = limit.spread().max(SPREAD_ALLOWED);
        }
        Self { groups, group_of, zone_of }
    }
}

/// By group: the tasks that wait for a place, fit somewhere, and may run on one of its instances.
fn waiting_tasks<'i, const D: usize>(
    inventory: &'i Inventory,
    model: &Model<D>,
) -> BTreeMap<&'i GroupName, usize> {
    let mut classes = BTreeMap::<&GroupName, BTreeSet<ClassIndex>>::new();
    for (instance, &position) in model.origin.enumerate() {
        if let Some(group) = &inventory.instances[position].group {
            classes.entry(group).or_default().insert(model.class[instance]);
        }
    }
    let waiting = |classes: BTreeSet<ClassIndex>| {
        let may_come =
            model.kinds.iter().filter(|kind| kind.classes().any(|it| classes.contains(&it)));
        may_come.map(|kind| kind.in_flight as usize).sum()
    };
    classes.into_iter().map(|(group, classes)| (group, waiting(classes))).collect()
}

/// By group: what drains already and has not left its desired capacity yet, as the group is not
/// terminating it.
fn draining_capacity(inventory: &Inventory) -> BTreeMap<&GroupName, i64> {
    let mut draining = BTreeMap::<&GroupName, i64>::new();
    for instance in &inventory.instances {
        let counts = instance.is_draining() && instance.is_in_service();
        if let Some(group) = instance.group.as_ref().filter(|_| counts) {
            let capacity: &mut i64 = draining.entry(group).or_default();
            // A weight that cannot be true gives the group no room.
            *capacity = capacity.saturating_add(instance.weight.max(1));
        }
    }
    draining
}

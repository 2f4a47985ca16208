//! The inventory in numbers: what the search works on, small and in an order of its own.
//!
//! Instances are the usable ones, sorted by what may run on them. Tasks are counted by [`Kind`]:
//! tasks that need the same and may run on the same instances are interchangeable. All amounts are
//! integers: no rounding decides whether a task fits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::classes::{Classes, Reach};
use crate::counts::Counts;
use crate::ecs::{HostPort, Resources};
use crate::eligibility::{AMOUNT_MAX, Eligibility};
use crate::index::{
    ClassIndex, InstanceIndex, KeyIndex, KindIndex, Numbered, ServiceIndex, Table, indices,
};
use crate::instance_set::InstanceSet;
use crate::inventory::{Instance, Inventory, Service, TaskKind};
use crate::policy::TaskHeadroom;
use crate::wanted::Wanted;

/// Amounts in each dimension. Eligibility keeps them far below the range of the type.
pub(crate) type Amounts<const D: usize> = [i32; D];

/// The usable instances, what is free on them, and what would have to move.
pub(crate) struct Model<const D: usize> {
    /// The position of each instance in the inventory.
    pub(crate) origin: Table<InstanceIndex, usize>,
    /// What each has in all.
    pub(crate) capacity: Table<InstanceIndex, Amounts<D>>,
    /// What no task holds on each.
    pub(crate) free: Table<InstanceIndex, Amounts<D>>,
    /// The class of each. Ascending.
    pub(crate) class: Table<InstanceIndex, ClassIndex>,
    /// The positions of the instances of each class.
    members: Table<ClassIndex, Range<usize>>,
    /// Whether each may go.
    pub(crate) candidate: Table<InstanceIndex, bool>,
    /// Whether a capacity provider's managed scaling counts each.
    managed: Table<InstanceIndex, bool>,
    /// The tasks on each candidate that would move, by kind.
    pub(crate) movable: Counts<KindIndex>,
    /// The tasks on each instance by service, as far as they were read.
    pub(crate) service_tasks: Counts<ServiceIndex>,
    /// What removing each saves: its price, or 1 if not every instance has one.
    pub(crate) value: Table<InstanceIndex, u64>,
    /// What all instances of the inventory are worth, usable or not.
    pub(crate) value_total: u64,
    /// Whether values are prices.
    pub(crate) priced: bool,
    /// The kinds of tasks.
    pub(crate) kinds: Table<KindIndex, Kind<D>>,
    /// The tasks that room is wanted for.
    pub(crate) wanted: Vec<Wanted>,
    /// Where the platform and the subnets of some services let tasks run.
    pub(crate) reaches: Vec<Reach>,
    /// The kind of each service; `None` if no task of it is to be placed.
    pub(crate) kind_of: Table<ServiceIndex, Option<KindIndex>>,
    /// The instances that hold each conflict key.
    pub(crate) key_holders: Table<KeyIndex, InstanceSet>,
    /// One over the mean capacity of all instances of the inventory, by dimension; 0 where there is
    /// none.
    pub(crate) scale: [f32; D],
}

/// Tasks that need the same and may run on the same instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind<const D: usize> {
    /// What one holds.
    pub(crate) demand: Amounts<D>,
    /// Whether it may run on each class of instances.
    pub(crate) allowed: Table<ClassIndex, bool>,
    /// Of these ECS chooses one for each task, whether or not there is room.
    pub(crate) choices: Vec<Choice>,
    /// Conflict keys: an instance that holds one takes no (further) task of this kind.
    pub(crate) keys: Vec<KeyIndex>,
    /// Whether ECS may stop one long before its replacement runs: more than half of the service's
    /// tasks at once.
    pub(crate) stops_first: bool,
    /// Tasks that are to be placed and hold no place yet.
    pub(crate) in_flight: u32,
    /// Whether Availability Zone rebalancing may move one once more after it was placed.
    pub(crate) rebalances: bool,
    /// Tasks that rebalancing has yet to move, whatever a plan does.
    pub(crate) to_rebalance: u32,
    /// The first service of this kind, by its position in the inventory, to name it to people.
    pub(crate) service: usize,
}

/// Where a task may run once ECS has chosen a capacity provider for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Whether it may run on each class of instances.
    pub(crate) allowed: Table<ClassIndex, bool>,
    /// The tasks that are to be placed and hold no place yet, and may come here.
    pub(crate) in_flight: u32,
}

impl<const D: usize> Kind<D> {
    /// The classes of instances that it may run on.
    pub(crate) fn classes(&self) -> impl Iterator<Item = ClassIndex> {
        self.allowed.enumerate().filter(|(_, allowed)| **allowed).map(|(class, _)| class)
    }

    /// How often a task may be started somewhere once it is displaced: where ECS places it, and where
    /// rebalancing moves it, or one of its service in its stead.
    pub(crate) fn starts_per_task(&self) -> u32 {
        1 + u32::from(self.rebalances)
    }

    /// How many tasks may be started if so many need a place.
    pub(crate) fn starts(&self, displaced: u32) -> u32 {
        displaced.saturating_mul(self.starts_per_task()).saturating_add(self.to_rebalance)
    }

    /// What one holds, summed over the dimensions: a rough size.
    pub(crate) fn total_demand(&self) -> i64 {
        self.demand.iter().map(|&amount| i64::from(amount)).sum()
    }
}

/// Two tasks that share one of these cannot share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConflictKey {
    Port(HostPort),
    /// Two tasks of one service with `distinctInstance`, by its rank among the names.
    Distinct(usize),
}

/// From this price on (a million dollars an hour), prices are not believed: their sums must fit.
const PRICE_MAX: u64 = 1 << 40;

impl<const D: usize> Model<D> {
    /// Puts the inventory into numbers.
    pub(crate) fn new(
        inventory: &Inventory,
        eligibility: &Eligibility,
        task_headroom: &TaskHeadroom,
    ) -> Self {
        let instances = &inventory.instances;
        // By id, so that nothing depends on the order of the inventory.
        let mut positions: Vec<usize> = (0..instances.len()).collect();
        positions.sort_by(|&a, &b| instances[a].instance_id.cmp(&instances[b].instance_id));

        let classes = Classes::new(inventory, &positions, eligibility);
        let Classes { origin, class, .. } = &classes;
        let candidate: Table<InstanceIndex, bool> =
            origin.iter().map(|&position| eligibility.kept[position].is_none()).collect();
        let service_tasks =
            Counts::new(origin.iter().map(|&position| services_of(&instances[position])));
        let wanted = wanted_services::<D>(inventory, &classes, task_headroom);
        let Kinds { kinds, kind_of, keys } =
            Kinds::new(inventory, &classes, &candidate, &service_tasks, &wanted);
        let movable = Counts::new(candidate.enumerate().map(|(instance, can_go)| {
            // Tasks of what stays do not move: they hold their room, which `free` does not count.
            let services = if *can_go { service_tasks.of(instance) } else { &[] };
            services.iter().filter_map(|&(service, count)| Some((kind_of[service]?, count)))
        }));
        let values = Values::new(instances);
        Self {
            capacity: amounts(instances, origin, |instance| instance.registered),
            free: amounts(instances, origin, |instance| instance.remaining),
            class: class.clone(),
            managed: origin.iter().map(|&position| is_managed(inventory, position)).collect(),
            members: members(class, classes.members.len()),
            candidate,
            movable,
            value: origin.iter().map(|&position| values.value(&instances[position])).collect(),
            value_total: instances.iter().map(|instance| values.value(instance)).sum(),
            priced: values.are_prices,
            wanted: wanted
                .into_iter()
                .filter_map(|WantedService { service, tasks, largest }| {
                    let kind = kind_of[ServiceIndex::new(service)]?;
                    Some(Wanted { kind, service, tasks, largest })
                })
                .collect(),
            kinds,
            kind_of,
            key_holders: key_holders(inventory, origin, &keys, &service_tasks),
            service_tasks,
            scale: scale(instances),
            reaches: classes.reaches,
            origin: classes.origin,
        }
    }

    /// How many usable instances there are.
    pub(crate) fn len(&self) -> usize {
        self.origin.len()
    }

    /// Every usable instance.
    pub(crate) fn instances(&self) -> impl Iterator<Item = InstanceIndex> + use<D> {
        indices(0..self.len())
    }

    /// The instances of a class.
    pub(crate) fn members(
        &self,
        class: ClassIndex,
    ) -> impl Iterator<Item = InstanceIndex> + use<D> {
        indices(self.members[class].clone())
    }

    /// How many instances are of a class.
    pub(crate) fn member_count(&self, class: ClassIndex) -> usize {
        self.members[class].len()
    }

    /// How large a task of each kind is, in shares of a mean instance, summed over the dimensions.
    pub(crate) fn sizes(&self) -> Table<KindIndex, f32> {
        let scale = &self.scale;
        self.kinds
            .iter()
            .map(|kind| {
                (0..D).map(|dimension| kind.demand[dimension] as f32 * scale[dimension]).sum()
            })
            .collect()
    }

    /// The instances that have room for a task of a kind.
    pub(crate) fn with_room_for(&self, kind: &Kind<D>) -> InstanceSet {
        let mut with_room = InstanceSet::new(self.len());
        for class in kind.classes() {
            for instance in self.members(class) {
                // `&` instead of `&&`: without a branch, as `insert_if` is.
                let takes = fits(&kind.demand, &self.free[instance])
                    & !conflicts(kind, &self.key_holders, instance);
                with_room.insert_if(takes, instance);
            }
        }
        with_room
    }

    /// How many tasks of a kind an instance has room for; one of them at most may hold a conflict
    /// key.
    pub(crate) fn slots(&self, kind: &Kind<D>, instance: InstanceIndex) -> u16 {
        if !self.allows(kind, instance) || conflicts(kind, &self.key_holders, instance) {
            return 0;
        }
        // The first task takes the key, so that a second one finds a conflict.
        let most = if kind.keys.is_empty() { i32::from(u16::MAX) } else { 1 };
        let fitting = (0..D)
            .filter(|&dimension| kind.demand[dimension] > 0)
            .map(|dimension| self.free[instance][dimension] / kind.demand[dimension])
            .min();
        // A kind that needs nothing is limited by its keys alone.
        u16::try_from(fitting.unwrap_or(most).min(most)).unwrap_or_default()
    }

    /// Takes those from the candidates that hold more tasks of a kind than all other instances have
    /// room for, and returns that kind for each.
    pub(crate) fn prune(&mut self) -> Table<InstanceIndex, Option<KindIndex>> {
        let scarce = self.scarce_slots();
        let unplaceable: Table<InstanceIndex, Option<KindIndex>> =
            self.instances().map(|instance| self.unplaceable(instance, &scarce)).collect();
        for (candidate, unplaceable) in self.candidate.iter_mut().zip(unplaceable.iter()) {
            *candidate &= unplaceable.is_none();
        }
        unplaceable
    }

    /// How many tasks of each kind all instances have room for; `None` where that is enough without
    /// any one of them.
    fn scarce_slots(&self) -> Table<KindIndex, Option<u32>> {
        let mut needed = Table::<KindIndex, u32>::filled(0, self.kinds.len());
        for instance in self.instances() {
            for &(kind, count) in self.movable.of(instance) {
                needed[kind] = u32::from(count).max(needed[kind]);
            }
        }
        self.kinds
            .iter()
            .zip(needed.iter())
            .map(|(kind, &needed)| self.count_slots(kind, needed))
            .collect()
    }

    /// Counts until so many are found that nobody need know how many there are.
    fn count_slots(&self, kind: &Kind<D>, needed: u32) -> Option<u32> {
        let (mut total, mut most) = (0_u32, 0);
        for instance in self.instances() {
            let slots = u32::from(self.slots(kind, instance));
            (total, most) = (total + slots, slots.max(most));
            // Without the instance that has the most slots there are enough, and so without any
            // other.
            if total - most >= needed {
                return None;
            }
        }
        Some(total)
    }

    fn unplaceable(
        &self,
        instance: InstanceIndex,
        scarce: &Table<KindIndex, Option<u32>>,
    ) -> Option<KindIndex> {
        self.movable.of(instance).iter().find_map(|&(kind, count)| {
            // Never below zero: the sum was taken over all instances, this one among them.
            let elsewhere = scarce[kind]? - u32::from(self.slots(&self.kinds[kind], instance));
            (elsewhere < u32::from(count)).then_some(kind)
        })
    }

    /// Whether a task of a kind that has found no place in these classes may wait for an instance: to
    /// have room again, or as what managed scaling counts before it launches others.
    pub(crate) fn may_wait_for(
        &self,
        kind: KindIndex,
        allowed: &Table<ClassIndex, bool>,
        instance: InstanceIndex,
    ) -> bool {
        allowed[self.class[instance]]
            && (self.managed[instance] || fits(&self.kinds[kind].demand, &self.capacity[instance]))
    }

    /// Whether an instance may take a task of this kind, for all that its room and its conflicts
    /// allow.
    pub(crate) fn allows(&self, kind: &Kind<D>, instance: InstanceIndex) -> bool {
        kind.allowed[self.class[instance]]
    }
}

fn is_managed(inventory: &Inventory, position: usize) -> bool {
    let group = inventory.instances[position].group.as_ref();
    let group = group.and_then(|name| inventory.groups.get(name));
    group.is_some_and(|group| group.managed_scaling.is_some())
}

/// What removing instances saves.
struct Values {
    /// Whether every instance has one, and some are not free.
    are_prices: bool,
}

impl Values {
    fn new(instances: &[Instance]) -> Self {
        let is_known =
            |instance: &Instance| instance.price_microusd.is_some_and(|price| price < PRICE_MAX);
        let are_prices = instances.iter().all(is_known)
            && instances.iter().any(|instance| instance.price_microusd > Some(0));
        Self { are_prices }
    }

    fn value(&self, instance: &Instance) -> u64 {
        if self.are_prices { instance.price_microusd.unwrap_or_default() } else { 1 }
    }
}

fn amounts<const D: usize>(
    instances: &[Instance],
    origin: &Table<InstanceIndex, usize>,
    pick: fn(&Instance) -> Option<Resources>,
) -> Table<InstanceIndex, Amounts<D>> {
    origin.iter().map(|&position| narrow(pick(&instances[position]).unwrap_or_default())).collect()
}

/// Usable or not: the certificate weighs by it, and must not judge otherwise of the same tasks once
/// instances drain.
fn scale<const D: usize>(instances: &[Instance]) -> [f32; D] {
    let mut totals = [0_i64; D];
    for instance in instances {
        let capacity = narrow::<D>(instance.registered.unwrap_or_default());
        for (total, amount) in totals.iter_mut().zip(capacity) {
            *total += i64::from(amount);
        }
    }
    totals.map(|total| if total > 0 { instances.len() as f32 / total as f32 } else { 0.0 })
}

/// The positions of each class's instances, which stand together.
fn members(
    class: &Table<InstanceIndex, ClassIndex>,
    classes: usize,
) -> Table<ClassIndex, Range<usize>> {
    let mut members = Table::<ClassIndex, Range<usize>>::filled(0..0, classes);
    for (instance, &class) in class.enumerate() {
        let position = instance.position();
        if members[class].is_empty() {
            members[class].start = position;
        }
        members[class].end = position + 1;
    }
    members
}

/// The first dimensions of resources, as far as they are believed: doubtful instances are not
/// usable, and doubtful services pin their tasks.
fn narrow<const D: usize>(resources: Resources) -> Amounts<D> {
    let amounts = resources.to_array();
    std::array::from_fn(|dimension| {
        i32::try_from(amounts[dimension].clamp(0, AMOUNT_MAX)).unwrap_or(i32::MAX)
    })
}

/// Whether amounts fit into others.
pub(crate) fn fits<const D: usize>(demand: &Amounts<D>, free: &Amounts<D>) -> bool {
    (0..D).all(|dimension| demand[dimension] <= free[dimension])
}

/// Takes a task's demand from what is free.
pub(crate) fn subtract<const D: usize>(free: &mut Amounts<D>, demand: &Amounts<D>) {
    for (free, demand) in free.iter_mut().zip(demand) {
        *free -= demand;
    }
}

/// Whether an instance holds a conflict key of a kind.
pub(crate) fn conflicts<const D: usize>(
    kind: &Kind<D>,
    key_holders: &Table<KeyIndex, InstanceSet>,
    instance: InstanceIndex,
) -> bool {
    kind.keys.iter().any(|&key| key_holders[key].has(instance))
}

/// The service of each task that would move off an instance.
fn services_of(instance: &Instance) -> impl Iterator<Item = (ServiceIndex, u16)> {
    instance.tasks.iter().flatten().filter_map(|task| match task.kind {
        TaskKind::Service(service) => Some((ServiceIndex::new(service), 1)),
        TaskKind::UnknownService | TaskKind::Daemon | TaskKind::Standalone | TaskKind::Stopping => {
            None
        }
    })
}

/// More tasks on their way than a cluster of any size could take are not counted: a service has
/// 5,000 at most (ECS quotas).
const IN_FLIGHT_MAX: u32 = 1 << 20;

/// See [`Kind::stops_first`]: below this healthy share, ECS may stop more than half of a service's
/// tasks at once.
const HALF_PERCENT: u32 = 50;

/// What makes tasks interchangeable: demand, classes by choice, what they conflict with, whether they
/// stop first, and whether they are rebalanced.
type KindTraits<const D: usize> = (Amounts<D>, Vec<Vec<bool>>, Vec<ConflictKey>, bool, bool);

/// The kinds of tasks, the kind of each service, and the conflict keys in order.
struct Kinds<const D: usize> {
    kinds: Table<KindIndex, Kind<D>>,
    kind_of: Table<ServiceIndex, Option<KindIndex>>,
    keys: Vec<ConflictKey>,
}

impl<const D: usize> Kinds<D> {
    fn new(
        inventory: &Inventory,
        classes: &Classes,
        candidate: &Table<InstanceIndex, bool>,
        service_tasks: &Counts<ServiceIndex>,
        wanted: &[WantedService],
    ) -> Self {
        let mut services_by_traits = BTreeMap::<KindTraits<D>, Vec<usize>>::new();
        let ranks = ranks(&inventory.services);
        let zones = inventory.instances.iter().map(|instance| &instance.zone).collect();
        for service in services_to_place(inventory, &ranks, candidate, service_tasks, wanted) {
            let Service { demand, minimum_healthy_percent, .. } = inventory.services[service];
            let choices = classes.choices(service);
            let keys = conflict_keys(&inventory.services[service], ranks[service]);
            let stops_first = minimum_healthy_percent < HALF_PERCENT;
            let rebalances = rebalances(&inventory.services[service], &zones);
            let traits = (narrow(demand), choices, keys, stops_first, rebalances);
            services_by_traits.entry(traits).or_default().push(service);
        }
        let distinct: BTreeSet<ConflictKey> =
            services_by_traits.keys().flat_map(|(_, _, keys, ..)| keys.iter().copied()).collect();
        let keys: Vec<ConflictKey> = distinct.into_iter().collect();

        let mut kind_of = Table::filled(None, inventory.services.len());
        let mut kinds = Table::<KindIndex, Kind<D>>::default();
        for ((demand, choices, conflict, stops_first, rebalances), services) in services_by_traits {
            for &service in &services {
                // `None` where there are more kinds than can be numbered.
                kind_of[ServiceIndex::new(service)] = KindIndex::checked(kinds.len());
            }
            let in_flight = sum(inventory, &services, |service| service.in_flight);
            let choices: Vec<Choice> = choices
                .into_iter()
                .map(Table::from)
                .map(|allowed| {
                    let could_run = could_run(inventory, classes, &demand, &allowed);
                    Choice { in_flight: if could_run { in_flight } else { 0 }, allowed }
                })
                .collect();
            kinds.push(Kind {
                in_flight: choices.iter().map(|choice| choice.in_flight).max().unwrap_or(0),
                demand,
                allowed: indices(0..classes.members.len())
                    .map(|class| choices.iter().any(|choice| choice.allowed[class]))
                    .collect(),
                choices,
                // Each was collected into `keys` above, so that it is found.
                keys: conflict.iter().map(|key| key_index(&keys, key)).collect(),
                stops_first,
                rebalances,
                to_rebalance: if rebalances {
                    sum(inventory, &services, |service| service.tasks_to_rebalance.unwrap_or(0))
                } else {
                    0
                },
                // The first by name speaks for the others when people are told what finds no place.
                service: services[0],
            });
        }
        Self { kinds, kind_of, keys }
    }
}

/// Whether ECS may move a service's tasks from one Availability Zone to another: there must be one.
fn rebalances(service: &Service, zones: &BTreeSet<&String>) -> bool {
    let may_be_in = |zone: &&String| {
        service.zones.as_ref().is_none_or(|subnet_zones| subnet_zones.contains(*zone))
    };
    service.tasks_to_rebalance.is_some()
        && zones.iter().copied().filter(|zone| may_be_in(zone)).count() > 1
}

/// The services with tasks that would move, that are on their way, or that room is wanted for, by
/// name, so that nothing depends on the order of the inventory. Where no instance is usable, nothing
/// finds a place; so it is with more services than can be numbered.
fn services_to_place(
    inventory: &Inventory,
    ranks: &[usize],
    candidate: &Table<InstanceIndex, bool>,
    service_tasks: &Counts<ServiceIndex>,
    wanted: &[WantedService],
) -> Vec<usize> {
    // No instance is usable: there is no class to run on, and nothing to plan.
    if candidate.len() == 0 {
        return Vec::new();
    }
    let mut moves = Table::<ServiceIndex, bool>::filled(false, inventory.services.len());
    for (instance, _) in candidate.enumerate().filter(|(_, candidate)| **candidate) {
        for &(service, _) in service_tasks.of(instance) {
            moves[service] = true;
        }
    }
    for wanted in wanted {
        moves[ServiceIndex::new(wanted.service)] = true;
    }
    let mut services: Vec<usize> = (0..inventory.services.len())
        .filter(|&service| {
            let Service { in_flight, tasks_to_rebalance, .. } = inventory.services[service];
            moves[ServiceIndex::new(service)] || in_flight > 0 || tasks_to_rebalance > Some(0)
        })
        .collect();
    services.sort_by_key(|&service| ranks[service]);
    services
}

/// Ports that no two services share, and that one alone takes, are keys all the same: two of its
/// tasks conflict.
fn conflict_keys(service: &Service, rank: usize) -> Vec<ConflictKey> {
    let ports = service.host_ports.iter().map(|port| ConflictKey::Port(*port));
    ports.chain(service.distinct_instance.then_some(ConflictKey::Distinct(rank))).collect()
}

fn key_index(keys: &[ConflictKey], key: &ConflictKey) -> KeyIndex {
    KeyIndex::new(keys.binary_search(key).unwrap_or_default())
}

/// How many tasks the services of one kind have of something.
fn sum(inventory: &Inventory, services: &[usize], count: fn(&Service) -> u64) -> u32 {
    let counts = services.iter().map(|&service| count(&inventory.services[service]));
    let total = counts.fold(0, u64::saturating_add);
    u32::try_from(total).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX)
}

/// A service that room is wanted for.
struct WantedService {
    service: usize,
    tasks: u32,
    largest: bool,
}

/// The services that room is wanted for: those with the largest task by some dimension, and those that
/// are named. What fits on no instance, not even on an empty one, is not the largest.
fn wanted_services<const D: usize>(
    inventory: &Inventory,
    classes: &Classes,
    task_headroom: &TaskHeadroom,
) -> Vec<WantedService> {
    if task_headroom.is_empty() {
        return Vec::new();
    }
    let services = &inventory.services;
    let demands: Vec<Amounts<D>> = services.iter().map(|service| narrow(service.demand)).collect();
    let mut wanted = BTreeMap::new();
    for dimension in (0..D).filter(|_| task_headroom.largest > 0) {
        let mut largest: Vec<usize> =
            (0..services.len()).filter(|&service| demands[service][dimension] > 0).collect();
        // By what it holds in all where that is equal, and then by name: the plan must not depend on
        // the order of the inventory.
        largest.sort_by_key(|&service| {
            let total: i64 = demands[service].iter().map(|&amount| i64::from(amount)).sum();
            (Reverse((demands[service][dimension], total)), &services[service].name)
        });
        let fits_somewhere = |&service: &usize| {
            let mut choices = classes.choices(service).into_iter().map(Table::from);
            choices.any(|allowed| could_run(inventory, classes, &demands[service], &allowed))
        };
        if let Some(service) = largest.into_iter().find(fits_somewhere) {
            wanted.insert((service, true), task_headroom.largest);
        }
    }
    for (position, service) in services.iter().enumerate() {
        if let Some(&tasks) = task_headroom.by_service.get(&service.name).filter(|it| **it > 0) {
            wanted.insert((position, false), tasks);
        }
    }
    let wanted = wanted.into_iter();
    wanted.map(|((service, largest), tasks)| WantedService { service, tasks, largest }).collect()
}

/// Whether a task fits on an instance, were it empty. What does not is not on its way: it would hold
/// the cluster for ever.
fn could_run<const D: usize>(
    inventory: &Inventory,
    classes: &Classes,
    demand: &Amounts<D>,
    allowed: &Table<ClassIndex, bool>,
) -> bool {
    let mut instances = classes.class.iter().zip(classes.origin.iter());
    instances.any(|(&class, &position)| {
        let capacity = inventory.instances[position].registered.unwrap_or_default();
        allowed[class] && fits(demand, &narrow(capacity))
    })
}

/// By position of a service: its rank among the names, so that nothing depends on the order of the
/// inventory.
pub(crate) fn ranks(services: &[Service]) -> Vec<usize> {
    let mut by_name: Vec<_> = (0..services.len()).collect();
    by_name.sort_by(|&a, &b| services[a].name.cmp(&services[b].name));
    let mut ranks = vec![0; services.len()];
    for (rank, service) in by_name.into_iter().enumerate() {
        ranks[service] = rank;
    }
    ranks
}

/// The instances that hold each conflict key.
fn key_holders(
    inventory: &Inventory,
    origin: &Table<InstanceIndex, usize>,
    keys: &[ConflictKey],
    service_tasks: &Counts<ServiceIndex>,
) -> Table<KeyIndex, InstanceSet> {
    let mut holders = Table::filled(InstanceSet::new(origin.len()), keys.len());
    let ranks = ranks(&inventory.services);
    for (instance, &position) in origin.enumerate() {
        let Instance { host_ports, distinct_services, .. } = &inventory.instances[position];
        // Tasks of services without `distinctInstance` give keys as well, but no kind has those:
        // they are dropped below.
        let running = service_tasks.of(instance).iter().map(|(service, _)| service.position());
        let services = distinct_services.iter().copied().chain(running);
        let distinct = services.filter_map(|service| ranks.get(service)).copied();
        let held = host_ports
            .iter()
            .map(|port| ConflictKey::Port(*port))
            .chain(distinct.map(ConflictKey::Distinct));
        for key in held {
            if let Ok(position) = keys.binary_search(&key) {
                holders[KeyIndex::new(position)].insert(instance);
            }
        }
    }
    holders
}

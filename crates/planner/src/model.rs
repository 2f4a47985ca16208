//! The inventory in numbers: what the search works on, small and in an order of its own.
//!
//! Instances are the usable ones, sorted by what may run on them. Tasks are counted by [`Kind`]: tasks that need the same and may run in the same
//! places are interchangeable. All amounts are integers: no rounding decides whether a task fits.

use std::collections::{BTreeMap, BTreeSet};

use crate::ecs::{HostPort, Resources};
use crate::eligibility::{AMOUNT_MAX, Eligibility};
use crate::expression::{Expression, Subject};
use crate::inventory::{Instance, Inventory, Service, TaskKind};

/// Amounts in each dimension. Eligibility keeps them far below the range of the type.
pub(crate) type Amounts<const D: usize> = [i32; D];

/// The usable instances, what is free on them, and what would have to move.
pub(crate) struct Model<const D: usize> {
    /// By number here: the index in the inventory.
    pub(crate) origin: Vec<usize>,
    /// What each has in all.
    pub(crate) capacity: Vec<Amounts<D>>,
    /// What no task holds on each.
    pub(crate) free: Vec<Amounts<D>>,
    /// The class of each: instances of one class are allowed to the same kinds. Ascending.
    pub(crate) class: Vec<u16>,
    /// The numbers of each class: `class_starts[c]..class_starts[c + 1]`.
    pub(crate) class_starts: Vec<usize>,
    /// Whether each may go.
    pub(crate) candidate: Vec<bool>,
    /// Kinds of tasks on each candidate that would move, with their number.
    pub(crate) held: Lists,
    /// Tasks on each instance by service, as far as they were read.
    pub(crate) held_services: Lists,
    /// What removing each saves: its price, or 1 if not every instance has one.
    pub(crate) value: Vec<u64>,
    /// What all instances of the inventory are worth, usable or not.
    pub(crate) value_total: u64,
    /// Whether values are prices.
    pub(crate) priced: bool,
    /// The kinds of tasks.
    pub(crate) kinds: Vec<Kind<D>>,
    /// By index of the inventory's services: its kind; `None` if no task of it is to be placed.
    pub(crate) kind_of: Vec<Option<u16>>,
    /// By conflict key: the instances that hold it.
    pub(crate) holders: Vec<BitSet>,
}

/// Tasks that need the same and may run in the same places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind<const D: usize> {
    /// What one holds.
    pub(crate) demand: Amounts<D>,
    /// By class: whether it may run there.
    pub(crate) allowed: Vec<bool>,
    /// Conflict keys: an instance that holds one takes no (further) task of this kind.
    pub(crate) keys: Vec<u16>,
    /// Whether ECS may stop one long before its replacement runs: more than half of the service's tasks at once.
    pub(crate) stops_first: bool,
    /// Tasks that are to be placed and hold no place yet.
    pub(crate) in_flight: u32,
    /// The first service of this kind, by index, to name it to people.
    pub(crate) service: usize,
}

/// Two tasks that share one of these cannot share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Port(HostPort),
    /// Two tasks of one service with `distinctInstance`, by its rank among the names.
    Distinct(usize),
}

/// A list of (what, how many) for each instance, in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    starts: Vec<u32>,
    entries: Vec<(u16, u16)>,
}

impl Lists {
    /// The list of instance `of`.
    pub(crate) fn of(&self, of: usize) -> &[(u16, u16)] {
        &self.entries[self.starts[of] as usize..self.starts[of + 1] as usize]
    }

    /// Makes one list after the other: each is given as numbers in any order, and may name one several times.
    fn new<L: Iterator<Item = (u16, u16)>>(lists: impl Iterator<Item = L>) -> Self {
        let (mut starts, mut entries) = (vec![0], Vec::<(u16, u16)>::new());
        let mut scratch = Vec::new();
        for list in lists {
            scratch.extend(list);
            scratch.sort_unstable();
            let start = entries.len();
            for (what, count) in scratch.drain(..) {
                match entries[start..].last_mut() {
                    // More than eligibility believes are on an instance that stays.
                    Some(last) if last.0 == what => last.1 = last.1.saturating_add(count),
                    _ => entries.push((what, count)),
                }
            }
            starts.push(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        }
        entries.shrink_to_fit();
        Self { starts, entries }
    }
}

/// A set of instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BitSet(Vec<u64>);

impl BitSet {
    /// An empty set with room for numbers below `size`.
    pub(crate) fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    /// Whether it has a number.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// The numbers in it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }

    /// How many words it is kept in.
    pub(crate) fn words(&self) -> usize {
        self.0.len()
    }
}

impl<const D: usize> Model<D> {
    /// Puts the inventory into numbers.
    pub(crate) fn new(inventory: &Inventory, eligibility: &Eligibility) -> Self {
        let usable = |index: &usize| eligibility.usable[*index];
        let mut origin: Vec<usize> = (0..inventory.instances.len()).filter(usable).collect();
        let at = |index: usize| &inventory.instances[index];
        origin.sort_by(|&one, &other| at(one).instance_id.cmp(&at(other).instance_id));

        let places = Places::new(inventory, &origin);
        origin = places.order.iter().map(|&number| origin[number]).collect();
        let mut class_starts: Vec<_> = vec![0; places.members.len() + 1];
        for class in &places.class {
            class_starts[usize::from(*class) + 1] += 1;
        }
        for class in 1..class_starts.len() {
            class_starts[class] += class_starts[class - 1];
        }

        let candidate: Vec<_> =
            origin.iter().map(|&index| eligibility.kept[index].is_none()).collect();
        let held_services = Lists::new(origin.iter().map(|&index| services_of(at(index))));
        let (kinds, kind_of, keys) = kinds(inventory, &places, &origin, &candidate, &held_services);
        let held = Lists::new((0..origin.len()).map(|number| {
            let services = if candidate[number] { held_services.of(number) } else { &[] };
            services
                .iter()
                .filter_map(|&(service, count)| Some((kind_of[usize::from(service)]?, count)))
        }));
        let priced = inventory
            .instances
            .iter()
            .all(|one| one.price_microusd.is_some_and(|price| price < 1 << 40))
            && inventory.instances.iter().any(|one| one.price_microusd > Some(0));
        let value =
            |index: usize| if priced { at(index).price_microusd.unwrap_or_default() } else { 1 };
        let amounts = |pick: fn(&Instance) -> Option<Resources>| {
            origin.iter().map(|&index| narrow(pick(at(index)).unwrap_or_default())).collect()
        };
        Self {
            capacity: amounts(|one| one.registered),
            free: amounts(|one| one.remaining),
            class: places.class,
            class_starts,
            candidate,
            held,
            value: origin.iter().map(|&index| value(index)).collect(),
            value_total: (0..inventory.instances.len()).map(value).sum(),
            priced,
            kinds,
            kind_of,
            holders: holders(inventory, &origin, &keys, &held_services),
            held_services,
            origin,
        }
    }

    /// One over the mean capacity, by dimension; 0 where there is none.
    pub(crate) fn scale(&self) -> [f32; D] {
        std::array::from_fn(|at| {
            let all: f32 = self.capacity.iter().map(|capacity| capacity[at] as f32).sum();
            if all > 0.0 { self.len() as f32 / all } else { 0.0 }
        })
    }

    /// By kind: how large a task is, in shares of a mean instance, summed over the dimensions.
    pub(crate) fn sizes(&self) -> Vec<f32> {
        let scale = self.scale();
        let size = |kind: &Kind<D>| (0..D).map(|at| kind.demand[at] as f32 * scale[at]).sum();
        self.kinds.iter().map(size).collect()
    }

    /// The instances that have room for a task of a kind.
    pub(crate) fn open(&self, kind: &Kind<D>) -> BitSet {
        let mut open = BitSet::new(self.len());
        for class in (0..kind.allowed.len()).filter(|&class| kind.allowed[class]) {
            for number in self.class_starts[class]..self.class_starts[class + 1] {
                // Without a branch: that is several times faster.
                let takes = fits(&kind.demand, &self.free[number])
                    & !conflicts(kind, &self.holders, number);
                open.0[number / 64] |= u64::from(takes) << (number % 64);
            }
        }
        open
    }

    /// How many tasks of a kind instance `on` has room for; one of them at most may hold a conflict key.
    pub(crate) fn places(&self, kind: &Kind<D>, on: usize) -> u16 {
        if !self.allows(kind, on) || conflicts(kind, &self.holders, on) {
            return 0;
        }
        let most = if kind.keys.is_empty() { i32::from(u16::MAX) } else { 1 };
        let room =
            (0..D).filter(|&at| kind.demand[at] > 0).map(|at| self.free[on][at] / kind.demand[at]);
        room.min().unwrap_or(most).min(most) as u16
    }

    /// Takes those from the candidates that hold more tasks of a kind than there are places on all other instances, and
    /// says which kind that is.
    pub(crate) fn prune(&mut self) -> Vec<Option<u16>> {
        let mut needed = vec![0_u32; self.kinds.len()];
        for number in 0..self.len() {
            for &(kind, count) in self.held.of(number) {
                let needed = &mut needed[usize::from(kind)];
                *needed = u32::from(count).max(*needed);
            }
        }
        // Where there are enough without any one instance, nobody need know how many there are.
        let count = |(kind, &needed): (&Kind<D>, &u32)| {
            let (mut places, mut most) = (0_u32, 0);
            for on in 0..self.len() {
                let here = u32::from(self.places(kind, on));
                (places, most) = (places + here, here.max(most));
                if places - most >= needed {
                    return None;
                }
            }
            Some(places)
        };
        let places: Vec<Option<u32>> = self.kinds.iter().zip(&needed).map(count).collect();
        let nowhere = |number: usize| {
            let homeless = |&&(kind, count): &&(u16, u16)| {
                let at = usize::from(kind);
                let elsewhere = |all| all - u32::from(self.places(&self.kinds[at], number));
                places[at].is_some_and(|all| elsewhere(all) < u32::from(count))
            };
            self.held.of(number).iter().find(homeless).map(|(kind, _)| *kind)
        };
        let nowhere: Vec<_> = (0..self.len()).map(nowhere).collect();
        for (candidate, nowhere) in self.candidate.iter_mut().zip(&nowhere) {
            *candidate &= nowhere.is_none();
        }
        nowhere
    }

    /// How many usable instances there are.
    pub(crate) fn len(&self) -> usize {
        self.origin.len()
    }

    /// Whether instance `on` may take a task of this kind, for all that its room and its conflicts allow.
    pub(crate) fn allows(&self, kind: &Kind<D>, on: usize) -> bool {
        kind.allowed[usize::from(self.class[on])]
    }
}

/// The first dimensions of resources, as far as they are believed: doubtful instances are not usable, and doubtful
/// services pin their tasks.
fn narrow<const D: usize>(resources: Resources) -> Amounts<D> {
    let all = resources.to_array();
    std::array::from_fn(|dimension| {
        i32::try_from(all[dimension].clamp(0, AMOUNT_MAX)).unwrap_or(i32::MAX)
    })
}

/// Whether amounts fit into others.
pub(crate) fn fits<const D: usize>(demand: &Amounts<D>, free: &Amounts<D>) -> bool {
    (0..D).all(|dimension| demand[dimension] <= free[dimension])
}

/// Whether instance `on` holds a conflict key of a kind.
pub(crate) fn conflicts<const D: usize>(kind: &Kind<D>, holders: &[BitSet], on: usize) -> bool {
    kind.keys.iter().any(|&key| holders[usize::from(key)].has(on))
}

/// The service of each task that would move off an instance.
fn services_of(instance: &Instance) -> impl Iterator<Item = (u16, u16)> {
    instance.tasks.iter().flatten().filter_map(|task| match task.kind {
        TaskKind::Service(index) => Some((u16::try_from(index).unwrap_or(u16::MAX), 1)),
        TaskKind::UnknownService | TaskKind::Daemon | TaskKind::Standalone | TaskKind::Stopping => {
            None
        }
    })
}

/// Which instances may run which services' tasks.
struct Places {
    /// Instances by class, then in their order before: positions in the list that was given.
    order: Vec<usize>,
    /// The class of each, in that order.
    class: Vec<u16>,
    /// By class, then by set of constraints: whether the class is a member.
    members: Vec<Vec<bool>>,
    /// By service: its set of constraints.
    set_of: Vec<usize>,
}

impl Places {
    fn new(inventory: &Inventory, origin: &[usize]) -> Self {
        let distinct: BTreeSet<&[String]> =
            inventory.services.iter().map(|service| service.constraints.as_slice()).collect();
        let sets: Vec<_> = distinct.into_iter().collect();
        // An expression that is not understood pins its tasks. What is on its way may go anywhere, for all that is known.
        let parsed: Vec<Option<Vec<Expression>>> = sets
            .iter()
            .map(|set| set.iter().map(|text| Expression::parse(text).ok()).collect())
            .collect();
        let mut subjects = BTreeSet::new();
        parsed.iter().flatten().flatten().for_each(|expression| expression.subjects(&mut subjects));

        // Instances that answer every question alike are looked at once.
        let mut alike = BTreeMap::<Vec<Option<&str>>, Vec<usize>>::new();
        for (number, &index) in origin.iter().enumerate() {
            let answers = subjects
                .iter()
                .map(|subject: &&Subject| subject.value(&inventory.instances[index]));
            alike.entry(answers.collect()).or_default().push(number);
        }
        let mut classes = BTreeMap::<(Vec<bool>, bool), Vec<usize>>::new();
        for numbers in alike.into_values() {
            let instance = &inventory.instances[origin[numbers[0]]];
            let member = |set: &Option<Vec<Expression>>| {
                set.as_ref().is_none_or(|all| {
                    all.iter().all(|one| one.holds(instance).unwrap_or_else(|| one.has_pattern()))
                })
            };
            let membership: Vec<bool> = parsed.iter().map(member).collect();
            for number in numbers {
                // Room beside a GPU has a price of its own.
                let all = inventory.instances[origin[number]].registered.unwrap_or_default();
                classes.entry((membership.clone(), all.gpus > 0)).or_default().push(number);
            }
        }
        let (mut order, mut class, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for ((membership, _), mut numbers) in classes {
            numbers.sort_unstable();
            class.resize(
                class.len() + numbers.len(),
                u16::try_from(members.len()).unwrap_or(u16::MAX),
            );
            order.extend(numbers);
            members.push(membership);
        }
        let set_of = |service: &Service| {
            sets.binary_search(&service.constraints.as_slice()).unwrap_or_default()
        };
        Self { order, class, members, set_of: inventory.services.iter().map(set_of).collect() }
    }

    /// By class: whether a service's tasks may run there.
    fn allowed(&self, service: usize) -> Vec<bool> {
        self.members.iter().map(|membership| membership[self.set_of[service]]).collect()
    }
}

/// More tasks on their way than a cluster of any size could take are not counted: a service has 5,000 at most (ECS quotas).
const IN_FLIGHT_MAX: u32 = 1 << 20;

/// See [`Kind::stops_first`].
const HALF_PERCENT: u32 = 50;

/// What makes tasks interchangeable: demand, classes, what they conflict with, and whether they stop first.
type KindKey<const D: usize> = (Amounts<D>, Vec<bool>, Vec<Key>, bool);

/// The kinds of tasks, the kind of each service, and the conflict keys.
fn kinds<const D: usize>(
    inventory: &Inventory,
    places: &Places,
    origin: &[usize],
    candidate: &[bool],
    held_services: &Lists,
) -> (Vec<Kind<D>>, Vec<Option<u16>>, Vec<Key>) {
    let mut moving = vec![false; inventory.services.len()];
    for number in (0..origin.len()).filter(|&number| candidate[number]) {
        for &(service, _) in held_services.of(number) {
            moving[usize::from(service)] = true;
        }
    }
    // Ports that no two services share, and that one alone takes, are keys all the same: two of its tasks conflict.
    let ranks = ranks(&inventory.services);
    let keys_of = |index: usize| {
        let service = &inventory.services[index];
        let mut keys: Vec<_> = service.host_ports.iter().map(|port| Key::Port(*port)).collect();
        keys.extend(service.distinct_instance.then_some(Key::Distinct(ranks[index])));
        keys
    };
    // Where no instance is usable, nothing finds a place; so it is with more services than can be numbered.
    let needed = |index: &usize| {
        !origin.is_empty() && (moving[*index] || inventory.services[*index].in_flight > 0)
    };
    let mut by_name: Vec<usize> = (0..inventory.services.len()).filter(needed).collect();
    by_name.sort_by_key(|&index| ranks[index]);

    let mut kinds = BTreeMap::<KindKey<D>, Vec<usize>>::new();
    for &index in &by_name {
        let demand = narrow(inventory.services[index].demand);
        let stops_first = inventory.services[index].minimum_healthy_percent < HALF_PERCENT;
        kinds
            .entry((demand, places.allowed(index), keys_of(index), stops_first))
            .or_default()
            .push(index);
    }
    let all_keys: BTreeSet<Key> =
        kinds.keys().flat_map(|(_, _, keys, _)| keys.iter().copied()).collect();
    let keys: Vec<Key> = all_keys.into_iter().collect();
    let number_of =
        |key: &Key| u16::try_from(keys.binary_search(key).unwrap_or_default()).unwrap_or(u16::MAX);

    let mut kind_of = vec![None; inventory.services.len()];
    let mut list = Vec::with_capacity(kinds.len());
    for ((demand, allowed, conflict, stops_first), services) in kinds {
        for &index in &services {
            kind_of[index] = u16::try_from(list.len()).ok();
        }
        // What fits on no instance, not even on an empty one, is not on its way: it would hold the cluster for ever.
        let could_run = |(class, &index): (&u16, &usize)| {
            let capacity = inventory.instances[index].registered.unwrap_or_default();
            allowed[usize::from(*class)] && fits(&demand, &narrow(capacity))
        };
        let in_flight = services.iter().map(|&index| inventory.services[index].in_flight);
        let in_flight = in_flight.fold(0, u64::saturating_add);
        let possible = in_flight > 0 && places.class.iter().zip(origin).any(could_run);
        let in_flight = if possible { in_flight } else { 0 };
        list.push(Kind {
            demand,
            allowed,
            keys: conflict.iter().map(number_of).collect(),
            stops_first,
            in_flight: u32::try_from(in_flight).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX),
            service: services[0],
        });
    }
    (list, kind_of, keys)
}

/// By service: its rank among the names, so that nothing depends on the order of the inventory.
pub(crate) fn ranks(services: &[Service]) -> Vec<usize> {
    let mut by_name: Vec<_> = (0..services.len()).collect();
    by_name.sort_by(|&one, &other| services[one].name.cmp(&services[other].name));
    let mut ranks = vec![0; services.len()];
    for (rank, index) in by_name.into_iter().enumerate() {
        ranks[index] = rank;
    }
    ranks
}

/// By conflict key: the instances that hold it.
fn holders(
    inventory: &Inventory,
    origin: &[usize],
    keys: &[Key],
    held_services: &Lists,
) -> Vec<BitSet> {
    let mut holders = vec![BitSet::new(origin.len()); keys.len()];
    let ranks = ranks(&inventory.services);
    let distinct =
        |service: usize| Key::Distinct(ranks.get(service).copied().unwrap_or(usize::MAX));
    for (number, &index) in origin.iter().enumerate() {
        let instance = &inventory.instances[index];
        let mut hold = |key: Key| {
            if let Ok(key) = keys.binary_search(&key) {
                holders[key].insert(number);
            }
        };
        instance.host_ports.iter().for_each(|port| hold(Key::Port(*port)));
        instance.distinct_services.iter().for_each(|&service| hold(distinct(service)));
        held_services
            .of(number)
            .iter()
            .for_each(|&(service, _)| hold(distinct(usize::from(service))));
    }
    holders
}

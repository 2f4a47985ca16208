//! What ECS would do with the displaced tasks, played through by each service's own placement
//! strategy.
//!
//! A replay proves nothing, as the certificate does; several of them in different orders make a
//! stalled drain rare. They are for tasks whose service starts the replacement before it stops the
//! old task: if one finds no place, its drain stalls and is rolled back. What Availability Zone
//! rebalancing does later is not played: it leaves as much room as it takes, and breaks few plans.
//! Source of how ECS chooses: ECS Developer Guide, task-placement-strategies.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::cast::whole;
use crate::index::{InstanceIndex, KeyIndex, KindIndex, Numbered, ServiceIndex, Table};
use crate::instance_set::InstanceSet;
use crate::inventory::{Inventory, Strategy};
use crate::model::{Amounts, Kind, Model, conflicts, fits, ranks, subtract};
use crate::rng::Rng;
use crate::subject::Subject;

/// In which order displaced tasks are placed, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// In an order by chance, by their services' strategies.
    Shuffled(u64),
    /// The smallest first, by their services' strategies: the large ones find what is left.
    SmallestFirst,
    /// Kind by kind in an order by chance, or the smallest first for 0, each on the instance with
    /// most room: the worst that a scheduler can do.
    WorstFit(u64),
}

/// The replays that a plan must stand; the one that fails first, as a rule, comes first.
pub(crate) const ORDERS: [Order; 8] = [
    Order::WorstFit(0),
    Order::WorstFit(1),
    Order::WorstFit(2),
    Order::WorstFit(3),
    Order::SmallestFirst,
    Order::Shuffled(1),
    Order::Shuffled(2),
    Order::Shuffled(3),
];

/// What preparing costs for each instance and each task, in counted steps: it copies and sorts
/// rather than examines.
const PREPARE_STEPS: usize = 4;
/// What one placement costs: it changes a set or a heap.
const PLACE_STEPS: u64 = 8;
/// What one sample costs: it reads memory at random.
const SAMPLE_STEPS: u64 = 4;
/// How often chance is asked for an instance before all are examined. On 30 recorded inventories,
/// planning without a share takes three times the CPU time at 0; 8 and 96 take what this takes.
const SAMPLES: usize = 24;
/// Worst fit compares room in millionths of a mean instance.
const MILLIONTHS: f64 = 1e6;

/// Plays placements on one model.
pub(crate) struct Replay<'a, const D: usize> {
    model: &'a Model<D>,
    /// How each service chooses.
    strategies: Table<ServiceIndex, Vec<Criterion>>,
    /// The services in the order of their names, so that nothing depends on the order of the
    /// inventory.
    by_name: Vec<ServiceIndex>,
    /// How large a task of each kind is.
    sizes: Table<KindIndex, f32>,
    /// The instances that have room for a task of each kind before anything moves.
    with_room_for: &'a Table<KindIndex, InstanceSet>,
    fields: Vec<Field>,
    spreads: Vec<Spread>,
    sorted_pools: Vec<SortedPool>,
    /// The counted steps so far: instances examined and placements.
    pub(crate) steps: u64,
}

/// A field to spread over: an attribute.
struct Field {
    /// The value of each instance, as its position in `members`.
    value_of: Table<InstanceIndex, u16>,
    /// By value: the instances that have it.
    members: Vec<Vec<InstanceIndex>>,
}

/// A service that spreads over a field.
struct Spread {
    /// The field's position.
    field: usize,
    /// By value: the service's tasks there before anything moves.
    tasks: Vec<u32>,
}

/// Instances in the order of what is free of one dimension.
struct SortedPool {
    pool: Pool,
    dimension: usize,
    by_free: BTreeSet<(i32, InstanceIndex)>,
}

/// One criterion of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Criterion {
    /// By tasks of the service with the same value of a field: a position in [`Replay::spreads`].
    Spread(usize),
    /// By tasks of the service on the instance.
    SpreadInstances,
    /// By what is free of a dimension.
    Binpack(usize),
}

/// Instances to choose among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    Cluster,
    /// Those with a value of a field.
    Value {
        field: usize,
        value: usize,
    },
}

/// A task to place.
#[derive(Clone, Copy)]
struct DisplacedTask {
    service: ServiceIndex,
    kind: KindIndex,
}

impl<'a, const D: usize> Replay<'a, D> {
    /// Prepares to play.
    pub(crate) fn new(
        inventory: &Inventory,
        model: &'a Model<D>,
        with_room_for: &'a Table<KindIndex, InstanceSet>,
    ) -> Self {
        let names = field_names(inventory);
        let fields: Vec<Field> =
            names.iter().map(|name| Field::new(inventory, model, name)).collect();
        let mut spreads = Vec::new();
        let strategies = inventory
            .services
            .iter()
            .zip(model.kind_of.iter())
            .map(|(service, kind)| match kind {
                Some(_) => criteria(&service.strategy, &names, &fields, &mut spreads),
                // No task of it is to be placed.
                None => Vec::new(),
            })
            .collect();
        let ranks = ranks(&inventory.services);
        let mut by_name: Vec<ServiceIndex> = model.kind_of.indices().collect();
        by_name.sort_by_key(|service| ranks[service.position()]);
        let mut replay = Self {
            model,
            strategies,
            by_name,
            sizes: model.sizes(),
            with_room_for,
            fields,
            spreads,
            sorted_pools: Vec::new(),
            steps: 0,
        };
        replay.sorted_pools = replay.sort_pools();
        replay.count_spread_tasks();
        replay
    }

    /// The pools that binpacking strategies choose from.
    fn sort_pools(&self) -> Vec<SortedPool> {
        let mut pools = BTreeSet::new();
        for criteria in self.strategies.iter() {
            match *criteria.as_slice() {
                // Whatever follows a binpacking criterion only decides between equals, which
                // `least_free` leaves to the index.
                [Criterion::Binpack(dimension), ..] => {
                    pools.insert((Pool::Cluster, dimension));
                }
                [Criterion::Spread(spread), Criterion::Binpack(dimension), ..] => {
                    let field = self.spreads[spread].field;
                    let values = 0..self.fields[field].members.len();
                    pools.extend(values.map(|value| (Pool::Value { field, value }, dimension)));
                }
                _ => {}
            }
        }
        pools.into_iter().map(|(pool, dimension)| self.sort_pool(pool, dimension)).collect()
    }

    fn sort_pool(&self, pool: Pool, dimension: usize) -> SortedPool {
        let by_free = self
            .model
            .instances()
            .filter(|&instance| self.is_in(pool, instance))
            .map(|instance| (self.model.free[instance][dimension], instance))
            .collect();
        SortedPool { pool, dimension, by_free }
    }

    fn count_spread_tasks(&mut self) {
        // Counted beside `self.spreads`, as `for_each_spread` borrows all of `self`.
        let mut counts: Vec<Vec<u32>> =
            self.spreads.iter().map(|spread| spread.tasks.clone()).collect();
        for instance in self.model.instances() {
            self.for_each_spread(instance, |spread, value, tasks| counts[spread][value] += tasks);
        }
        for (spread, tasks) in self.spreads.iter_mut().zip(counts) {
            spread.tasks = tasks;
        }
    }

    /// Calls a function with each spread of the services on an instance: its position, the value
    /// here, how many tasks.
    fn for_each_spread(&self, instance: InstanceIndex, mut apply: impl FnMut(usize, usize, u32)) {
        for &(service, count) in self.model.service_tasks.of(instance) {
            for criterion in &self.strategies[service] {
                if let Criterion::Spread(spread) = *criterion {
                    apply(spread, self.value_of(spread, instance), u32::from(count));
                }
            }
        }
    }

    fn is_in(&self, pool: Pool, instance: InstanceIndex) -> bool {
        match pool {
            Pool::Cluster => true,
            Pool::Value { field, value } => {
                usize::from(self.fields[field].value_of[instance]) == value
            }
        }
    }

    fn value_of(&self, spread: usize, instance: InstanceIndex) -> usize {
        usize::from(self.fields[self.spreads[spread].field].value_of[instance])
    }

    /// Whether every displaced task finds a place in one replay.
    pub(crate) fn places_all(
        &mut self,
        is_removed: &Table<InstanceIndex, bool>,
        order: Order,
    ) -> bool {
        let mut tasks = self.displaced_tasks(is_removed);
        let mut rng = Rng::new(match order {
            Order::Shuffled(seed) | Order::WorstFit(seed) => seed,
            // The order of the tasks is fixed; chance decides only what the strategies leave open.
            Order::SmallestFirst => 0,
        });
        self.sort(&mut tasks, order, &mut rng);
        let (places_all, steps) = match order {
            Order::WorstFit(_) => self.worst_fit(is_removed, &tasks),
            Order::Shuffled(_) | Order::SmallestFirst => self.play(is_removed, &tasks, rng),
        };
        self.steps += steps;
        places_all
    }

    /// Where each displaced task goes, in an order by chance. `None` if one finds no place.
    pub(crate) fn placements(
        &self,
        is_removed: &Table<InstanceIndex, bool>,
    ) -> Option<Vec<(ServiceIndex, InstanceIndex)>> {
        let mut tasks = self.displaced_tasks(is_removed);
        let order = Order::Shuffled(1);
        // As `places_all` plays this order, so that a plan which stood it finds the same places.
        let mut rng = Rng::new(1);
        self.sort(&mut tasks, order, &mut rng);
        let mut scheduler = Scheduler::new(self, is_removed, rng);
        tasks.iter().map(|&task| Some((task.service, scheduler.place(task)?))).collect()
    }

    /// The displaced tasks, by the names of their services. Nothing else is on its way: see `safe`.
    fn displaced_tasks(&self, is_removed: &Table<InstanceIndex, bool>) -> Vec<DisplacedTask> {
        let mut counts = Table::<ServiceIndex, usize>::filled(0, self.by_name.len());
        for instance in self.model.instances().filter(|&instance| is_removed[instance]) {
            for &(service, count) in self.model.service_tasks.of(instance) {
                counts[service] += usize::from(count);
            }
        }
        self.by_name
            .iter()
            .filter_map(|&service| Some((service, self.model.kind_of[service]?)))
            .flat_map(|(service, kind)| {
                std::iter::repeat_n(DisplacedTask { service, kind }, counts[service])
            })
            .collect()
    }

    fn sort(&self, tasks: &mut [DisplacedTask], order: Order, rng: &mut Rng) {
        match order {
            // Fisher and Yates' shuffle.
            Order::Shuffled(_) => {
                for last in (1..tasks.len()).rev() {
                    tasks.swap(last, rng.below(last + 1));
                }
            }
            // Those of one kind stand together.
            Order::SmallestFirst | Order::WorstFit(0) => {
                tasks.sort_by(|a, b| self.by_size(*a, *b));
            }
            Order::WorstFit(_) => {
                let ranks: Table<KindIndex, usize> =
                    self.sizes.iter().map(|_| rng.below(1 << 20)).collect();
                tasks.sort_by_key(|task| (ranks[task.kind], task.kind));
            }
        }
    }

    /// The smaller task first, then the lower kind.
    fn by_size(&self, a: DisplacedTask, b: DisplacedTask) -> Ordering {
        let (size_a, size_b) = (self.sizes[a.kind], self.sizes[b.kind]);
        // Sizes are finite, so that they can always be compared.
        size_a.partial_cmp(&size_b).unwrap_or(Ordering::Equal).then(a.kind.cmp(&b.kind))
    }

    /// Each task by its service's strategy.
    fn play(
        &self,
        is_removed: &Table<InstanceIndex, bool>,
        tasks: &[DisplacedTask],
        rng: Rng,
    ) -> (bool, u64) {
        let mut scheduler = Scheduler::new(self, is_removed, rng);
        scheduler.steps += (PREPARE_STEPS * tasks.len()) as u64;
        let places_all = tasks.iter().all(|&task| scheduler.place(task).is_some());
        (places_all, scheduler.steps)
    }

    /// Each task on the instance with most room that takes it. Tasks of one kind stand together.
    fn worst_fit(
        &self,
        is_removed: &Table<InstanceIndex, bool>,
        tasks: &[DisplacedTask],
    ) -> (bool, u64) {
        let model = self.model;
        let scale = model.scale;
        let mut free = model.free.clone();
        let mut key_holders = model.key_holders.clone();
        let mut rooms: Table<InstanceIndex, i64> =
            free.iter().map(|free| least_share(free, &scale)).collect();
        let mut steps = model.len() as u64;
        for same_kind in tasks.chunk_by(|a, b| a.kind == b.kind) {
            let kind = &model.kinds[same_kind[0].kind];
            let mut roomiest: BinaryHeap<(i64, InstanceIndex)> = self.with_room_for
                [same_kind[0].kind]
                .iter()
                .filter(|&instance| {
                    !is_removed[instance] && has_room(kind, instance, &free, &key_holders)
                })
                .map(|instance| (rooms[instance], instance))
                .collect();
            steps += (model.len() + roomiest.len()) as u64;
            for _ in same_kind {
                steps += PLACE_STEPS;
                // The heap holds every instance that can still take one of this kind, so that an
                // empty one means none.
                let Some((_, instance)) = roomiest.pop() else { return (false, steps) };
                subtract(&mut free[instance], &kind.demand);
                kind.keys.iter().for_each(|&key| key_holders[key].insert(instance));
                rooms[instance] = least_share(&free[instance], &scale);
                // Put back only if it can take one more. The others did not change, so that their
                // places in the heap are still right.
                if has_room(kind, instance, &free, &key_holders) {
                    roomiest.push((rooms[instance], instance));
                }
            }
        }
        (true, steps)
    }
}

/// Whether an instance has room for a task now, and nothing in conflict with it.
fn has_room<const D: usize>(
    kind: &Kind<D>,
    instance: InstanceIndex,
    free: &Table<InstanceIndex, Amounts<D>>,
    key_holders: &Table<KeyIndex, InstanceSet>,
) -> bool {
    fits(&kind.demand, &free[instance]) && !conflicts(kind, key_holders, instance)
}

/// What is free of CPU or memory, whichever is less of a mean instance, in millionths.
fn least_share<const D: usize>(free: &Amounts<D>, scale: &[f32; D]) -> i64 {
    let shares =
        (0..D.min(2)).map(|dimension| f64::from(free[dimension]) * f64::from(scale[dimension]));
    whole(shares.fold(f64::INFINITY, f64::min) * MILLIONTHS)
}

/// The attributes that services spread over.
fn field_names(inventory: &Inventory) -> Vec<&str> {
    let strategies = inventory.services.iter().flat_map(|service| &service.strategy);
    let names: BTreeSet<&str> = strategies
        .filter_map(|strategy| match strategy {
            Strategy::Spread(name) if !is_instance(name) => Some(name.as_str()),
            Strategy::Spread(_)
            | Strategy::Random
            | Strategy::BinpackCpu
            | Strategy::BinpackMemory => None,
        })
        .collect();
    names.into_iter().collect()
}

/// Whether a field of a spread strategy names the instance itself. Source: ECS Developer Guide,
/// task-placement-strategies.
fn is_instance(field: &str) -> bool {
    matches!(field, "instanceId" | "host")
}

/// The criteria of a service's strategy; those that spread over a field are added to `spreads`.
fn criteria(
    strategy: &[Strategy],
    names: &[&str],
    fields: &[Field],
    spreads: &mut Vec<Spread>,
) -> Vec<Criterion> {
    strategy
        .iter()
        .filter_map(|strategy| match strategy {
            // Chance is what decides where the criteria leave it open: it needs no criterion.
            Strategy::Random => None,
            Strategy::Spread(name) => Some(match names.binary_search(&name.as_str()) {
                Ok(field) => {
                    spreads.push(Spread { field, tasks: vec![0; fields[field].members.len()] });
                    Criterion::Spread(spreads.len() - 1)
                }
                // Every field but the instance itself is in `names`.
                Err(_) => Criterion::SpreadInstances,
            }),
            Strategy::BinpackCpu => Some(Criterion::Binpack(0)),
            Strategy::BinpackMemory => Some(Criterion::Binpack(1)),
        })
        .collect()
}

impl Field {
    /// The values of an attribute; instances without it share a value of their own.
    fn new<const D: usize>(inventory: &Inventory, model: &Model<D>, name: &str) -> Self {
        let attribute = name.strip_prefix("attribute:").unwrap_or(name);
        let subject = Subject::Attribute(attribute.to_owned());
        let mut values = BTreeMap::<Option<&str>, u16>::new();
        let mut field = Self { value_of: Table::default(), members: Vec::new() };
        for (instance, &position) in model.origin.enumerate() {
            let value =
                *values.entry(subject.value(&inventory.instances[position])).or_insert_with(|| {
                    field.members.push(Vec::new());
                    // An attribute has no more values than there are instances, far fewer than 2¹⁶.
                    u16::try_from(field.members.len() - 1).unwrap_or(u16::MAX)
                });
            field.members[usize::from(value)].push(instance);
            field.value_of.push(value);
        }
        field
    }
}

/// One replay in progress.
struct Scheduler<'r, 'a, const D: usize> {
    replay: &'r Replay<'a, D>,
    free: Table<InstanceIndex, Amounts<D>>,
    key_holders: Table<KeyIndex, InstanceSet>,
    is_removed: &'r Table<InstanceIndex, bool>,
    /// As [`Spread::tasks`], now.
    spread_tasks: Vec<Vec<u32>>,
    /// The tasks that were placed, by instance and service.
    placed: BTreeMap<(InstanceIndex, ServiceIndex), usize>,
    /// As [`SortedPool::by_free`], now, without what is removed.
    by_free: Vec<BTreeSet<(i32, InstanceIndex)>>,
    rng: Rng,
    steps: u64,
    /// The ranks of one instance, kept to reuse their memory.
    ranks: Vec<i64>,
}

impl<'r, 'a, const D: usize> Scheduler<'r, 'a, D> {
    fn new(
        replay: &'r Replay<'a, D>,
        is_removed: &'r Table<InstanceIndex, bool>,
        rng: Rng,
    ) -> Self {
        let model = replay.model;
        let mut spread_tasks: Vec<Vec<u32>> =
            replay.spreads.iter().map(|spread| spread.tasks.clone()).collect();
        let mut by_free: Vec<_> =
            replay.sorted_pools.iter().map(|pool| pool.by_free.clone()).collect();
        for instance in model.instances().filter(|&instance| is_removed[instance]) {
            replay.for_each_spread(instance, |spread, value, tasks| {
                // Never below zero, as the same tasks were counted in before.
                spread_tasks[spread][value] -= tasks;
            });
            for (by_free, pool) in by_free.iter_mut().zip(&replay.sorted_pools) {
                by_free.remove(&(model.free[instance][pool.dimension], instance));
            }
        }
        let sorted = by_free.iter().map(BTreeSet::len).sum::<usize>();
        Self {
            replay,
            free: model.free.clone(),
            key_holders: model.key_holders.clone(),
            is_removed,
            spread_tasks,
            placed: BTreeMap::new(),
            by_free,
            rng,
            steps: (PREPARE_STEPS * (model.len() + sorted)) as u64,
            ranks: Vec::new(),
        }
    }

    /// Places one task, and returns where; `None` if it finds no place.
    fn place(&mut self, task: DisplacedTask) -> Option<InstanceIndex> {
        let criteria = self.replay.strategies[task.service].as_slice();
        let chosen = match criteria {
            [Criterion::Spread(spread), criteria @ ..] => {
                self.choose_value(task, *spread, criteria)
            }
            criteria => self.choose(task, Pool::Cluster, criteria),
        };
        chosen.inspect(|&instance| self.host(task, instance))
    }

    /// The value with the fewest tasks of the service that has an instance to take one more.
    fn choose_value(
        &mut self,
        task: DisplacedTask,
        spread: usize,
        criteria: &[Criterion],
    ) -> Option<InstanceIndex> {
        let field = self.replay.spreads[spread].field;
        let tasks = &self.spread_tasks[spread];
        let mut values: Vec<(u32, usize, usize)> =
            // Chance decides between values with as many tasks: the strategy says nothing about
            // them.
            (0..tasks.len()).map(|value| (tasks[value], self.rng.below(1 << 16), value)).collect();
        values.sort_unstable();
        values
            .into_iter()
            .find_map(|(_, _, value)| self.choose(task, Pool::Value { field, value }, criteria))
    }

    fn choose(
        &mut self,
        task: DisplacedTask,
        pool: Pool,
        criteria: &[Criterion],
    ) -> Option<InstanceIndex> {
        if let [Criterion::Binpack(dimension), ..] = *criteria {
            let mut pools = self.replay.sorted_pools.iter();
            let is_sorted =
                |sorted: &SortedPool| (sorted.pool, sorted.dimension) == (pool, dimension);
            if let Some(sorted) = pools.position(is_sorted) {
                return self.least_free(task.kind, sorted, dimension);
            }
        }
        self.sample(task, pool, criteria).or_else(|| self.scan(task, pool, criteria))
    }

    /// An instance by chance that takes the task: exact for a choice by chance, and for one by
    /// fewest tasks if it has none.
    fn sample(
        &mut self,
        task: DisplacedTask,
        pool: Pool,
        criteria: &[Criterion],
    ) -> Option<InstanceIndex> {
        let must_be_first = match criteria {
            [] => false,
            [Criterion::SpreadInstances, ..] => true,
            _ => return None,
        };
        let members = match pool {
            Pool::Cluster => self.free.len(),
            Pool::Value { field, value } => self.replay.fields[field].members[value].len(),
        };
        for _ in 0..SAMPLES.min(4 * members) {
            self.steps += SAMPLE_STEPS;
            let position = self.rng.below(members);
            let instance = match pool {
                Pool::Cluster => InstanceIndex::new(position),
                Pool::Value { field, value } => self.replay.fields[field].members[value][position],
            };
            // Asked last, as it goes through the tasks of the instance.
            if self.takes(task.kind, instance)
                && (!must_be_first || self.tasks_of(task.service, instance) == 0)
            {
                return Some(instance);
            }
        }
        None
    }

    /// Examines every instance: the best by the criteria, in order; chance decides what they leave
    /// open (reservoir sampling).
    fn scan(
        &mut self,
        task: DisplacedTask,
        pool: Pool,
        criteria: &[Criterion],
    ) -> Option<InstanceIndex> {
        let replay = self.replay;
        let with_room = &replay.with_room_for[task.kind];
        self.steps += with_room.words() as u64;
        let (mut chosen, mut best, mut ties) = (None, Vec::new(), 0);
        let mut ranks = std::mem::take(&mut self.ranks);
        for instance in with_room.iter().filter(|&instance| replay.is_in(pool, instance)) {
            self.steps += 1;
            if !self.takes(task.kind, instance) {
                continue;
            }
            ranks.clear();
            ranks.extend(criteria.iter().map(|&criterion| self.rank(criterion, task, instance)));
            if chosen.is_none() || ranks < best {
                std::mem::swap(&mut ranks, &mut best);
                (chosen, ties) = (Some(instance), 1);
            } else if ranks == best {
                ties += 1;
                if self.rng.below(ties) == 0 {
                    chosen = Some(instance);
                }
            }
        }
        self.ranks = ranks;
        chosen
    }

    /// The lower, the better.
    fn rank(&self, criterion: Criterion, task: DisplacedTask, instance: InstanceIndex) -> i64 {
        match criterion {
            Criterion::Spread(spread) => {
                i64::from(self.spread_tasks[spread][self.replay.value_of(spread, instance)])
            }
            Criterion::SpreadInstances => {
                i64::try_from(self.tasks_of(task.service, instance)).unwrap_or(i64::MAX)
            }
            Criterion::Binpack(dimension) => i64::from(self.free[instance][dimension]),
        }
    }

    /// The instance with the least free of a dimension that takes the task: best fit.
    fn least_free(
        &mut self,
        kind: KindIndex,
        sorted: usize,
        dimension: usize,
    ) -> Option<InstanceIndex> {
        let demand = self.replay.model.kinds[kind].demand[dimension];
        let (mut chosen, mut examined) = (None, PLACE_STEPS);
        for &(_, instance) in self.by_free[sorted].range((demand, InstanceIndex::new(0))..) {
            examined += 1;
            if self.takes(kind, instance) {
                chosen = Some(instance);
                break;
            }
        }
        self.steps += examined;
        chosen
    }

    fn takes(&self, kind: KindIndex, instance: InstanceIndex) -> bool {
        let kind = &self.replay.model.kinds[kind];
        !self.is_removed[instance]
            && self.replay.model.allows(kind, instance)
            && has_room(kind, instance, &self.free, &self.key_holders)
    }

    /// How many tasks of a service an instance has.
    fn tasks_of(&self, service: ServiceIndex, instance: InstanceIndex) -> usize {
        let running = self.replay.model.service_tasks.of(instance).iter();
        let running: usize = running
            .filter(|(running, _)| *running == service)
            .map(|(_, count)| usize::from(*count))
            .sum();
        running + self.placed.get(&(instance, service)).copied().unwrap_or_default()
    }

    /// Puts a task on an instance.
    fn host(&mut self, task: DisplacedTask, instance: InstanceIndex) {
        self.steps += PLACE_STEPS;
        let replay = self.replay;
        let kind = &replay.model.kinds[task.kind];
        let before = self.free[instance];
        subtract(&mut self.free[instance], &kind.demand);
        for (by_free, pool) in self.by_free.iter_mut().zip(&replay.sorted_pools) {
            if replay.is_in(pool.pool, instance) {
                by_free.remove(&(before[pool.dimension], instance));
                by_free.insert((self.free[instance][pool.dimension], instance));
            }
        }
        for &key in &kind.keys {
            self.key_holders[key].insert(instance);
        }
        let criteria = &replay.strategies[task.service];
        if criteria.contains(&Criterion::SpreadInstances) {
            *self.placed.entry((instance, task.service)).or_default() += 1;
        }
        for criterion in criteria {
            if let Criterion::Spread(spread) = *criterion {
                self.spread_tasks[spread][replay.value_of(spread, instance)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Instance, Service};
    use crate::testing::{cluster, holding, model, service};

    /// Whether a replay stands. Two instances stay: one with half its CPU free, in zone a, and one
    /// with all of it, in zone b. Off a third come small tasks and a large one, which only fits
    /// where no small one has gone: on the second. `small` is how many small tasks each of the
    /// three has.
    fn stands(strategy: &[Strategy], order: Order, small: [usize; 3], zone: &str) -> bool {
        let services = vec![
            Service { strategy: strategy.to_vec(), ..service(0, [256, 256]) },
            service(1, [2048, 1024]),
        ];
        let half = holding(1, [1024, 2048], &[(0, small[0])]);
        let whole = Instance { zone: "b".to_owned(), ..holding(2, [2048, 4096], &[(0, small[1])]) };
        let leaves =
            Instance { zone: zone.to_owned(), ..holding(3, [0, 0], &[(0, small[2]), (1, 1)]) };
        let inventory = cluster(vec![half, whole, leaves], services);
        let model = model::<2>(&inventory);
        let with_room_for = model.kinds.iter().map(|kind| model.with_room_for(kind)).collect();
        let is_removed = vec![false, false, true].into();
        Replay::new(&inventory, &model, &with_room_for).places_all(&is_removed, order)
    }

    fn spread(field: &str) -> Strategy {
        Strategy::Spread(field.to_owned())
    }

    #[test]
    fn each_strategy_places_as_it_says() {
        let zone = "attribute:ecs.availability-zone";
        let stands = |strategy: &[Strategy]| stands(strategy, Order::SmallestFirst, [1, 0, 1], "a");
        // Where least is left, which is not where the large one must go.
        assert!(stands(&[Strategy::BinpackCpu]));
        assert!(stands(&[Strategy::BinpackMemory]));
        // Where no task of the service is, which is.
        assert!(!stands(&[spread("instanceId")]));
        assert!(!stands(&[spread("host")]));
        assert!(!stands(&[spread(zone)]));
        assert!(!stands(&[spread(zone), Strategy::BinpackCpu]));
        // No instance has the attribute: all are alike, and what comes next decides.
        assert!(stands(&[spread("attribute:rack"), Strategy::BinpackCpu]));
    }

    #[test]
    fn a_spread_counts_what_stays_and_what_is_placed_but_not_what_leaves() {
        for spread in ["instanceId", "attribute:ecs.availability-zone"] {
            let stands = |small, zone| {
                stands(&[Strategy::Spread(spread.to_owned())], Order::SmallestFirst, small, zone)
            };
            // The first zone, or instance, has fewer all the time, and so it has if two more leave
            // the second.
            assert!(stands([0, 3, 2], "a"));
            assert!(!stands([2, 1, 2], "b"));
            // The third task finds as many in the first as in the second, or the second had one
            // before.
            assert!(!stands([0, 1, 3], "a"));
        }
    }

    #[test]
    fn chance_places_anywhere() {
        let outcomes: BTreeSet<bool> =
            (1..40).map(|seed| stands(&[], Order::Shuffled(seed), [1, 0, 1], "a")).collect();
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn a_worst_fit_takes_the_most_room_whatever_the_strategy() {
        assert!(!stands(&[Strategy::BinpackCpu], Order::WorstFit(0), [1, 0, 1], "a"));
    }
}

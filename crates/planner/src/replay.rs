//! What ECS would do with the displaced tasks, played through by each service's own placement strategy.
//!
//! A replay proves nothing, as the certificate does; several of them in different orders make a stalled drain rare. They are
//! for tasks whose service starts the replacement before it stops the old task: if one finds no place, its drain stalls
//! and is rolled back. Source of how ECS chooses: ECS Developer Guide, task-placement-strategies.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::expression::Subject;
use crate::inventory::{Inventory, Strategy};
use crate::model::{Amounts, BitSet, Model, conflicts, fits, ranks};
use crate::rng::Rng;

/// In which order displaced tasks are placed, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// In an order by chance, by their services' strategies.
    Shuffled(u64),
    /// The smallest first, by their services' strategies: the large ones find what is left.
    SmallestFirst,
    /// Kind by kind in an order by chance, or the smallest first for 0, each on the instance with most room: the worst that a
    /// scheduler can do.
    WorstFit(u64),
}

/// The replays that a plan must stand; the one that fails first, as a rule, comes first.
pub(crate) const TURNS: [Turn; 8] = [
    Turn::WorstFit(0),
    Turn::WorstFit(1),
    Turn::WorstFit(2),
    Turn::WorstFit(3),
    Turn::SmallestFirst,
    Turn::Shuffled(1),
    Turn::Shuffled(2),
    Turn::Shuffled(3),
];

/// Plays placements on one model.
pub(crate) struct Replay<'a, const D: usize> {
    model: &'a Model<D>,
    /// By service: the steps of its strategy.
    choices: Vec<Vec<Step>>,
    /// The services in the order of their names, so that nothing depends on the order of the inventory.
    by_name: Vec<u16>,
    /// By kind: how large a task is, and the instances that have room for one before anything moves.
    sizes: Vec<f32>,
    open: &'a [BitSet],
    fields: Vec<Field>,
    /// By number of a [`Step::Spread`]: its field; and by value the service's tasks there before anything moves.
    spreads: Vec<usize>,
    counts: Vec<Vec<u32>>,
    sorted: Vec<Sorted>,
    /// The looks and placements so far.
    pub(crate) steps: u64,
}

/// A field to spread over.
struct Field {
    /// By instance: its value, as a number.
    value_of: Vec<u16>,
    /// By value: the instances that have it.
    members: Vec<Vec<u32>>,
}

/// Instances that are looked through in order of what is free of one dimension.
struct Sorted {
    pool: Pool,
    dimension: usize,
    by_free: BTreeSet<(i32, u32)>,
}

/// One step of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Of one service over one field: the number of both in [`Replay::spreads`].
    Spread(usize),
    SpreadInstances,
    /// By what is free of a dimension.
    Binpack(usize),
}

/// Instances to choose among: all, or those with a value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    All,
    Of(usize, usize),
}

/// One replay in progress.
struct Play<'r, 'a, const D: usize> {
    replay: &'r Replay<'a, D>,
    free: Vec<Amounts<D>>,
    holders: Vec<BitSet>,
    gone: &'r [bool],
    /// As [`Replay::counts`], now.
    counts: Vec<Vec<u32>>,
    /// By instance and service: the tasks that were placed there.
    placed: BTreeMap<(u32, u16), usize>,
    /// As [`Replay::sorted`], without what is gone.
    by_free: Vec<BTreeSet<(i32, u32)>>,
    rng: Rng,
    steps: u64,
    ranks: Vec<i64>,
}

/// How often chance is asked for an instance before all are looked at.
const DRAWS: usize = 24;

impl<'a, const D: usize> Replay<'a, D> {
    /// Prepares to play.
    pub(crate) fn new(inventory: &Inventory, model: &'a Model<D>, open: &'a [BitSet]) -> Self {
        let names: BTreeSet<&str> = inventory
            .services
            .iter()
            .flat_map(|service| &service.strategy)
            .filter_map(|strategy| match strategy {
                Strategy::Spread(name) if !is_instance(name) => Some(name.as_str()),
                Strategy::Spread(_)
                | Strategy::Random
                | Strategy::BinpackCpu
                | Strategy::BinpackMemory => None,
            })
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let fields: Vec<Field> = names.iter().map(|name| field(inventory, model, name)).collect();

        let mut spreads = Vec::new();
        let mut choices = Vec::with_capacity(inventory.services.len());
        for (service, kind) in inventory.services.iter().zip(&model.kind_of) {
            let strategy = service.strategy.iter().filter(|_| kind.is_some());
            let steps = strategy.filter_map(|strategy| match strategy {
                Strategy::Random => None,
                Strategy::Spread(name) => {
                    // What is no field is the instance.
                    let Ok(field) = names.binary_search(&name.as_str()) else {
                        return Some(Step::SpreadInstances);
                    };
                    spreads.push(field);
                    Some(Step::Spread(spreads.len() - 1))
                }
                Strategy::BinpackCpu => Some(Step::Binpack(0)),
                Strategy::BinpackMemory => Some(Step::Binpack(1)),
            });
            choices.push(steps.collect::<Vec<_>>());
        }

        let mut pools = BTreeSet::new();
        for steps in &choices {
            match *steps.as_slice() {
                [Step::Binpack(dimension), ..] => {
                    pools.insert((Pool::All, dimension));
                }
                [Step::Spread(spread), Step::Binpack(dimension), ..] => {
                    let field = spreads[spread];
                    let values = 0..fields[field].members.len();
                    pools.extend(values.map(|value| (Pool::Of(field, value), dimension)));
                }
                _ => {}
            }
        }
        let ranks = ranks(&inventory.services);
        let mut by_name: Vec<u16> = (0..).take(ranks.len()).collect();
        by_name.sort_by_key(|&service| ranks[usize::from(service)]);
        let mut replay = Self {
            model,
            choices,
            by_name,
            sizes: model.sizes(),
            open,
            counts: spreads.iter().map(|&field| vec![0; fields[field].members.len()]).collect(),
            fields,
            spreads,
            sorted: Vec::new(),
            steps: 0,
        };
        replay.sorted =
            pools.into_iter().map(|(pool, dimension)| replay.sorted(pool, dimension)).collect();
        let mut counts = std::mem::take(&mut replay.counts);
        for number in 0..model.len() {
            replay.spread_from(number, |spread, value, tasks| counts[spread][value] += tasks);
        }
        replay.counts = counts;
        replay
    }

    fn sorted(&self, pool: Pool, dimension: usize) -> Sorted {
        let free = |number: u32| (self.model.free[number as usize][dimension], number);
        let members =
            (0..self.model.len() as u32).filter(|&number| self.is_in(pool, number as usize));
        Sorted { pool, dimension, by_free: members.map(free).collect() }
    }

    fn is_in(&self, pool: Pool, number: usize) -> bool {
        match pool {
            Pool::All => true,
            Pool::Of(field, value) => usize::from(self.fields[field].value_of[number]) == value,
        }
    }

    /// Tells of the tasks of an instance, for each spread of their services: its number, the value here, how many tasks.
    fn spread_from(&self, number: usize, mut tell: impl FnMut(usize, usize, u32)) {
        for &(service, count) in self.model.held_services.of(number) {
            for step in &self.choices[usize::from(service)] {
                if let Step::Spread(spread) = *step {
                    tell(spread, self.value_of(spread, number), u32::from(count));
                }
            }
        }
    }

    fn value_of(&self, spread: usize, number: usize) -> usize {
        usize::from(self.fields[self.spreads[spread]].value_of[number])
    }

    /// Whether every task that is displaced if these instances are `gone` finds a place in one replay.
    pub(crate) fn places_all(&mut self, gone: &[bool], turn: Turn) -> bool {
        let mut tasks = self.tasks(gone);
        let kind_of = |service: u16| self.model.kind_of[usize::from(service)];
        let mut rng = Rng::new(match turn {
            Turn::Shuffled(seed) | Turn::WorstFit(seed) => seed,
            Turn::SmallestFirst => 0,
        });
        match turn {
            Turn::Shuffled(_) => {
                for at in (1..tasks.len()).rev() {
                    tasks.swap(at, rng.below(at + 1));
                }
            }
            Turn::SmallestFirst | Turn::WorstFit(0) => {
                // Those of one kind stand together.
                let size = |service: u16| {
                    kind_of(service).map(|kind| (self.sizes[usize::from(kind)], kind))
                };
                tasks.sort_by(|&one, &other| {
                    size(one).partial_cmp(&size(other)).unwrap_or(Ordering::Equal)
                });
            }
            Turn::WorstFit(_) => {
                let chance: Vec<usize> = self.sizes.iter().map(|_| rng.below(1 << 20)).collect();
                tasks.sort_by_key(|&service| {
                    kind_of(service).map(|kind| (chance[usize::from(kind)], kind))
                });
            }
        }
        let (placed, steps) = match turn {
            Turn::WorstFit(_) => self.worst_fit(gone, &tasks),
            Turn::Shuffled(_) | Turn::SmallestFirst => self.play(gone, &tasks, rng),
        };
        self.steps += steps;
        placed
    }

    /// The displaced tasks, each by its service, in the order of their names. Nothing else is on its way: see [`crate::safe`].
    fn tasks(&self, gone: &[bool]) -> Vec<u16> {
        let mut counts = vec![0; self.by_name.len()];
        for number in (0..self.model.len()).filter(|&number| gone[number]) {
            for &(service, count) in self.model.held_services.of(number) {
                counts[usize::from(service)] += usize::from(count);
            }
        }
        let tasks = |&service: &u16| std::iter::repeat_n(service, counts[usize::from(service)]);
        self.by_name.iter().flat_map(tasks).collect()
    }

    fn play(&self, gone: &[bool], tasks: &[u16], rng: Rng) -> (bool, u64) {
        let model = self.model;
        let mut counts = self.counts.clone();
        let mut by_free: Vec<_> = self.sorted.iter().map(|sorted| sorted.by_free.clone()).collect();
        for number in (0..model.len()).filter(|&number| gone[number]) {
            self.spread_from(number, |spread, value, tasks| counts[spread][value] -= tasks);
            for (set, sorted) in by_free.iter_mut().zip(&self.sorted) {
                set.remove(&(model.free[number][sorted.dimension], number as u32));
            }
        }
        let prepared =
            4 * (model.len() + tasks.len() + by_free.iter().map(BTreeSet::len).sum::<usize>());
        let mut play = Play {
            replay: self,
            free: model.free.clone(),
            holders: model.holders.clone(),
            gone,
            counts,
            placed: BTreeMap::new(),
            by_free,
            rng,
            steps: prepared as u64,
            ranks: Vec::new(),
        };
        let placed = tasks.iter().all(|&service| play.place(service));
        (placed, play.steps)
    }

    /// Each task on the instance with most room that takes it. Tasks of one kind stand together.
    fn worst_fit(&self, gone: &[bool], tasks: &[u16]) -> (bool, u64) {
        let model = self.model;
        let scale = model.scale();
        let mut free = model.free.clone();
        let mut holders = model.holders.clone();
        let room = |free: &Amounts<D>| -> i64 {
            let share = |at: usize| f64::from(free[at]) * f64::from(scale[at]);
            ((0..D.min(2)).map(share).fold(f64::INFINITY, f64::min) * 1e6) as i64
        };
        let kind_of = |service: u16| model.kind_of[usize::from(service)];
        let mut rooms: Vec<i64> = free.iter().map(room).collect();
        let mut steps = model.len() as u64;
        for same in tasks.chunk_by(|&one, &other| kind_of(one) == kind_of(other)) {
            let Some(number) = kind_of(same[0]) else { continue };
            let kind = &model.kinds[usize::from(number)];
            let takes = |number: usize, free: &[Amounts<D>], holders: &[BitSet]| {
                fits(&kind.demand, &free[number]) && !conflicts(kind, holders, number)
            };
            let open = self.open[usize::from(number)].iter();
            let open = open.filter(|&number| !gone[number] && takes(number, &free, &holders));
            let mut heap: BinaryHeap<_> = open.map(|number| (rooms[number], number)).collect();
            steps += (model.len() + heap.len()) as u64;
            for _ in same {
                steps += 8;
                let Some((_, number)) = heap.pop() else { return (false, steps) };
                for (free, demand) in free[number].iter_mut().zip(kind.demand) {
                    *free -= demand;
                }
                kind.keys.iter().for_each(|&key| holders[usize::from(key)].insert(number));
                rooms[number] = room(&free[number]);
                if takes(number, &free, &holders) {
                    heap.push((rooms[number], number));
                }
            }
        }
        (true, steps)
    }
}

/// Whether a field of a spread strategy names the instance itself. Source: ECS Developer Guide, task-placement-strategies.
fn is_instance(field: &str) -> bool {
    matches!(field, "instanceId" | "host")
}

/// The values of a field; an instance without it has the value of nothing.
fn field<const D: usize>(inventory: &Inventory, model: &Model<D>, name: &str) -> Field {
    let subject = Subject::Attribute(name.strip_prefix("attribute:").unwrap_or(name).to_owned());
    let mut numbers = BTreeMap::<Option<&str>, u16>::new();
    let mut field = Field { value_of: Vec::new(), members: Vec::new() };
    for (number, &index) in (0..).zip(&model.origin) {
        let next = field.members.len() as u16;
        let value =
            *numbers.entry(subject.value(&inventory.instances[index])).or_insert_with(|| {
                field.members.push(Vec::new());
                next
            });
        field.members[usize::from(value)].push(number);
        field.value_of.push(value);
    }
    field
}

impl<const D: usize> Play<'_, '_, D> {
    fn place(&mut self, service: u16) -> bool {
        let Some(kind) = self.replay.model.kind_of[usize::from(service)] else { return true };
        let steps = self.replay.choices[usize::from(service)].as_slice();
        let chosen = match steps {
            [Step::Spread(spread), rest @ ..] => self.choose_spread(service, kind, *spread, rest),
            steps => self.choose(service, kind, Pool::All, steps),
        };
        let Some(number) = chosen else { return false };
        self.host(service, kind, number);
        true
    }

    /// The value with the fewest tasks of the service that has an instance to take one more.
    fn choose_spread(
        &mut self,
        service: u16,
        kind: u16,
        spread: usize,
        rest: &[Step],
    ) -> Option<usize> {
        let field = self.replay.spreads[spread];
        let counts = &self.counts[spread];
        let mut values: Vec<(u32, usize, usize)> = (0..counts.len())
            .map(|value| (counts[value], self.rng.below(1 << 16), value))
            .collect();
        values.sort_unstable();
        values
            .into_iter()
            .find_map(|(_, _, value)| self.choose(service, kind, Pool::Of(field, value), rest))
    }

    fn choose(&mut self, service: u16, kind: u16, pool: Pool, steps: &[Step]) -> Option<usize> {
        if let [Step::Binpack(dimension), ..] = *steps {
            let same = |sorted: &Sorted| (sorted.pool, sorted.dimension) == (pool, dimension);
            if let Some(at) = self.replay.sorted.iter().position(same) {
                return self.least_free(kind, at, dimension);
            }
        }
        self.draw(service, kind, pool, steps).or_else(|| self.look(service, kind, pool, steps))
    }

    /// One by chance that takes the task: exact for a choice by chance, and for one by fewest tasks if it has none.
    fn draw(&mut self, service: u16, kind: u16, pool: Pool, steps: &[Step]) -> Option<usize> {
        let spread = match steps {
            [] => false,
            [Step::SpreadInstances, ..] => true,
            _ => return None,
        };
        let members = match pool {
            Pool::All => self.free.len(),
            Pool::Of(field, value) => self.replay.fields[field].members[value].len(),
        };
        for _ in 0..DRAWS.min(4 * members) {
            self.steps += 4;
            let drawn = self.rng.below(members);
            let number = match pool {
                Pool::All => drawn,
                Pool::Of(field, value) => self.replay.fields[field].members[value][drawn] as usize,
            };
            if self.takes(kind, number) && !(spread && self.tasks_of(service, number) > 0) {
                return Some(number);
            }
        }
        None
    }

    /// Looks at every one: the best by the steps, in order; chance decides what they leave open.
    fn look(&mut self, service: u16, kind: u16, pool: Pool, steps: &[Step]) -> Option<usize> {
        let replay = self.replay;
        let open = &replay.open[usize::from(kind)];
        self.steps += open.words() as u64;
        let (mut chosen, mut best, mut ties) = (None, Vec::new(), 0);
        let mut ranks = std::mem::take(&mut self.ranks);
        for number in open.iter().filter(|&number| replay.is_in(pool, number)) {
            self.steps += 1;
            if !self.takes(kind, number) {
                continue;
            }
            ranks.clear();
            ranks.extend(steps.iter().map(|step| match *step {
                Step::Spread(spread) => {
                    i64::from(self.counts[spread][replay.value_of(spread, number)])
                }
                Step::SpreadInstances => self.tasks_of(service, number) as i64,
                Step::Binpack(dimension) => i64::from(self.free[number][dimension]),
            }));
            if chosen.is_none() || ranks < best {
                std::mem::swap(&mut ranks, &mut best);
                (chosen, ties) = (Some(number), 1);
            } else if ranks == best {
                ties += 1;
                if self.rng.below(ties) == 0 {
                    chosen = Some(number);
                }
            }
        }
        self.ranks = ranks;
        chosen
    }

    /// The one with the least left in a dimension that takes the task.
    fn least_free(&mut self, kind: u16, at: usize, dimension: usize) -> Option<usize> {
        let least = self.replay.model.kinds[usize::from(kind)].demand[dimension];
        let (mut chosen, mut looks) = (None, 8);
        for &(_, number) in self.by_free[at].range((least, 0)..) {
            looks += 1;
            if self.takes(kind, number as usize) {
                chosen = Some(number as usize);
                break;
            }
        }
        self.steps += looks;
        chosen
    }

    fn takes(&self, kind: u16, number: usize) -> bool {
        let what = &self.replay.model.kinds[usize::from(kind)];
        !self.gone[number]
            && fits(&what.demand, &self.free[number])
            && self.replay.model.allows(what, number)
            && !conflicts(what, &self.holders, number)
    }

    /// How many tasks of a service an instance has.
    fn tasks_of(&self, service: u16, number: usize) -> usize {
        let held = self.replay.model.held_services.of(number);
        let held = held
            .iter()
            .find(|(other, _)| *other == service)
            .map_or(0, |(_, count)| usize::from(*count));
        held + self.placed.get(&(number as u32, service)).copied().unwrap_or_default()
    }

    fn host(&mut self, service: u16, kind: u16, number: usize) {
        self.steps += 8;
        let replay = self.replay;
        let before = self.free[number];
        for (free, demand) in
            self.free[number].iter_mut().zip(replay.model.kinds[usize::from(kind)].demand)
        {
            *free -= demand;
        }
        for (set, sorted) in self.by_free.iter_mut().zip(&replay.sorted) {
            if replay.is_in(sorted.pool, number) {
                set.remove(&(before[sorted.dimension], number as u32));
                set.insert((self.free[number][sorted.dimension], number as u32));
            }
        }
        for &key in &replay.model.kinds[usize::from(kind)].keys {
            self.holders[usize::from(key)].insert(number);
        }
        let steps = &replay.choices[usize::from(service)];
        if steps.contains(&Step::SpreadInstances) {
            *self.placed.entry((number as u32, service)).or_default() += 1;
        }
        for step in steps {
            if let Step::Spread(spread) = *step {
                self.counts[spread][replay.value_of(spread, number)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Instance, Service};
    use crate::testing::{cluster, holding, model, service};

    /// Whether a replay stands. Two instances stay: one with half its CPU free, in zone a, and one with all of it, in zone b.
    /// Off a third come small tasks and a large one, which only fits where no small one has gone: on the second.
    /// `small` is how many small tasks each of the three has.
    fn stands(strategy: &[Strategy], turn: Turn, small: [usize; 3], zone: &str) -> bool {
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
        let open: Vec<_> = model.kinds.iter().map(|kind| model.open(kind)).collect();
        Replay::new(&inventory, &model, &open).places_all(&[false, false, true], turn)
    }

    #[test]
    fn each_strategy_places_as_it_says() {
        let spread = |field: &str| Strategy::Spread(field.to_owned());
        let zone = "attribute:ecs.availability-zone";
        let stands = |strategy: &[Strategy]| stands(strategy, Turn::SmallestFirst, [1, 0, 1], "a");
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
                stands(&[Strategy::Spread(spread.to_owned())], Turn::SmallestFirst, small, zone)
            };
            // The first zone, or instance, has fewer all the time, and so it has if two more leave the second.
            assert!(stands([0, 3, 2], "a"));
            assert!(!stands([2, 1, 2], "b"));
            // The third task finds as many in the first as in the second, or the second had one before.
            assert!(!stands([0, 1, 3], "a"));
        }
    }

    #[test]
    fn chance_places_anywhere() {
        let outcomes: BTreeSet<bool> =
            (1..40).map(|seed| stands(&[], Turn::Shuffled(seed), [1, 0, 1], "a")).collect();
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn a_worst_fit_takes_the_most_room_whatever_the_strategy() {
        assert!(!stands(&[Strategy::BinpackCpu], Turn::WorstFit(0), [1, 0, 1], "a"));
    }
}

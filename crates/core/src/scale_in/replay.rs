//! What ECS would do with the displaced tasks, played through by each service's own placement strategy.
//!
//! A replay proves nothing, as the certificate does; several of them in different orders make a stalled drain rare. They are
//! for tasks whose service starts the replacement before it stops the old task: if one finds no place, its drain stalls
//! and is rolled back. Source of how ECS chooses: ECS Developer Guide, task-placement-strategies.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::expression::Subject;
use super::inventory::{Inventory, Strategy};
use super::model::{Amounts, BitSet, Model, conflicts, fits, ranks};
use super::rng::Rng;

/// In which order displaced tasks are placed, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// In an order by chance, by their services' strategies.
    Shuffled(u64),
    /// The smallest first, by their services' strategies: the large ones find what is left.
    SmallestFirst,
    /// The smallest first, each on the instance with most room: the worst that a scheduler can do.
    WorstFit,
}

/// The replays that a plan must stand.
pub(super) const TURNS: [Turn; 8] = [
    Turn::WorstFit,
    Turn::SmallestFirst,
    Turn::Shuffled(1),
    Turn::Shuffled(2),
    Turn::Shuffled(3),
    Turn::Shuffled(4),
    Turn::Shuffled(5),
    Turn::Shuffled(6),
];

/// Plays placements on one model.
pub(super) struct Replay<'a, const D: usize> {
    model: &'a Model<D>,
    /// By service: its steps, if it has tasks to be placed.
    choices: Vec<Vec<Step>>,
    /// The services in the order of their names, so that nothing depends on the order of the inventory.
    by_name: Vec<u16>,
    fields: Vec<Field>,
    /// Which instances are looked through in order of what is free, and in which dimension.
    sorted: Vec<(Pool, usize)>,
    scale: [f32; D],
    /// The looks and placements so far.
    pub(super) steps: u64,
}

/// A field to spread over.
struct Field {
    /// By instance: its value, as a number.
    value_of: Vec<u16>,
    /// By value: the instances that have it.
    members: Vec<Vec<u32>>,
}

/// One step of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Spread(usize),
    SpreadInstances,
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
    /// By service: by field, by value: its tasks there.
    spread: BTreeMap<(u16, usize), Vec<u32>>,
    /// By instance: the services whose tasks were placed on it.
    placed: Vec<Vec<u16>>,
    sorted: Vec<BTreeSet<(i32, u32)>>,
    all: Vec<u32>,
    rng: Rng,
    steps: u64,
}

/// How often chance is asked for an instance before all are looked at.
const DRAWS: usize = 24;

impl<'a, const D: usize> Replay<'a, D> {
    /// Prepares to play.
    pub(super) fn new(inventory: &Inventory, model: &'a Model<D>) -> Self {
        let mut names = Vec::<&str>::new();
        let choices = inventory.services.iter().map(|service| {
            let steps = service.strategy.iter().filter_map(|strategy| match strategy {
                Strategy::Random => None,
                Strategy::Spread(field) if matches!(field.as_str(), "instanceId" | "host") => {
                    Some(Step::SpreadInstances)
                }
                Strategy::Spread(field) => {
                    let known = names.iter().position(|name| name == field);
                    Some(Step::Spread(known.unwrap_or_else(|| {
                        names.push(field);
                        names.len() - 1
                    })))
                }
                Strategy::BinpackCpu => Some(Step::Binpack(0)),
                Strategy::BinpackMemory => Some(Step::Binpack(1)),
            });
            steps.collect::<Vec<_>>()
        });
        let choices: Vec<_> = choices.collect();
        let fields: Vec<_> = names.into_iter().map(|name| field(inventory, model, name)).collect();
        let mut sorted = BTreeSet::new();
        for steps in
            choices.iter().zip(&model.kind_of).filter(|(_, kind)| kind.is_some()).map(|(steps, _)| steps)
        {
            match steps.as_slice() {
                [Step::Binpack(at), ..] => {
                    sorted.insert((Pool::All, *at));
                }
                [Step::Spread(field), Step::Binpack(at), ..] => {
                    sorted.extend(
                        (0..fields[*field].members.len()).map(|value| (Pool::Of(*field, value), *at)),
                    );
                }
                _ => {}
            }
        }
        let ranks = ranks(&inventory.services);
        let mut by_name: Vec<u16> = (0..).take(ranks.len()).collect();
        by_name.sort_by_key(|&service| ranks[usize::from(service)]);
        let sorted = sorted.into_iter().collect();
        Self { model, choices, by_name, fields, sorted, scale: model.scale(), steps: 0 }
    }

    /// Whether every task that is displaced if these instances are `gone` finds a place in one replay.
    pub(super) fn places_all(&mut self, gone: &[bool], turn: Turn) -> bool {
        let mut tasks = self.tasks(gone);
        let mut rng = Rng::new(match turn {
            Turn::Shuffled(seed) => seed,
            Turn::SmallestFirst | Turn::WorstFit => 0,
        });
        if let Turn::Shuffled(_) = turn {
            for at in (1..tasks.len()).rev() {
                tasks.swap(at, rng.below(at + 1));
            }
        } else {
            let size = |service: u16| {
                self.model.kind_of[usize::from(service)].map_or(0.0, |kind| self.size(usize::from(kind)))
            };
            tasks.sort_by(|&one, &other| size(one).total_cmp(&size(other)));
        }
        let (placed, steps) =
            if turn == Turn::WorstFit { self.worst_fit(gone, &tasks) } else { self.play(gone, &tasks, rng) };
        self.steps += steps;
        placed
    }

    fn size(&self, kind: usize) -> f32 {
        self.model.kinds[kind]
            .demand
            .iter()
            .zip(self.scale)
            .map(|(demand, scale)| *demand as f32 * scale)
            .sum()
    }

    /// The displaced tasks, each by its service, in the order of their names. Nothing else is on its way: see [`super::safe`].
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
        let mut spread = BTreeMap::new();
        for &service in tasks {
            for step in &self.choices[usize::from(service)] {
                if let Step::Spread(field) = step {
                    let values = self.fields[*field].members.len();
                    spread.entry((service, *field)).or_insert_with(|| vec![0; values]);
                }
            }
        }
        for number in (0..model.len()).filter(|&number| !gone[number]) {
            for &(service, count) in model.held_services.of(number) {
                for step in &self.choices[usize::from(service)] {
                    if let Step::Spread(field) = step
                        && let Some(counts) = spread.get_mut(&(service, *field))
                    {
                        counts[usize::from(self.fields[*field].value_of[number])] += u32::from(count);
                    }
                }
            }
        }
        let all: Vec<u32> = (0..model.len() as u32).filter(|&number| !gone[number as usize]).collect();
        let sorted = self.sorted.iter().map(|(pool, at)| {
            let members = match pool {
                Pool::All => &all,
                Pool::Of(field, value) => &self.fields[*field].members[*value],
            };
            let stays = members.iter().filter(|&&number| !gone[number as usize]);
            stays.map(|&number| (model.free[number as usize][*at], number)).collect()
        });
        let sorted: Vec<BTreeSet<(i32, u32)>> = sorted.collect();
        let prepared = 4 * (model.len() + tasks.len() + sorted.iter().map(BTreeSet::len).sum::<usize>());
        let mut play = Play {
            replay: self,
            free: model.free.clone(),
            holders: model.holders.clone(),
            gone,
            spread,
            placed: vec![Vec::new(); model.len()],
            sorted,
            all,
            rng,
            steps: prepared as u64,
        };
        let placed = tasks.iter().all(|&service| play.place(service));
        (placed, play.steps)
    }

    /// Each task on the instance with most room that takes it.
    fn worst_fit(&self, gone: &[bool], tasks: &[u16]) -> (bool, u64) {
        let model = self.model;
        let mut free = model.free.clone();
        let mut holders = model.holders.clone();
        let room = |free: &Amounts<D>| -> i64 {
            let share = |at: usize| f64::from(free[at]) * f64::from(self.scale[at]);
            ((0..D.min(2)).map(share).fold(f64::INFINITY, f64::min) * 1e6) as i64
        };
        let mut heap: BinaryHeap<(i64, u32)> = (0..model.len())
            .filter(|&number| !gone[number])
            .map(|number| (room(&free[number]), number as u32))
            .collect();
        let (mut aside, mut steps) = (Vec::new(), model.len() as u64);
        for &service in tasks {
            let Some(kind) = model.kind_of[usize::from(service)] else { continue };
            let kind = &model.kinds[usize::from(kind)];
            let mut placed = false;
            while let Some((most, number)) = heap.pop() {
                steps += 8;
                let at = number as usize;
                let takes =
                    fits(&kind.demand, &free[at]) && model.allows(kind, at) && !conflicts(kind, &holders, at);
                if takes {
                    for (free, demand) in free[at].iter_mut().zip(kind.demand) {
                        *free -= demand;
                    }
                    kind.keys.iter().for_each(|&key| holders[usize::from(key)].insert(at));
                    heap.push((room(&free[at]), number));
                    placed = true;
                    break;
                }
                aside.push((most, number));
            }
            heap.extend(aside.drain(..));
            if !placed {
                return (false, steps);
            }
        }
        (true, steps)
    }
}

/// The values of a field; an instance without it has the value of nothing.
fn field<const D: usize>(inventory: &Inventory, model: &Model<D>, name: &str) -> Field {
    let subject = Subject::Attribute(name.strip_prefix("attribute:").unwrap_or(name).to_owned());
    let mut numbers = BTreeMap::<Option<&str>, u16>::new();
    let mut field = Field { value_of: Vec::new(), members: Vec::new() };
    for (number, &index) in (0..).zip(&model.origin) {
        let next = field.members.len() as u16;
        let value = *numbers.entry(subject.value(&inventory.instances[index])).or_insert_with(|| {
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
            [Step::Spread(field), rest @ ..] => self.choose_spread(service, kind, *field, rest),
            steps => self.choose(service, kind, Pool::All, steps),
        };
        let Some(number) = chosen else { return false };
        self.host(service, kind, number);
        true
    }

    /// The value with the fewest tasks of the service that has an instance to take one more.
    fn choose_spread(&mut self, service: u16, kind: u16, field: usize, rest: &[Step]) -> Option<usize> {
        let counts = self.spread.get(&(service, field))?;
        let mut values: Vec<(u32, usize, usize)> =
            (0..counts.len()).map(|value| (counts[value], self.rng.below(1 << 16), value)).collect();
        values.sort_unstable();
        values.into_iter().find_map(|(_, _, value)| self.choose(service, kind, Pool::Of(field, value), rest))
    }

    fn choose(&mut self, service: u16, kind: u16, pool: Pool, steps: &[Step]) -> Option<usize> {
        let replay = self.replay;
        if let [Step::Binpack(at), ..] = steps
            && let Ok(position) = replay.sorted.binary_search(&(pool, *at))
        {
            return self.least_free(kind, position, *at);
        }
        let all = std::mem::take(&mut self.all);
        let members = match pool {
            Pool::All => &all,
            Pool::Of(field, value) => &replay.fields[field].members[value],
        };
        let chosen =
            self.draw(service, kind, members, steps).or_else(|| self.look(service, kind, members, steps));
        self.all = all;
        chosen
    }

    /// One by chance that takes the task: exact for a choice by chance, and for one by fewest tasks if it has none.
    fn draw(&mut self, service: u16, kind: u16, members: &[u32], steps: &[Step]) -> Option<usize> {
        let spread = match steps {
            [] => false,
            [Step::SpreadInstances, ..] => true,
            _ => return None,
        };
        for _ in 0..DRAWS.min(4 * members.len()) {
            self.steps += 4;
            let number = members[self.rng.below(members.len())] as usize;
            if self.takes(kind, number) && !(spread && self.tasks_of(service, number) > 0) {
                return Some(number);
            }
        }
        None
    }

    /// Looks at every one: the best by the steps, in order; chance decides what they leave open.
    fn look(&mut self, service: u16, kind: u16, members: &[u32], steps: &[Step]) -> Option<usize> {
        self.steps += members.len() as u64;
        let mut best: Option<(Vec<i64>, usize)> = None;
        let mut ties = 0;
        for &number in members {
            let number = number as usize;
            if !self.takes(kind, number) {
                continue;
            }
            let rank = |step: &Step| match step {
                Step::Spread(field) => {
                    let counts = &self.spread[&(service, *field)];
                    i64::from(counts[usize::from(self.replay.fields[*field].value_of[number])])
                }
                Step::SpreadInstances => self.tasks_of(service, number) as i64,
                Step::Binpack(at) => i64::from(self.free[number][*at]),
            };
            let ranks: Vec<i64> = steps.iter().map(rank).collect();
            match best.as_ref().map(|(best, _)| ranks.cmp(best)) {
                None | Some(std::cmp::Ordering::Less) => {
                    ties = 1;
                    best = Some((ranks, number));
                }
                Some(std::cmp::Ordering::Equal) => {
                    ties += 1;
                    if self.rng.below(ties) == 0 {
                        best = Some((ranks, number));
                    }
                }
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        best.map(|(_, number)| number)
    }

    /// The one with the least left in a dimension that takes the task.
    fn least_free(&mut self, kind: u16, position: usize, at: usize) -> Option<usize> {
        let least = self.replay.model.kinds[usize::from(kind)].demand[at];
        let (mut chosen, mut looks) = (None, 8);
        for &(_, number) in self.sorted[position].range((least, 0)..) {
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
        let held = self.replay.model.held_services.of(number).iter().find(|(other, _)| *other == service);
        let placed = self.placed[number].iter().filter(|&&other| other == service).count();
        held.map_or(0, |(_, count)| usize::from(*count)) + placed
    }

    fn host(&mut self, service: u16, kind: u16, number: usize) {
        self.steps += 8;
        let replay = self.replay;
        let before = self.free[number];
        for (free, demand) in self.free[number].iter_mut().zip(replay.model.kinds[usize::from(kind)].demand) {
            *free -= demand;
        }
        for (set, (pool, at)) in self.sorted.iter_mut().zip(&replay.sorted) {
            let inside = match pool {
                Pool::All => true,
                Pool::Of(field, value) => usize::from(replay.fields[*field].value_of[number]) == *value,
            };
            if inside {
                set.remove(&(before[*at], number as u32));
                set.insert((self.free[number][*at], number as u32));
            }
        }
        for &key in &replay.model.kinds[usize::from(kind)].keys {
            self.holders[usize::from(key)].insert(number);
        }
        self.placed[number].push(service);
        for step in &replay.choices[usize::from(service)] {
            if let Step::Spread(field) = step
                && let Some(counts) = self.spread.get_mut(&(service, *field))
            {
                counts[usize::from(replay.fields[*field].value_of[number])] += 1;
            }
        }
    }
}

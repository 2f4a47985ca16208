//! Displaced tasks put onto what stays: which instances are gone, where each kind went, and what is free now.
//!
//! A task goes where the free room has its shape (the cosine between the two is greatest), in the class of instances where
//! room is cheapest: that beats a tight fit, as what is left over keeps a useful shape. Every change can be taken back,
//! so that the search can try.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::rc::Rc;

use crate::bound::Prices;
use crate::limits::Limits;
use crate::model::{Amounts, BitSet, Kind, Model, conflicts, fits};

/// Up to so many tasks or places, no heap is worth it.
const FEW: u32 = 32;

/// A packing in the making.
#[derive(Clone)]
pub(crate) struct Packing<'a, const D: usize> {
    pub(crate) model: &'a Model<D>,
    pub(crate) limits: Limits,
    pub(crate) gone: Vec<bool>,
    /// By instance: what is free; nothing, not even of what nobody needs, where it is gone.
    free: Vec<Amounts<D>>,
    /// By instance: the displaced tasks that it took, by kind.
    pub(crate) hosted: Vec<Vec<(u16, u16)>>,
    /// By kind: displaced tasks that have no place.
    pub(crate) unplaced: Vec<u32>,
    unplaced_total: u32,
    /// Kinds that have, or had, tasks without a place.
    waiting: Vec<u16>,
    holders: Vec<BitSet>,
    /// By kind: the instances that host displaced tasks of it.
    hosts: Vec<BitSet>,
    shape: Rc<Shape<D>>,
    /// What is saved.
    pub(crate) value: u64,
    /// The work so far: looks at an instance for a kind, and changes.
    pub(crate) steps: u64,
    places: Vec<Place>,
    journal: Vec<Change>,
    /// Where to look for tasks that can go home.
    from: usize,
}

/// What a change costs in steps.
const CHANGE_STEPS: u64 = 8;

/// A change that can be taken back.
#[derive(Clone, Copy)]
enum Change {
    Removed(u32),
    Restored(u32),
    /// Displaced tasks of a kind took a place on an instance, or lost it.
    Placed {
        number: u32,
        kind: u16,
        count: i32,
    },
    /// More tasks of a kind need a place, or fewer.
    Displaced {
        kind: u16,
        count: i32,
    },
}

/// How to judge a place.
struct Shape<const D: usize> {
    /// One over the mean capacity.
    scale: [f32; D],
    /// By kind: its scaled demand divided by its length.
    direction: Vec<[f32; D]>,
    /// See [`Prices::detour`].
    detour: Vec<f32>,
    /// By instance: the class of its room; and how many there are.
    class: Vec<u16>,
    classes: usize,
    /// By kind: when it is placed. Those that fit on the fewest instances come first.
    rank: Vec<u16>,
}

impl<'a, const D: usize> Packing<'a, D> {
    /// Nothing gone yet, and what is on its way not placed yet.
    pub(crate) fn new(model: &'a Model<D>, limits: Limits, prices: &Prices) -> Self {
        let mut packing = Self {
            model,
            limits,
            gone: vec![false; model.len()],
            free: model.free.clone(),
            hosted: vec![Vec::new(); model.len()],
            unplaced: vec![0; model.kinds.len()],
            unplaced_total: 0,
            waiting: Vec::new(),
            holders: model.holders.clone(),
            hosts: vec![BitSet::new(model.len()); model.kinds.len()],
            shape: Rc::new(Shape::new(model, prices)),
            value: 0,
            steps: 0,
            places: Vec::new(),
            journal: Vec::new(),
            from: 0,
        };
        for (number, kind) in (0..).zip(&model.kinds) {
            packing.change(Change::Displaced { kind: number, count: kind.in_flight as i32 });
        }
        packing
    }

    /// Whether everything that is displaced has a place.
    pub(crate) fn is_complete(&self) -> bool {
        self.unplaced_total == 0
    }

    /// Takes an instance out: its tasks, and those that it hosts, need a place.
    pub(crate) fn remove(&mut self, number: usize) {
        self.unhost(number);
        self.change(Change::Removed(number as u32));
        for &(kind, count) in self.model.held.of(number) {
            self.change(Change::Displaced { kind, count: i32::from(count) });
        }
    }

    /// Takes all displaced tasks off an instance again.
    pub(crate) fn unhost(&mut self, number: usize) {
        while let Some(&(kind, count)) = self.hosted[number].last() {
            self.change(Change::Placed { number: number as u32, kind, count: -i32::from(count) });
        }
    }

    /// Lets an instance stay after all: its tasks are not displaced any more. Where they have places already, those are
    /// freed, whichever they are: tasks of one kind are interchangeable.
    pub(crate) fn restore(&mut self, number: usize) {
        self.change(Change::Restored(number as u32));
        for &(kind, count) in self.model.held.of(number) {
            let waiting = self.unplaced[usize::from(kind)].min(u32::from(count));
            self.change(Change::Displaced { kind, count: -(waiting as i32) });
            self.free_places(kind, i32::from(count) - waiting as i32);
        }
    }

    fn free_places(&mut self, kind: u16, mut count: i32) {
        while count > 0 {
            self.steps += self.hosts[usize::from(kind)].words() as u64;
            let Some(number) = self.hosts[usize::from(kind)].next(self.from) else { break };
            let here = self.hosted[number].iter().find(|(other, _)| *other == kind);
            let here = here.map_or(0, |(_, here)| i32::from(*here).min(count));
            self.change(Change::Placed { number: number as u32, kind, count: -here });
            self.change(Change::Displaced { kind, count: -here });
            count -= here;
            self.from = number;
        }
    }

    /// Places one task, which must fit.
    fn host(&mut self, number: usize, kind: u16) {
        self.change(Change::Placed { number: number as u32, kind, count: 1 });
    }

    fn change(&mut self, change: Change) {
        self.steps += CHANGE_STEPS;
        self.journal.push(change);
        self.apply(change);
    }

    /// Forgets how to take back what has been done.
    pub(crate) fn keep(&mut self) {
        self.journal.clear();
    }

    /// The instances that lost a displaced task since the last [`Packing::keep`].
    pub(crate) fn touched(&self, into: &mut Vec<u32>) {
        into.extend(self.journal.iter().filter_map(|change| match change {
            Change::Placed { number, count, .. } if *count < 0 => Some(*number),
            _ => None,
        }));
    }

    /// Takes back what has been done since the last [`Packing::keep`].
    pub(crate) fn take_back(&mut self) {
        self.steps += CHANGE_STEPS * self.journal.len() as u64;
        while let Some(change) = self.journal.pop() {
            self.apply(match change {
                Change::Removed(number) => Change::Restored(number),
                Change::Restored(number) => Change::Removed(number),
                Change::Placed { number, kind, count } => {
                    Change::Placed { number, kind, count: -count }
                }
                Change::Displaced { kind, count } => Change::Displaced { kind, count: -count },
            });
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Removed(number) => {
                let number = number as usize;
                self.limits.take(number);
                self.gone[number] = true;
                self.free[number] = [-1; D];
                self.value += self.model.value[number];
            }
            Change::Restored(number) => {
                let number = number as usize;
                self.limits.give_back(number);
                self.gone[number] = false;
                self.free[number] = self.model.free[number];
                self.value -= self.model.value[number];
            }
            Change::Placed { number, kind, count } => {
                self.take_room(number as usize, kind, count);
                self.displace(kind, -count);
            }
            Change::Displaced { kind, count } => self.displace(kind, count),
        }
    }

    fn displace(&mut self, kind: u16, count: i32) {
        let unplaced = &mut self.unplaced[usize::from(kind)];
        if *unplaced == 0 && count > 0 {
            self.waiting.push(kind);
        }
        *unplaced = unplaced.wrapping_add_signed(count);
        self.unplaced_total = self.unplaced_total.wrapping_add_signed(count);
    }

    /// Takes as much room for tasks of a kind, or gives it back.
    fn take_room(&mut self, number: usize, kind: u16, count: i32) {
        let what = &self.model.kinds[usize::from(kind)];
        for (free, demand) in self.free[number].iter_mut().zip(what.demand) {
            *free -= demand * count;
        }
        for &key in &what.keys {
            if count > 0 {
                self.holders[usize::from(key)].insert(number);
            } else {
                self.holders[usize::from(key)].remove(number);
            }
        }
        let hosted = &mut self.hosted[number];
        match hosted.iter().position(|(other, _)| *other == kind) {
            Some(at) => {
                let left = i32::from(hosted[at].1) + count;
                hosted[at].1 = left as u16;
                if left == 0 {
                    hosted.swap_remove(at);
                    self.hosts[usize::from(kind)].remove(number);
                }
            }
            None => {
                hosted.push((kind, count as u16));
                self.hosts[usize::from(kind)].insert(number);
            }
        }
    }

    /// The kinds that wait for a place, in the order in which they are placed.
    fn take_waiting(&mut self) -> Vec<u16> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&kind| self.unplaced[usize::from(kind)] > 0);
        waiting.sort_unstable_by_key(|&kind| self.shape.rank[usize::from(kind)]);
        waiting.dedup();
        waiting
    }

    /// Places what is displaced, anywhere, for good.
    pub(crate) fn place_all(&mut self) {
        self.keep();
        let waiting = self.take_waiting();
        for &kind in &waiting {
            self.place(usize::from(kind), None);
            self.keep();
        }
        self.waiting = waiting;
    }

    /// Places what is displaced among some instances, each named once.
    pub(crate) fn place_among(&mut self, among: &[u32]) {
        let waiting = self.take_waiting();
        for &kind in &waiting {
            self.place(usize::from(kind), Some(among));
        }
        self.waiting = waiting;
    }

    /// Places what is displaced among some instances, each named once, then anywhere; gives up at the first kind that finds no place.
    /// `nowhere` says which kinds have no place elsewhere, and is told of more.
    pub(crate) fn place_or_fail(&mut self, among: &[u32], nowhere: &mut [bool]) -> bool {
        let waiting = self.take_waiting();
        for &kind in &waiting {
            let kind = usize::from(kind);
            if !among.is_empty() {
                self.place(kind, Some(among));
            }
            if self.unplaced[kind] > 0 && nowhere[kind] {
                break;
            }
        }
        for &kind in &waiting {
            let kind = usize::from(kind);
            if self.unplaced[kind] > 0 && !nowhere[kind] {
                let before = self.unplaced[kind];
                self.place(kind, None);
                nowhere[kind] = self.unplaced[kind] == before;
            }
            if self.unplaced[kind] > 0 {
                break;
            }
        }
        self.waiting = waiting;
        self.is_complete()
    }

    /// What is free on an instance, in units of a mean one.
    pub(crate) fn slack(&self, number: usize) -> f32 {
        (0..D).map(|at| self.free[number][at] as f32 * self.shape.scale[at]).sum()
    }

    /// Places as many displaced tasks of a kind as fit, each where it fits best.
    fn place(&mut self, kind: usize, among: Option<&[u32]>) {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        match among {
            Some(numbers) => self.look_among(kind, numbers, &mut places),
            None => self.look_everywhere(kind, &mut places),
        }
        if places.is_empty() {
            self.places = places;
            return;
        }
        self.places = if self.unplaced[kind] <= FEW || places.len() <= FEW as usize {
            self.place_few(kind, places)
        } else {
            self.place_many(kind, places)
        };
    }

    fn look_among(&mut self, kind: usize, numbers: &[u32], places: &mut Vec<Place>) {
        self.steps += numbers.len() as u64;
        let demand = &self.model.kinds[kind].demand;
        for &number in numbers {
            if fits(demand, &self.free[number as usize]) && self.takes(number as usize, kind) {
                places.push(Place { score: self.score(number as usize, kind), number });
            }
        }
    }

    fn look_everywhere(&mut self, kind: usize, places: &mut Vec<Place>) {
        let what = &self.model.kinds[kind];
        for class in (0..what.allowed.len()).filter(|&class| what.allowed[class]) {
            let (start, end) = (self.model.class_starts[class], self.model.class_starts[class + 1]);
            self.steps += (end - start) as u64;
            for (number, free) in (start..).zip(&self.free[start..end]) {
                if fits(&what.demand, free) && !conflicts(what, &self.holders, number) {
                    places.push(Place { score: self.score(number, kind), number: number as u32 });
                }
            }
        }
    }

    /// Looks for the best place again for every task.
    fn place_few(&mut self, kind: usize, mut places: Vec<Place>) -> Vec<Place> {
        while self.unplaced[kind] > 0 {
            let best = (0..places.len()).max_by(|&one, &other| places[one].cmp(&places[other]));
            let Some(at) = best else { break };
            let number = places[at].number as usize;
            self.host(number, kind as u16);
            if self.takes(number, kind) {
                places[at].score = self.score(number, kind);
            } else {
                places.swap_remove(at);
            }
        }
        places
    }

    /// Keeps the places in a heap.
    fn place_many(&mut self, kind: usize, places: Vec<Place>) -> Vec<Place> {
        let mut heap = BinaryHeap::from(places);
        while self.unplaced[kind] > 0 {
            let Some(mut best) = heap.peek_mut() else { break };
            let number = best.number as usize;
            self.host(number, kind as u16);
            if self.takes(number, kind) {
                best.score = self.score(number, kind);
            } else {
                PeekMut::pop(best);
            }
        }
        heap.into_vec()
    }

    /// Whether an instance can take one more task of a kind.
    fn takes(&self, number: usize, kind: usize) -> bool {
        let what = &self.model.kinds[kind];
        fits(&what.demand, &self.free[number])
            && what.allowed[usize::from(self.model.class[number])]
            && !conflicts(what, &self.holders, number)
    }

    /// The lower, the better: how badly the shape of the room suits that of the task, and what the class costs more than
    /// the cheapest.
    fn score(&self, number: usize, kind: usize) -> f32 {
        let Shape { scale, direction, detour, class, classes, .. } = &*self.shape;
        let (mut square, mut along) = (0.0, 0.0);
        for at in 0..D {
            let free = self.free[number][at] as f32 * scale[at];
            square += free * free;
            along += free * direction[kind][at];
        }
        let detour = detour[kind * classes + usize::from(class[number])];
        // Nothing free, and nothing needed: any place will do.
        let cosine = if square > 0.0 { along / square.sqrt() } else { 0.0 };
        detour - cosine
    }
}

impl<const D: usize> Shape<D> {
    fn new(model: &Model<D>, prices: &Prices) -> Self {
        let scale = model.scale();
        let direction = |kind: &Kind<D>| {
            let demand: [f32; D] = std::array::from_fn(|at| kind.demand[at] as f32 * scale[at]);
            let length =
                demand.iter().map(|one| one * one).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            demand.map(|one| one / length)
        };
        let mut order: Vec<usize> = (0..model.kinds.len()).collect();
        let openings: Vec<usize> = prices.open.iter().map(BitSet::count).collect();
        let dear = |kind: usize| prices.task[kind];
        order.sort_by(|&one, &other| {
            let fewest = openings[one].cmp(&openings[other]);
            fewest.then(dear(other).total_cmp(&dear(one))).then(one.cmp(&other))
        });
        let mut rank = vec![0; order.len()];
        for (at, kind) in (0..).zip(order) {
            rank[kind] = at;
        }
        Self {
            direction: model.kinds.iter().map(direction).collect(),
            detour: prices.detour.clone(),
            class: prices.class.clone(),
            classes: prices.detour.len() / model.kinds.len().max(1),
            scale,
            rank,
        }
    }
}

/// A place for a task of a kind. The greatest has the lowest score, then the lowest number.
#[derive(Clone, Copy)]
struct Place {
    score: f32,
    number: u32,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(other.number.cmp(&self.number))
    }
}

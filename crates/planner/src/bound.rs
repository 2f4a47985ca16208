//! What room is worth, and what no plan could exceed: prices of the relaxed problem.
//!
//! The relaxation is a linear program: each kind of displaced tasks flows to classes of room, within the useful room of
//! what stays there, in every dimension, and at most one task of a conflict key an instance. Its Lagrangian dual is
//! solved by sub-gradient steps. Any non-negative prices give a bound (weak duality), so that rounding can only make it
//! worse, never wrong; better prices give a better one.

use crate::limits::Limits;
use crate::model::{BitSet, Model};
use crate::room::Rooms;

/// How many sub-gradient steps are made at most while all room of one class of instances has one price: so the first prices
/// are found fast.
const STEPS_TOGETHER: usize = 80;
/// How many are made after that. More gain less than 0.5 %.
const STEPS_APART: usize = 40;
/// After so many steps without a better bound, steps become half as long.
const PATIENCE: usize = 6;

/// What the search goes by, in units of value.
#[derive(Debug)]
pub(crate) struct Prices {
    /// By kind: the instances on which one fits.
    pub(crate) open: Vec<BitSet>,
    /// By instance: what removing it costs.
    pub(crate) cost: Vec<f32>,
    /// No plan saves more.
    pub(crate) bound: f64,
}

/// Solves for prices; returns them with the number of steps of work that it took.
pub(crate) fn prices<const D: usize>(model: &Model<D>, limits: &Limits) -> (Prices, u64) {
    let rooms = Rooms::new(model);
    let mut dual = Dual::new(model, limits, &rooms);
    let steps = dual.solve();
    let Dual { best, value_unit, .. } = dual;
    // From the dual's unit, the mean value, back to values.
    let prices = Prices {
        cost: best.cost.into_iter().map(|cost| cost * value_unit).collect(),
        bound: (best.bound * f64::from(value_unit)).min(model.value.iter().sum::<u64>() as f64),
        open: rooms.open,
    };
    (prices, steps)
}

/// A solution for some prices, all in units of the mean value.
#[derive(Debug, Clone)]
struct Solution {
    prices: Multipliers<f32>,
    /// By kind: what the cheapest place for one task costs, and in which class it is.
    task: Vec<f32>,
    cheapest: Vec<u16>,
    /// By instance: what removing it costs.
    cost: Vec<f32>,
    bound: f64,
}

/// A number for each thing that can run short: for each class a row of room, by dimension in the dual's scale, and of places
/// for one task, by conflict key; and CPU and memory of headroom.
#[derive(Debug, Clone)]
struct Multipliers<T> {
    width: usize,
    rows: Vec<T>,
    headroom: [T; 2],
}

impl<T: Copy> Multipliers<T> {
    fn new(value: T, classes: usize, width: usize) -> Self {
        Self { width, rows: vec![value; classes * width], headroom: [value; 2] }
    }

    fn row(&self, class: usize) -> &[T] {
        &self.rows[class * self.width..(class + 1) * self.width]
    }

    fn row_mut(&mut self, class: usize) -> &mut [T] {
        &mut self.rows[class * self.width..(class + 1) * self.width]
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().chain(&self.headroom)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().chain(&mut self.headroom)
    }
}

struct Dual<'a, const D: usize> {
    model: &'a Model<D>,
    limits: &'a Limits,
    rooms: &'a Rooms<D>,
    /// The mean value of an instance: prices are in this unit.
    value_unit: f32,
    /// By instance: useful room, and what removing it takes of the headroom.
    free: Vec<[f32; D]>,
    spare_taken: Vec<[f32; 2]>,
    /// By instance: the conflict keys that it holds.
    keys: Vec<Vec<u16>>,
    /// How much there is of everything: all useful room, the instances that do not hold a key, spare headroom.
    all: Multipliers<f64>,
    /// By class of room: one over the number of those with the same class of instances.
    shares: Vec<f64>,
    demand: Vec<[f32; D]>,
    candidates: Vec<u32>,
    at: Solution,
    best: Solution,
    /// How much more of everything there is than is used, at the solution for the current prices; and the way that the
    /// prices go, which remembers the steps before.
    slope: Multipliers<f64>,
    way: Multipliers<f64>,
    chosen: Vec<(f32, u32)>,
}

/// The shares of CPU in the first prices.
const SPLITS: [f32; 5] = [0.5, 0.0, 1.0, 0.25, 0.75];
/// How much of its last way each step keeps.
const MEMORY: f64 = 0.8;
/// The first step goes this share of the way to where the bound would be zero.
const FIRST_STEP: f64 = 0.2;
/// The same, once the prices are nearly right.
const FIRST_STEP_APART: f64 = 0.02;
/// Steps shorter than this share gain nothing.
const SHORTEST_STEP: f64 = 0.001;

impl<'a, const D: usize> Dual<'a, D> {
    fn new(model: &'a Model<D>, limits: &'a Limits, rooms: &'a Rooms<D>) -> Self {
        let count = model.len().max(1) as f32;
        let scale = model.scale();
        let scaled = |amounts: &[i32; D]| -> [f32; D] {
            std::array::from_fn(|at| amounts[at] as f32 * scale[at])
        };
        let hundredths = |amounts: [i64; 2]| -> [f32; 2] {
            std::array::from_fn(|at| amounts[at] as f32 * scale[at] / 100.0)
        };
        let free: Vec<[f32; D]> = rooms.useful.iter().map(scaled).collect();
        let classes = rooms.of_class.len();
        let width = D + model.holders.len();
        let mut all = Multipliers::new(0.0_f64, classes, width);
        all.headroom = hundredths(limits.spare()).map(f64::from);
        let mut keys = vec![Vec::new(); model.len()];
        for (number, free) in free.iter().enumerate() {
            let (room, slots) = all.row_mut(usize::from(rooms.class[number])).split_at_mut(D);
            for (sum, one) in room.iter_mut().zip(free) {
                *sum += f64::from(*one);
            }
            for (key, (holders, slots)) in (0..).zip(model.holders.iter().zip(slots)) {
                if holders.has(number) {
                    keys[number].push(key);
                } else {
                    *slots += 1.0;
                }
            }
        }
        let of_one_class =
            |of: &u16| rooms.of_class.iter().filter(|other| *other == of).count() as f64;
        let at = Solution {
            prices: Multipliers::new(0.0, classes, width),
            task: vec![0.0; model.kinds.len()],
            cheapest: vec![0; model.kinds.len()],
            cost: vec![0.0; model.len()],
            bound: f64::INFINITY,
        };
        Self {
            model,
            limits,
            rooms,
            value_unit: (model.value.iter().sum::<u64>() as f32 / count).max(f32::MIN_POSITIVE),
            free,
            spare_taken: (0..model.len())
                .map(|number| hundredths(limits.spare_taken(number)))
                .collect(),
            keys,
            slope: all.clone(),
            way: Multipliers::new(0.0, classes, width),
            all,
            shares: rooms.of_class.iter().map(|of| 1.0 / of_one_class(of)).collect(),
            demand: model.kinds.iter().map(|kind| scaled(&kind.demand)).collect(),
            candidates: (0..)
                .zip(&model.candidate)
                .filter(|(_, can)| **can)
                .map(|(number, _)| number)
                .collect(),
            best: at.clone(),
            at,
            chosen: Vec::new(),
        }
    }

    fn solve(&mut self) -> u64 {
        self.begin();
        let turns = self.descend(STEPS_TOGETHER, FIRST_STEP, true)
            + self.descend(STEPS_APART, FIRST_STEP_APART, false);
        let entries: usize =
            self.candidates.iter().map(|&at| self.model.held.of(at as usize).len()).sum();
        let open: usize = self.rooms.classes.iter().map(Vec::len).sum();
        ((turns + SPLITS.len() + 1) * (entries * 2 + open + self.model.len())) as u64
    }

    /// Makes steps until they are too many or too short; returns how many.
    fn descend(&mut self, steps_max: usize, first_step: f64, together: bool) -> usize {
        self.go_back();
        let (mut step, mut since_best) = (first_step, 0);
        for turn in 0..steps_max {
            self.find_slope();
            if together {
                self.level_slope();
            }
            self.go(step, together);
            since_best = if self.look() { 0 } else { since_best + 1 };
            if since_best >= PATIENCE {
                // Too long a step: back to the best prices, and on with half of it.
                (step, since_best) = (step / 2.0, 0);
                self.go_back();
                if step < SHORTEST_STEP {
                    return turn + 1;
                }
            }
        }
        steps_max
    }

    fn go_back(&mut self) {
        self.at.clone_from(&self.best);
        self.choose();
        self.way.iter_mut().for_each(|way| *way = 0.0);
    }

    /// Begins with the best of a few splits of the price between CPU and memory: where all instances are alike, the
    /// slope says nothing about the split.
    fn begin(&mut self) {
        // Where all room is free, the bound is what the limits allow.
        self.look();
        for split in SPLITS {
            let room: [f32; D] =
                std::array::from_fn(|at| [split, 1.0 - split].get(at).copied().unwrap_or(0.0));
            for class in 0..self.shares.len() {
                self.at.prices.row_mut(class)[..D].copy_from_slice(&room);
            }
            self.look();
        }
    }

    /// Solves at the current prices; returns whether the bound is better than before.
    fn look(&mut self) -> bool {
        self.price_tasks();
        self.price_instances();
        self.choose();
        self.at.bound = self.value();
        let better = self.at.bound < self.best.bound * (1.0 - 1e-5);
        if self.at.bound < self.best.bound {
            self.best.clone_from(&self.at);
        }
        better
    }

    /// The cheapest class for each kind. A kind that fits nowhere has no price: what holds it cannot be paid for.
    fn price_tasks(&mut self) {
        let Solution { prices, task, cheapest, .. } = &mut self.at;
        for (number, demand) in self.demand.iter().enumerate() {
            task[number] = f32::INFINITY;
            for &class in &self.rooms.classes[number] {
                let cost = place_cost(
                    prices.row(usize::from(class)),
                    demand,
                    &self.model.kinds[number].keys,
                );
                if cost < task[number] {
                    (task[number], cheapest[number]) = (cost, class);
                }
            }
        }
    }

    fn price_instances(&mut self) {
        let Solution { prices, task, cost: costs, .. } = &mut self.at;
        let all_slots: Vec<f32> =
            (0..self.shares.len()).map(|class| prices.row(class)[D..].iter().sum()).collect();
        for &number in &self.candidates {
            let number = number as usize;
            let class = usize::from(self.rooms.class[number]);
            let row = prices.row(class);
            let mut cost = all_slots[class];
            for &(kind, count) in self.model.held.of(number) {
                cost += task[usize::from(kind)] * f32::from(count);
            }
            for (free, room) in self.free[number].iter().zip(row) {
                cost += free * room;
            }
            for &key in &self.keys[number] {
                cost -= row[D + usize::from(key)];
            }
            for (taken, price) in self.spare_taken[number].iter().zip(prices.headroom) {
                cost += taken * price;
            }
            costs[number] = cost;
        }
    }

    /// Chooses the instances that are worth more than they cost, within the numbers that may go.
    fn choose(&mut self) {
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        for &number in &self.candidates {
            let at = number as usize;
            let gain = self.model.value[at] as f32 / self.value_unit - self.at.cost[at];
            if gain > 0.0 {
                chosen.push((gain, number));
            }
        }
        let mut in_group = vec![0; self.limits.group_count()];
        for &(_, number) in &chosen {
            in_group[self.limits.group_of(number as usize)] += 1;
        }
        let best_first = |one: &(f32, u32), other: &(f32, u32)| {
            other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
        };
        for (group, in_group) in in_group.into_iter().enumerate() {
            let left = self.limits.group_removals(group);
            if in_group > left {
                let of_group = |one: &mut (f32, u32)| self.limits.group_of(one.1 as usize) == group;
                let mut alike: Vec<_> = chosen.extract_if(.., of_group).collect();
                alike.select_nth_unstable_by(left, best_first);
                chosen.extend(alike.drain(..left));
            }
        }
        let removals = self.limits.removals();
        if chosen.len() > removals {
            chosen.select_nth_unstable_by(removals, best_first);
            chosen.truncate(removals);
        }
        self.chosen = chosen;
    }

    /// The dual's value: what room, slots and headroom are worth, less what is on its way, and the gains.
    fn value(&self) -> f64 {
        let worth = |(all, price): (&f64, &f32)| all * f64::from(*price);
        let mut value: f64 = self.all.iter().zip(self.at.prices.iter()).map(worth).sum();
        for (kind, price) in self.model.kinds.iter().zip(&self.at.task) {
            if kind.in_flight > 0 && price.is_finite() {
                value -= f64::from(*price) * f64::from(kind.in_flight);
            }
        }
        value + self.chosen.iter().map(|(gain, _)| f64::from(*gain)).sum::<f64>()
    }

    fn find_slope(&mut self) {
        let Self { model, slope, rooms, .. } = self;
        slope.clone_from(&self.all);
        let mut moving: Vec<u32> = model.kinds.iter().map(|kind| kind.in_flight).collect();
        let mut gone = vec![0.0; rooms.of_class.len()];
        for &(_, number) in &self.chosen {
            let number = number as usize;
            let class = usize::from(rooms.class[number]);
            gone[class] += 1.0;
            let row = slope.row_mut(class);
            for (slope, free) in row.iter_mut().zip(self.free[number]) {
                *slope -= f64::from(free);
            }
            for &key in &self.keys[number] {
                row[D + usize::from(key)] += 1.0;
            }
            for (slope, taken) in slope.headroom.iter_mut().zip(self.spare_taken[number]) {
                *slope -= f64::from(taken);
            }
            for &(kind, count) in model.held.of(number) {
                moving[usize::from(kind)] += u32::from(count);
            }
        }
        for (class, gone) in gone.into_iter().enumerate() {
            slope.row_mut(class)[D..].iter_mut().for_each(|slope| *slope -= gone);
        }
        for (number, kind) in model.kinds.iter().enumerate() {
            if moving[number] == 0 || !self.at.task[number].is_finite() {
                continue;
            }
            let moving = f64::from(moving[number]);
            let row = slope.row_mut(usize::from(self.at.cheapest[number]));
            for (slope, demand) in row.iter_mut().zip(self.demand[number]) {
                *slope -= f64::from(demand) * moving;
            }
            for &key in &kind.keys {
                row[D + usize::from(key)] -= moving;
            }
        }
    }

    /// One slope for all room of one class of instances.
    fn level_slope(&mut self) {
        let of = &self.rooms.of_class;
        let classes = of.iter().max().map_or(0, |most| usize::from(*most) + 1);
        let mut sums = Multipliers::new(0.0, classes, self.slope.width);
        for (class, of) in of.iter().enumerate() {
            for (sum, one) in sums.row_mut(usize::from(*of)).iter_mut().zip(self.slope.row(class)) {
                *sum += one;
            }
        }
        for (class, of) in of.iter().enumerate() {
            self.slope.row_mut(class).copy_from_slice(sums.row(usize::from(*of)));
        }
    }

    /// Lowers the price of what is left over and raises that of what is short. What is free already stays so.
    fn go(&mut self, step: f64, together: bool) {
        let Self { at, way, slope, .. } = self;
        for ((price, way), slope) in at.prices.iter().zip(way.iter_mut()).zip(slope.iter()) {
            *way = *way * MEMORY + slope * (1.0 - MEMORY);
            if *price <= 0.0 && *way > 0.0 {
                *way = 0.0;
            }
        }
        let square = |all: &[f64]| all.iter().map(|way| way * way).sum::<f64>();
        let mut length = square(&way.headroom);
        for (class, share) in self.shares.iter().enumerate() {
            // Room that goes together goes one way.
            length += square(way.row(class)) * if together { *share } else { 1.0 };
        }
        if length <= 0.0 {
            return;
        }
        let step = step * self.best.bound.abs() / length;
        for (price, way) in at.prices.iter_mut().zip(way.iter()) {
            *price = (*price - (step * *way) as f32).max(0.0);
        }
    }
}

/// What the place for one task costs in a class, by the class's row of prices.
fn place_cost<const D: usize>(row: &[f32], demand: &[f32; D], keys: &[u16]) -> f32 {
    let mut cost = 0.0;
    for (demand, room) in demand.iter().zip(row) {
        cost += demand * room;
    }
    for &key in keys {
        cost += row[D + usize::from(key)];
    }
    cost
}

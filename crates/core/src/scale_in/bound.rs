//! What room is worth, and what no plan could exceed: prices of the relaxed problem.
//!
//! The relaxation is a linear program: each kind of displaced tasks flows to classes of instances, within the free room of
//! what stays there, in every dimension, and at most one task of a conflict key an instance. Its Lagrangian dual is
//! solved by sub-gradient steps. Any non-negative prices give a bound (weak duality), so that rounding can only make it
//! worse, never wrong; better prices give a better one.

use super::limits::Limits;
use super::model::Model;

/// How many sub-gradient steps are made: more gain less than 0.1 % on 5,000 instances.
const STEPS: usize = 120;
/// After so many steps without a better bound, steps become half as long.
const PATIENCE: usize = 6;

/// Prices of room, by class and dimension, of conflict keys, and of headroom, in units of value.
#[derive(Debug, Clone)]
pub(super) struct Prices<const D: usize> {
    /// By class: one unit of each dimension, in the dual's scale.
    room: Vec<[f32; D]>,
    /// By conflict key, then class: the place for one task.
    slot: Vec<Vec<f32>>,
    /// CPU and memory of headroom.
    headroom: [f32; 2],
    /// By kind: what the cheapest place for one task costs, and in which class it is.
    pub(super) task: Vec<(f32, usize)>,
    /// By kind, then class: how much dearer the class is than the cheapest, for a task as large as a mean instance.
    pub(super) detour: Vec<Vec<f32>>,
    /// By instance: what removing it costs at these prices.
    pub(super) cost: Vec<f32>,
    /// No plan saves more, in units of value.
    pub(super) bound: f64,
}

impl<const D: usize> Prices<D> {
    /// In the order of [`Slope::numbers`].
    fn numbers(&mut self) -> impl Iterator<Item = &mut f32> {
        self.room.iter_mut().flatten().chain(self.slot.iter_mut().flatten()).chain(&mut self.headroom)
    }
}

/// Solves for prices; returns them with the number of steps of work that it took.
pub(super) fn prices<const D: usize>(model: &Model<D>, limits: &Limits) -> (Prices<D>, u64) {
    let mut dual = Dual::new(model, limits);
    let steps = dual.solve();
    dual.best.detour = dual.detours();
    let mut best = dual.best;
    // From the dual's unit, the mean value, back to values.
    for cost in &mut best.cost {
        *cost *= dual.value_unit;
    }
    for (cost, _) in &mut best.task {
        *cost *= dual.value_unit;
    }
    best.bound = (best.bound * f64::from(dual.value_unit)).min(model.value.iter().sum::<u64>() as f64);
    (best, steps)
}

struct Dual<'a, const D: usize> {
    model: &'a Model<D>,
    limits: &'a Limits,
    /// The mean value of an instance: prices are in this unit.
    value_unit: f32,
    /// By instance: free room, and what removing it takes of the headroom.
    free: Vec<[f32; D]>,
    spare_taken: Vec<[f32; 2]>,
    /// By class: all free room of its instances, and by key the number of its instances that do not hold it.
    room: Vec<[f64; D]>,
    slots: Vec<Vec<f64>>,
    /// By instance: the conflict keys that it holds.
    keys: Vec<Vec<u16>>,
    spare: [f64; 2],
    demand: Vec<[f32; D]>,
    candidates: Vec<u32>,
    at: Prices<D>,
    best: Prices<D>,
    /// How much more of everything there is than is used, at the solution for the current prices; and the way that the
    /// prices go, which remembers the steps before.
    slope: Slope<D>,
    way: Slope<D>,
    chosen: Vec<(f32, u32)>,
}

#[derive(Clone)]
struct Slope<const D: usize> {
    room: Vec<[f64; D]>,
    slot: Vec<Vec<f64>>,
    headroom: [f64; 2],
}

impl<const D: usize> Slope<D> {
    fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        self.room.iter_mut().flatten().chain(self.slot.iter_mut().flatten()).chain(&mut self.headroom)
    }
}

/// The shares of CPU in the first prices.
const SPLITS: [f32; 5] = [0.5, 0.0, 1.0, 0.25, 0.75];
/// How much of its last way each step keeps.
const MEMORY: f64 = 0.8;
/// The first step goes this share of the way to where the bound would be zero.
const FIRST_STEP: f64 = 0.2;

impl<'a, const D: usize> Dual<'a, D> {
    fn new(model: &'a Model<D>, limits: &'a Limits) -> Self {
        let count = model.len().max(1) as f32;
        let scale = model.scale();
        let scaled =
            |amounts: &[i32; D]| -> [f32; D] { std::array::from_fn(|at| amounts[at] as f32 * scale[at]) };
        let hundredths = |amounts: [i64; 2]| -> [f32; 2] {
            std::array::from_fn(|at| amounts[at] as f32 * scale[at] / 100.0)
        };
        let classes = model.class_starts.len() - 1;
        let mut room = vec![[0.0; D]; classes];
        for (number, free) in model.free.iter().enumerate() {
            for (sum, one) in room[usize::from(model.class[number])].iter_mut().zip(scaled(free)) {
                *sum += f64::from(one);
            }
        }
        let mut keys = vec![Vec::new(); model.len()];
        let mut slots = Vec::new();
        for (key, holders) in (0..).zip(&model.holders) {
            let mut free: Vec<_> =
                model.class_starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
            for number in (0..model.len()).filter(|&number| holders.has(number)) {
                free[usize::from(model.class[number])] -= 1.0;
                keys[number].push(key);
            }
            slots.push(free);
        }
        let at = Prices {
            room: vec![[0.0; D]; classes],
            slot: vec![vec![0.0; classes]; model.holders.len()],
            headroom: [0.0; 2],
            task: vec![(0.0, 0); model.kinds.len()],
            detour: Vec::new(),
            cost: vec![0.0; model.len()],
            bound: f64::INFINITY,
        };
        let slope = Slope {
            room: vec![[0.0; D]; classes],
            slot: vec![vec![0.0; classes]; model.holders.len()],
            headroom: [0.0; 2],
        };
        Self {
            model,
            limits,
            value_unit: (model.value.iter().sum::<u64>() as f32 / count).max(f32::MIN_POSITIVE),
            free: model.free.iter().map(scaled).collect(),
            spare_taken: (0..model.len()).map(|number| hundredths(limits.spare_taken(number))).collect(),
            room,
            slots,
            keys,
            spare: hundredths(limits.spare()).map(f64::from),
            demand: model.kinds.iter().map(|kind| scaled(&kind.demand)).collect(),
            candidates: (0..)
                .zip(&model.candidate)
                .filter(|(_, can)| **can)
                .map(|(number, _)| number)
                .collect(),
            best: at.clone(),
            at,
            way: slope.clone(),
            slope,
            chosen: Vec::new(),
        }
    }

    fn solve(&mut self) -> u64 {
        self.begin();
        let (mut step, mut since_best) = (FIRST_STEP, 0);
        for _ in 0..STEPS {
            self.find_slope();
            self.go(step);
            since_best = if self.look() { 0 } else { since_best + 1 };
            if since_best >= PATIENCE {
                // Too long a step: back to the best prices, and on with half of it.
                (step, since_best) = (step / 2.0, 0);
                self.at.clone_from(&self.best);
                self.choose();
                self.way.numbers().for_each(|way| *way = 0.0);
            }
        }
        let entries: usize = self.candidates.iter().map(|&at| self.model.held.of(at as usize).len()).sum();
        ((STEPS + SPLITS.len()) * (entries * 2 + self.model.len())) as u64
    }

    /// Begins with the best of a few splits of the price between CPU and memory: where all instances are alike, the
    /// slope says nothing about the split.
    fn begin(&mut self) {
        for split in SPLITS {
            let room: [f32; D] =
                std::array::from_fn(|at| [split, 1.0 - split].get(at).copied().unwrap_or(0.0));
            self.at.room.fill(room);
            self.look();
        }
        self.at.clone_from(&self.best);
        self.choose();
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

    /// The cheapest class for each kind. A kind that may run nowhere has no price: what holds it cannot be paid for.
    fn price_tasks(&mut self) {
        for (kind, (demand, price)) in self.model.kinds.iter().zip(self.demand.iter().zip(&mut self.at.task))
        {
            *price = (f32::INFINITY, 0);
            for (class, room) in self.at.room.iter().enumerate().filter(|(class, _)| kind.allowed[*class]) {
                let mut cost = 0.0;
                for (demand, room) in demand.iter().zip(room) {
                    cost += demand * room;
                }
                cost += kind.keys.iter().map(|&key| self.at.slot[usize::from(key)][class]).sum::<f32>();
                if cost < price.0 {
                    *price = (cost, class);
                }
            }
        }
    }

    fn price_instances(&mut self) {
        let classes = self.at.room.len();
        let all_slots: Vec<f32> =
            (0..classes).map(|class| self.at.slot.iter().map(|slot| slot[class]).sum()).collect();
        for &number in &self.candidates {
            let number = number as usize;
            let class = usize::from(self.model.class[number]);
            let mut cost = all_slots[class];
            for &(kind, count) in self.model.held.of(number) {
                cost += self.at.task[usize::from(kind)].0 * f32::from(count);
            }
            for (free, room) in self.free[number].iter().zip(&self.at.room[class]) {
                cost += free * room;
            }
            for &key in &self.keys[number] {
                cost -= self.at.slot[usize::from(key)][class];
            }
            for (taken, price) in self.spare_taken[number].iter().zip(self.at.headroom) {
                cost += taken * price;
            }
            self.at.cost[number] = cost;
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
        let too_many = |group: usize| in_group[group] > self.limits.group_removals(group);
        if chosen.len() > self.limits.removals() || (0..in_group.len()).any(too_many) {
            chosen.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            let mut left: Vec<_> =
                (0..in_group.len()).map(|group| self.limits.group_removals(group)).collect();
            chosen.retain(|&(_, number)| {
                let left = &mut left[self.limits.group_of(number as usize)];
                *left > 0 && {
                    *left -= 1;
                    true
                }
            });
            chosen.truncate(self.limits.removals());
        }
        self.chosen = chosen;
    }

    /// The dual's value: what room, slots and headroom are worth, less what is on its way, and the gains.
    fn value(&self) -> f64 {
        let mut value = 0.0;
        for (room, price) in self.room.iter().flatten().zip(self.at.room.iter().flatten()) {
            value += room * f64::from(*price);
        }
        for (slots, price) in self.slots.iter().flatten().zip(self.at.slot.iter().flatten()) {
            value += slots * f64::from(*price);
        }
        for (spare, price) in self.spare.iter().zip(self.at.headroom) {
            value += spare * f64::from(price);
        }
        for (kind, (price, _)) in
            self.model.kinds.iter().zip(&self.at.task).filter(|(kind, _)| kind.in_flight > 0)
        {
            if price.is_finite() {
                value -= f64::from(*price) * f64::from(kind.in_flight);
            }
        }
        value + self.chosen.iter().map(|(gain, _)| f64::from(*gain)).sum::<f64>()
    }

    /// By kind and class, at the best prices: see [`Prices::detour`].
    fn detours(&self) -> Vec<Vec<f32>> {
        let of_kind = |(number, demand): (usize, &[f32; D])| {
            let size = demand.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            let of_class = |(class, room): (usize, &[f32; D])| {
                let cost: f32 = demand.iter().zip(room).map(|(demand, room)| demand * room).sum();
                let keys = &self.model.kinds[number].keys;
                let slots: f32 = keys.iter().map(|&key| self.best.slot[usize::from(key)][class]).sum();
                ((cost + slots - self.best.task[number].0) / size).max(0.0)
            };
            self.best.room.iter().enumerate().map(of_class).collect()
        };
        self.demand.iter().enumerate().map(of_kind).collect()
    }

    fn find_slope(&mut self) {
        let Self { model, slope, .. } = self;
        slope.room.clone_from(&self.room);
        slope.slot.clone_from(&self.slots);
        slope.headroom = self.spare;
        let mut moving: Vec<u32> = model.kinds.iter().map(|kind| kind.in_flight).collect();
        let mut gone = vec![0.0; slope.room.len()];
        for &(_, number) in &self.chosen {
            let number = number as usize;
            let class = usize::from(model.class[number]);
            gone[class] += 1.0;
            for (slope, free) in slope.room[class].iter_mut().zip(self.free[number]) {
                *slope -= f64::from(free);
            }
            for (slope, taken) in slope.headroom.iter_mut().zip(self.spare_taken[number]) {
                *slope -= f64::from(taken);
            }
            for &key in &self.keys[number] {
                slope.slot[usize::from(key)][class] += 1.0;
            }
            for &(kind, count) in model.held.of(number) {
                moving[usize::from(kind)] += u32::from(count);
            }
        }
        for slot in &mut slope.slot {
            for (slope, gone) in slot.iter_mut().zip(&gone) {
                *slope -= gone;
            }
        }
        for (number, kind) in model.kinds.iter().enumerate().filter(|(number, _)| moving[*number] > 0) {
            let (price, class) = self.at.task[number];
            if !price.is_finite() {
                continue;
            }
            let moving = f64::from(moving[number]);
            for (slope, demand) in slope.room[class].iter_mut().zip(self.demand[number]) {
                *slope -= f64::from(demand) * moving;
            }
            for &key in &kind.keys {
                slope.slot[usize::from(key)][class] -= moving;
            }
        }
    }

    /// Lowers the price of what is left over and raises that of what is short. What is free already stays so.
    fn go(&mut self, step: f64) {
        let mut length = 0.0;
        for ((price, way), slope) in self.at.numbers().zip(self.way.numbers()).zip(self.slope.numbers()) {
            *way = *way * MEMORY + *slope * (1.0 - MEMORY);
            if *price <= 0.0 && *way > 0.0 {
                *way = 0.0;
            }
            length += *way * *way;
        }
        if length <= 0.0 {
            return;
        }
        let step = step * self.best.bound.abs() / length;
        for (price, way) in self.at.numbers().zip(self.way.numbers()) {
            *price = (*price - (step * *way) as f32).max(0.0);
        }
    }
}

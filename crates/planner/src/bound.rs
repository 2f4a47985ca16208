//! What room is worth, and what no plan could exceed: prices of the relaxed problem.
//!
//! The relaxation is a linear program: each kind of displaced tasks flows to classes of room,
//! within the useful room of what stays there, in every dimension, and at most one task of a
//! conflict key per instance. Its Lagrangian dual is solved by subgradient steps (Fisher, "The
//! Lagrangian relaxation method for solving integer programming problems", 1981). Any prices at or
//! above zero give a bound (weak duality), so that rounding can only make it worse, never wrong;
//! better prices give a better one.
//!
//! The constants were found on 30 recorded inventories of 50 to 5,000 instances: the bound of a
//! plan without a share is 0.3580 of the cost on average, and the figures below say what it is at
//! other values.

use crate::cast::rounded;
use crate::index::{
    ClassIndex, InstanceIndex, KeyIndex, KindIndex, Numbered, RoomClassIndex, Table,
};
use crate::instance_set::InstanceSet;
use crate::limits::Limits;
use crate::model::Model;
use crate::room::Rooms;

/// How many subgradient steps are made at most while all room of one class of instances has one
/// price: so the first prices are found fast. The bound is 0.3614 at 20 steps and 0.3593 at 40; at
/// 160 it is 0.3580 as here.
const STEPS_TOGETHER: usize = 80;
/// How many are made after that, with a price per class of room. The bound is 0.3584 without any;
/// 80 gain nothing.
const STEPS_APART: usize = 40;
/// After so many steps without a better bound, steps become half as long (Held, Wolfe and Crowder,
/// "Validation of subgradient optimization", 1974). At 3 the steps become short too soon (0.3581),
/// at 12 too late (0.3588).
const PATIENCE: usize = 6;
/// The momentum: how much of its last direction each step keeps. Without it, prices zigzag between
/// kinds of room (Camerini, Fratta and Maffioli, "On improving relaxation methods by modified
/// gradient techniques", 1975): the bound is 0.3607 at 0, 0.3581 at 0.5 and 0.3586 at 0.9.
const MOMENTUM: f64 = 0.8;
/// The first step goes this share of the distance to where the bound would be zero (Polyak's step
/// length). Not sensitive: 0.05 and 0.4 change the bound by less than 0.0003.
const FIRST_STEP: f64 = 0.2;
/// The same once the prices are nearly right: a long step would only lose them. Not sensitive
/// between 0.005 and 0.04.
const FIRST_STEP_APART: f64 = 0.02;
/// Shorter steps than this gain nothing: the bound is 0.3595 where steps end at 0.01 already.
const STEP_MIN: f64 = 0.001;
/// The shares of CPU in the first prices: where all instances are alike, the subgradient says
/// nothing about how the price is split between CPU and memory.
const CPU_SPLITS: [f32; 5] = [0.5, 0.0, 1.0, 0.25, 0.75];
/// A bound that is lower by less than this share counts as no better, or steps would never become
/// shorter.
const IMPROVEMENT_MIN: f64 = 1e-5;

/// What the search goes by, in units of value.
#[derive(Debug)]
pub(crate) struct Prices {
    /// The instances on which a task of each kind fits.
    pub(crate) with_room_for: Table<KindIndex, InstanceSet>,
    /// What removing each candidate costs.
    pub(crate) cost: Table<InstanceIndex, f32>,
    /// No plan saves more.
    pub(crate) bound: f64,
    /// How many counted steps of work it took to find them.
    pub(crate) steps: u64,
}

/// Solves for prices.
pub(crate) fn prices<const D: usize>(model: &Model<D>, limits: &Limits) -> Prices {
    let rooms = Rooms::new(model);
    let mut dual = Dual::new(model, limits, &rooms);
    let steps = dual.solve();
    let Dual { best, value_unit, .. } = dual;
    // From the dual's unit, the mean value, back to values.
    Prices {
        cost: best.cost.iter().map(|cost| cost * value_unit).collect(),
        // No plan saves more than all usable instances are worth, whatever the prices say.
        bound: (best.bound * f64::from(value_unit)).min(model.value.iter().sum::<u64>() as f64),
        with_room_for: rooms.with_room_for,
        steps,
    }
}

/// The dual at some prices, all in units of the mean value.
#[derive(Debug, Clone)]
struct Evaluation {
    prices: Multipliers<f32>,
    /// What the cheapest place for one task of each kind costs, and in which class of room that is.
    task: Table<KindIndex, f32>,
    cheapest: Table<KindIndex, RoomClassIndex>,
    /// What removing each candidate costs.
    cost: Table<InstanceIndex, f32>,
    bound: f64,
}

/// A number for each thing that can run short, as Lagrange multipliers are: for each class of room,
/// room by dimension in the dual's scale and places for one task by conflict key; and headroom of
/// CPU and memory.
#[derive(Debug, Clone)]
struct Multipliers<T> {
    /// The dimensions and the conflict keys.
    width: usize,
    rows: Vec<T>,
    headroom: [T; 2],
}

impl<T: Copy> Multipliers<T> {
    fn new(value: T, classes: usize, width: usize) -> Self {
        Self { width, rows: vec![value; classes * width], headroom: [value; 2] }
    }

    fn row(&self, class: RoomClassIndex) -> &[T] {
        let start = class.position() * self.width;
        &self.rows[start..start + self.width]
    }

    fn row_mut(&mut self, class: RoomClassIndex) -> &mut [T] {
        let start = class.position() * self.width;
        &mut self.rows[start..start + self.width]
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
    /// Useful room on each instance, and what removing it takes of the headroom.
    free: Table<InstanceIndex, [f32; D]>,
    spare_taken: Table<InstanceIndex, [f32; 2]>,
    /// The conflict keys that each instance holds.
    held_keys: Table<InstanceIndex, Vec<KeyIndex>>,
    /// How much there is of everything: all useful room, the instances that do not hold a key,
    /// spare headroom.
    supply: Multipliers<f64>,
    /// One over the number of classes of room with the same class of instances.
    shares: Table<RoomClassIndex, f64>,
    demand: Table<KindIndex, [f32; D]>,
    candidates: Vec<InstanceIndex>,
    current: Evaluation,
    best: Evaluation,
    /// The subgradient at the current prices: how much more of everything there is than is used.
    subgradient: Multipliers<f64>,
    /// The search direction: subgradients of this step and, fading, of those before.
    direction: Multipliers<f64>,
    /// The candidates that go at the current prices, with their reduced costs.
    chosen: Vec<(f32, InstanceIndex)>,
}

/// Whether room of one class of instances has one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pricing {
    PerInstanceClass,
    PerRoomClass,
}

impl<'a, const D: usize> Dual<'a, D> {
    fn new(model: &'a Model<D>, limits: &'a Limits, rooms: &'a Rooms<D>) -> Self {
        let scale = model.scale;
        let free: Table<InstanceIndex, [f32; D]> =
            rooms.useful.iter().map(|amounts| scaled(amounts, &scale)).collect();
        let held_keys: Table<InstanceIndex, Vec<KeyIndex>> =
            model.instances().map(|instance| held_keys(model, instance)).collect();
        let classes = rooms.instance_class.len();
        let width = D + model.key_holders.len();
        let current = Evaluation {
            prices: Multipliers::new(0.0, classes, width),
            task: Table::filled(0.0, model.kinds.len()),
            cheapest: Table::filled(RoomClassIndex::new(0), model.kinds.len()),
            cost: Table::filled(0.0, model.len()),
            // Any evaluation is better than none, so that the first becomes the best.
            bound: f64::INFINITY,
        };
        let mut supply = supply(rooms, &free, &held_keys, width);
        supply.headroom = hundredths(limits.spare(), &scale).map(f64::from);
        let values: u64 = model.value.iter().sum();
        Self {
            model,
            limits,
            rooms,
            // Neither an empty cluster nor instances that cost nothing may make the unit zero:
            // values are divided by it.
            value_unit: (values as f32 / model.len().max(1) as f32).max(f32::MIN_POSITIVE),
            free,
            spare_taken: model
                .instances()
                .map(|instance| hundredths(limits.spare_taken(instance), &scale))
                .collect(),
            held_keys,
            subgradient: supply.clone(),
            direction: Multipliers::new(0.0, classes, width),
            supply,
            shares: shares(&rooms.instance_class),
            demand: model.kinds.iter().map(|kind| scaled(&kind.demand, &scale)).collect(),
            candidates: model.instances().filter(|&instance| model.candidate[instance]).collect(),
            best: current.clone(),
            current,
            chosen: Vec::new(),
        }
    }

    /// Finds the best prices within the steps; returns the counted steps of work.
    fn solve(&mut self) -> u64 {
        self.start();
        let turns = self.descend(STEPS_TOGETHER, FIRST_STEP, Pricing::PerInstanceClass)
            + self.descend(STEPS_APART, FIRST_STEP_APART, Pricing::PerRoomClass);
        // Counted from what each evaluation goes through, so that the work is the same number on
        // any machine.
        let movable: usize =
            self.candidates.iter().map(|&instance| self.model.movable.of(instance).len()).sum();
        let open: usize = self.rooms.classes.iter().map(Vec::len).sum();
        ((turns + CPU_SPLITS.len() + 1) * (movable * 2 + open + self.model.len())) as u64
    }

    /// Starts from the best of a few splits of the price between CPU and memory.
    fn start(&mut self) {
        // Where all room is free, the bound is what the limits allow.
        self.evaluate();
        for cpu in CPU_SPLITS {
            // GPUs and network interfaces begin without a price: the subgradient raises it where
            // they are short.
            let room: [f32; D] = std::array::from_fn(|dimension| {
                [cpu, 1.0 - cpu].get(dimension).copied().unwrap_or(0.0)
            });
            for class in self.shares.indices() {
                self.current.prices.row_mut(class)[..D].copy_from_slice(&room);
            }
            self.evaluate();
        }
    }

    /// Makes steps until they are too many or too short; returns how many.
    fn descend(&mut self, steps_max: usize, first_step: f64, pricing: Pricing) -> usize {
        self.restore_best();
        let (mut step_length, mut since_best) = (first_step, 0);
        for turn in 0..steps_max {
            self.find_subgradient();
            if pricing == Pricing::PerInstanceClass {
                self.pool_subgradient();
            }
            self.take_step(step_length, pricing);
            since_best = if self.evaluate() { 0 } else { since_best + 1 };
            if since_best >= PATIENCE {
                // Too long a step: back to the best prices, and on with half of it.
                (step_length, since_best) = (step_length / 2.0, 0);
                self.restore_best();
                if step_length < STEP_MIN {
                    return turn + 1;
                }
            }
        }
        steps_max
    }

    /// Goes back to the best prices, and forgets the direction.
    fn restore_best(&mut self) {
        self.current.clone_from(&self.best);
        self.choose();
        self.direction.iter_mut().for_each(|direction| *direction = 0.0);
    }

    /// Evaluates the dual at the current prices; returns whether the bound is better than before.
    fn evaluate(&mut self) -> bool {
        self.price_tasks();
        self.price_instances();
        self.choose();
        self.current.bound = self.value();
        // Any lower bound is kept, but only a clearly lower one counts as progress.
        let is_better = self.current.bound < self.best.bound * (1.0 - IMPROVEMENT_MIN);
        if self.current.bound < self.best.bound {
            self.best.clone_from(&self.current);
        }
        is_better
    }

    /// The cheapest class for each kind. A kind that fits nowhere has no price: what holds it
    /// cannot be paid for.
    fn price_tasks(&mut self) {
        let Evaluation { prices, task, cheapest, .. } = &mut self.current;
        for (kind, demand) in self.demand.enumerate() {
            task[kind] = f32::INFINITY;
            for &class in &self.rooms.classes[kind] {
                let cost = place_cost(prices.row(class), demand, &self.model.kinds[kind].keys);
                if cost < task[kind] {
                    (task[kind], cheapest[kind]) = (cost, class);
                }
            }
        }
    }

    /// What removing each candidate costs: places for its tasks, its own room and slots, and the
    /// headroom it takes.
    fn price_instances(&mut self) {
        let Evaluation { prices, task, cost: costs, .. } = &mut self.current;
        let all_slots: Table<RoomClassIndex, f32> =
            self.shares.indices().map(|class| prices.row(class)[D..].iter().sum()).collect();
        for &instance in &self.candidates {
            let class = self.rooms.class[instance];
            let row = prices.row(class);
            // All slots are charged at first and those of the held keys are taken back below: an
            // instance that holds a key has no slot of it to lose.
            let mut cost = all_slots[class];
            for &(kind, count) in self.model.movable.of(instance) {
                cost += task[kind] * f32::from(count);
            }
            for (free, room) in self.free[instance].iter().zip(row) {
                cost += free * room;
            }
            for &key in &self.held_keys[instance] {
                cost -= row[D + key.position()];
            }
            for (taken, price) in self.spare_taken[instance].iter().zip(prices.headroom) {
                cost += taken * price;
            }
            costs[instance] = cost;
        }
    }

    /// Chooses the instances that are worth more than they cost, within the numbers that may go:
    /// the integer part of the relaxed problem, solved exactly.
    fn choose(&mut self) {
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        for &instance in &self.candidates {
            let value = self.model.value[instance] as f32 / self.value_unit;
            let reduced_cost = value - self.current.cost[instance];
            if reduced_cost > 0.0 {
                chosen.push((reduced_cost, instance));
            }
        }
        let mut in_group = Table::<_, usize>::filled(0, self.limits.group_count());
        for &(_, instance) in &chosen {
            in_group[self.limits.group_of(instance)] += 1;
        }
        for (group, &in_group) in in_group.enumerate() {
            let most = self.limits.group_removals(group);
            if in_group > most {
                let mut members: Vec<_> = chosen
                    .extract_if(.., |(_, instance)| self.limits.group_of(*instance) == group)
                    .collect();
                // In range, as there are more members than may go.
                members.select_nth_unstable_by(most, best_first);
                chosen.extend(members.drain(..most));
            }
        }
        let removals = self.limits.removals();
        if chosen.len() > removals {
            chosen.select_nth_unstable_by(removals, best_first);
            chosen.truncate(removals);
        }
        self.chosen = chosen;
    }

    /// The dual's value: what room, slots and headroom are worth, less what is on its way, and the
    /// reduced costs.
    fn value(&self) -> f64 {
        let prices = self.current.prices.iter();
        let mut value: f64 =
            self.supply.iter().zip(prices).map(|(supply, price)| supply * f64::from(*price)).sum();
        for (kind, price) in self.model.kinds.iter().zip(self.current.task.iter()) {
            // A kind that fits nowhere has an infinite price, which would make the bound minus
            // infinity instead of a bound.
            if kind.in_flight > 0 && price.is_finite() {
                value -= f64::from(*price) * f64::from(kind.in_flight);
            }
        }
        value + self.chosen.iter().map(|(reduced_cost, _)| f64::from(*reduced_cost)).sum::<f64>()
    }

    /// What there is, less what the chosen instances take away, less what the moving tasks use.
    fn find_subgradient(&mut self) {
        let Self { model, subgradient, rooms, .. } = self;
        subgradient.clone_from(&self.supply);
        let mut moving: Table<KindIndex, u32> =
            model.kinds.iter().map(|kind| kind.in_flight).collect();
        let mut removed = Table::<RoomClassIndex, f64>::filled(0.0, rooms.instance_class.len());
        for &(_, instance) in &self.chosen {
            let class = rooms.class[instance];
            removed[class] += 1.0;
            let row = subgradient.row_mut(class);
            for (slack, free) in row.iter_mut().zip(self.free[instance]) {
                *slack -= f64::from(free);
            }
            for &key in &self.held_keys[instance] {
                row[D + key.position()] += 1.0;
            }
            for (slack, taken) in subgradient.headroom.iter_mut().zip(self.spare_taken[instance]) {
                *slack -= f64::from(taken);
            }
            for &(kind, count) in model.movable.of(instance) {
                moving[kind] += u32::from(count);
            }
        }
        for (class, removed) in removed.enumerate() {
            subgradient.row_mut(class)[D..].iter_mut().for_each(|slack| *slack -= removed);
        }
        for (index, kind) in model.kinds.enumerate() {
            // What fits nowhere uses no room, and its `cheapest` class means nothing.
            if moving[index] == 0 || !self.current.task[index].is_finite() {
                continue;
            }
            let moving = f64::from(moving[index]);
            let row = subgradient.row_mut(self.current.cheapest[index]);
            for (slack, demand) in row.iter_mut().zip(self.demand[index]) {
                *slack -= f64::from(demand) * moving;
            }
            for &key in &kind.keys {
                row[D + key.position()] -= moving;
            }
        }
    }

    /// Gives all room of one class of instances the sum of its subgradients, so that its prices
    /// stay equal.
    fn pool_subgradient(&mut self) {
        let classes = &self.rooms.instance_class;
        // Classes are numbered from 0, so that the highest one tells how many there are.
        let count = classes.iter().max().map_or(0, |last| last.position() + 1);
        let mut sums = Table::<ClassIndex, _>::filled(vec![0.0; self.subgradient.width], count);
        for (room_class, &class) in classes.enumerate() {
            for (sum, slack) in sums[class].iter_mut().zip(self.subgradient.row(room_class)) {
                *sum += slack;
            }
        }
        for (room_class, &class) in classes.enumerate() {
            self.subgradient.row_mut(room_class).copy_from_slice(&sums[class]);
        }
    }

    /// Lowers the price of what is left over and raises that of what is short. What is free already
    /// stays so.
    fn take_step(&mut self, step_length: f64, pricing: Pricing) {
        let Self { current, direction, subgradient, .. } = self;
        let prices = current.prices.iter();
        for ((price, direction), slack) in prices.zip(direction.iter_mut()).zip(subgradient.iter())
        {
            *direction = *direction * MOMENTUM + slack * (1.0 - MOMENTUM);
            // A price of zero cannot fall: its direction would only lengthen the vector, and so
            // shorten the step of all others.
            if *price <= 0.0 && *direction > 0.0 {
                *direction = 0.0;
            }
        }
        let mut square = sum_of_squares(&direction.headroom);
        for (class, share) in self.shares.enumerate() {
            // Room that has one price counts once.
            let weight = if pricing == Pricing::PerInstanceClass { *share } else { 1.0 };
            square += sum_of_squares(direction.row(class)) * weight;
        }
        // No direction is left to go in, and the division below needs a length.
        if square <= 0.0 {
            return;
        }
        let factor = step_length * self.best.bound.abs() / square;
        for (price, direction) in current.prices.iter_mut().zip(direction.iter()) {
            *price = (*price - rounded(factor * *direction)).max(0.0);
        }
    }
}

/// How much there is of all useful room, and how many instances do not hold each key.
fn supply<const D: usize>(
    rooms: &Rooms<D>,
    free: &Table<InstanceIndex, [f32; D]>,
    held_keys: &Table<InstanceIndex, Vec<KeyIndex>>,
    width: usize,
) -> Multipliers<f64> {
    let mut supply = Multipliers::new(0.0_f64, rooms.instance_class.len(), width);
    for (instance, free) in free.enumerate() {
        let (room, slots) = supply.row_mut(rooms.class[instance]).split_at_mut(D);
        for (sum, amount) in room.iter_mut().zip(free) {
            *sum += f64::from(*amount);
        }
        slots.iter_mut().for_each(|slots| *slots += 1.0);
        for &key in &held_keys[instance] {
            slots[key.position()] -= 1.0;
        }
    }
    supply
}

fn held_keys<const D: usize>(model: &Model<D>, instance: InstanceIndex) -> Vec<KeyIndex> {
    let holds = |(_, holders): &(KeyIndex, &InstanceSet)| holders.has(instance);
    model.key_holders.enumerate().filter(holds).map(|(key, _)| key).collect()
}

fn shares(instance_class: &Table<RoomClassIndex, ClassIndex>) -> Table<RoomClassIndex, f64> {
    instance_class
        .iter()
        .map(|class| {
            let alike = instance_class.iter().filter(|other_class| *other_class == class).count();
            1.0 / alike as f64
        })
        .collect()
}

fn scaled<const D: usize>(amounts: &[i32; D], scale: &[f32; D]) -> [f32; D] {
    std::array::from_fn(|dimension| amounts[dimension] as f32 * scale[dimension])
}

fn hundredths<const D: usize>(amounts: [i64; 2], scale: &[f32; D]) -> [f32; 2] {
    std::array::from_fn(|dimension| amounts[dimension] as f32 * scale[dimension] / 100.0)
}

/// The highest reduced cost first, then the lowest index.
fn best_first(a: &(f32, InstanceIndex), b: &(f32, InstanceIndex)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn sum_of_squares(numbers: &[f64]) -> f64 {
    numbers.iter().map(|number| number * number).sum()
}

/// What the place for one task costs in a class of room, by the class's row of prices.
fn place_cost<const D: usize>(row: &[f32], demand: &[f32; D], keys: &[KeyIndex]) -> f32 {
    let mut cost = 0.0;
    for (demand, room) in demand.iter().zip(row) {
        cost += demand * room;
    }
    for &key in keys {
        cost += row[D + key.position()];
    }
    cost
}

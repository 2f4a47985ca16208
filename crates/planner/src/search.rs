//! The best packing that can be found: which instances are gone in it.
//!
//! Candidates are taken by what they save for what they cost at the bound's prices. As many of them as the bound promises
//! are taken out at once, and those stay whose tasks find no place; the others are tried one by one. Kinds that found no
//! place cost more in the next round. Then small parts of the best packing are torn down and built anew with one candidate
//! more, as long as that gains something.

use crate::bound::Prices;
use crate::model::Model;
use crate::packing::Packing;
use crate::rng::Rng;

/// The budget grows with the cluster: so many steps an instance.
const STEPS_PER_INSTANCE: u64 = 3_000;
/// The search ends when so many steps an instance have gained nothing.
const PATIENCE_PER_INSTANCE: u64 = 1_000;
/// Small clusters are searched thoroughly: each of so many instances counts so many times more for both.
const FIRST_INSTANCES: [u64; 2] = [50, 4];

/// How much a mean instance's worth of moved tasks counts in the gentle order, in values of a mean instance.
const MOVED: f32 = 1.5;
/// How much the largest of them counts: it asks for more room in one piece than any other.
const LARGEST: f32 = 1.0;

/// Candidates with the most saving for the least disturbance first: few tasks, and small ones. Those are easily certified.
pub(crate) fn gentle_order<const D: usize>(model: &Model<D>, prices: &Prices) -> Vec<u32> {
    let mean = model.value.iter().sum::<u64>() as f32 / model.len().max(1) as f32;
    let sizes = model.sizes();
    let worth = |number: usize| {
        let (mut moved, mut largest) = (0.0, 0.0_f32);
        for &(kind, count) in model.held.of(number) {
            moved += sizes[usize::from(kind)] * f32::from(count);
            largest = largest.max(sizes[usize::from(kind)]);
        }
        let cost = prices.cost[number] + mean * (MOVED * moved + LARGEST * largest);
        model.value[number] as f32 / cost.max(f32::MIN_POSITIVE)
    };
    sorted(model, worth)
}

fn sorted<const D: usize>(model: &Model<D>, worth: impl Fn(usize) -> f32) -> Vec<u32> {
    let candidates = (0..model.len()).filter(|&number| model.candidate[number]);
    let mut order: Vec<(f32, u32)> =
        candidates.map(|number| (worth(number), number as u32)).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    order.into_iter().map(|(_, number)| number).collect()
}

/// The best packing within the budget, from one in which nothing is gone that need stay.
pub(crate) fn best<'a, const D: usize>(
    empty: &Packing<'a, D>,
    prices: &Prices,
    steps_max: u64,
) -> Packing<'a, D> {
    let mut search = Search::new(empty, prices, steps_max);
    search.start(empty);
    search.improve(empty);
    search.best.steps = search.steps;
    search.best
}

struct Search<'a, 'b, const D: usize> {
    prices: &'b Prices,
    best: Packing<'a, D>,
    steps: u64,
    steps_max: u64,
    patience: u64,
}

/// How many packings are built from nothing.
const ROUNDS: usize = 4;
/// A packing this near to the bound needs no other round.
const ENOUGH: f64 = 0.99;
/// What a task of a kind costs more in the next round, as a share of its price, if no task of its kind found a place.
const BLAME: f32 = 0.2;

impl<'a, 'b, const D: usize> Search<'a, 'b, D> {
    fn new(empty: &Packing<'a, D>, prices: &'b Prices, steps_max: u64) -> Self {
        let instances = empty.model.len() as u64;
        let size = instances + instances.min(FIRST_INSTANCES[0]) * FIRST_INSTANCES[1];
        Self {
            prices,
            best: empty.clone(),
            steps: empty.steps,
            steps_max: steps_max.min(STEPS_PER_INSTANCE * size),
            patience: PATIENCE_PER_INSTANCE * size,
        }
    }

    /// Takes the first candidates out until their value reaches the bound, packs, lets those stay whose tasks find no place,
    /// and tries the others; then again, with those kinds dearer that found no place.
    fn start(&mut self, empty: &Packing<'a, D>) {
        let mut blame = vec![0.0; empty.model.kinds.len()];
        for _ in 0..ROUNDS {
            let order = self.order(empty, &blame);
            let mut packing = empty.clone();
            packing.steps = 0;
            for &number in &order {
                let number = number as usize;
                if packing.value as f64 >= self.prices.bound
                    || self.steps + packing.steps >= self.steps_max
                {
                    break;
                }
                if packing.limits.allows(number) {
                    packing.remove(number);
                    packing.keep();
                }
            }
            packing.place_all();
            self.blame(&packing, &mut blame);
            repair(&mut packing, &order);
            self.extend(&mut packing, &order);
            self.steps += std::mem::take(&mut packing.steps);
            if packing.is_complete() && packing.limits.hold() && packing.value > self.best.value {
                self.best = packing;
            }
            if self.best.value as f64 >= ENOUGH * self.prices.bound {
                return;
            }
        }
    }

    /// Candidates with the most saving for the least cost first.
    fn order(&self, empty: &Packing<'a, D>, blame: &[f32]) -> Vec<u32> {
        let model = empty.model;
        let worth = |number: usize| {
            let held = model.held.of(number).iter();
            let blame: f32 =
                held.map(|&(kind, count)| blame[usize::from(kind)] * f32::from(count)).sum();
            model.value[number] as f32 / (self.prices.cost[number] + blame).max(f32::MIN_POSITIVE)
        };
        let mut order = sorted(model, worth);
        order.retain(|&number| !empty.gone[number as usize]);
        order
    }

    /// Raises the cost of the kinds that have tasks without a place, the more, the more of its tasks they are.
    fn blame(&self, packing: &Packing<'a, D>, blame: &mut [f32]) {
        if packing.is_complete() {
            return;
        }
        let mut displaced = vec![0_u32; blame.len()];
        for number in (0..packing.gone.len()).filter(|&number| packing.gone[number]) {
            for &(kind, count) in packing.model.held.of(number) {
                displaced[usize::from(kind)] += u32::from(count);
            }
        }
        for (kind, blame) in blame.iter_mut().enumerate() {
            let unplaced = packing.unplaced[kind];
            let price = self.prices.task[kind];
            if unplaced > 0 && price.is_finite() {
                *blame += BLAME * price * unplaced as f32 / displaced[kind].max(unplaced) as f32;
            }
        }
    }

    /// Tries every other candidate once. A kind that found no place finds none later, as room only gets less.
    fn extend(&self, packing: &mut Packing<'a, D>, order: &[u32]) {
        let mut nowhere = vec![false; packing.model.kinds.len()];
        for &number in order {
            let number = number as usize;
            if self.steps + packing.steps >= self.steps_max {
                break;
            }
            let mut held = packing.model.held.of(number).iter();
            let hopeless = held.any(|&(kind, _)| nowhere[usize::from(kind)]);
            if packing.gone[number] || hopeless || !packing.limits.allows(number) {
                continue;
            }
            packing.remove(number);
            if packing.place_or_fail(&[], &mut nowhere) && packing.limits.hold() {
                packing.keep();
            } else {
                packing.take_back();
            }
        }
    }

    /// Tears down small parts and builds them anew, with one candidate more, or one for others that save no more. Ends with
    /// the budget, at the bound, or when nothing has been gained for long.
    fn improve(&mut self, empty: &Packing<'a, D>) {
        let order = self.order(empty, &vec![0.0; empty.model.kinds.len()]);
        let packing = &mut self.best;
        let mut nowhere = vec![false; packing.model.kinds.len()];
        let (mut gone, mut staying): (Vec<u32>, Vec<u32>) =
            order.iter().partition(|&&number| packing.gone[number as usize]);
        let mut rng = Rng::new(1);
        let (mut part, mut back) = (Vec::new(), Vec::new());
        let mut gained_at = 0;
        while self.steps + packing.steps < self.steps_max
            && packing.steps - gained_at < self.patience
            && !staying.is_empty()
            && (packing.value as f64) < self.prices.bound
        {
            packing.steps += TRY_STEPS;
            // The better candidates more often.
            let at = rng.below(staying.len()).min(rng.below(staying.len()));
            let number = staying[at] as usize;
            tear_down(packing, number, &mut part, &mut rng);
            let before = packing.value;
            let_stay(packing, number, &gone, &mut back, &mut rng);
            part.extend(&back);
            if packing.limits.allows(number) {
                packing.remove(number);
                if packing.place_or_fail(&part, &mut nowhere) && packing.limits.hold() {
                    packing.keep();
                    if packing.value > before {
                        gained_at = packing.steps;
                    }
                    nowhere.fill(false);
                    staying.swap_remove(at);
                    staying.extend(&back);
                    gone.retain(|other| !back.contains(other));
                    gone.push(number as u32);
                    continue;
                }
            }
            packing.take_back();
        }
        self.steps += std::mem::take(&mut packing.steps);
    }
}

/// How often the candidates are gone through to balance zones: letting one stay in one zone can call for one in another.
const REPAIR_PASSES: usize = 3;

/// Lets candidates stay, the worst first, until everything that is displaced has a place and zones are in balance.
fn repair<const D: usize>(packing: &mut Packing<'_, D>, order: &[u32]) {
    for _ in 0..REPAIR_PASSES {
        for &number in order.iter().rev() {
            if packing.is_complete() && packing.limits.hold() {
                return;
            }
            let number = number as usize;
            let mut held = packing.model.held.of(number).iter();
            let helps = packing.limits.balances(number)
                || held.any(|&(kind, _)| packing.unplaced[usize::from(kind)] > 0);
            if packing.gone[number] && helps {
                let_one_stay(packing, number);
            }
        }
    }
}

/// Lets an instance stay after all, and places what waits on it and on those that its own tasks leave.
fn let_one_stay<const D: usize>(packing: &mut Packing<'_, D>, number: usize) {
    packing.restore(number);
    let mut touched = vec![number as u32];
    packing.touched(&mut touched);
    touched.sort_unstable();
    touched.dedup();
    packing.place_among(&touched);
    packing.keep();
}

/// What a try costs beside looks and changes.
const TRY_STEPS: u64 = 100;
/// How many instances are torn down at once.
const PART: std::ops::RangeInclusive<usize> = 6..=20;

/// Takes displaced tasks off a few instances by chance, rather off those with much room left.
fn tear_down<const D: usize>(
    packing: &mut Packing<'_, D>,
    except: usize,
    part: &mut Vec<u32>,
    rng: &mut Rng,
) {
    part.clear();
    let size = PART.start() + rng.below(PART.end() - PART.start() + 1);
    for _ in 0..2 * size {
        if part.len() >= size {
            break;
        }
        let two = [rng.below(packing.model.len()), rng.below(packing.model.len())];
        let stays = |&number: &usize| !packing.gone[number] && number != except;
        let roomiest = two
            .into_iter()
            .filter(stays)
            .max_by(|&one, &other| packing.slack(one).total_cmp(&packing.slack(other)));
        if let Some(number) = roomiest.filter(|&number| !part.contains(&(number as u32))) {
            packing.unhost(number);
            part.push(number as u32);
        }
    }
}

/// How many instances may stay after all for one that goes.
const BACK_MAX: usize = 3;

/// Lets up to [`BACK_MAX`] instances stay that together save no more than the one that is to go.
fn let_stay<const D: usize>(
    packing: &mut Packing<'_, D>,
    number: usize,
    gone: &[u32],
    back: &mut Vec<u32>,
    rng: &mut Rng,
) {
    back.clear();
    let mut credit = packing.model.value[number];
    for _ in 0..BACK_MAX {
        if gone.is_empty() || rng.below(10) >= 7 {
            break;
        }
        let other = gone[rng.below(gone.len()).max(rng.below(gone.len()))];
        let value = packing.model.value[other as usize];
        if packing.gone[other as usize] && value <= credit {
            packing.restore(other as usize);
            back.push(other);
            credit -= value;
        }
    }
}

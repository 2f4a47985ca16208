//! The best packing that can be found: which instances are gone in it.
//!
//! Candidates are taken by what they save for what they cost at the bound's prices. As many of them as the bound promises
//! are taken out at once, and those stay whose tasks find no place; the others are tried one by one; then small parts of
//! the packing are torn down and built anew with one candidate more, as long as the budget of steps lasts.

use super::bound::Prices;
use super::limits::Limits;
use super::model::Model;
use super::packing::Packing;
use super::rng::Rng;

/// The budget grows with the cluster: so many steps an instance. More gains less than 0.5 %.
const STEPS_PER_INSTANCE: u64 = 6_000;
/// Small clusters are searched thoroughly: so many steps more for each of the first [`FIRST_INSTANCES`].
const STEPS_PER_FIRST_INSTANCE: u64 = 14_000;
/// See [`STEPS_PER_FIRST_INSTANCE`].
const FIRST_INSTANCES: u64 = 50;
/// The search gives up after so many tries an instance that gain nothing.
const TRIES_PER_INSTANCE: usize = 100;

/// Candidates with the most saving for the least cost first.
fn order<const D: usize>(model: &Model<D>, prices: &Prices<D>) -> Vec<u32> {
    sorted(model, |number| model.value[number] as f32 / prices.cost[number].max(f32::MIN_POSITIVE))
}

/// How much a mean instance's worth of moved tasks counts in the gentle order, in values of a mean instance.
const MOVED: f32 = 3.0;
/// How much the largest of them counts: it asks for more room in one piece than any other.
const LARGEST: f32 = 2.0;

/// Candidates with the most saving for the least disturbance first: few tasks, and small ones. Those are easily certified.
pub(super) fn gentle_order<const D: usize>(model: &Model<D>, prices: &Prices<D>) -> Vec<u32> {
    let scale = model.scale();
    let mean = model.value.iter().sum::<u64>() as f32 / model.len().max(1) as f32;
    let size = |kind: u16| {
        let demand = model.kinds[usize::from(kind)].demand;
        (0..D).map(|at| demand[at] as f32 * scale[at]).sum::<f32>() / 2.0
    };
    let sizes: Vec<f32> = (0..model.kinds.len()).map(|kind| size(kind as u16)).collect();
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
    let mut order: Vec<(f32, u32)> = candidates.map(|number| (worth(number), number as u32)).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    order.into_iter().map(|(_, number)| number).collect()
}

/// Finds a packing in which those of `taken` are gone; `None` if even what they displace, and what is on its way, has no
/// place.
pub(super) fn best<'a, const D: usize>(
    model: &'a Model<D>,
    limits: &Limits,
    prices: &Prices<D>,
    taken: &[u32],
    steps_max: u64,
) -> Option<Packing<'a, D>> {
    let mut empty = Packing::new(model, limits.clone(), prices);
    taken.iter().for_each(|&number| empty.remove(number as usize));
    empty.place_all(None);
    empty.keep();
    if !empty.is_complete() {
        return None;
    }
    let mut order = order(model, prices);
    order.retain(|&number| !empty.gone[number as usize]);
    let instances = model.len() as u64;
    let budget = STEPS_PER_INSTANCE * instances + STEPS_PER_FIRST_INSTANCE * instances.min(FIRST_INSTANCES);
    let mut search = Search {
        order: &order,
        best: empty.clone(),
        steps: 0,
        steps_max: steps_max.min(budget),
        bound: prices.bound,
    };
    search.start(empty);
    search.extend();
    search.improve();
    search.best.steps = search.steps;
    Some(search.best)
}

struct Search<'a, 'b, const D: usize> {
    order: &'b [u32],
    best: Packing<'a, D>,
    steps: u64,
    steps_max: u64,
    bound: f64,
}

/// Shares of the bound to begin with.
const TARGETS: [f64; 3] = [1.0, 0.985, 0.96];

impl<'a, const D: usize> Search<'a, '_, D> {
    /// Takes the first candidates out until their value reaches a share of the bound, packs, and lets those stay whose
    /// tasks find no place.
    fn start(&mut self, empty: Packing<'a, D>) {
        for target in TARGETS {
            let mut packing = empty.clone();
            for &number in self.order {
                let number = number as usize;
                if packing.value as f64 >= target * self.bound || self.steps + packing.steps >= self.steps_max
                {
                    break;
                }
                if packing.limits.allows(number) {
                    packing.remove(number);
                }
            }
            packing.place_all(None);
            packing.keep();
            self.repair(&mut packing);
            self.steps += std::mem::take(&mut packing.steps);
            if packing.is_complete() && packing.limits.hold() && packing.value > self.best.value {
                self.best = packing;
            }
        }
    }

    /// Lets candidates stay, the worst first, until everything that is displaced has a place.
    fn repair(&self, packing: &mut Packing<'a, D>) {
        let mut touched = Vec::new();
        for &number in self.order.iter().rev() {
            if packing.is_complete() {
                return;
            }
            let number = number as usize;
            let mut held = packing.model.held.of(number).iter();
            if packing.gone[number] && held.any(|&(kind, _)| packing.waits(kind)) {
                packing.restore(number);
                touched.clear();
                touched.push(number as u32);
                packing.touched(&mut touched);
                touched.sort_unstable();
                touched.dedup();
                packing.place_all(Some(&touched));
                packing.keep();
            }
        }
    }

    /// Tries every other candidate once. A kind that found no place finds none later, as room only gets less.
    fn extend(&mut self) {
        let mut nowhere = vec![false; self.best.model.kinds.len()];
        let packing = &mut self.best;
        for &number in self.order {
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
        self.steps += std::mem::take(&mut packing.steps);
    }

    /// Tears down small parts and builds them anew, with one candidate more, or one for others that save no more. Ends with
    /// the budget, at the bound, or when nothing has been gained for long.
    fn improve(&mut self) {
        let packing = &mut self.best;
        let mut nowhere = vec![false; packing.model.kinds.len()];
        let is_gone = |number: &u32| packing.gone[*number as usize];
        let (mut gone, mut staying): (Vec<u32>, Vec<u32>) = self.order.iter().copied().partition(is_gone);
        let mut rng = Rng::new(1);
        let (mut part, mut back) = (Vec::new(), Vec::new());
        let mut tries = 0;
        while self.steps + packing.steps < self.steps_max
            && tries < TRIES_PER_INSTANCE * packing.model.len()
            && !staying.is_empty()
            && (packing.value as f64) < self.bound
        {
            tries += 1;
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
                        tries = 0;
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

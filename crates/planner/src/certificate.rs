//! Whether every displaced task finds a place wherever ECS puts the others.
//!
//! ECS places each displaced task by its service's own strategy, in any order, on any instance that passes the filters. So
//! that a plan holds, it is not enough that some packing exists. Take a kind of task and the instances that stay, may
//! take it, have room for one now and hold nothing in conflict with it. Each of them must be filled up to some amount, in
//! some dimension, before it cannot take one; if for some weights of the dimensions that adds up to more than all tasks
//! that can land there, no order and no choice can leave a task of the kind without a place.
//!
//! In numbers: with `fill = free - demand + 1` by dimension, the sum over those instances of the least weighted fill, less
//! its largest terms for the displaced tasks in conflict with the kind, must exceed the weighted demand of all that is
//! displaced there, less one of the kind itself. It is monotone: what holds for more displaced tasks holds for fewer.
//! All of it is in integers; only the choice of weights is not, and any weights will do.

use crate::model::{Amounts, Kind, Model, conflicts, fits};

/// The weights that are tried: shares of the first two dimensions, from one end to the other.
const WEIGHTS: usize = 25;
/// Weights are whole numbers up to this, so that sums over a cluster fit into 64 bits: 5,000 instances, amounts below 2³⁰.
const WEIGHT_MAX: f32 = 1024.0;

/// Checks one model for sets of displaced tasks.
pub(crate) struct Certificate<'a, const D: usize> {
    model: &'a Model<D>,
    weights: Vec<[i64; D]>,
    /// Kinds that may run in the same places with the same conflicts.
    families: Vec<Family>,
    /// The looks at an instance for a kind so far.
    pub(crate) steps: u64,
    terms: Vec<i64>,
}

/// Kinds with the same classes and conflict keys.
struct Family {
    kinds: Vec<u16>,
    /// Kinds that can land on an instance that this family can run on.
    neighbours: Vec<u16>,
    /// The weights that did last time.
    weights: usize,
}

/// What a plan displaces: which instances are gone, and how many tasks of each kind need a place.
pub(crate) struct Displaced<'b> {
    pub(crate) gone: &'b [bool],
    pub(crate) count: &'b [u32],
}

impl<'a, const D: usize> Certificate<'a, D> {
    /// Prepares to check.
    pub(crate) fn new(model: &'a Model<D>) -> Self {
        let mut families = Vec::<Family>::new();
        for (number, kind) in (0..).zip(&model.kinds) {
            let same = |family: &&mut Family| {
                let first = &model.kinds[usize::from(family.kinds[0])];
                first.allowed == kind.allowed && first.keys == kind.keys
            };
            match families.iter_mut().find(same) {
                Some(family) => family.kinds.push(number),
                None => families.push(Family {
                    kinds: vec![number],
                    neighbours: Vec::new(),
                    weights: WEIGHTS / 2,
                }),
            }
        }
        for family in &mut families {
            let allowed = &model.kinds[usize::from(family.kinds[0])].allowed;
            let meets =
                |other: &Vec<bool>| other.iter().zip(allowed).any(|(one, other)| *one && *other);
            family.neighbours = (0..)
                .zip(&model.kinds)
                .filter(|(_, kind)| meets(&kind.allowed))
                .map(|(at, _)| at)
                .collect();
        }
        Self { model, weights: weights(model), families, steps: 0, terms: Vec::new() }
    }

    /// Whether every displaced task finds a place, or the kind of one that may not. Of families, the one that failed last
    /// is asked first: it often fails again.
    pub(crate) fn check(
        &mut self,
        displaced: &Displaced<'_>,
        only: Option<&[bool]>,
    ) -> Result<(), u16> {
        for at in 0..self.families.len() {
            self.steps += self.families[at].kinds.len() as u64;
            for (kind, least) in self.largest(at, displaced, only) {
                if !self.holds(at, kind, &least, displaced) {
                    self.families[..=at].rotate_right(1);
                    return Err(kind);
                }
            }
        }
        Ok(())
    }

    /// The kinds of a family that no other is larger than, each with the least demand of those it speaks for.
    fn largest(
        &self,
        family: usize,
        displaced: &Displaced<'_>,
        only: Option<&[bool]>,
    ) -> Vec<(u16, Amounts<D>)> {
        let demand = |kind: u16| &self.model.kinds[usize::from(kind)].demand;
        let asked = |kind: &u16| {
            let at = usize::from(*kind);
            displaced.count[at] > 0 && only.is_none_or(|only| only[at])
        };
        let mut largest = Vec::<(u16, Amounts<D>)>::new();
        let mut kinds: Vec<u16> =
            self.families[family].kinds.iter().copied().filter(asked).collect();
        kinds.sort_by_key(|&kind| {
            std::cmp::Reverse(demand(kind).iter().map(|&one| i64::from(one)).sum::<i64>())
        });
        for kind in kinds {
            // A kind that needs nothing in a dimension is not blocked there; the larger one may be, which is harder.
            match largest.iter_mut().find(|(larger, _)| fits(demand(kind), demand(*larger))) {
                Some((_, least)) => {
                    for (least, one) in least.iter_mut().zip(demand(kind)) {
                        *least = (*least).min(*one);
                    }
                }
                None => largest.push((kind, *demand(kind))),
            }
        }
        largest
    }

    fn holds(
        &mut self,
        family: usize,
        kind: u16,
        least: &Amounts<D>,
        displaced: &Displaced<'_>,
    ) -> bool {
        let mut landing = self.landing(family, displaced);
        for (sum, least) in landing.iter_mut().zip(least) {
            *sum -= i64::from(*least);
        }
        let conflicting = self.conflicting(kind, displaced);
        // From the weights that did last time, on to better ones as long as there are any.
        let mut at = self.families[family].weights;
        let mut best = self.excess(kind, at, &landing, conflicting, displaced.gone);
        for step in [1, -1] {
            while best <= 0 {
                let next = at as isize + step;
                if !(0..WEIGHTS as isize).contains(&next) {
                    break;
                }
                let excess =
                    self.excess(kind, next as usize, &landing, conflicting, displaced.gone);
                if excess <= best {
                    break;
                }
                (at, best) = (next as usize, excess);
            }
        }
        self.families[family].weights = at;
        best > 0
    }

    /// What is displaced to where a family can run.
    fn landing(&mut self, family: usize, displaced: &Displaced<'_>) -> [i64; D] {
        self.steps += self.families[family].neighbours.len() as u64;
        let mut landing = [0_i64; D];
        for &other in &self.families[family].neighbours {
            let count = displaced.count[usize::from(other)];
            let kind = &self.model.kinds[usize::from(other)];
            for (sum, demand) in landing.iter_mut().zip(kind.demand) {
                *sum += i64::from(demand) * i64::from(count);
            }
        }
        landing
    }

    /// How many displaced tasks are in conflict with one of a kind.
    fn conflicting(&mut self, kind: u16, displaced: &Displaced<'_>) -> usize {
        let what = &self.model.kinds[usize::from(kind)];
        if what.keys.is_empty() {
            return 0;
        }
        self.steps += self.model.kinds.len() as u64;
        let conflicts = |other: &Kind<D>| other.keys.iter().any(|key| what.keys.contains(key));
        let with =
            self.model.kinds.iter().zip(displaced.count).filter(|(other, _)| conflicts(other));
        with.map(|(_, count)| *count).sum::<u32>().saturating_sub(1) as usize
    }

    /// What stands in the way of candidates where a kind has just been refused: see [`Wall`].
    pub(crate) fn wall(&mut self, kind: u16, displaced: &Displaced<'_>) -> Wall<D> {
        let of = self
            .families
            .iter()
            .position(|family| family.kinds.contains(&kind))
            .unwrap_or_default();
        let mut landing = self.landing(of, displaced);
        for (sum, own) in landing.iter_mut().zip(self.model.kinds[usize::from(kind)].demand) {
            *sum -= i64::from(own);
        }
        let conflicting = self.conflicting(kind, displaced);
        let fill = |at: usize| {
            let weights = self.weights_for(kind, at);
            (weights, self.fill(kind, &weights, conflicting, displaced.gone))
        };
        let fills = (0..WEIGHTS).map(fill).collect();
        let mut lands = vec![false; self.model.kinds.len()];
        self.families[of].neighbours.iter().for_each(|&other| lands[usize::from(other)] = true);
        Wall { kind, lands, landing, fills }
    }

    /// By how much the instances' fill exceeds what can land on them, in millionths of it; above 0 it holds.
    fn excess(
        &mut self,
        kind: u16,
        weights: usize,
        landing: &[i64; D],
        conflicting: usize,
        gone: &[bool],
    ) -> i64 {
        let weights = self.weights_for(kind, weights);
        let needed = weighted(&weights, landing);
        let Some(fill) = self.fill(kind, &weights, conflicting, gone) else { return i64::MIN };
        let excess = i128::from(fill) - needed;
        // Weights differ in size: only a share can be compared.
        let share = excess * 1_000_000 / needed.max(1);
        if excess > 0 {
            i64::try_from(share).unwrap_or(i64::MAX).max(1)
        } else {
            i64::try_from(share).unwrap_or(i64::MIN).min(0)
        }
    }

    /// A dimension that the kind does not need never blocks it, and what others hold of it does not count.
    fn weights_for(&self, kind: u16, at: usize) -> [i64; D] {
        let demand = &self.model.kinds[usize::from(kind)].demand;
        std::array::from_fn(
            |dimension| if demand[dimension] > 0 { self.weights[at][dimension] } else { 0 },
        )
    }

    /// What must land on the instances at least to fill them all for a kind, but for those that conflicts close; `None` if
    /// conflicts close all.
    fn fill(
        &mut self,
        kind: u16,
        weights: &[i64; D],
        conflicting: usize,
        gone: &[bool],
    ) -> Option<i64> {
        let Self { model, steps, terms, .. } = self;
        let what = &model.kinds[usize::from(kind)];
        let mut sum = 0_i64;
        terms.clear();
        for class in (0..what.allowed.len()).filter(|&class| what.allowed[class]) {
            let numbers = model.class_starts[class]..model.class_starts[class + 1];
            *steps += numbers.len() as u64;
            for number in numbers {
                let free = &model.free[number];
                if gone[number]
                    || !fits(&what.demand, free)
                    || conflicts(what, &model.holders, number)
                {
                    continue;
                }
                let mut term = i64::MAX;
                for at in 0..D {
                    if what.demand[at] > 0 {
                        term = term.min(weights[at] * i64::from(free[at] - what.demand[at] + 1));
                    }
                }
                // A kind that needs nothing is never blocked by room.
                if term == i64::MAX {
                    term = 1;
                }
                sum += term;
                if conflicting > 0 {
                    terms.push(term);
                }
            }
        }
        if conflicting > 0 {
            if conflicting >= terms.len() {
                return None;
            }
            terms.select_nth_unstable_by(conflicting, |one, other| other.cmp(one));
            sum -= terms[..conflicting].iter().sum::<i64>();
        }
        Some(sum)
    }
}

fn weighted<const D: usize>(weights: &[i64; D], amounts: &[i64; D]) -> i128 {
    weights.iter().zip(amounts).map(|(one, other)| i128::from(*one) * i128::from(*other)).sum()
}

/// How little more may be displaced before a kind is refused, whatever the weights. As the certificate is monotone, a wall
/// that stood once stands for every larger plan.
pub(crate) struct Wall<const D: usize> {
    /// The kind that is refused.
    pub(crate) kind: u16,
    /// By kind: whether its tasks can land where this one can.
    lands: Vec<bool>,
    /// What is displaced there already, but for one task of the kind itself.
    landing: [i64; D],
    /// The weights that can be tried, and the fill with each.
    fills: Vec<([i64; D], Option<i64>)>,
}

impl<const D: usize> Wall<D> {
    /// Whether the tasks of one more instance, by kind, are too much. Says nothing if no task of the kind is displaced.
    pub(crate) fn stops(&self, model: &Model<D>, held: &[(u16, u16)], count: &[u32]) -> bool {
        if count[usize::from(self.kind)] == 0 && held.iter().all(|(kind, _)| *kind != self.kind) {
            return false;
        }
        let mut landing = self.landing;
        for &(kind, count) in held.iter().filter(|(kind, _)| self.lands[usize::from(*kind)]) {
            for (sum, demand) in landing.iter_mut().zip(model.kinds[usize::from(kind)].demand) {
                *sum += i64::from(demand) * i64::from(count);
            }
        }
        let enough = |(weights, fill): &([i64; D], Option<i64>)| {
            fill.is_some_and(|fill| i128::from(fill) > weighted(weights, &landing))
        };
        !self.fills.iter().any(enough)
    }
}

/// Weights from all on the second dimension to all on the first; the others weigh as much as both.
fn weights<const D: usize>(model: &Model<D>) -> Vec<[i64; D]> {
    let scale = model.scale();
    let of_share = |turn: usize| {
        let tilt = (turn as f32 / (WEIGHTS - 1) as f32 - 0.5) * 8.0;
        let raw: [f32; D] = std::array::from_fn(|at| {
            scale[at]
                * match at {
                    0 => (tilt / 2.0).exp(),
                    1 => (-tilt / 2.0).exp(),
                    _ => 2.0,
                }
        });
        let largest = raw.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        raw.map(|one| if one > 0.0 { ((one / largest * WEIGHT_MAX) as i64).max(1) } else { 0 })
    };
    (0..WEIGHTS).map(of_share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::testing::{cluster, holding, model, service};

    /// A cluster by chance: up to twelve instances, three services of which some conflict with themselves.
    fn world(rng: &mut Rng) -> Model<2> {
        let services = (0..3).map(|number| {
            let demand = [0, 1].map(|_| 128 * (1 + rng.below(8)) as i64);
            let constraints =
                (0..rng.below(2)).map(|_| "attribute:ecs.availability-zone == a".to_owned());
            crate::inventory::Service {
                distinct_instance: rng.below(4) == 0,
                constraints: constraints.collect(),
                ..service(number, demand)
            }
        });
        let services = services.collect();
        let instances = (1..4 + rng.below(9)).map(|number| {
            let free = [0, 1].map(|_| rng.below(2048) as i64);
            let tasks = [0, 1, 2].map(|service| (service, rng.below(5) / 3));
            let zone = ["a", "b"][rng.below(2)].to_owned();
            crate::inventory::Instance { zone, ..holding(number, free, &tasks) }
        });
        model(&cluster(instances.collect(), services))
    }

    fn count(model: &Model<2>, gone: &[bool]) -> Vec<u32> {
        let mut count = vec![0; model.kinds.len()];
        for number in (0..gone.len()).filter(|&number| gone[number]) {
            model
                .held
                .of(number)
                .iter()
                .for_each(|&(kind, times)| count[usize::from(kind)] += u32::from(times));
        }
        count
    }

    #[test]
    fn what_a_wall_stops_the_certificate_refuses() {
        let (mut stopped, mut passed) = (0, 0);
        for seed in 0..2000 {
            let rng = &mut Rng::new(seed);
            let model = world(rng);
            let mut gone: Vec<bool> = (0..model.len()).map(|_| rng.below(4) == 0).collect();
            let taken = count(&model, &gone);
            let mut certificate = Certificate::new(&model);
            let displaced = Displaced { gone: &gone, count: &taken };
            let walls: Vec<_> = (0..model.kinds.len())
                .map(|kind| certificate.wall(kind as u16, &displaced))
                .collect();
            for number in 0..model.len() {
                if std::mem::replace(&mut gone[number], true) {
                    continue;
                }
                let more = count(&model, &gone);
                let refused =
                    certificate.check(&Displaced { gone: &gone, count: &more }, None).is_err();
                let held = model.held.of(number);
                if walls.iter().any(|wall| wall.stops(&model, held, &taken)) {
                    assert!(refused, "seed {seed}, instance {number}");
                    stopped += 1;
                } else {
                    passed += usize::from(!refused);
                }
                gone[number] = false;
            }
        }
        assert!(stopped > 1000 && passed > 1000, "{stopped} stopped, {passed} certified");
    }
}

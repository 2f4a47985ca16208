//! Whether every displaced task finds a place wherever ECS puts the others.
//!
//! ECS places each displaced task by its service's own strategy, in any order, on any instance that
//! passes the filters. So that a plan holds, it is not enough that some packing exists. Take a kind
//! of task and the instances that stay, may take it, have room for one now and hold nothing in
//! conflict with it. Each of them must be filled up to some amount, in some dimension, before it
//! cannot take one; if for some weights of the dimensions that adds up to more than all tasks that
//! can land there, no order and no choice can leave a task of the kind without a place.
//!
//! Where Availability Zone rebalancing is on, ECS may start a task once more for each that it has
//! placed, and stop another one for it: in a steady state it starts tasks in the emptiest zone and
//! stops as many in the fullest, until they are even. A task that is placed makes them uneven by one
//! at most, so that one more start for each, and those that were due before, are all that can land.
//! What stops only leaves more room.
//!
//! A task that waits already for a place that the certificate does not find is no reason to keep what
//! it could never use: it is asked about only if the plan takes an instance that it may wait for, or
//! displaces tasks to where it may run. Otherwise it waits as it would have without the plan.
//!
//! In numbers: with `fill = free - demand + 1` by dimension, the sum over those instances of the
//! least weighted fill, less its largest terms for the starts in conflict with the kind,
//! must exceed the weighted demand of all that may start there, less one task of the kind itself. It
//! is monotone: what holds for more displaced tasks holds for fewer. All of it is in integers; only
//! the choice of weights is not, and any weights will do.

use crate::cast::whole;
use crate::index::{ClassIndex, InstanceIndex, KindIndex, Table};
use crate::model::{Amounts, Kind, Model, conflicts, fits};

/// How many weights are tried: shares of the first two dimensions, from one end to the other. More
/// certify more, for more work: on 30 recorded inventories, one plan without a share saves 19.4 %
/// with 5, and 19.5 % with 13, 25 and 49.
const WEIGHTS: usize = 25;
/// The first two weights go from 1 : 55 to 55 : 1, that is from e⁻⁴ to e⁴ in equal steps of the
/// power.
const WEIGHT_SPREAD: f32 = 8.0;
/// Weights are whole numbers up to this, so that sums over a cluster fit into 64 bits: 5,000
/// instances, amounts below 2³⁰. A smaller one would round weights at the ends to the same
/// numbers.
const WEIGHT_MAX: f32 = 1024.0;
/// Checks one model for sets of displaced tasks.
pub(crate) struct Certificate<'a, const D: usize> {
    model: &'a Model<D>,
    weights: Vec<[i64; D]>,
    families: Vec<Family>,
    /// The counted steps so far: instances examined for a kind.
    pub(crate) steps: u64,
    /// The fills of one check, kept to reuse their memory.
    fills: Vec<i64>,
}

/// Kinds that may run on the same classes of instances, with the same conflict keys. A kind for
/// which ECS chooses a capacity provider is in a family by each: all its tasks must find a place by
/// any.
struct Family {
    /// Whether they may run on each class.
    allowed: Table<ClassIndex, bool>,
    /// Each with how many of its tasks in flight cannot come here.
    kinds: Vec<(KindIndex, u32)>,
    /// Kinds that can land on an instance that this family can run on.
    neighbours: Vec<KindIndex>,
    /// The position of the weights that did last time.
    weights: usize,
}

/// What a plan displaces.
#[derive(Clone, Copy)]
pub(crate) struct Displaced<'b> {
    /// Whether each instance goes.
    pub(crate) is_removed: &'b Table<InstanceIndex, bool>,
    /// How many tasks of each kind need a place.
    pub(crate) count: &'b Table<KindIndex, u32>,
}

impl Displaced<'_> {
    /// Whether tasks of a kind need a place that have one now.
    fn moves<const D: usize>(self, model: &Model<D>, kind: KindIndex) -> bool {
        self.count[kind] > model.kinds[kind].in_flight
    }
}

/// What the task that looks for a place takes no room from: its own starts.
struct Starts<const D: usize> {
    demand: Amounts<D>,
    count: u32,
}

/// A kind that is checked, and what is the same for all weights.
struct Check<'b, const D: usize> {
    family: usize,
    kind: KindIndex,
    is_removed: &'b Table<InstanceIndex, bool>,
    /// What may start where the kind can run, less one task.
    landing: [i64; D],
    /// How many starts are in conflict with one of the kind.
    conflicting: usize,
}

impl<'a, const D: usize> Certificate<'a, D> {
    /// Prepares to check.
    pub(crate) fn new(model: &'a Model<D>) -> Self {
        let weights = weights(model);
        Self { model, weights, families: families(model), steps: 0, fills: Vec::new() }
    }

    /// Whether every displaced task of the kinds in `checked`, or of all, finds a place; or the
    /// kind of one that may not. Of families, the one that failed last is asked first: it often
    /// fails again.
    pub(crate) fn check(
        &mut self,
        displaced: Displaced<'_>,
        checked: Option<&Table<KindIndex, bool>>,
    ) -> Result<(), KindIndex> {
        for family in 0..self.families.len() {
            self.steps += self.families[family].kinds.len() as u64;
            for (kind, least) in self.largest_kinds(family, displaced, checked) {
                if !self.holds(family, kind, &least, displaced) {
                    // A rotation keeps the order of the others, which earlier failures gave them.
                    self.families[..=family].rotate_right(1);
                    return Err(kind);
                }
            }
        }
        Ok(())
    }

    /// The kinds of a family that no other is larger than, each with the least starts of those it
    /// speaks for.
    fn largest_kinds(
        &self,
        family: usize,
        displaced: Displaced<'_>,
        checked: Option<&Table<KindIndex, bool>>,
    ) -> Vec<(KindIndex, Starts<D>)> {
        let kinds = self.families[family].kinds.iter().copied();
        let mut kinds: Vec<KindIndex> = kinds
            .filter(|&(kind, elsewhere)| {
                self.is_asked(family, kind, elsewhere, displaced)
                    && checked.is_none_or(|checked| checked[kind])
            })
            .map(|(kind, _)| kind)
            .collect();
        // The largest first: a kind that fits into another one is never larger in sum, so that
        // whoever speaks for it comes before it.
        kinds.sort_by_key(|&kind| std::cmp::Reverse(self.model.kinds[kind].total_demand()));
        let mut largest = Vec::<(KindIndex, Starts<D>)>::new();
        for kind in kinds {
            let demand = self.demand(kind);
            // A kind that needs nothing in a dimension is not blocked there; the larger one may be,
            // which is harder.
            match largest.iter_mut().find(|(larger, _)| fits(demand, self.demand(*larger))) {
                Some((_, least)) => {
                    for (least, amount) in least.demand.iter_mut().zip(demand) {
                        *least = (*least).min(*amount);
                    }
                    least.count = least.count.min(self.model.kinds[kind].starts_per_task());
                }
                None => largest.push((kind, self.starts_of_one(kind))),
            }
        }
        largest
    }

    /// Whether a kind needs a place where a family can run, and a plan may be to blame if there is
    /// none. What only waits, and loses nothing by the plan, waits as it would have without it.
    fn is_asked(
        &self,
        family: usize,
        kind: KindIndex,
        elsewhere: u32,
        displaced: Displaced<'_>,
    ) -> bool {
        let Family { allowed, neighbours, .. } = &self.families[family];
        displaced.count[kind] > elsewhere
            && (neighbours.iter().any(|&neighbour| displaced.moves(self.model, neighbour))
                || self.model.instances().any(|instance| {
                    displaced.is_removed[instance]
                        && self.model.may_wait_for(kind, allowed, instance)
                }))
    }

    fn starts_of_one(&self, kind: KindIndex) -> Starts<D> {
        Starts { demand: *self.demand(kind), count: self.model.kinds[kind].starts_per_task() }
    }

    fn demand(&self, kind: KindIndex) -> &'a Amounts<D> {
        &self.model.kinds[kind].demand
    }

    /// Whether some weights show that every task of a kind, and of those it speaks for, finds a
    /// place.
    fn holds(
        &mut self,
        family: usize,
        kind: KindIndex,
        least: &Starts<D>,
        displaced: Displaced<'_>,
    ) -> bool {
        let check = self.prepare(family, kind, least, displaced);
        // Those that did last time first, as they often do again. All are tried: whether a plan
        // holds must not depend on what was asked before.
        let first = self.families[family].weights;
        let weights = std::iter::once(first)
            .chain((0..WEIGHTS).filter(|&weights| weights != first))
            .find(|&weights| self.holds_with(&check, weights));
        self.families[family].weights = weights.unwrap_or(first);
        weights.is_some()
    }

    fn prepare<'b>(
        &mut self,
        family: usize,
        kind: KindIndex,
        least: &Starts<D>,
        displaced: Displaced<'b>,
    ) -> Check<'b, D> {
        let mut landing = self.landing(family, displaced);
        for (sum, demand) in landing.iter_mut().zip(least.demand) {
            // One task of the kind is the one that looks for a place. It takes no room from itself,
            // and its service is not rebalanced before it has one.
            *sum -= i64::from(demand) * i64::from(least.count);
        }
        // Nor is it in conflict with itself.
        let conflicting = self.conflicting(kind, displaced).saturating_sub(least.count as usize);
        Check { family, kind, is_removed: displaced.is_removed, landing, conflicting }
    }

    /// What may start where a family can run.
    fn landing(&mut self, family: usize, displaced: Displaced<'_>) -> [i64; D] {
        self.steps += self.families[family].neighbours.len() as u64;
        let mut landing = [0_i64; D];
        for &neighbour in &self.families[family].neighbours {
            let kind = &self.model.kinds[neighbour];
            let count = kind.starts(displaced.count[neighbour]);
            for (sum, demand) in landing.iter_mut().zip(kind.demand) {
                // Of tens of thousands of kinds that are said to be on their way, the sum could be
                // too large for the type. Too much lands, if anything.
                *sum = sum.saturating_add(i64::from(demand) * i64::from(count));
            }
        }
        landing
    }

    /// How many starts are in conflict with one of a kind, its own among them.
    fn conflicting(&mut self, kind: KindIndex, displaced: Displaced<'_>) -> usize {
        let keys = &self.model.kinds[kind].keys;
        if keys.is_empty() {
            return 0;
        }
        self.steps += self.model.kinds.len() as u64;
        let counts = self.model.kinds.iter().zip(displaced.count.iter());
        counts
            .filter(|(kind, _)| kind.keys.iter().any(|key| keys.contains(key)))
            .map(|(kind, count)| kind.starts(*count) as usize)
            .sum()
    }

    /// The infeasibility cut of a kind that has just been refused.
    pub(crate) fn cut(&mut self, kind: KindIndex, displaced: Displaced<'_>) -> InfeasibilityCut<D> {
        // Every kind is in a family, so that it is always found. The family that has just refused
        // it stands first; any of them gives a cut.
        let elsewhere = |family: &Family| {
            family.kinds.iter().find(|(member, _)| *member == kind).map(|(_, elsewhere)| *elsewhere)
        };
        let mut families = self.families.iter().enumerate();
        let (family, elsewhere) = families
            .find_map(|(family, members)| Some((family, elsewhere(members)?)))
            .unwrap_or_default();
        let is_asked = self.is_asked(family, kind, elsewhere, displaced);
        let check = self.prepare(family, kind, &self.starts_of_one(kind), displaced);
        let fills = (0..WEIGHTS)
            .map(|position| {
                let weights = self.weights_for(kind, position);
                (weights, self.fill(&check, &weights))
            })
            .collect();
        let mut lands = Table::filled(false, self.model.kinds.len());
        for &neighbour in &self.families[family].neighbours {
            lands[neighbour] = true;
        }
        let allowed = self.families[family].allowed.clone();
        let waits = displaced.count[kind] > elsewhere;
        InfeasibilityCut { kind, allowed, lands, waits, is_asked, landing: check.landing, fills }
    }

    /// Whether the instances' fill exceeds what can land on them.
    fn holds_with(&mut self, check: &Check<'_, D>, weights: usize) -> bool {
        let weights = self.weights_for(check.kind, weights);
        let needed = weighted(&weights, &check.landing);
        self.fill(check, &weights).is_some_and(|fill| i128::from(fill) > needed)
    }

    /// A dimension that the kind does not need never blocks it, and what others hold of it does not
    /// count.
    fn weights_for(&self, kind: KindIndex, position: usize) -> [i64; D] {
        let demand = self.demand(kind);
        std::array::from_fn(|dimension| {
            if demand[dimension] > 0 { self.weights[position][dimension] } else { 0 }
        })
    }

    /// What must land on the instances at least to fill them all for a kind, but for those that
    /// conflicts close; `None` if conflicts close all.
    fn fill(&mut self, check: &Check<'_, D>, weights: &[i64; D]) -> Option<i64> {
        let Self { model, families, steps, fills, .. } = self;
        let kind = &model.kinds[check.kind];
        let classes = families[check.family].allowed.enumerate();
        let mut sum = 0_i64;
        fills.clear();
        for (class, _) in classes.filter(|(_, allowed)| **allowed) {
            *steps += model.member_count(class) as u64;
            for instance in model.members(class) {
                let free = &model.free[instance];
                if check.is_removed[instance]
                    || !fits(&kind.demand, free)
                    || conflicts(kind, &model.key_holders, instance)
                {
                    continue;
                }
                let fill = fill_of(&kind.demand, free, weights);
                sum += fill;
                if check.conflicting > 0 {
                    fills.push(fill);
                }
            }
        }
        if check.conflicting > 0 {
            // Each task in conflict may close another instance, and none would be left.
            if check.conflicting >= fills.len() {
                return None;
            }
            // Whoever is unkind closes the instances that have most room, so that the largest fills
            // do not count.
            fills.select_nth_unstable_by(check.conflicting, |a, b| b.cmp(a));
            sum -= fills[..check.conflicting].iter().sum::<i64>();
        }
        Some(sum)
    }
}

/// What must land on one instance at least before it cannot take a task.
fn fill_of<const D: usize>(demand: &Amounts<D>, free: &Amounts<D>, weights: &[i64; D]) -> i64 {
    let mut least = i64::MAX;
    for dimension in 0..D {
        if demand[dimension] > 0 {
            let fill = i64::from(free[dimension] - demand[dimension] + 1);
            least = least.min(weights[dimension] * fill);
        }
    }
    // A kind that needs nothing is never blocked by room.
    if least == i64::MAX { 1 } else { least }
}

fn weighted<const D: usize>(weights: &[i64; D], amounts: &[i64; D]) -> i128 {
    weights
        .iter()
        .zip(amounts)
        .map(|(weight, amount)| i128::from(*weight) * i128::from(*amount))
        .sum()
}

fn families<const D: usize>(model: &Model<D>) -> Vec<Family> {
    let mut families = Vec::<Family>::new();
    let kinds = model.kinds.enumerate();
    for (index, kind, choice) in
        kinds.flat_map(|(index, kind)| kind.choices.iter().map(move |choice| (index, kind, choice)))
    {
        let alike = families.iter_mut().find(|family| {
            let (first, _) = family.kinds[0];
            family.allowed == choice.allowed && model.kinds[first].keys == kind.keys
        });
        let member = (index, kind.in_flight - choice.in_flight);
        match alike {
            Some(family) => family.kinds.push(member),
            None => families.push(Family {
                allowed: choice.allowed.clone(),
                kinds: vec![member],
                neighbours: Vec::new(),
                weights: WEIGHTS / 2,
            }),
        }
    }
    for Family { allowed, kinds, neighbours, .. } in &mut families {
        let lands = |index: KindIndex, kind: &Kind<D>| {
            kind.allowed.iter().zip(allowed.iter()).any(|(a, b)| *a && *b)
                // Its own kinds, even where there is no instance for them.
                || kinds.iter().any(|(member, _)| *member == index)
        };
        let all = model.kinds.enumerate().filter(|&(index, kind)| lands(index, kind));
        *neighbours = all.map(|(index, _)| index).collect();
    }
    families
}

/// Weights from all on the second dimension to all on the first; the others weigh as much as both.
fn weights<const D: usize>(model: &Model<D>) -> Vec<[i64; D]> {
    let scale = model.scale;
    (0..WEIGHTS)
        .map(|position| {
            let tilt = (position as f32 / (WEIGHTS - 1) as f32 - 0.5) * WEIGHT_SPREAD;
            let raw: [f32; D] = std::array::from_fn(|dimension| {
                scale[dimension]
                    * match dimension {
                        0 => (tilt / 2.0).exp(),
                        1 => (-tilt / 2.0).exp(),
                        _ => 2.0,
                    }
            });
            let largest = raw.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
            // A dimension that the cluster has none of stays without weight; any other keeps some,
            // or it would not count at all.
            raw.map(|weight| {
                if weight > 0.0 {
                    whole(f64::from(weight / largest * WEIGHT_MAX)).max(1)
                } else {
                    0
                }
            })
        })
        .collect()
}

/// How little more may be displaced before a kind is refused, whatever the weights: a cut of the
/// plans that contain the one that was refused. As the certificate is monotone, a cut that held
/// once holds for every larger plan. The idea is that of combinatorial Benders' cuts (Codato and
/// Fischetti, 2006).
pub(crate) struct InfeasibilityCut<const D: usize> {
    /// The kind that is refused.
    pub(crate) kind: KindIndex,
    /// Whether it may run on each class of instances, by the capacity provider that is short.
    allowed: Table<ClassIndex, bool>,
    /// Whether tasks of each kind can land where this one can.
    lands: Table<KindIndex, bool>,
    /// Whether tasks of it need a place already, and whether they are asked about.
    waits: bool,
    is_asked: bool,
    /// What may start there already, but for one task of the kind itself.
    landing: [i64; D],
    /// The weights that can be tried, and the fill with each.
    fills: Vec<([i64; D], Option<i64>)>,
}

impl<const D: usize> InfeasibilityCut<D> {
    /// Whether one more instance and its tasks are too much. Says nothing as long as nobody asks
    /// about the kind.
    pub(crate) fn excludes(&self, model: &Model<D>, instance: InstanceIndex) -> bool {
        let movable = model.movable.of(instance);
        // What was asked about when the cut was made stays so, as plans only grow from there; what a
        // try asks about beside it does not.
        let is_asked = self.is_asked
            || movable.iter().any(|(kind, _)| *kind == self.kind)
            || self.waits
                && (movable.iter().any(|(kind, _)| self.lands[*kind])
                    || model.may_wait_for(self.kind, &self.allowed, instance));
        if !is_asked {
            return false;
        }
        let mut landing = self.landing;
        for &(kind, count) in movable.iter().filter(|(kind, _)| self.lands[*kind]) {
            let count = i64::from(count) * i64::from(model.kinds[kind].starts_per_task());
            for (sum, demand) in landing.iter_mut().zip(model.kinds[kind].demand) {
                *sum += i64::from(demand) * count;
            }
        }
        !self.fills.iter().any(|(weights, fill)| {
            fill.is_some_and(|fill| i128::from(fill) > weighted(weights, &landing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::testing::{cluster, holding, model, service};

    /// A cluster by chance: up to twelve instances, three services of which some conflict with
    /// themselves.
    fn world(rng: &mut Rng) -> Model<2> {
        let services = (0..3).map(|number| {
            let demand = [0, 1].map(|_| 128 * (1 + rng.below(8)) as i64);
            let constraints =
                (0..rng.below(2)).map(|_| "attribute:ecs.availability-zone == a".to_owned());
            crate::inventory::Service {
                distinct_instance: rng.below(4) == 0,
                constraints: constraints.collect(),
                in_flight: rng.below(8) as u64 / 7,
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

    fn displaced_by(
        model: &Model<2>,
        is_removed: &Table<InstanceIndex, bool>,
    ) -> Table<KindIndex, u32> {
        let mut displaced: Table<KindIndex, u32> =
            model.kinds.iter().map(|kind| kind.in_flight).collect();
        for instance in model.instances().filter(|&instance| is_removed[instance]) {
            for &(kind, count) in model.movable.of(instance) {
                displaced[kind] += u32::from(count);
            }
        }
        displaced
    }

    #[test]
    fn what_a_cut_excludes_the_certificate_refuses() {
        let (mut excluded, mut certified) = (0, 0);
        for seed in 0..2000 {
            let rng = &mut Rng::new(seed);
            let model = world(rng);
            let mut is_removed: Table<InstanceIndex, bool> =
                model.instances().map(|_| rng.below(4) == 0).collect();
            let before = displaced_by(&model, &is_removed);
            let mut certificate = Certificate::new(&model);
            let displaced = Displaced { is_removed: &is_removed, count: &before };
            let cuts: Vec<_> =
                model.kinds.indices().map(|kind| certificate.cut(kind, displaced)).collect();
            for instance in model.instances() {
                if std::mem::replace(&mut is_removed[instance], true) {
                    continue;
                }
                let count = displaced_by(&model, &is_removed);
                let larger = Displaced { is_removed: &is_removed, count: &count };
                let refused = certificate.check(larger, None).is_err();
                if cuts.iter().any(|cut| cut.excludes(&model, instance)) {
                    assert!(refused, "seed {seed}, instance {instance:?}");
                    excluded += 1;
                } else {
                    certified += usize::from(!refused);
                }
                is_removed[instance] = false;
            }
        }
        assert!(excluded > 1000 && certified > 1000, "{excluded} excluded, {certified} certified");
    }
}

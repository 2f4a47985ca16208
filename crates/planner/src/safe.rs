//! Which instances can go whatever ECS does with their tasks: a certified core, extended by what
//! stands every replay.
//!
//! Candidates are taken in the order of their worth, in chunks that double while they hold and
//! halve when they do not: so one that stands in the way is skipped by bisection (galloping search:
//! Bentley and Yao, "An almost optimal algorithm for unbounded searching", 1976). The certificate
//! is monotone, so that a candidate which it refused once need not be asked again, nor one that an
//! infeasibility cut excludes.

use std::collections::BTreeMap;

use crate::bound::Prices;
use crate::certificate::{Certificate, Displaced, InfeasibilityCut};
use crate::index::{InstanceIndex, KindIndex, Table};
use crate::inventory::Inventory;
use crate::limits::Limits;
use crate::model::Model;
use crate::replay::{ORDERS, Replay};

/// What goes, and what was found out about what stays.
pub(crate) struct SafeRemovals {
    /// What goes, in the order in which it was taken.
    pub(crate) removed: Vec<InstanceIndex>,
    /// How many of them, from the first, are certified for themselves.
    certified: usize,
    /// Whether each instance goes.
    pub(crate) is_removed: Table<InstanceIndex, bool>,
    /// The kind of task that might find no place, for each candidate that was refused.
    pub(crate) blocked_by: Table<InstanceIndex, Option<KindIndex>>,
    /// What is left of the limits.
    pub(crate) limits: Limits,
    /// The counted steps that it took.
    pub(crate) steps: u64,
}

impl SafeRemovals {
    /// Whether all that goes is certified.
    pub(crate) fn is_certified(&self) -> bool {
        self.certified == self.removed.len()
    }
}

/// How many counted steps the certificate may take for each instance: budgets grow with the
/// cluster. A guard: on 30 recorded inventories a fifth of it and four times as much save the same.
const CERTIFICATE_STEPS_PER_INSTANCE: u64 = 5_000;
/// How many counted steps replays may take for each instance. They trade CPU time for a little
/// saving: on the same inventories, plans without a share save 19.5 % in 0.42 s of CPU at 1,000,
/// 19.5 % in 0.48 s here, 19.7 % in 0.63 s at 6,000.
const REPLAY_STEPS_PER_INSTANCE: u64 = 3_000;
/// Small clusters are searched thoroughly, which costs some milliseconds. A tenth of it saves as
/// much, ten times as much takes half as much CPU time again.
const STEPS_MIN: u64 = 2_000_000;

/// Finds what can go by the certificate alone.
pub(crate) fn certified<const D: usize>(
    model: &Model<D>,
    limits: Limits,
    order: &[InstanceIndex],
    steps_max: u64,
) -> SafeRemovals {
    let nothing = SafeRemovals {
        removed: Vec::new(),
        certified: 0,
        is_removed: Table::filled(false, model.len()),
        blocked_by: Table::filled(None, model.len()),
        limits,
        steps: 0,
    };
    let budget = STEPS_MIN.max(CERTIFICATE_STEPS_PER_INSTANCE * model.len() as u64);
    let mut search = Search::new(model, nothing, steps_max.min(budget));
    // Until a pass gains nothing: the limits may allow later what they refused before. Each pass but
    // the last takes an instance, and the steps bound all of them.
    while search.grow(order, |search| search.check(None)) {}
    let mut safe = search.finish();
    safe.certified = safe.removed.len();
    safe
}

/// Adds what stands every replay. Tasks whose service may stop them before their replacement runs
/// stay certified: for the others, a place that is missing only stalls the drain.
pub(crate) fn extended<const D: usize>(
    mut safe: SafeRemovals,
    inventory: &Inventory,
    model: &Model<D>,
    prices: &Prices,
    order: &[InstanceIndex],
    steps_max: u64,
) -> SafeRemovals {
    // What the certificate alone refused may pass now. It stays the reason that is given.
    let blocked_by = safe.blocked_by.clone();
    safe.blocked_by.fill(None);
    let budget = STEPS_MIN.max(REPLAY_STEPS_PER_INSTANCE * model.len() as u64);
    let steps_max = safe.steps + steps_max.min(budget);
    let mut search = Search::new(model, safe, steps_max);
    let stops_first: Table<KindIndex, bool> =
        model.kinds.iter().map(|kind| kind.stops_first).collect();
    // Prepared once for all tries: it sorts and counts what stays the same.
    let mut replay = Replay::new(inventory, model, &prices.with_room_for);
    search.grow(order, |search| {
        search.check(Some(&stops_first))?;
        // The order that fails first, as a rule, is the only one asked while the plan grows.
        let stands = replay.places_all(&search.safe.is_removed, ORDERS[0]);
        search.safe.steps += std::mem::take(&mut replay.steps);
        if stands { Ok(()) } else { Err(None) }
    });
    // The other orders seldom fail where the first stands. What does not stand them all is halved
    // until it does, or is empty.
    while !search.safe.is_certified()
        && !ORDERS.iter().all(|&order| replay.places_all(&search.safe.is_removed, order))
    {
        let certified = search.safe.certified;
        // The certified core is never given up: it holds without any replay. Halving ends, as each
        // round leaves fewer beyond it.
        search.shrink_to(certified + (search.safe.removed.len() - certified) / 2);
    }
    search.safe.steps += replay.steps;
    SafeRemovals { blocked_by, ..search.finish() }
}

/// A plan that grows.
struct Search<'a, const D: usize> {
    model: &'a Model<D>,
    certificate: Certificate<'a, D>,
    /// How many tasks of each kind need a place.
    displaced: Table<KindIndex, u32>,
    /// For each kind that was refused: its cut, and how many instances were removed when it was
    /// made.
    cuts: BTreeMap<KindIndex, (usize, InfeasibilityCut<D>)>,
    safe: SafeRemovals,
    steps_max: u64,
}

impl<'a, const D: usize> Search<'a, D> {
    fn new(model: &'a Model<D>, safe: SafeRemovals, steps_max: u64) -> Self {
        let mut displaced: Table<KindIndex, u32> =
            model.kinds.iter().map(|kind| kind.in_flight).collect();
        for &instance in &safe.removed {
            for &(kind, count) in model.movable.of(instance) {
                displaced[kind] += u32::from(count);
            }
        }
        let certificate = Certificate::new(model);
        Self { model, certificate, displaced, cuts: BTreeMap::new(), safe, steps_max }
    }

    fn finish(mut self) -> SafeRemovals {
        self.safe.steps += self.certificate.steps;
        self.safe
    }

    /// Takes what candidates it can, as long as `holds`; that says which kind of task is in the
    /// way, if it knows. Returns whether it took any.
    fn grow(
        &mut self,
        order: &[InstanceIndex],
        mut holds: impl FnMut(&mut Self) -> Result<(), Option<KindIndex>>,
    ) -> bool {
        let taken_before = self.safe.removed.len();
        // The whole order is tried first: on a cluster with much room it holds at once.
        let (mut start, mut chunk) = (0, order.len().max(1));
        while start < order.len() && self.safe.steps + self.certificate.steps < self.steps_max {
            let before = self.safe.removed.len();
            let end = (start + chunk).min(order.len());
            for &instance in &order[start..end] {
                if self.is_open(instance) {
                    self.take(instance);
                }
            }
            if self.safe.removed.len() == before {
                start = end;
                continue;
            }
            match holds(self) {
                Ok(()) => {
                    start = end;
                    chunk *= 2;
                }
                Err(kind) => {
                    let tried = self.safe.removed.len() - before;
                    // Read before it is given back, as it is the one that is blocked if it was
                    // tried alone.
                    let last = self.safe.removed.last().copied();
                    self.shrink_to(before);
                    if tried == 1 {
                        if let (Some(instance), Some(kind)) = (last, kind) {
                            self.block(instance, kind);
                        }
                        // On from the next: with this one taken, the limits refused some of the
                        // chunk that they may allow without it.
                        let tried = order[start..end].iter().position(|&next| Some(next) == last);
                        start = tried.map_or(end, |position| start + position + 1);
                        // Small steps after one that is in the way; they double as soon as they
                        // hold.
                        chunk = 1;
                    } else {
                        chunk = (end - start) / 2;
                    }
                }
            }
        }
        self.safe.removed.len() > taken_before
    }

    /// Whether a candidate is worth asking about; notes what stands in its way.
    fn is_open(&mut self, instance: InstanceIndex) -> bool {
        let SafeRemovals { is_removed, blocked_by, limits, steps, .. } = &mut self.safe;
        *steps += 1;
        if is_removed[instance] || blocked_by[instance].is_some() || !limits.allows(instance) {
            return false;
        }
        let movable = self.model.movable.of(instance);
        let cut =
            self.cuts.values().map(|(_, cut)| cut).find(|cut| cut.excludes(self.model, movable));
        blocked_by[instance] = cut.map(|cut| cut.kind);
        cut.is_none()
    }

    fn take(&mut self, instance: InstanceIndex) {
        self.safe.limits.take(instance);
        self.safe.is_removed[instance] = true;
        self.safe.removed.push(instance);
        for &(kind, count) in self.model.movable.of(instance) {
            self.displaced[kind] += u32::from(count);
        }
    }

    /// Gives back what was taken last, until so many are left.
    fn shrink_to(&mut self, len: usize) {
        for instance in self.safe.removed.split_off(len) {
            self.safe.limits.give_back(instance);
            self.safe.is_removed[instance] = false;
            for &(kind, count) in self.model.movable.of(instance) {
                self.displaced[kind] -= u32::from(count);
            }
        }
    }

    /// Notes what is in the way of a candidate, and of others like it.
    fn block(&mut self, instance: InstanceIndex, kind: KindIndex) {
        self.safe.blocked_by[instance] = Some(kind);
        let removed = self.safe.removed.len();
        // A cut of fewer removals excludes less.
        if self.cuts.get(&kind).is_none_or(|(made_at, _)| *made_at < removed) {
            let displaced = Displaced { is_removed: &self.safe.is_removed, count: &self.displaced };
            self.cuts.insert(kind, (removed, self.certificate.cut(kind, displaced)));
        }
    }

    fn check(&mut self, checked: Option<&Table<KindIndex, bool>>) -> Result<(), Option<KindIndex>> {
        let displaced = Displaced { is_removed: &self.safe.is_removed, count: &self.displaced };
        self.certificate.check(displaced, checked).map_err(Some)
    }
}

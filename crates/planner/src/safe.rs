//! Which instances can go whatever ECS does with their tasks: a certified core, extended by what
//! stands every replay.
//!
//! Candidates are taken in the order of their worth, in chunks that double while they hold and
//! halve when they do not: so one that stands in the way is skipped by bisection (galloping search:
//! Bentley and Yao, "An almost optimal algorithm for unbounded searching", 1976). The certificate
//! is monotone, so that a candidate which it refused once need not be asked again, nor one that an
//! infeasibility cut excludes. At the end, empty instances that could go in place of others do: of
//! plans that save as much, the one that moves fewer tasks is better.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

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
    search.grow_certified(order);
    while search.exchange(order, Search::is_certified) {
        search.grow_certified(order);
    }
    let mut safe = search.finish();
    safe.certified = safe.removed.len();
    safe
}

/// Adds what stands every replay. Tasks whose service may stop them before their replacement runs
/// stay certified: for the others, a place that is missing only stalls the drain. So do those for
/// which ECS chooses a capacity provider: no replay plays that choice.
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
    let stays_certified: Table<KindIndex, bool> =
        model.kinds.iter().map(|kind| kind.stops_first || kind.choices.len() > 1).collect();
    // Prepared once for all tries: it sorts and counts what stays the same.
    let mut replay = Replay::new(inventory, model, &prices.with_room_for);
    search.grow(order, |search| {
        search.check(Some(&stays_certified))?;
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
    let stands_all = |search: &mut Search<'_, D>| {
        search.check(Some(&stays_certified)).is_ok()
            && ORDERS.iter().all(|&order| {
                let stands = replay.places_all(&search.safe.is_removed, order);
                search.safe.steps += std::mem::take(&mut replay.steps);
                stands
            })
    };
    // What went in place of others may have left room for more, and no replay is asked for it then.
    if search.exchange(order, stands_all) && search.is_certified() {
        search.grow_certified(order);
        search.safe.certified = search.safe.removed.len();
    }
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
    /// The candidates that were refused alone.
    refused: Table<InstanceIndex, bool>,
    safe: SafeRemovals,
    steps_max: u64,
}

/// The candidates of one zone of one group with their ranks, best first: where the balance of zones
/// refuses the first, it refuses all.
type Lane = Vec<(usize, InstanceIndex)>;

impl<'a, const D: usize> Search<'a, D> {
    fn new(model: &'a Model<D>, safe: SafeRemovals, steps_max: u64) -> Self {
        let mut displaced: Table<KindIndex, u32> =
            model.kinds.iter().map(|kind| kind.in_flight).collect();
        for &instance in &safe.removed {
            for &(kind, count) in model.movable.of(instance) {
                displaced[kind] += u32::from(count);
            }
        }
        Self {
            model,
            certificate: Certificate::new(model),
            displaced,
            cuts: BTreeMap::new(),
            refused: Table::filled(false, model.len()),
            safe,
            steps_max,
        }
    }

    fn finish(mut self) -> SafeRemovals {
        self.safe.steps += self.certificate.steps;
        self.safe
    }

    fn has_steps_left(&self) -> bool {
        self.safe.steps + self.certificate.steps < self.steps_max
    }

    /// Takes all that the certificate allows. Until a pass gains nothing, as the limits may allow
    /// later what they refused before: each pass but the last takes an instance, and the steps bound
    /// all of them.
    fn grow_certified(&mut self, order: &[InstanceIndex]) {
        while self.grow(order, |search| search.check(None)) {}
    }

    /// Takes what candidates it can, as long as `holds`; that says which kind of task is in the
    /// way, if it knows. Returns whether it took any.
    fn grow(
        &mut self,
        order: &[InstanceIndex],
        mut holds: impl FnMut(&mut Self) -> Result<(), Option<KindIndex>>,
    ) -> bool {
        let taken_before = self.safe.removed.len();
        let lanes = self.lanes(order);
        let mut heads = vec![0; lanes.len()];
        // The whole order is tried first: on a cluster with much room it holds at once.
        let mut chunk = order.len();
        while self.has_steps_left() {
            let before = self.safe.removed.len();
            let heads_before = heads.clone();
            while self.safe.removed.len() - before < chunk
                && let Some(instance) = self.next_open(&lanes, &mut heads)
            {
                self.take(instance);
            }
            let tried = self.safe.removed.len() - before;
            if tried == 0 {
                break;
            }
            let Err(kind) = holds(self) else {
                chunk = chunk.saturating_mul(2);
                continue;
            };
            let first = self.safe.removed[before];
            self.shrink_to(before);
            // What the limits refused beside those that are given back is asked again.
            heads = heads_before;
            chunk = tried / 2;
            if tried == 1 {
                self.refuse(first, kind);
                // Small steps after one that is in the way; they double as soon as they hold.
                chunk = 1;
            }
        }
        self.safe.removed.len() > taken_before
    }

    fn lanes(&self, order: &[InstanceIndex]) -> Vec<Lane> {
        let mut lanes = BTreeMap::<_, Lane>::new();
        for (rank, &instance) in order.iter().enumerate() {
            lanes.entry(self.safe.limits.zone_of(instance)).or_default().push((rank, instance));
        }
        lanes.into_values().collect()
    }

    /// The best candidate that is worth asking about. One whose zone may not lose an instance waits
    /// until another zone has.
    fn next_open(&mut self, lanes: &[Lane], heads: &mut [usize]) -> Option<InstanceIndex> {
        while self.safe.limits.removals() > 0 {
            self.safe.steps += lanes.len() as u64;
            let open =
                lanes.iter().zip(heads.iter()).enumerate().filter_map(|(lane, (all, head))| {
                    let &(rank, instance) = all.get(*head)?;
                    let waits = self.safe.limits.unbalances_zones(instance);
                    (!waits).then_some((rank, lane, instance))
                });
            let (_, lane, instance) = open.min()?;
            heads[lane] += 1;
            if self.is_open(instance) {
                return Some(instance);
            }
        }
        None
    }

    /// Whether a candidate is worth asking about; notes what stands in its way.
    fn is_open(&mut self, instance: InstanceIndex) -> bool {
        let SafeRemovals { is_removed, blocked_by, limits, .. } = &mut self.safe;
        let is_known = is_removed[instance] || blocked_by[instance].is_some();
        if is_known || self.refused[instance] || !limits.allows(instance) {
            return false;
        }
        let mut cuts = self.cuts.values().map(|(_, cut)| cut);
        let cut = cuts.find(|cut| cut.excludes(self.model, instance));
        blocked_by[instance] = cut.map(|cut| cut.kind);
        cut.is_none()
    }

    /// Lets empty instances go in place of others that save as much, as long as `holds`. Returns
    /// whether any does.
    fn exchange(
        &mut self,
        order: &[InstanceIndex],
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let empty: Vec<InstanceIndex> = order
            .iter()
            .copied()
            .filter(|&instance| {
                !self.safe.is_removed[instance] && self.model.movable.total(instance) == 0
            })
            .collect();
        let mut busy = self.safe.removed.clone();
        busy.retain(|&instance| self.model.movable.total(instance) > 0);
        busy.sort_by_key(|&instance| Reverse(self.model.movable.total(instance)));
        let mut exchanged = false;
        for instance in busy {
            // Empty instances that are alike are asked about once.
            let mut tried = BTreeSet::new();
            exchanged |= empty.iter().any(|&empty| {
                let Model { value, class, capacity, free, .. } = self.model;
                let traits =
                    (self.safe.limits.zone_of(empty), class[empty], capacity[empty], free[empty]);
                !self.safe.is_removed[empty]
                    && value[empty] == value[instance]
                    && self.has_steps_left()
                    && tried.insert(traits)
                    && self.replace(instance, empty, &mut holds)
            });
        }
        if exchanged {
            // They were refused beside what does not go any more.
            self.safe.blocked_by.fill(None);
            self.refused.fill(false);
            self.cuts.clear();
        }
        exchanged
    }

    /// Lets an empty instance go in place of a removed one, if it `holds`.
    fn replace(
        &mut self,
        instance: InstanceIndex,
        empty: InstanceIndex,
        holds: &mut impl FnMut(&mut Self) -> bool,
    ) -> bool {
        self.safe.steps += 1;
        let Some(position) = self.safe.removed.iter().position(|&removed| removed == instance)
        else {
            return false;
        };
        let after = self.safe.removed.split_off(position + 1);
        self.shrink_to(position);
        self.safe.removed.extend(after);
        if self.safe.limits.allows(empty) {
            self.take(empty);
            if holds(self) {
                // What is left of the certified core holds without any replay.
                self.safe.certified -= usize::from(position < self.safe.certified);
                return true;
            }
            self.shrink_to(self.safe.removed.len() - 1);
        }
        self.take(instance);
        self.safe.removed[position..].rotate_right(1);
        false
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

    /// Notes that a candidate is in the way, and what is in its own and in that of others like it.
    fn refuse(&mut self, instance: InstanceIndex, kind: Option<KindIndex>) {
        self.refused[instance] = true;
        self.safe.blocked_by[instance] = kind;
        let Some(kind) = kind else { return };
        let removed = self.safe.removed.len();
        // A cut of fewer removals excludes less.
        if self.cuts.get(&kind).is_none_or(|(made_at, _)| *made_at < removed) {
            let displaced = Displaced { is_removed: &self.safe.is_removed, count: &self.displaced };
            self.cuts.insert(kind, (removed, self.certificate.cut(kind, displaced)));
        }
    }

    /// Whether all that goes is certified for itself.
    fn is_certified(&mut self) -> bool {
        self.check(None).is_ok()
    }

    fn check(&mut self, checked: Option<&Table<KindIndex, bool>>) -> Result<(), Option<KindIndex>> {
        let displaced = Displaced { is_removed: &self.safe.is_removed, count: &self.displaced };
        self.certificate.check(displaced, checked).map_err(Some)
    }
}

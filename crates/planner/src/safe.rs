//! Which instances can go whatever ECS does with their tasks: a certified core, extended by what stands every replay.
//!
//! Candidates are taken in the order of their worth, in chunks that double while they hold and halve when they do not: so
//! one that stands in the way is skipped by bisection. The certificate is monotone, so that a candidate which it refused
//! once need not be asked again, nor one that would displace as much.

use std::collections::BTreeMap;

use crate::bound::Prices;
use crate::certificate::{Certificate, Displaced, Wall};
use crate::inventory::Inventory;
use crate::limits::Limits;
use crate::model::Model;
use crate::replay::{Replay, TURNS};

/// What goes, and what was found out on the way.
pub(crate) struct Safe {
    /// What goes, in the order in which it was taken.
    pub(crate) taken: Vec<u32>,
    /// How many of them, from the first, are certified for themselves.
    pub(crate) core: usize,
    /// By instance: whether it goes.
    pub(crate) gone: Vec<bool>,
    /// By candidate that was refused: the kind of task that might find no place.
    pub(crate) blocked_by: Vec<Option<u16>>,
    /// What is left of the limits.
    pub(crate) limits: Limits,
    /// The work that it took.
    pub(crate) steps: u64,
}

/// The budgets grow with the cluster, so many steps an instance: for the certificate, and for replays.
const CERTIFICATE_STEPS_PER_INSTANCE: u64 = 5_000;
/// See [`CERTIFICATE_STEPS_PER_INSTANCE`].
const REPLAY_STEPS_PER_INSTANCE: u64 = 3_000;
/// Small clusters are searched thoroughly.
const STEPS_MIN: u64 = 2_000_000;

/// How often the candidates are gone through: the balance of zones may allow later what it refused before.
const PASSES: usize = 3;

/// Finds what can go by the certificate alone.
pub(crate) fn certified<const D: usize>(
    model: &Model<D>,
    limits: &Limits,
    order: &[u32],
    steps_max: u64,
) -> Safe {
    let safe = Safe {
        taken: Vec::new(),
        core: 0,
        gone: vec![false; model.len()],
        blocked_by: vec![None; model.len()],
        limits: limits.clone(),
        steps: 0,
    };
    let budget = STEPS_MIN.max(CERTIFICATE_STEPS_PER_INSTANCE * model.len() as u64);
    let mut growth = Growth::new(model, safe, steps_max.min(budget));
    for _ in 0..PASSES {
        let before = growth.safe.taken.len();
        growth.grow(order, |growth| growth.certified(None));
        if growth.safe.taken.len() == before {
            break;
        }
    }
    growth.safe.core = growth.safe.taken.len();
    growth.end()
}

/// Adds what stands every replay. Tasks whose service may stop them before their replacement runs stay certified: for the
/// others, a place that is missing only stalls the drain.
pub(crate) fn extended<const D: usize>(
    mut safe: Safe,
    inventory: &Inventory,
    model: &Model<D>,
    prices: &Prices,
    order: &[u32],
    steps_max: u64,
) -> Safe {
    let blocked_by = safe.blocked_by.clone();
    safe.blocked_by.fill(None);
    let budget = STEPS_MIN.max(REPLAY_STEPS_PER_INSTANCE * model.len() as u64);
    let budget = safe.steps + steps_max.min(budget);
    let mut growth = Growth::new(model, safe, budget);
    let stops_first: Vec<bool> = model.kinds.iter().map(|kind| kind.stops_first).collect();
    let mut replay = Replay::new(inventory, model, &prices.open);
    growth.grow(order, |growth| {
        growth.certified(Some(&stops_first))?;
        let stands = replay.places_all(&growth.safe.gone, TURNS[0]);
        growth.safe.steps += std::mem::take(&mut replay.steps);
        if stands { Ok(()) } else { Err(None) }
    });
    // The others seldom fail where the first stands. What does not stand them all is halved until it does, or is empty.
    while growth.safe.taken.len() > growth.safe.core
        && !TURNS.iter().all(|&turn| replay.places_all(&growth.safe.gone, turn))
    {
        let stays = growth.safe.core + (growth.safe.taken.len() - growth.safe.core) / 2;
        while growth.safe.taken.len() > stays {
            growth.put_back();
        }
    }
    growth.safe.steps += replay.steps;
    let mut safe = growth.end();
    safe.blocked_by = blocked_by;
    safe
}

struct Growth<'a, const D: usize> {
    model: &'a Model<D>,
    certificate: Certificate<'a, D>,
    /// By kind: how many tasks need a place.
    count: Vec<u32>,
    /// By kind that was refused: the wall, and how many were taken when it was built.
    walls: BTreeMap<u16, (usize, Wall<D>)>,
    safe: Safe,
    steps_max: u64,
}

impl<'a, const D: usize> Growth<'a, D> {
    fn new(model: &'a Model<D>, safe: Safe, steps_max: u64) -> Self {
        let mut count: Vec<u32> = model.kinds.iter().map(|kind| kind.in_flight).collect();
        for &number in &safe.taken {
            for &(kind, times) in model.held.of(number as usize) {
                count[usize::from(kind)] += u32::from(times);
            }
        }
        let certificate = Certificate::new(model);
        Self { model, certificate, count, walls: BTreeMap::new(), safe, steps_max }
    }

    fn end(mut self) -> Safe {
        self.safe.steps += self.certificate.steps;
        self.safe
    }

    /// Takes what candidates it can, as long as `holds`; that says which kind of task is in the way, if it knows.
    fn grow(&mut self, order: &[u32], mut holds: impl FnMut(&mut Self) -> Result<(), Option<u16>>) {
        let (mut at, mut chunk) = (0, order.len().max(1));
        while at < order.len() && self.safe.steps + self.certificate.steps < self.steps_max {
            let before = self.safe.taken.len();
            let end = (at + chunk).min(order.len());
            for &number in &order[at..end] {
                if self.is_open(number as usize) {
                    self.take(number);
                }
            }
            if self.safe.taken.len() == before {
                at = end;
                continue;
            }
            match holds(self) {
                Ok(()) => {
                    at = end;
                    chunk *= 2;
                }
                Err(kind) => {
                    let tried = self.safe.taken.len() - before;
                    let last = self.safe.taken.last().copied();
                    while self.safe.taken.len() > before {
                        self.put_back();
                    }
                    if tried == 1 {
                        if let (Some(number), Some(kind)) = (last, kind) {
                            self.block(number, kind);
                        }
                        at = end;
                        chunk = 1;
                    } else {
                        chunk = (end - at) / 2;
                    }
                }
            }
        }
    }

    /// Whether a candidate is worth asking about; notes what stands in its way.
    fn is_open(&mut self, number: usize) -> bool {
        let Safe { gone, blocked_by, limits, .. } = &mut self.safe;
        if gone[number] || blocked_by[number].is_some() || !limits.allows(number) {
            return false;
        }
        let held = self.model.held.of(number);
        let wall = self.walls.values().find(|(_, wall)| wall.stops(self.model, held, &self.count));
        blocked_by[number] = wall.map(|(_, wall)| wall.kind);
        wall.is_none()
    }

    fn take(&mut self, number: u32) {
        self.safe.limits.take(number as usize);
        self.safe.gone[number as usize] = true;
        self.safe.taken.push(number);
        for &(kind, count) in self.model.held.of(number as usize) {
            self.count[usize::from(kind)] += u32::from(count);
        }
    }

    fn put_back(&mut self) {
        let Some(number) = self.safe.taken.pop() else { return };
        self.safe.limits.give_back(number as usize);
        self.safe.gone[number as usize] = false;
        for &(kind, count) in self.model.held.of(number as usize) {
            self.count[usize::from(kind)] -= u32::from(count);
        }
    }

    /// Notes what is in the way of a candidate, and of others like it.
    fn block(&mut self, number: u32, kind: u16) {
        self.safe.blocked_by[number as usize] = Some(kind);
        let taken = self.safe.taken.len();
        if self.walls.get(&kind).is_none_or(|(built_at, _)| *built_at < taken) {
            let displaced = Displaced { gone: &self.safe.gone, count: &self.count };
            self.walls.insert(kind, (taken, self.certificate.wall(kind, &displaced)));
        }
    }

    fn certified(&mut self, only: Option<&[bool]>) -> Result<(), Option<u16>> {
        let displaced = Displaced { gone: &self.safe.gone, count: &self.count };
        self.certificate.check(&displaced, only).map_err(Some)
    }
}

//! What of the free room displaced tasks can use: less than all of it, and not by every kind.
//!
//! Where CPU is short, memory beside it is of no use; where nothing fits, neither is. A bound that counts only useful room
//! is far closer to the truth on a full cluster, where most of what is free lies about in pieces.

use std::collections::BTreeMap;

use super::model::{Amounts, Kind, Model, conflicts, fits};

/// So many classes of room at most come of one class of instances.
const ROOM_CLASSES: usize = 12;

/// The useful room of all instances. Room is of one class where the same services may run and about as many kinds fit.
pub(super) struct Rooms<const D: usize> {
    /// By instance: what of its free room displaced tasks could use.
    pub(super) useful: Vec<Amounts<D>>,
    /// By instance: the class of its room.
    pub(super) class: Vec<u16>,
    /// By class of room: the class of its instances.
    pub(super) of_class: Vec<u16>,
    /// By kind: the classes of room in which one fits somewhere.
    pub(super) open: Vec<Vec<u16>>,
    /// By kind: on how many instances one fits.
    pub(super) openings: Vec<u32>,
}

impl<const D: usize> Rooms<D> {
    /// Looks at the free room of every instance.
    pub(super) fn new(model: &Model<D>) -> Self {
        let fitting = Fitting::new(model);
        let ratios = Ratios::new(&model.kinds);
        let mut useful = Vec::with_capacity(model.len());
        let mut numbers = BTreeMap::new();
        let mut class = Vec::with_capacity(model.len());
        for (number, free) in model.free.iter().enumerate() {
            let fits = fitting.of(number);
            useful.push(ratios.useful(free, fits));
            let count = fits.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            let share = (count * ROOM_CLASSES).div_ceil(model.kinds.len().max(1));
            let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
            class.push(*numbers.entry((model.class[number], share)).or_insert(next));
        }
        let mut of_class = vec![0; numbers.len()];
        for ((of, _), at) in &numbers {
            of_class[usize::from(*at)] = *of;
        }
        let mut together = vec![vec![0; fitting.words]; numbers.len()];
        for (number, class) in class.iter().enumerate() {
            for (all, one) in together[usize::from(*class)].iter_mut().zip(fitting.of(number)) {
                *all |= one;
            }
        }
        let open = |kind: usize| {
            let is_open = |class: &u16| has(&together[usize::from(*class)], kind);
            (0..).take(together.len()).filter(is_open).collect()
        };
        let open = (0..model.kinds.len()).map(open).collect();
        Self { useful, class, of_class, open, openings: fitting.openings }
    }
}

/// Which kinds fit on which instances, a bit for each.
struct Fitting {
    words: usize,
    bits: Vec<u64>,
    openings: Vec<u32>,
}

impl Fitting {
    fn new<const D: usize>(model: &Model<D>) -> Self {
        let words = model.kinds.len().div_ceil(64);
        let mut bits = vec![0; words * model.len()];
        let mut openings = vec![0; model.kinds.len()];
        for (kind, (what, openings)) in model.kinds.iter().zip(&mut openings).enumerate() {
            for class in (0..what.allowed.len()).filter(|&class| what.allowed[class]) {
                for number in model.class_starts[class]..model.class_starts[class + 1] {
                    // Without a branch: that is several times faster.
                    let fits =
                        fits(&what.demand, &model.free[number]) & !conflicts(what, &model.holders, number);
                    bits[number * words + kind / 64] |= u64::from(fits) << (kind % 64);
                    *openings += u32::from(fits);
                }
            }
        }
        Self { words, bits, openings }
    }

    /// The kinds that fit on an instance.
    fn of(&self, number: usize) -> &[u64] {
        &self.bits[number * self.words..(number + 1) * self.words]
    }
}

fn has(kinds: &[u64], kind: usize) -> bool {
    kinds[kind / 64] >> (kind % 64) & 1 == 1
}

/// How much tasks need of one dimension for one of another.
struct Ratios {
    /// By both dimensions: the kinds that need some of the first, by how much of it they need for one of the second, the
    /// most first.
    by_pair: Vec<Vec<(f64, usize)>>,
}

impl Ratios {
    fn new<const D: usize>(kinds: &[Kind<D>]) -> Self {
        let sorted = |of: usize, per: usize| {
            let ratio = |kind: &Kind<D>| match kind.demand[per] {
                0 => f64::INFINITY,
                per => f64::from(kind.demand[of]) / f64::from(per),
            };
            let some = kinds.iter().enumerate().filter(|(_, kind)| kind.demand[of] > 0);
            let mut all: Vec<_> = some.map(|(number, kind)| (ratio(kind), number)).collect();
            all.sort_by(|one, other| other.0.total_cmp(&one.0));
            all
        };
        Self { by_pair: (0..D * D).map(|pair| sorted(pair / D, pair % D)).collect() }
    }

    /// No more of one dimension is of use than the kinds that fit need at most beside all that is free of another.
    fn useful<const D: usize>(&self, free: &Amounts<D>, fitting: &[u64]) -> Amounts<D> {
        let used = |of: usize, per: usize| {
            let most = self.by_pair[of * D + per].iter().find(|(_, kind)| has(fitting, *kind));
            match most {
                None => 0.0,
                // Some need none of the other.
                Some((ratio, _)) if ratio.is_infinite() => f64::INFINITY,
                Some((ratio, _)) => ratio * f64::from(free[per]),
            }
        };
        std::array::from_fn(|of| {
            let used = (0..D).filter(|&per| per != of).map(|per| used(of, per)).fold(f64::INFINITY, f64::min);
            (used.ceil() as i32).min(free[of])
        })
    }
}

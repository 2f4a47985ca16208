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
        let beside: Vec<_> = model.kinds.iter().map(beside).collect();
        let mut useful = Vec::with_capacity(model.len());
        let mut numbers = BTreeMap::new();
        let mut class = Vec::with_capacity(model.len());
        for (number, free) in model.free.iter().enumerate() {
            useful.push(useful_of(free, fitting.of(number).map(|kind| &beside[kind])));
            let share = (fitting.of(number).count() * ROOM_CLASSES).div_ceil(model.kinds.len().max(1));
            let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
            class.push(*numbers.entry((model.class[number], share)).or_insert(next));
        }
        let mut of_class = vec![0; numbers.len()];
        for ((of, _), at) in &numbers {
            of_class[usize::from(*at)] = *of;
        }
        let mut together = vec![vec![0; fitting.words]; numbers.len()];
        for (number, class) in class.iter().enumerate() {
            for (all, one) in together[usize::from(*class)].iter_mut().zip(fitting.words_of(number)) {
                *all |= one;
            }
        }
        let open = |kind: usize| {
            let is_open = |class: &u16| together[usize::from(*class)][kind / 64] >> (kind % 64) & 1 == 1;
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
                    if fits(&what.demand, &model.free[number]) && !conflicts(what, &model.holders, number) {
                        bits[number * words + kind / 64] |= 1 << (kind % 64);
                        *openings += 1;
                    }
                }
            }
        }
        Self { words, bits, openings }
    }

    fn words_of(&self, number: usize) -> &[u64] {
        &self.bits[number * self.words..(number + 1) * self.words]
    }

    /// The kinds that fit on an instance.
    fn of(&self, number: usize) -> impl Iterator<Item = usize> {
        self.words_of(number).iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }
}

/// How much of each dimension a task needs for one of each other.
type Beside<const D: usize> = [[f64; D]; D];

fn beside<const D: usize>(kind: &Kind<D>) -> Beside<D> {
    let ratio = |of: usize, per: usize| match (kind.demand[of], kind.demand[per]) {
        (0, _) => 0.0,
        (_, 0) => f64::INFINITY,
        (of, per) => f64::from(of) / f64::from(per),
    };
    std::array::from_fn(|of| std::array::from_fn(|per| ratio(of, per)))
}

/// No more of one dimension is of use than the kinds that fit need at most beside all that is free of another.
fn useful_of<'a, const D: usize>(
    free: &Amounts<D>,
    fitting: impl Iterator<Item = &'a Beside<D>>,
) -> Amounts<D> {
    let mut most = [[0.0_f64; D]; D];
    for beside in fitting {
        for (most, beside) in most.iter_mut().flatten().zip(beside.iter().flatten()) {
            *most = most.max(*beside);
        }
    }
    std::array::from_fn(|of| {
        let used = (0..D).map(|per| match most[of][per] {
            // Some need none of the other.
            f64::INFINITY => f64::INFINITY,
            most => most * f64::from(free[per]),
        });
        (used.fold(f64::INFINITY, f64::min).ceil() as i32).min(free[of])
    })
}

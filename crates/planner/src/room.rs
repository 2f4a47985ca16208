//! What of the free room displaced tasks can use: less than all of it, and not by every kind.
//!
//! Where CPU is short, memory beside it is of no use; where nothing fits, neither is. A bound that counts only useful room
//! is far closer to the truth on a full cluster, where most of what is free lies about in pieces.

use std::collections::BTreeMap;

use crate::model::{Amounts, BitSet, Kind, Model};

/// So many classes of room at most come of one class of instances.
const ROOM_CLASSES: usize = 12;

/// The useful room of all instances. Room is of one class where the same services may run and about as many kinds fit.
pub(crate) struct Rooms<const D: usize> {
    /// By instance: what of its free room displaced tasks could use.
    pub(crate) useful: Vec<Amounts<D>>,
    /// By instance: the class of its room.
    pub(crate) class: Vec<u16>,
    /// By class of room: the class of its instances.
    pub(crate) of_class: Vec<u16>,
    /// By kind: the classes of room in which one fits somewhere.
    pub(crate) classes: Vec<Vec<u16>>,
    /// By kind: the instances on which one fits.
    pub(crate) open: Vec<BitSet>,
}

impl<const D: usize> Rooms<D> {
    /// Looks at the free room of every instance.
    pub(crate) fn new(model: &Model<D>) -> Self {
        let open: Vec<BitSet> = model.kinds.iter().map(|kind| model.open(kind)).collect();
        let mut fitting = vec![0_usize; model.len()];
        open.iter().flat_map(BitSet::iter).for_each(|number| fitting[number] += 1);

        let mut numbers = BTreeMap::new();
        let of_share = |(class, fitting): (&u16, &usize)| {
            let share = (fitting * ROOM_CLASSES).div_ceil(model.kinds.len().max(1));
            let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
            *numbers.entry((*class, share)).or_insert(next)
        };
        let class: Vec<u16> = model.class.iter().zip(&fitting).map(of_share).collect();
        let mut of_class = vec![0; numbers.len()];
        for ((of, _), at) in &numbers {
            of_class[usize::from(*at)] = *of;
        }
        let classes = |open: &BitSet| {
            let mut has = vec![false; of_class.len()];
            open.iter().for_each(|number| has[usize::from(class[number])] = true);
            (0..).zip(has).filter(|(_, has)| *has).map(|(class, _)| class).collect()
        };
        let classes = open.iter().map(classes).collect();
        let ratios = Ratios::new(&model.kinds);
        let useful = |(number, free): (usize, &Amounts<D>)| {
            ratios.useful(free, |kind| open[kind].has(number))
        };
        let useful = model.free.iter().enumerate().map(useful).collect();
        Self { useful, class, of_class, classes, open }
    }
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
    fn useful<const D: usize>(
        &self,
        free: &Amounts<D>,
        fits: impl Fn(usize) -> bool,
    ) -> Amounts<D> {
        let used = |of: usize, per: usize| {
            let most = self.by_pair[of * D + per].iter().find(|(_, kind)| fits(*kind));
            match most {
                None => 0.0,
                // Some need none of the other.
                Some((ratio, _)) if ratio.is_infinite() => f64::INFINITY,
                Some((ratio, _)) => ratio * f64::from(free[per]),
            }
        };
        std::array::from_fn(|of| {
            let used = (0..D)
                .filter(|&per| per != of)
                .map(|per| used(of, per))
                .fold(f64::INFINITY, f64::min);
            (used.ceil() as i32).min(free[of])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, holding, model, service};

    #[test]
    fn room_is_useful_as_far_as_tasks_that_fit_could_fill_it() {
        let small = service(0, [512, 1024]);
        let large = service(1, [1024, 512]);
        let free = [[400, 4000], [600, 4000], [2000, 600], [2000, 100], [2000, 4000]];
        let mut instances: Vec<_> =
            (1..).zip(free).map(|(number, free)| holding(number, free, &[])).collect();
        instances.push(holding(9, [0, 0], &[(0, 1), (1, 1)]));
        let rooms = Rooms::new(&model::<2>(&cluster(instances, vec![small, large])));

        // Nothing fits; twice the CPU in memory; twice the memory in CPU; nothing; all of it; nothing.
        assert_eq!(rooms.useful, [[0, 0], [600, 1200], [1200, 600], [0, 0], [2000, 4000], [0, 0]]);
        assert_eq!(
            rooms.open.iter().map(|open| open.iter().collect()).collect::<Vec<Vec<_>>>(),
            [vec![1, 4], vec![2, 4]]
        );
        // Where as many kinds fit, room is of one class.
        let [full, one, both] = [0, 1, 4].map(|number| rooms.class[number]);
        assert_eq!(rooms.class, [full, one, one, full, both, full]);
        assert_eq!(rooms.classes, [vec![one, both], vec![one, both]]);
    }

    #[test]
    fn a_task_that_needs_none_of_a_dimension_makes_all_of_the_other_useful() {
        let instances = vec![holding(1, [0, 4000], &[]), holding(2, [0, 0], &[(0, 1)])];
        let rooms = Rooms::new(&model::<2>(&cluster(instances, vec![service(0, [0, 512])])));
        assert_eq!(rooms.useful, [[0, 4000], [0, 0]]);
    }
}

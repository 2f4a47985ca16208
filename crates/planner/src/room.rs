//! What of the free room displaced tasks can use: less than all of it, and not by every kind.
//!
//! Where CPU is short, memory beside it is of no use; where nothing fits, neither is. A bound that
//! counts only useful room is far closer to the truth on a full cluster, where most of what is free
//! lies about in pieces.

use std::collections::BTreeMap;

use crate::cast::whole;
use crate::index::{ClassIndex, InstanceIndex, KindIndex, RoomClassIndex, Table};
use crate::instance_set::InstanceSet;
use crate::model::{Amounts, Kind, Model};

/// Upper bound on the room classes of one class of instances. More of them price the same room more
/// finely, and make each iteration of the bound dearer. On 30 recorded inventories 1, 3, 6 and 24
/// give bounds within 0.0001 of this, in the same CPU time: it matters where instances of one type
/// differ much in what fits on them.
const ROOM_CLASSES: usize = 12;

/// The useful room of all instances. Room is of one class where the same services may run and about
/// as many kinds fit.
pub(crate) struct Rooms<const D: usize> {
    /// What of its free room displaced tasks could use, on each instance.
    pub(crate) useful: Table<InstanceIndex, Amounts<D>>,
    /// The class of each instance's room.
    pub(crate) class: Table<InstanceIndex, RoomClassIndex>,
    /// The class of the instances that have each class of room.
    pub(crate) instance_class: Table<RoomClassIndex, ClassIndex>,
    /// The classes of room in which a task of each kind fits somewhere.
    pub(crate) classes: Table<KindIndex, Vec<RoomClassIndex>>,
    /// The instances on which a task of each kind fits.
    pub(crate) with_room_for: Table<KindIndex, InstanceSet>,
}

impl<const D: usize> Rooms<D> {
    /// Classifies the free room of every instance.
    pub(crate) fn new(model: &Model<D>) -> Self {
        let with_room_for: Table<KindIndex, InstanceSet> =
            model.kinds.iter().map(|kind| model.with_room_for(kind)).collect();
        let (class, instance_class) = room_classes(model, &with_room_for);
        let classes = with_room_for
            .iter()
            .map(|instances| {
                let mut fits_in = Table::filled(false, instance_class.len());
                instances.iter().for_each(|instance| fits_in[class[instance]] = true);
                fits_in.enumerate().filter(|(_, fits)| **fits).map(|(class, _)| class).collect()
            })
            .collect();
        let ratios = Ratios::new(&model.kinds);
        let useful = model
            .free
            .enumerate()
            .map(|(instance, free)| ratios.useful(free, |kind| with_room_for[kind].has(instance)))
            .collect();
        Self { useful, class, instance_class, classes, with_room_for }
    }
}

/// The class of each instance's room, and the instances' class of each.
fn room_classes<const D: usize>(
    model: &Model<D>,
    with_room_for: &Table<KindIndex, InstanceSet>,
) -> (Table<InstanceIndex, RoomClassIndex>, Table<RoomClassIndex, ClassIndex>) {
    let mut fitting_kinds = Table::<InstanceIndex, usize>::filled(0, model.len());
    for instance in with_room_for.iter().flat_map(InstanceSet::iter) {
        fitting_kinds[instance] += 1;
    }
    let kinds = model.kinds.len().max(1);
    let mut indices = BTreeMap::new();
    let mut instance_class = Table::default();
    let class = model
        .class
        .iter()
        .zip(fitting_kinds.iter())
        .map(|(&class, fitting)| {
            // Rounded up, so that an instance on which nothing fits has a class of its own: 0.
            let share = (fitting * ROOM_CLASSES).div_ceil(kinds);
            *indices.entry((class, share)).or_insert_with(|| instance_class.push(class))
        })
        .collect();
    (class, instance_class)
}

/// How much tasks need of one dimension for one of another.
struct Ratios {
    /// By both dimensions: the kinds that need some of the first, by how much of it they need for
    /// one of the second, the most first.
    by_pair: Vec<Vec<(f64, KindIndex)>>,
}

impl Ratios {
    fn new<const D: usize>(kinds: &Table<KindIndex, Kind<D>>) -> Self {
        Self { by_pair: (0..D * D).map(|pair| sorted_ratios(kinds, pair / D, pair % D)).collect() }
    }

    /// No more of one dimension is of use than the kinds that fit need at most beside all that is
    /// free of another.
    fn useful<const D: usize>(
        &self,
        free: &Amounts<D>,
        fits: impl Fn(KindIndex) -> bool,
    ) -> Amounts<D> {
        std::array::from_fn(|dimension| {
            let used = (0..D)
                .filter(|&beside| beside != dimension)
                .map(|beside| {
                    let ratios = &self.by_pair[dimension * D + beside];
                    match ratios.iter().find(|(_, kind)| fits(*kind)) {
                        None => 0.0,
                        // Some need none of the other.
                        Some((ratio, _)) if ratio.is_infinite() => f64::INFINITY,
                        Some((ratio, _)) => ratio * f64::from(free[beside]),
                    }
                })
                .fold(f64::INFINITY, f64::min);
            i32::try_from(whole(used.ceil())).unwrap_or(i32::MAX).min(free[dimension])
        })
    }
}

/// The kinds that need some of a dimension, by how much of it they need for one of another, the
/// most first.
fn sorted_ratios<const D: usize>(
    kinds: &Table<KindIndex, Kind<D>>,
    dimension: usize,
    beside: usize,
) -> Vec<(f64, KindIndex)> {
    let mut ratios: Vec<(f64, KindIndex)> = kinds
        .enumerate()
        .filter(|(_, kind)| kind.demand[dimension] > 0)
        .map(|(index, kind)| match kind.demand[beside] {
            0 => (f64::INFINITY, index),
            needed => (f64::from(kind.demand[dimension]) / f64::from(needed), index),
        })
        .collect();
    // Stable, so that kinds of equal ratio stay in the order of their index.
    ratios.sort_by(|a, b| b.0.total_cmp(&a.0));
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Numbered;
    use crate::testing::{cluster, holding, model, service};

    fn useful(rooms: &Rooms<2>) -> Vec<[i32; 2]> {
        rooms.useful.iter().copied().collect()
    }

    #[test]
    fn room_is_useful_as_far_as_tasks_that_fit_could_fill_it() {
        let small = service(0, [512, 1024]);
        let large = service(1, [1024, 512]);
        let free = [[400, 4000], [600, 4000], [2000, 600], [2000, 100], [2000, 4000]];
        let mut instances: Vec<_> =
            (1..).zip(free).map(|(number, free)| holding(number, free, &[])).collect();
        instances.push(holding(9, [0, 0], &[(0, 1), (1, 1)]));
        let rooms = Rooms::new(&model::<2>(&cluster(instances, vec![small, large])));

        // Nothing fits; twice the CPU in memory; twice the memory in CPU; nothing; all of it;
        // nothing.
        assert_eq!(
            useful(&rooms),
            [[0, 0], [600, 1200], [1200, 600], [0, 0], [2000, 4000], [0, 0]]
        );
        let positions: Vec<Vec<usize>> = rooms
            .with_room_for
            .iter()
            .map(|instances| instances.iter().map(Numbered::position).collect())
            .collect();
        assert_eq!(positions, [vec![1, 4], vec![2, 4]]);
        // Where as many kinds fit, room is of one class.
        let [full, fits_one, fits_both] =
            [0, 1, 4].map(|position| rooms.class[InstanceIndex::new(position)]);
        let classes: Vec<_> = rooms.class.iter().copied().collect();
        assert_eq!(classes, [full, fits_one, fits_one, full, fits_both, full]);
        let classes: Vec<_> = rooms.classes.iter().cloned().collect();
        assert_eq!(classes, [vec![fits_one, fits_both], vec![fits_one, fits_both]]);
    }

    #[test]
    fn a_task_that_needs_none_of_a_dimension_makes_all_of_the_other_useful() {
        let instances = vec![holding(1, [0, 4000], &[]), holding(2, [0, 0], &[(0, 1)])];
        let rooms = Rooms::new(&model::<2>(&cluster(instances, vec![service(0, [0, 512])])));
        assert_eq!(useful(&rooms), [[0, 4000], [0, 0]]);
    }
}

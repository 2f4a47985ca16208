//! Which instances may run which services' tasks: instances of one class are alike to every
//! placement constraint.
//!
//! Room and conflicts are not looked at here.

use std::collections::{BTreeMap, BTreeSet};

use crate::eligibility::Eligibility;
use crate::expression::Expression;
use crate::index::{ClassIndex, InstanceIndex, Numbered, Table};
use crate::inventory::{Instance, Inventory};
use crate::subject::Subject;

/// Which instances may run which services' tasks.
pub(crate) struct Classes {
    /// The positions of usable instances in the inventory, by class, then in their order before.
    pub(crate) origin: Table<InstanceIndex, usize>,
    /// The class of each.
    pub(crate) class: Table<InstanceIndex, ClassIndex>,
    /// By class, then by set of constraints: whether the class is a member.
    pub(crate) members: Vec<Vec<bool>>,
    /// By position of a service: its set of constraints.
    set_of: Vec<usize>,
}

/// All constraints of a service; `None` if one is not understood.
type ConstraintSet<'a> = Option<Vec<&'a Expression>>;

impl Classes {
    /// Classifies instances, given by their positions in the inventory, of which some are usable.
    ///
    /// A class of which none is usable is kept: which tasks may meet on an instance must not change
    /// once the last one of its class drains.
    pub(crate) fn new(
        inventory: &Inventory,
        positions: &[usize],
        eligibility: &Eligibility,
    ) -> Self {
        let distinct: BTreeSet<&[String]> =
            inventory.services.iter().map(|service| service.constraints.as_slice()).collect();
        // Sorted, as the set was: `set_of` below finds them by binary search.
        let sets: Vec<_> = distinct.into_iter().collect();
        let Eligibility { usable, constraints, .. } = eligibility;
        let parsed: Vec<ConstraintSet<'_>> = sets
            .iter()
            .map(|set| set.iter().map(|text| constraints.get(text)?.as_ref().ok()).collect())
            .collect();

        let (mut origin, mut class) = (Table::default(), Table::default());
        let mut members = Vec::new();
        for ((membership, _), positions) in group_by_membership(inventory, positions, &parsed) {
            for position in positions.into_iter().filter(|&position| usable[position]) {
                origin.push(position);
                class.push(ClassIndex::new(members.len()));
            }
            members.push(membership);
        }
        let set_of = inventory
            .services
            .iter()
            .map(|service| sets.binary_search(&service.constraints.as_slice()).unwrap_or_default());
        Self { origin, class, members, set_of: set_of.collect() }
    }

    /// Whether a service's tasks may run on each class.
    pub(crate) fn allowed(&self, service: usize) -> Table<ClassIndex, bool> {
        self.members.iter().map(|membership| membership[self.set_of[service]]).collect()
    }
}

/// The positions of instances by what they are members of, and whether they have GPUs: room beside
/// a GPU has a price of its own.
fn group_by_membership(
    inventory: &Inventory,
    positions: &[usize],
    sets: &[ConstraintSet<'_>],
) -> BTreeMap<(Vec<bool>, bool), Vec<usize>> {
    let mut subjects = BTreeSet::new();
    for expression in sets.iter().flatten().flatten() {
        expression.subjects(&mut subjects);
    }
    // Instances that answer every question alike are asked once.
    let mut alike = BTreeMap::<Vec<Option<&str>>, Vec<usize>>::new();
    for (rank, &position) in positions.iter().enumerate() {
        let answers =
            subjects.iter().map(|subject: &&Subject| subject.value(&inventory.instances[position]));
        alike.entry(answers.collect()).or_default().push(rank);
    }
    let mut classes = BTreeMap::<(Vec<bool>, bool), Vec<usize>>::new();
    for ranks in alike.into_values() {
        let first = &inventory.instances[positions[ranks[0]]];
        let membership: Vec<bool> = sets.iter().map(|set| may_be_member(set, first)).collect();
        for rank in ranks {
            let registered = inventory.instances[positions[rank]].registered.unwrap_or_default();
            classes.entry((membership.clone(), registered.gpus > 0)).or_default().push(rank);
        }
    }
    for ranks in classes.values_mut() {
        // By rank and not by position: ranks follow the ids, positions the order of the inventory.
        ranks.sort_unstable();
        ranks.iter_mut().for_each(|rank| *rank = positions[*rank]);
    }
    classes
}

/// An expression that is not understood, or that nobody can rely on, pins its tasks. What is on its way may go anywhere, for all
/// that is known.
fn may_be_member(set: &ConstraintSet<'_>, instance: &Instance) -> bool {
    set.as_ref().is_none_or(|expressions| {
        expressions.iter().all(|expression| expression.holds(instance).unwrap_or(true))
    })
}

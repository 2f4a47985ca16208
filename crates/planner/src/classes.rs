//! Which instances may run which services' tasks: instances of one class are alike to every
//! placement constraint.
//!
//! Room and conflicts are not looked at here.

use std::collections::{BTreeMap, BTreeSet};

use crate::eligibility::{Constraints, Eligibility};
use crate::expression::Expression;
use crate::index::{ClassIndex, InstanceIndex, Numbered, Table};
use crate::inventory::{CAPACITY_PROVIDER, Instance, Inventory, Service};
use crate::subject::Subject;

/// Which instances may run which services' tasks.
pub(crate) struct Classes {
    /// The positions of usable instances in the inventory, by class, then in their order before.
    pub(crate) origin: Table<InstanceIndex, usize>,
    /// The class of each.
    pub(crate) class: Table<InstanceIndex, ClassIndex>,
    /// By class, then by set of constraints: whether the class is a member.
    pub(crate) members: Vec<Vec<bool>>,
    /// Where the platform and the subnets of some services let tasks run, the smallest first.
    pub(crate) reaches: Vec<Reach>,
    /// By position of a service: its sets of constraints, one for each of its capacity providers.
    sets_of: Vec<Vec<usize>>,
}

/// How many reaches are looked at. There are as many as services need different operating systems,
/// architectures and sets of zones; past it the largest, which are most like the whole cluster, are
/// left to the limits of that.
const REACHES_MAX: usize = 32;

/// Where the platform and the subnets of some services let tasks run: on a part of the usable
/// instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The first of those services, by name.
    pub(crate) service: String,
    /// Whether each class of instances is within.
    pub(crate) classes: Table<ClassIndex, bool>,
}

/// What a service asks of an instance beside room, as the inventory says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Requirements<'a> {
    constraints: &'a [String],
    os_type: Option<&'a String>,
    cpu_architecture: Option<&'a String>,
    zones: Option<&'a BTreeSet<String>>,
    capacity_provider: Option<&'a String>,
}

/// All that services ask who ask the same.
struct ConstraintSet<'a> {
    /// Their constraints; `None` if one is not understood.
    constraints: Option<Vec<&'a Expression>>,
    /// What their platform, their subnets and their capacity provider ask.
    implied: Vec<Expression>,
}

impl<'a> Requirements<'a> {
    /// What a service asks by each of its capacity providers, or once if it has none.
    fn of(service: &'a Service) -> Vec<Self> {
        let by = |capacity_provider| Self {
            constraints: &service.constraints,
            os_type: service.os_type.as_ref(),
            cpu_architecture: service.cpu_architecture.as_ref(),
            zones: service.zones.as_ref(),
            capacity_provider,
        };
        if service.capacity_providers.is_empty() {
            vec![by(None)]
        } else {
            service.capacity_providers.iter().map(|provider| by(Some(provider))).collect()
        }
    }

    /// What its platform and its subnets ask alone; `None` if that is nothing.
    fn implied(service: &'a Service) -> Option<Self> {
        let implied = Self {
            constraints: &[],
            os_type: service.os_type.as_ref(),
            cpu_architecture: service.cpu_architecture.as_ref(),
            zones: service.zones.as_ref(),
            capacity_provider: None,
        };
        let Self { os_type, cpu_architecture, zones, .. } = implied;
        let asks = os_type.is_some() || cpu_architecture.is_some() || zones.is_some();
        asks.then_some(implied)
    }

    fn read<'c>(&self, constraints: &'c Constraints) -> ConstraintSet<'c> {
        let single = [
            ("ecs.os-type", self.os_type),
            ("ecs.cpu-architecture", self.cpu_architecture),
            (CAPACITY_PROVIDER, self.capacity_provider),
        ];
        let single = single
            .into_iter()
            .filter_map(|(name, value)| Some(Expression::attribute_in(name, vec![value?.clone()])));
        let zones = self.zones.map(|zones| {
            Expression::attribute_in("ecs.availability-zone", zones.iter().cloned().collect())
        });
        ConstraintSet {
            constraints: self
                .constraints
                .iter()
                .map(|text| constraints.get(text)?.as_ref().ok())
                .collect(),
            implied: single.chain(zones).collect(),
        }
    }
}

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
        // With what is implied in sets of its own, so that no class is within a reach in part.
        let distinct: BTreeSet<Requirements<'_>> = inventory
            .services
            .iter()
            .flat_map(|service| {
                Requirements::of(service).into_iter().chain(Requirements::implied(service))
            })
            .collect();
        // Sorted, as the set was: `sets_of` below finds them by binary search.
        let sets: Vec<_> = distinct.into_iter().collect();
        let Eligibility { usable, constraints, .. } = eligibility;
        let parsed: Vec<ConstraintSet<'_>> = sets.iter().map(|set| set.read(constraints)).collect();

        let (mut origin, mut class) = (Table::default(), Table::default());
        let mut members = Vec::new();
        for ((membership, _), positions) in group_by_membership(inventory, positions, &parsed) {
            for position in positions.into_iter().filter(|&position| usable[position]) {
                origin.push(position);
                class.push(ClassIndex::new(members.len()));
            }
            members.push(membership);
        }
        let position =
            |requirements: Requirements<'_>| sets.binary_search(&requirements).unwrap_or_default();
        let implied = inventory.services.iter().filter_map(|service| {
            Some((position(Requirements::implied(service)?), service.name.as_str()))
        });
        let reaches = reaches(implied, &members, &class);
        let sets_of = inventory
            .services
            .iter()
            .map(|service| Requirements::of(service).into_iter().map(position).collect());
        Self { origin, class, members, reaches, sets_of: sets_of.collect() }
    }

    /// Whether a service's tasks may run on each class, by each capacity provider that ECS may
    /// choose for them; once if there is nothing to choose.
    pub(crate) fn choices(&self, service: usize) -> Vec<Vec<bool>> {
        let allowed = |&set: &usize| {
            self.members.iter().map(|membership| membership[set]).collect::<Vec<bool>>()
        };
        self.sets_of[service].iter().map(allowed).collect()
    }
}

/// The reaches of services, given by their sets of constraints and their names: without those of
/// which all usable instances are members, or none.
fn reaches<'a>(
    services: impl Iterator<Item = (usize, &'a str)>,
    members: &[Vec<bool>],
    class: &Table<InstanceIndex, ClassIndex>,
) -> Vec<Reach> {
    let mut first_by_set = BTreeMap::<usize, &str>::new();
    for (set, name) in services {
        let first = first_by_set.entry(set).or_insert(name);
        *first = name.min(first);
    }
    let mut reaches = BTreeMap::new();
    for (set, service) in first_by_set {
        let classes: Table<ClassIndex, bool> =
            members.iter().map(|membership| membership[set]).collect();
        let within = class.iter().filter(|&&class| classes[class]).count();
        if (1..class.len()).contains(&within) {
            reaches.insert((within, service), classes);
        }
    }
    let reaches = reaches.into_iter().take(REACHES_MAX);
    reaches.map(|((_, service), classes)| Reach { service: service.to_owned(), classes }).collect()
}

/// The positions of instances by what they are members of, and whether they have GPUs: room beside
/// a GPU has a price of its own.
fn group_by_membership(
    inventory: &Inventory,
    positions: &[usize],
    sets: &[ConstraintSet<'_>],
) -> BTreeMap<(Vec<bool>, bool), Vec<usize>> {
    let mut subjects = BTreeSet::new();
    for set in sets {
        for expression in set.constraints.iter().flatten().copied().chain(&set.implied) {
            expression.subjects(&mut subjects);
        }
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

/// An expression that is not understood, or that nobody can rely on, pins its tasks. What is on its
/// way may go anywhere, for all that is known.
fn may_be_member(set: &ConstraintSet<'_>, instance: &Instance) -> bool {
    let mut constraints = set.constraints.iter().flatten().copied().chain(&set.implied);
    constraints.all(|expression| expression.holds(instance).unwrap_or(true))
}

//! Room for whole tasks that is left after a plan, as far as the policy asks for some: so many more
//! of the largest task, and of services by name, each on a single instance.
//!
//! ECS places what a plan displaces wherever it likes, so that the places which are free now are not
//! those which are free then. What that may cost is bounded from above in two ways, of which the
//! better one counts:
//!
//! - by tasks: one that needs `e` where a wanted one needs `d` takes the place of `⌈e / d⌉` wanted
//!   ones at most, in the dimension that is the worst for it;
//! - by amounts: an instance with room for `s` wanted tasks has one place less once `free − s · d + 1`
//!   of a dimension are taken on it, and a further one with each `d` after that. Whoever wants most
//!   places gone takes the cheapest first.
//!
//! The wanted tasks are to fit all at once. Where nothing moves both are exact: there are as many
//! places as the instances that stay have. A removal only makes the room smaller, so that the limit
//! is monotone, as the certificate is.

use jiff::Timestamp;

use crate::ecs::DIMENSIONS;
use crate::eligibility::eligibility;
use crate::index::{ClassIndex, InstanceIndex, KindIndex, Table};
use crate::inventory::Inventory;
use crate::model::{Choice, Kind, Model, fits};
use crate::policy::Policy;
use crate::wanted::Wanted;

/// What there is room for of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRoom {
    /// The service.
    pub service: String,
    /// How many more of its tasks there is to be room for.
    pub wanted: u32,
    /// Whether they are wanted as the largest of the cluster, and not by their name.
    pub largest: bool,
    /// How many there is room for, wherever ECS places what is on its way. Less than 0 if there is
    /// not enough for that.
    pub room: i64,
}

/// What there is room for before anything is removed. Empty if the policy asks for none.
pub fn task_rooms(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Vec<TaskRoom> {
    if policy.task_headroom.is_empty() {
        return Vec::new();
    }
    let eligibility = eligibility(inventory, policy, now);
    let model = Model::<DIMENSIONS>::new(inventory, &eligibility, &policy.task_headroom);
    let limits = TaskRoomLimit::all(inventory, &model).into_iter();
    limits.map(|limit| TaskRoom { room: limit.room(Taken::default()), ..limit.wanted }).collect()
}

/// What is left of the room for one kind of wanted tasks, by one capacity provider.
#[derive(Debug, Clone)]
pub(crate) struct TaskRoomLimit {
    /// Who wants what.
    wanted: TaskRoom,
    /// How many places there are on the instances that are left, and what may land on those.
    left: Taken,
    /// What removing each instance takes; `None` if that changes nothing here.
    taken: Table<InstanceIndex, Option<Taken>>,
    /// By dimension: what it costs to make places unusable.
    prices: [PlacePrices; DIMENSIONS],
}

/// Places that go, and what comes to land on the others.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    places: i64,
    landing: Landing,
}

/// Tasks that may land where the wanted ones may run.
#[derive(Debug, Clone, Copy, Default)]
struct Landing {
    /// What they hold.
    amounts: [i64; DIMENSIONS],
    /// The places that they cost at most, each for itself.
    places: i64,
    /// How many of them are in conflict with the wanted ones.
    conflicting: i64,
}

impl Landing {
    /// So many tasks of a kind.
    fn of<const D: usize>(kind: &Kind<D>, wanted: &Kind<D>, tasks: u32) -> Self {
        let tasks = i64::from(tasks);
        let conflicts = kind.keys.iter().any(|key| wanted.keys.contains(key));
        let pairs = kind.demand.iter().zip(wanted.demand).filter(|(_, wanted)| *wanted > 0);
        let places = pairs.map(|(&amount, wanted)| {
            // Amounts are never negative: rounded up.
            (i64::from(amount) + i64::from(wanted) - 1) / i64::from(wanted)
        });
        let mut amounts = [0; DIMENSIONS];
        for (sum, amount) in amounts.iter_mut().zip(kind.demand) {
            *sum = tasks.saturating_mul(amount.into());
        }
        Self {
            amounts,
            places: tasks.saturating_mul(places.max().unwrap_or(0).max(conflicts.into())),
            conflicting: if conflicts { tasks } else { 0 },
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            amounts: std::array::from_fn(|dimension| {
                self.amounts[dimension].saturating_add(other.amounts[dimension])
            }),
            places: self.places.saturating_add(other.places),
            conflicting: self.conflicting.saturating_add(other.conflicting),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            amounts: std::array::from_fn(|dimension| {
                self.amounts[dimension] - other.amounts[dimension]
            }),
            places: self.places - other.places,
            conflicting: self.conflicting - other.conflicting,
        }
    }
}

impl TaskRoomLimit {
    /// The limits before anything is removed: none if nothing is wanted.
    pub(crate) fn all<const D: usize>(inventory: &Inventory, model: &Model<D>) -> Vec<Self> {
        let by_choice = model.wanted.iter().flat_map(|wanted| {
            let kind = &model.kinds[wanted.kind];
            // By each provider that ECS may choose, whether or not there is room. One without an
            // instance that is large enough would hold the cluster for ever.
            let choices = kind.choices.iter().filter(|choice| {
                model.instances().any(|instance| {
                    choice.allowed[model.class[instance]]
                        && fits(&kind.demand, &model.capacity[instance])
                })
            });
            choices.map(move |choice| Self::new(inventory, model, wanted, choice))
        });
        by_choice.collect()
    }

    fn new<const D: usize>(
        inventory: &Inventory,
        model: &Model<D>,
        wanted: &Wanted,
        choice: &Choice,
    ) -> Self {
        let wanted_kind = &model.kinds[wanted.kind];
        let lands: Table<KindIndex, bool> =
            model.kinds.iter().map(|kind| overlap(kind, &choice.allowed)).collect();
        let landing = |kind: KindIndex, tasks: u32| match lands[kind] {
            true => Landing::of(&model.kinds[kind], wanted_kind, tasks),
            false => Landing::default(),
        };
        let mut left = Taken::default();
        for (index, kind) in model.kinds.enumerate() {
            left.landing = left.landing.plus(landing(index, kind.starts(kind.in_flight)));
        }
        for other in model.wanted.iter().filter(|other| other.adds_to(wanted)) {
            left.landing = left.landing.plus(landing(other.kind, other.tasks));
        }
        let mut places = Places::default();
        let mut taken = Table::default();
        for instance in model.instances() {
            let is_within = choice.allowed[model.class[instance]];
            let mut of_instance = Taken::default();
            if is_within {
                let slots = model.slots(wanted_kind, instance);
                places.add(&model.free[instance], &wanted_kind.demand, slots.into());
                of_instance.places = slots.into();
                left.places += i64::from(slots);
            }
            let mut moves_there = false;
            for &(kind, count) in model.movable.of(instance) {
                // What is due to be rebalanced is counted above.
                let starts = u32::from(count) * model.kinds[kind].starts_per_task();
                moves_there |= lands[kind];
                of_instance.landing = of_instance.landing.plus(landing(kind, starts));
            }
            taken.push((is_within || moves_there).then_some(of_instance));
        }
        Self {
            wanted: TaskRoom {
                service: inventory.services[wanted.service].name.clone(),
                wanted: wanted.tasks,
                largest: wanted.largest,
                room: 0,
            },
            left,
            taken,
            prices: places.0.map(PlacePrices::new),
        }
    }

    /// Who wants what.
    pub(crate) fn wanted(&self) -> &TaskRoom {
        &self.wanted
    }

    /// Whether there would not be room enough if an instance went as well.
    pub(crate) fn is_short_without(&self, instance: InstanceIndex) -> bool {
        self.taken[instance].is_some_and(|taken| self.room(taken) < self.wanted.wanted.into())
    }

    /// For how many wanted tasks there is room once this is taken as well.
    fn room(&self, taken: Taken) -> i64 {
        let landing = self.left.landing.plus(taken.landing);
        let by_amounts: i64 = self
            .prices
            .iter()
            .zip(landing.amounts)
            .map(|(prices, amount)| prices.lost(amount))
            .sum::<i64>()
            .saturating_add(landing.conflicting);
        let lost = landing.places.min(by_amounts);
        self.left.places - taken.places - lost
    }

    /// Takes a removed instance.
    pub(crate) fn take(&mut self, instance: InstanceIndex) {
        let Some(taken) = self.taken[instance] else { return };
        self.left.places -= taken.places;
        self.left.landing = self.left.landing.plus(taken.landing);
    }

    /// Gives back what [`TaskRoomLimit::take`] took.
    pub(crate) fn give_back(&mut self, instance: InstanceIndex) {
        let Some(taken) = self.taken[instance] else { return };
        self.left.places += taken.places;
        self.left.landing = self.left.landing.minus(taken.landing);
    }
}

/// Whether a task of a kind may come to run within these classes.
fn overlap<const D: usize>(kind: &Kind<D>, classes: &Table<ClassIndex, bool>) -> bool {
    kind.classes().any(|class| classes[class])
}

/// By dimension: places, each with what it costs to make it unusable, and how many cost as much.
#[derive(Default)]
struct Places([Vec<(i64, i64)>; DIMENSIONS]);

impl Places {
    /// Adds the places on an instance.
    fn add<const D: usize>(&mut self, free: &[i32; D], demand: &[i32; D], places: i64) {
        if places == 0 {
            return;
        }
        for (dimension, prices) in self.0.iter_mut().take(D).enumerate() {
            let demand = i64::from(demand[dimension]);
            // What needs none of it loses no place by it.
            if demand == 0 {
                continue;
            }
            let first = i64::from(free[dimension]) - places * demand + 1;
            if first <= demand {
                prices.extend([(first, 1), (demand, places - 1)]);
            } else {
                // Here another dimension is the scarce one. The further places go cheaper than the
                // first, but not without it: at least the mean is to be paid for each.
                prices.push(((first + (places - 1) * demand) / places, places));
            }
        }
    }
}

/// The cheapest places first: how many of them so much could make unusable.
#[derive(Debug, Clone)]
struct PlacePrices {
    /// Price, how many cost as much, and what all that are cheaper cost, and how many those are.
    steps: Vec<PriceStep>,
}

#[derive(Debug, Clone, Copy)]
struct PriceStep {
    price: i64,
    places: i64,
    cheaper_cost: i64,
    cheaper_places: i64,
}

impl PlacePrices {
    fn new(mut prices: Vec<(i64, i64)>) -> Self {
        prices.sort_unstable();
        let (mut cheaper_cost, mut cheaper_places) = (0, 0);
        let steps = prices.into_iter().filter(|(_, places)| *places > 0).map(|(price, places)| {
            let step = PriceStep { price, places, cheaper_cost, cheaper_places };
            cheaper_cost += price * places;
            cheaper_places += places;
            step
        });
        Self { steps: steps.collect() }
    }

    /// How many places an amount can make unusable.
    fn lost(&self, amount: i64) -> i64 {
        // The last one whose cheaper ones can all be paid for.
        let affordable = self.steps.partition_point(|step| step.cheaper_cost <= amount);
        let Some(PriceStep { price, places, cheaper_cost, cheaper_places }) =
            affordable.checked_sub(1).map(|last| self.steps[last])
        else {
            return 0;
        };
        cheaper_places + ((amount - cheaper_cost) / price).min(places)
    }
}

//! Whether the tasks that a plan displaces have somewhere to go: placements that the planner had no
//! part in.
//!
//! A plan of which every removal is certain must stand any placement ([`Witness::random`]); of a
//! plan that was replayed, at least one must be found ([`Witness::find`]).

use std::collections::BTreeSet;

use ebb_planner::ids::InstanceId;
use ebb_planner::{Instance, Inventory, Plan, Task, TaskKind};
use fastrand::Rng;

use crate::filters::{place, service_of, takes};

/// How many orders by chance are tried before a plan is said to have no witness. The plans of these
/// tests, and of the inventories that planners are compared on, need none or a few.
const RANDOM_ORDERS: u64 = 200;

/// A task that a plan displaces, and the instance that it was placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) task: String,
    pub(crate) to: InstanceId,
}

/// The cluster once a plan's instances are gone, and what needs a place then.
pub(crate) struct Witness {
    /// What stays and may take displaced tasks. Places are taken here.
    inventory: Inventory,
    displaced: Vec<Task>,
    /// Tasks that are on their way whatever the plan does. They compete for places, and may find
    /// none.
    in_flight: Vec<Task>,
}

impl Witness {
    /// Takes the plan's instances away, with those that count on nobody's stay: see `is_usable`.
    pub(crate) fn new(
        inventory: &Inventory,
        plan: &Plan,
        is_usable: impl Fn(&Instance) -> bool,
    ) -> Self {
        let removed: BTreeSet<&InstanceId> =
            plan.remove.iter().map(|removal| &removal.instance_id).collect();
        let (gone, mut stays): (Vec<Instance>, Vec<Instance>) = inventory
            .instances
            .iter()
            .cloned()
            .partition(|instance| removed.contains(&instance.instance_id));
        stays.retain(|instance| is_usable(instance));
        let tasks = gone.into_iter().flat_map(|instance| instance.tasks.unwrap_or_default());
        Self {
            inventory: Inventory { instances: stays, ..inventory.clone() },
            displaced: tasks.filter(|task| service_of(task).is_some()).collect(),
            in_flight: in_flight(inventory),
        }
    }

    /// One way to place every displaced task, or the task that found no place in the last order
    /// that was tried. The largest task first, each where least is left, is the rule that seldom
    /// fails: best fit decreasing (Johnson, "Near-optimal bin packing algorithms", 1973).
    pub(crate) fn find(&self) -> Result<Vec<Move>, Task> {
        let mut largest_first = self.displaced.clone();
        largest_first.sort_by_key(|task| std::cmp::Reverse(self.size(task)));
        let mut result = self.place_in_order(&largest_first, |inventory, open| {
            open.iter().copied().min_by_key(|&instance| free(&inventory.instances[instance]))
        });
        for seed in 0..RANDOM_ORDERS {
            if result.is_ok() {
                break;
            }
            result = self.random(seed);
        }
        result
    }

    /// Places every displaced task, and what is on its way, in an order by chance, each on an
    /// instance by chance.
    pub(crate) fn random(&self, seed: u64) -> Result<Vec<Move>, Task> {
        let mut rng = Rng::with_seed(seed);
        let mut tasks: Vec<Task> = self.displaced.iter().chain(&self.in_flight).cloned().collect();
        rng.shuffle(&mut tasks);
        self.place_in_order(&tasks, |_, open| rng.choice(open).copied())
    }

    fn place_in_order(
        &self,
        tasks: &[Task],
        mut choose: impl FnMut(&Inventory, &[usize]) -> Option<usize>,
    ) -> Result<Vec<Move>, Task> {
        let mut inventory = self.inventory.clone();
        let mut moves = Vec::new();
        for task in tasks {
            let Some(service) = service_of(task) else { continue };
            let instances = 0..inventory.instances.len();
            let open: Vec<usize> =
                instances.filter(|&instance| takes(&inventory, instance, service)).collect();
            match choose(&inventory, &open) {
                Some(instance) => {
                    let to = inventory.instances[instance].instance_id.clone();
                    place(&mut inventory, instance, service, task.clone());
                    moves.push(Move { task: task.id.clone(), to });
                }
                None if self.in_flight.contains(task) => {}
                None => return Err(task.clone()),
            }
        }
        Ok(moves)
    }

    fn size(&self, task: &Task) -> i64 {
        let Some(service) = service_of(task) else { return 0 };
        self.inventory.services[service].demand.to_array().iter().sum()
    }
}

fn free(instance: &Instance) -> i64 {
    instance.remaining.unwrap_or_default().to_array().iter().sum()
}

/// Of each service no more than there are instances to crowd: the rest could not matter, and may be
/// any number.
fn in_flight(inventory: &Inventory) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (index, service) in inventory.services.iter().enumerate() {
        let crowd = 4 * inventory.instances.len();
        let count = usize::try_from(service.in_flight).unwrap_or(usize::MAX).min(crowd);
        tasks.extend((0..count).map(|number| Task {
            id: format!("in-flight-{index}-{number}"),
            kind: TaskKind::Service(index),
            protected: false,
        }));
    }
    tasks
}

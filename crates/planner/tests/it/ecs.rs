//! What happens to an inventory when a plan is carried out: ECS places each displaced task by its
//! service's strategy, one at a time in an order by chance, looking at every instance. Written
//! apart from the planner, and slowly, so that the two cannot make the same mistake.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::ids::InstanceId;
use ebb_planner::{Instance, Inventory, Plan, Strategy, Task};

use crate::filters::{attribute, place, service_of, takes, task_count};

/// A scheduler, with its source of chance.
pub(crate) struct Ecs {
    rng: fastrand::Rng,
    /// Whether it puts every task on the instance with most room, whatever the strategy says.
    pub(crate) worst_fit: bool,
}

/// How a sweep came off.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Drains that ended with an empty instance.
    pub(crate) drained: usize,
    /// Drains that stalled, as a task found no place, and were rolled back.
    pub(crate) rolled_back: usize,
    /// Tasks that were moved.
    pub(crate) moved: usize,
}

impl Ecs {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), worst_fit: false }
    }

    /// Drains what the plan removes and takes away what is empty then. An instance with a task that
    /// found no place stays.
    pub(crate) fn carry_out(&mut self, inventory: &mut Inventory, plan: &Plan) -> Swept {
        let going: BTreeSet<InstanceId> =
            plan.remove.iter().map(|removal| removal.instance_id.clone()).collect();
        let mut displaced: Vec<(usize, Task)> = Vec::new();
        for (position, instance) in inventory.instances.iter_mut().enumerate() {
            if going.contains(&instance.instance_id) {
                displaced.extend(
                    instance
                        .tasks
                        .take()
                        .unwrap_or_default()
                        .into_iter()
                        .map(|task| (position, task)),
                );
            }
        }
        self.rng.shuffle(&mut displaced);
        if self.worst_fit {
            let size = |task: &Task| {
                service_of(task)
                    .map(|position| inventory.services[position].demand.memory_mib)
                    .unwrap_or_default()
            };
            displaced.sort_by_key(|(_, task)| size(task));
        }
        let mut swept = Swept::default();
        let mut stuck: BTreeMap<usize, Vec<Task>> = BTreeMap::new();
        for (from, task) in displaced {
            let Some(service) = service_of(&task) else { continue };
            match self.choose(inventory, service, &going) {
                Some(to) => {
                    place(inventory, to, service, task);
                    swept.moved += 1;
                }
                None => stuck.entry(from).or_default().push(task),
            }
        }
        for (position, instance) in inventory.instances.iter_mut().enumerate() {
            if let Some(tasks) = stuck.remove(&position) {
                // The tasks that moved are not moved back: their room is free now.
                let mut free = instance.registered.unwrap().to_array();
                for task in &tasks {
                    let demand = inventory.services[service_of(task).unwrap()].demand.to_array();
                    free.iter_mut().zip(demand).for_each(|(free, demand)| *free -= demand);
                }
                instance.remaining = Some(free.into());
                instance.host_ports.clear();
                for task in &tasks {
                    instance
                        .host_ports
                        .extend(&inventory.services[service_of(task).unwrap()].host_ports);
                }
                instance.tasks = Some(tasks);
                swept.rolled_back += 1;
            }
        }
        swept.drained = going.len() - swept.rolled_back;
        let empty =
            |id: &InstanceId, tasks: &Option<Vec<Task>>| going.contains(id) && tasks.is_none();
        for instance in inventory
            .instances
            .iter()
            .filter(|instance| empty(&instance.instance_id, &instance.tasks))
        {
            if let Some(group) =
                instance.group.as_ref().and_then(|name| inventory.groups.get_mut(name))
            {
                group.desired_capacity -= instance.weight;
            }
        }
        inventory.instances.retain(|instance| !empty(&instance.instance_id, &instance.tasks));
        swept
    }

    /// The instance that the service's strategy takes, among those that pass the filters.
    fn choose(
        &mut self,
        inventory: &Inventory,
        service: usize,
        going: &BTreeSet<InstanceId>,
    ) -> Option<usize> {
        let mut valid: Vec<usize> = (0..inventory.instances.len())
            .filter(|&position| {
                !going.contains(&inventory.instances[position].instance_id)
                    && takes(inventory, position, service)
            })
            .collect();
        if self.worst_fit {
            return valid.into_iter().max_by_key(|&position| {
                let (free, all) = (
                    inventory.instances[position].remaining.unwrap(),
                    inventory.instances[position].registered.unwrap(),
                );
                (free.cpu * 10_000 / all.cpu).min(free.memory_mib * 10_000 / all.memory_mib)
            });
        }
        for step in &inventory.services[service].strategy {
            let remaining = |position: usize| inventory.instances[position].remaining.unwrap();
            let keys: Vec<i64> = match step {
                Strategy::Random => vec![0; valid.len()],
                Strategy::BinpackCpu => {
                    valid.iter().map(|&position| remaining(position).cpu).collect()
                }
                Strategy::BinpackMemory => {
                    valid.iter().map(|&position| remaining(position).memory_mib).collect()
                }
                Strategy::Spread(field) => {
                    let mut by_value = BTreeMap::new();
                    for instance in &inventory.instances {
                        *by_value.entry(value(instance, field)).or_insert(0) +=
                            task_count(instance, service);
                    }
                    valid
                        .iter()
                        .map(|&position| by_value[&value(&inventory.instances[position], field)])
                        .collect()
                }
            };
            let least = keys.iter().copied().min()?;
            valid = valid
                .into_iter()
                .zip(keys)
                .filter(|(_, key)| *key == least)
                .map(|(position, _)| position)
                .collect();
        }
        if valid.is_empty() { None } else { Some(valid[self.rng.usize(..valid.len())]) }
    }
}

fn value<'a>(instance: &'a Instance, field: &str) -> Option<&'a str> {
    match field.strip_prefix("attribute:") {
        Some(name) => attribute(instance, name),
        None => Some(instance.instance_id.as_str()),
    }
}

//! Tasks that wait for a place by a capacity provider although others have room: ECS chooses the
//! provider first, and a task waits there until an instance has room. What follows for a drained
//! instance of that provider is for `follow_up` to say.

use ebb_planner::{CAPACITY_PROVIDER, Instance, Inventory, Resources, Service};

use crate::ecs::ContainerInstanceStatus;

/// Who lacks a drained instance, in words: a service that has tasks to be placed, of which one fits on
/// the instance and on no ACTIVE one of its capacity provider. Services with constraints do not count:
/// their tasks may not be allowed there.
pub(crate) fn who_lacks(drained: &Instance, inventory: &Inventory) -> Option<String> {
    let provider = drained.attributes.get(CAPACITY_PROVIDER)?;
    let active: Vec<_> = inventory
        .instances
        .iter()
        .filter(|it| it.status == ContainerInstanceStatus::Active && it.agent_connected)
        .filter(|it| it.attributes.get(CAPACITY_PROVIDER) == Some(provider))
        .collect();
    let waits = |service: &&Service| {
        service.in_flight > 0
            && service.constraints.is_empty()
            && service.capacity_providers.contains(provider)
            && has_room(drained, service.demand)
            && !active.iter().any(|instance| has_room(instance, service.demand))
    };
    let service = inventory.services.iter().find(waits)?;
    Some(format!("tasks of service {} wait for capacity provider {provider}", service.name))
}

fn has_room(instance: &Instance, demand: Resources) -> bool {
    let needed = demand.to_array().into_iter();
    instance.remaining.is_some_and(|remaining| {
        needed.zip(remaining.to_array()).all(|(needed, remaining)| needed <= remaining)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{instance, inventory, resources, service};

    fn by(provider: &str, number: u64, free: i64) -> Instance {
        let attributes = [(CAPACITY_PROVIDER.to_owned(), provider.to_owned())].into();
        Instance { attributes, remaining: Some(resources(free, free)), ..instance(number) }
    }

    /// A drained instance by Spot, a full one beside it, and an empty one on demand. A task waits.
    fn cluster() -> Inventory {
        let drained =
            Instance { status: ContainerInstanceStatus::Draining, ..by("spot", 1, 1_000) };
        let mut cluster = inventory(vec![drained, by("spot", 2, 99), by("on-demand", 3, 1_000)]);
        let capacity_providers = ["on-demand", "spot"].map(str::to_owned).into();
        cluster.services =
            vec![Service { in_flight: 1, capacity_providers, ..service([100, 100]) }];
        cluster
    }

    type Change = fn(&mut Inventory);

    #[test]
    fn a_task_that_waits_for_a_provider_lacks_what_drains_there() {
        let cases: [(&str, Change, bool); 8] = [
            ("as it is", |_| {}, true),
            ("none waits", |it| it.services[0].in_flight = 0, false),
            (
                "by another provider",
                |it| it.services[0].capacity_providers = ["a".into()].into(),
                false,
            ),
            ("by none", |it| it.services[0].capacity_providers.clear(), false),
            ("too large", |it| it.services[0].demand = resources(1_001, 1), false),
            ("room", |it| it.instances[1].remaining = Some(resources(100, 100)), false),
            (
                "room where no agent is connected",
                |it| {
                    it.instances[1].remaining = Some(resources(100, 100));
                    it.instances[1].agent_connected = false;
                },
                true,
            ),
            ("constraints", |it| it.services[0].constraints.push("a == b".to_owned()), false),
        ];
        for (name, change, lacks) in cases {
            let mut cluster = cluster();
            change(&mut cluster);
            let words = "tasks of service web wait for capacity provider spot".to_owned();
            assert_eq!(
                who_lacks(&cluster.instances[0], &cluster),
                lacks.then_some(words),
                "{name}"
            );
        }
    }
}

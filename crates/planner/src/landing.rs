//! Where the tasks of a service may land once a plan's instances are gone: for people to look at.
//!
//! No decision is made by it. Which of these places ECS chooses is ECS's to say, and a plan must
//! hold wherever that is: see `certificate`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::ecs::DIMENSIONS;
use crate::eligibility::eligibility;
use crate::ids::InstanceId;
use crate::index::{Numbered, ServiceIndex};
use crate::inventory::Inventory;
use crate::model::Model;
use crate::plan::Plan;
use crate::policy::{Policy, TaskHeadroom};

/// By service, as its index in [`Inventory::services`]: the instances that stay and have room for
/// one task of it now, pass its constraints and hold nothing in conflict with it; in the order of
/// their ids. Services no task of which is to be placed are left out.
///
/// `policy` and `now` are those of the plan: they say which instances take displaced tasks at all.
pub fn landing_places(
    inventory: &Inventory,
    plan: &Plan,
    policy: &Policy,
    now: Timestamp,
) -> BTreeMap<usize, Vec<InstanceId>> {
    let eligibility = eligibility(inventory, policy, now);
    let model = Model::<DIMENSIONS>::new(inventory, &eligibility, &TaskHeadroom::default());
    let removed: BTreeSet<&InstanceId> =
        plan.remove.iter().map(|removal| &removal.instance_id).collect();
    let places_by_kind: Vec<Vec<InstanceId>> = model
        .kinds
        .iter()
        .map(|kind| {
            let with_room = model.with_room_for(kind);
            // Usable instances are numbered by what may run on them, not by their ids.
            let ids: BTreeSet<&InstanceId> = with_room
                .iter()
                .map(|instance| &inventory.instances[model.origin[instance]].instance_id)
                .collect();
            ids.difference(&removed).map(|id| (*id).clone()).collect()
        })
        .collect();
    (0..inventory.services.len())
        .filter_map(|service| {
            let kind = model.kind_of[ServiceIndex::new(service)]?;
            Some((service, places_by_kind[kind.position()].clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Service;
    use crate::testing::{cluster, holding, instance, now, service};
    use crate::{Instance, plan};

    fn id(number: usize) -> InstanceId {
        instance(number).instance_id
    }

    #[test]
    fn a_task_may_land_where_it_has_room_and_no_conflict_but_not_on_what_goes() {
        let small = service(0, [512, 1024]);
        let alone = Service { distinct_instance: true, ..service(1, [512, 1024]) };
        let idle = service(2, [0, 0]);
        let instances = vec![
            holding(1, [1024, 2048], &[(0, 1), (1, 1)]),
            holding(2, [1536, 3072], &[(1, 1)]),
            holding(3, [500, 3072], &[(0, 1)]),
            Instance { agent_connected: false, ..instance(4) },
            instance(5),
        ];
        let inventory = cluster(instances, vec![small, alone, idle]);
        let policy = Policy { max_removals_percent: 1, ..Policy::default() };
        let plan = plan(&inventory, &policy, now());
        let gone: Vec<_> = plan.remove.iter().map(|removal| removal.instance_id.clone()).collect();
        assert_eq!(gone, [id(5)]);

        let places = landing_places(&inventory, &plan, &policy, now());

        assert_eq!(places, BTreeMap::from([(0, vec![id(1), id(2)]), (1, vec![])]));
    }
}

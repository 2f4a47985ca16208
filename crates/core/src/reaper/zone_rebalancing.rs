//! Availability Zone rebalancing: how many tasks of a service ECS has yet to move.
//!
//! Source: ECS Developer Guide, service-rebalancing: in a steady state ECS starts tasks in the zones
//! with the fewest and, once they are healthy, stops tasks in those with the most, until they are
//! even. What moves leave of the room for others is for the planner to say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Inventory, Service};

use crate::ecs::ContainerInstanceStatus;
use crate::ids::ContainerInstanceArn;

/// Whether a service's zones are uneven, by the message of a service event; `None` if the event is
/// about something else. Source: ECS Developer Guide, service-rebalancing-event-messages-list.
pub fn zones_uneven(message: &str) -> Option<bool> {
    let uneven = ["is not AZ balanced", "unable to place a task in Availability Zone"];
    if uneven.iter().any(|words| message.contains(words)) {
        Some(true)
    } else {
        message.contains("is AZ balanced").then_some(false)
    }
}

/// How many tasks ECS has yet to move until the zones of a service are even, if its tasks run on
/// these container instances. Zones count that have an ACTIVE instance, and a subnet of the service
/// if it needs one.
pub fn tasks_to_rebalance(
    inventory: &Inventory,
    service: &Service,
    container_instances: &[&ContainerInstanceArn],
) -> u64 {
    let has_subnet = |zone: &str| service.zones.as_ref().is_none_or(|zones| zones.contains(zone));
    let active = inventory
        .instances
        .iter()
        .filter(|instance| instance.status == ContainerInstanceStatus::Active);
    let zones: BTreeSet<&str> =
        active.map(|instance| instance.zone.as_str()).filter(|zone| has_subnet(zone)).collect();
    let zone_of: BTreeMap<_, _> = inventory
        .instances
        .iter()
        .map(|instance| (&instance.arn, instance.zone.as_str()))
        .collect();
    let mut counts: BTreeMap<&str, u64> = zones.into_iter().map(|zone| (zone, 0)).collect();
    for zone in container_instances.iter().filter_map(|arn| zone_of.get(*arn)) {
        // What is in a zone that ECS does not balance has to move as well.
        *counts.entry(zone).or_default() += 1;
    }
    moves_until_even(counts.into_values().collect())
}

/// How many must move until no two counts differ by more than one.
fn moves_until_even(mut counts: Vec<u64>) -> u64 {
    let zones = counts.len() as u64;
    if zones == 0 {
        return 0;
    }
    let total: u64 = counts.iter().sum();
    // What does not come out even stays where most are.
    counts.sort_by_key(|count| Reverse(*count));
    let larger = total % zones;
    let targets = (0..zones).map(|position| total / zones + u64::from(position < larger));
    counts.iter().zip(targets).map(|(count, target)| count.saturating_sub(target)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{instance, inventory};

    #[test]
    fn the_fewest_moves_make_zones_even() {
        let moves = |counts: &[u64]| moves_until_even(counts.to_vec());
        assert_eq!(moves(&[]), 0);
        assert_eq!(moves(&[7]), 0);
        assert_eq!(moves(&[2, 3, 2]), 0, "one may have more");
        assert_eq!(moves(&[0, 4]), 2);
        assert_eq!(moves(&[1, 3]), 1);
        assert_eq!(moves(&[0, 2, 3]), 1);
        assert_eq!(moves(&[0, 0, 2]), 1);
        assert_eq!(moves(&[9, 0, 0]), 6);
    }

    #[test]
    fn events_tell_whether_zones_are_uneven() {
        let cases = [
            (
                "service web is not AZ balanced with 1 tasks in a, 3 tasks in b. AZ Rebalancing in \
              progress.",
                Some(true),
            ),
            (
                "service web is unable to place a task in Availability Zone eu-west-1a because no \
              container instance met all of its requirements.",
                Some(true),
            ),
            ("service web is AZ balanced with 2 tasks in a, 2 tasks in b.", Some(false)),
            ("(service web) has reached a steady state.", None),
        ];
        for (message, uneven) in cases {
            assert_eq!(zones_uneven(message), uneven, "{message}");
        }
    }

    #[test]
    fn tasks_count_by_the_zones_that_have_an_active_instance_and_a_subnet() {
        let in_zones = ["a", "b", "c"].into_iter().zip(1..);
        let instances = in_zones.map(|(zone, number)| ebb_planner::Instance {
            zone: zone.to_owned(),
            ..instance(number)
        });
        let mut inventory = inventory(instances.collect());
        let [first, .., last] = [0, 1, 2].map(|position| inventory.instances[position].arn.clone());
        let mut service = crate::reaper::services::ServiceDescription::default().service(&[], 0);
        let moves = |inventory: &Inventory, service: &Service| {
            tasks_to_rebalance(inventory, service, &[&first, &first, &first, &last])
        };
        assert_eq!(moves(&inventory, &service), 1, "3, 0, 1");
        service.zones = Some(BTreeSet::from(["a", "c"].map(str::to_owned)));
        assert_eq!(moves(&inventory, &service), 1, "3, 1");
        service.zones = None;
        inventory.instances[1].status = ContainerInstanceStatus::Draining;
        assert_eq!(moves(&inventory, &service), 1, "3, 1");
        inventory.instances[1].status = ContainerInstanceStatus::Active;
        inventory.instances.truncate(1);
        assert_eq!(moves(&inventory, &service), 0, "one zone");
    }
}

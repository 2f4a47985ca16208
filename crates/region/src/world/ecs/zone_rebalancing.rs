//! Availability Zone rebalancing: a service that is steady and uneven starts tasks in the zones with
//! the fewest; once they are healthy, its scheduler stops as many in the zones with the most.
//!
//! Sources: ECS Developer Guide, service-rebalancing and service-rebalancing-event-messages-list.
//! How long ECS takes to notice is not documented: here it is as soon as the scheduler looks.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::container_instance::Status;
use super::placement_rules::{Constraint, Strategy};
use super::service::{Service, ServiceKind};
use super::service_scheduler::is_healthy;
use super::task::Task;
use crate::world::history::Happening;
use crate::world::state::World;

impl Service {
    /// Whether ECS rebalances it: not unless it spreads over zones first, and may have more tasks
    /// than it wants.
    pub(super) fn rebalances(&self) -> bool {
        let spreads_zones = self
            .placement
            .strategies
            .first()
            .is_none_or(|first| *first == Strategy::spread_zones());
        let ServiceKind::Replica { max_percent, .. } = self.kind else { return false };
        self.zone_rebalancing && spreads_zones && max_percent > 100
    }
}

impl World {
    /// Switches Availability Zone rebalancing on for a service.
    pub fn enable_zone_rebalancing(&mut self, cluster: &str, service: &str) {
        let service =
            self.clusters.get_mut(cluster).and_then(|cluster| cluster.services.get_mut(service));
        if let Some(service) = service {
            service.zone_rebalancing = true;
            self.reconcile_soon(cluster);
        }
    }

    /// Starts tasks where the fewest are, if the service is steady and uneven.
    pub(super) fn rebalance_zones(
        &mut self,
        cluster_name: &str,
        service_name: &str,
        desired: usize,
        max_running: usize,
    ) {
        let cluster = &self.clusters[cluster_name];
        if !cluster.services[service_name].rebalances()
            || !self.is_steady(cluster, service_name, desired)
        {
            return;
        }
        let counts = tasks_by_zone(cluster, service_name);
        let moves = moves_until_even(&counts);
        let listed: Vec<_> =
            counts.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect();
        let listed = listed.join(", ");
        let was_uneven =
            self.last_event(service_name).is_some_and(|event| !event.contains("is AZ"));
        if moves == 0 {
            if was_uneven {
                self.tell(
                    service_name,
                    format!("service {service_name} is AZ balanced with {listed}."),
                );
            }
            return;
        }
        if !was_uneven {
            let message = format!(
                "service {service_name} is not AZ balanced with {listed}. AZ Rebalancing in \
                 progress."
            );
            self.tell(service_name, message);
        }
        // As many at once as may run: ECS says nothing of one after the other.
        for _ in 0..moves.min(max_running - desired) {
            if !self.start_in_emptiest_zone(cluster_name, service_name) {
                break;
            }
        }
    }

    /// Whether every task that a service wants runs, is healthy and stays, and no other does.
    fn is_steady(&self, cluster: &Cluster, service: &str, desired: usize) -> bool {
        let tasks: Vec<_> =
            cluster.tasks_of_service(service).filter(|task| task.is_desired_running()).collect();
        let stays = |task: &Task| {
            is_healthy(task, self.now)
                && cluster.instances[&task.container_instance].status == Status::Active
        };
        tasks.len() == desired && tasks.into_iter().all(stays)
    }

    /// Starts a task in the zone with the fewest; returns whether there was a place.
    fn start_in_emptiest_zone(&mut self, cluster_name: &str, service_name: &str) -> bool {
        let cluster = &self.clusters[cluster_name];
        let counts = tasks_by_zone(cluster, service_name);
        let emptiest = counts.iter().min_by_key(|(_, count)| **count);
        let Some(zone) = emptiest.map(|(zone, _)| (*zone).to_owned()) else { return false };
        let service = &cluster.services[service_name];
        let in_zone = format!("attribute:ecs.availability-zone == {zone}");
        let placement = service.placement.clone().with_constraint(Constraint::MemberOf(in_zone));
        let spec = service.spec.clone();
        let place = self.place(cluster_name, Some(service_name), &spec, &placement);
        match place.container_instance {
            Ok(place) => self.start_task(cluster_name, service_name, Some(&place)).is_some(),
            Err(_) => {
                let message = format!(
                    "service {service_name} is unable to place a task in Availability Zone {zone} \
                     because no container instance met all of its requirements."
                );
                // Said once: the scheduler looks again whenever anything changes.
                if self.last_event(service_name) != Some(&message) {
                    self.tell(service_name, message);
                }
                false
            }
        }
    }

    fn tell(&mut self, service: &str, message: String) {
        self.record(Happening::ServiceEvent { service: service.to_owned(), message });
    }

    fn last_event(&self, service_name: &str) -> Option<&String> {
        self.history.iter().rev().find_map(|entry| match &entry.happening {
            Happening::ServiceEvent { service, message } if service == service_name => {
                Some(message)
            }
            _ => None,
        })
    }
}

/// How many tasks a service has in each zone that it may use.
fn tasks_by_zone<'a>(cluster: &'a Cluster, service_name: &str) -> BTreeMap<&'a str, usize> {
    let service = &cluster.services[service_name];
    let active = cluster.instances.values().filter(|instance| instance.status == Status::Active);
    let zones = active.map(|instance| instance.zone.as_str());
    let mut counts: BTreeMap<&str, usize> =
        zones.filter(|zone| service.placement.has_subnet_in(zone)).map(|zone| (zone, 0)).collect();
    for task in cluster.tasks_of_service(service_name).filter(|task| task.is_desired_running()) {
        *counts.entry(&cluster.instances[&task.container_instance].zone).or_default() += 1;
    }
    counts
}

/// How many tasks must move until no two zones differ by more than one.
fn moves_until_even(counts: &BTreeMap<&str, usize>) -> usize {
    let mut counts: Vec<usize> = counts.values().copied().collect();
    let mut moves = 0;
    loop {
        counts.sort_unstable();
        match counts.as_mut_slice() {
            [fewest, .., most] if *most > *fewest + 1 => {
                *fewest += 1;
                *most -= 1;
                moves += 1;
            }
            _ => return moves,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::world::ecs::{Machine, NewInstance, TaskSpec};

    /// Four tasks in zone a, two of them on each instance, and an instance in zone b that joins
    /// later, with this much CPU.
    fn uneven(cpu: i64) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for id in ["i-1", "i-2"] {
            world.add_instance("shop", NewInstance::new(id).zone("a"));
        }
        let kind = ServiceKind::Replica { desired: 4, min_percent: 50, max_percent: 150 };
        world.add_service("shop", "web", kind, TaskSpec { cpu: 500, ..TaskSpec::default() });
        let machine = Machine::new("t3.small", cpu, 4096);
        world.add_instance("shop", NewInstance::new("i-3").zone("b").machine(machine));
        world
    }

    /// How many tasks are in each zone after five minutes, and how few were healthy meanwhile.
    fn settle(world: &mut World) -> (Vec<usize>, usize) {
        let end = world.now() + Duration::from_secs(300);
        let mut fewest = usize::MAX;
        while let Some(next) = world.next_due().filter(|next| *next <= end) {
            world.advance(next);
            let now = world.now();
            let tasks = world.clusters["shop"].tasks_of_service("web");
            let healthy = tasks.filter(|task| task.is_desired_running() && is_healthy(task, now));
            fewest = fewest.min(healthy.count());
        }
        let counts = tasks_by_zone(&world.clusters["shop"], "web").into_values().collect();
        (counts, fewest)
    }

    fn events(world: &World) -> Vec<&str> {
        let events = world.history.iter().filter_map(|entry| match &entry.happening {
            Happening::ServiceEvent { message, .. } => Some(message.as_str()),
            _ => None,
        });
        events.collect()
    }

    #[test]
    fn an_uneven_service_starts_tasks_in_the_emptiest_zone_before_it_stops_others() {
        let mut world = uneven(2048);
        assert_eq!(settle(&mut world), (vec![4, 0], 4), "unless it is on");
        world.enable_zone_rebalancing("shop", "web");
        // Although half of the tasks would be enough by its minimum.
        assert_eq!(settle(&mut world), (vec![2, 2], 4));
        let [started, done] = events(&world)[..] else { panic!("{:?}", events(&world)) };
        assert!(
            started.contains("is not AZ balanced with 4 tasks in a, 0 tasks in b"),
            "{started}"
        );
        assert!(done.contains("is AZ balanced with 2 tasks in a, 2 tasks in b"), "{done}");
    }

    #[test]
    fn a_zone_without_room_leaves_it_uneven_and_says_so_once() {
        let mut world = uneven(400);
        world.enable_zone_rebalancing("shop", "web");
        assert_eq!(settle(&mut world).0, [4, 0]);
        world.reconcile_soon("shop");
        assert_eq!(settle(&mut world).0, [4, 0]);
        let [_, failed] = events(&world)[..] else { panic!("{:?}", events(&world)) };
        assert!(failed.contains("is unable to place a task in Availability Zone b"), "{failed}");
    }

    #[test]
    fn what_packs_or_may_start_no_more_is_not_rebalanced() {
        for (strategies, max_percent) in
            [(vec![Strategy::BinpackCpu], 200), (vec![Strategy::spread_zones()], 100)]
        {
            let mut world = uneven(2048);
            let service = world.clusters.get_mut("shop").unwrap().services.get_mut("web").unwrap();
            service.placement.strategies = strategies;
            service.kind = ServiceKind::Replica { desired: 4, min_percent: 50, max_percent };
            world.enable_zone_rebalancing("shop", "web");
            assert_eq!(settle(&mut world).0, [4, 0]);
        }
    }
}

//! Where ECS puts a task: the container instances where it fits, then the strategies in their
//! order, then chance.
//!
//! Sources: ECS Developer Guide, task-placement-strategies (a strategy chooses among what the one
//! before it left; binpack goes where the least is left; services are spread over Availability
//! Zones by default) and `ecs_services` (room is reserved for daemon tasks). The wordings are those
//! of service-event-messages-list and `api_failures_messages`, with `RESOURCE:…` as in
//! aws-app-mesh-examples#342.

use std::collections::BTreeSet;

use super::container_instance::Status;
use super::placement_rules::Placement;
use super::placement_search::Search;
use super::task_spec::TaskSpec;
use crate::world::state::World;

/// Where a task goes.
pub(super) struct Place {
    /// By which capacity provider, if a strategy names one.
    pub(super) provider: Option<String>,
    /// The id of the container instance; why there is none, in ECS's words.
    pub(super) container_instance: Result<String, String>,
}

impl World {
    /// Chooses a container instance for a task of a service, or for a standalone one.
    pub(super) fn place(
        &mut self,
        cluster: &str,
        service: Option<&str>,
        spec: &TaskSpec,
        placement: &Placement,
    ) -> Place {
        let search = Search::new(&self.clusters[cluster], service, spec, placement);
        let provider = search.next_provider();
        let chosen = search.choose(provider, &mut self.rng);
        Place {
            provider: provider.map(str::to_owned),
            container_instance: chosen.map(str::to_owned),
        }
    }

    /// Chooses where the tasks of a new service go, one after the other; or says why a task found
    /// no place.
    pub(super) fn place_all(
        &mut self,
        cluster_name: &str,
        service_name: &str,
        tasks: usize,
    ) -> Vec<Place> {
        let cluster = &self.clusters[cluster_name];
        let service = &cluster.services[service_name];
        let mut search =
            Search::new(cluster, Some(service_name), &service.spec, &service.placement);
        let mut places = Vec::new();
        for _ in 0..tasks {
            let provider = search.next_provider();
            let chosen = search.choose(provider, &mut self.rng);
            // Each task counts before the next is placed, so that the strategies see it.
            search.take(provider, chosen.as_ref().ok().copied());
            places.push(Place {
                provider: provider.map(str::to_owned),
                container_instance: chosen.map(str::to_owned),
            });
        }
        places
    }

    /// The container instances that a daemon service may have a task on and that have room for it,
    /// whatever their status; one that has its task already counts as having no room.
    pub(super) fn daemon_places(&self, cluster_name: &str, service_name: &str) -> BTreeSet<String> {
        let cluster = &self.clusters[cluster_name];
        let service = &cluster.services[service_name];
        let search = Search::new(cluster, Some(service_name), &service.spec, &service.placement);
        cluster
            .instances
            .values()
            .filter(|instance| instance.status != Status::Inactive)
            // A daemon service has one task per container instance at most.
            .filter(|instance| search.siblings_on(instance) == 0)
            .filter(|instance| search.misfits(instance).is_empty())
            .map(|instance| instance.id.clone())
            .collect()
    }

    /// Starts a standalone task where there is room for it, as `RunTask` does. Returns its id.
    ///
    /// # Errors
    /// If there is no place for it: why, in ECS's words.
    ///
    /// # Panics
    /// If the Region has no such cluster.
    pub fn run_task_anywhere(
        &mut self,
        cluster: &str,
        name: &str,
        spec: TaskSpec,
        placement: &Placement,
    ) -> Result<String, String> {
        let container_instance = self.place(cluster, None, &spec, placement).container_instance?;
        Ok(self.run_task(cluster, &container_instance, name, spec))
    }

    /// Why each ACTIVE container instance that cannot have a standalone task cannot have it, by its
    /// id and in ECS's words.
    ///
    /// # Panics
    /// If the Region has no such cluster.
    pub fn run_task_failures(
        &self,
        cluster: &str,
        spec: &TaskSpec,
        placement: &Placement,
    ) -> Vec<(String, &'static str)> {
        Search::new(&self.clusters[cluster], None, spec, placement).failures()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::Happening;
    use crate::world::ecs::task_spec::{Network, Platform, Port};
    use crate::world::ecs::{
        Capacity, Constraint, Machine, NewInstance, ServiceKind, Strategy, StrategyItem,
    };

    /// Container instances `i-1`, `i-2`, … of these zones, all alike.
    fn world(zones: &[&str], machine: &Machine) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for (index, &zone) in zones.iter().enumerate() {
            let id = format!("i-{}", index + 1);
            world.add_instance("shop", NewInstance::new(id).zone(zone).machine(machine.clone()));
        }
        world
    }

    fn add(world: &mut World, tasks: usize, spec: TaskSpec, placement: Placement) -> Vec<usize> {
        world.add_placed_service("shop", "web", ServiceKind::replica(tasks), spec, placement);
        spread(world)
    }

    /// How many tasks of the service each container instance has.
    fn spread(world: &World) -> Vec<usize> {
        let cluster = &world.clusters["shop"];
        let ids = (1..=cluster.instances.len())
            .map(|number| cluster.registered_instance(&format!("i-{number}")).unwrap().id.clone());
        ids.map(|id| {
            cluster.tasks_of_service("web").filter(|task| task.container_instance == id).count()
        })
        .collect()
    }

    /// How four tasks are spread over two small instances in each of two zones. The counts of a
    /// zone are sorted, because chance decides between its instances.
    fn sorted_spread(strategies: Vec<Strategy>) -> Vec<usize> {
        let mut world = world(&["a", "a", "b", "b"], &Machine::new("t3.small", 1024, 2048));
        let placement = Placement::with_strategies(strategies);
        let mut counts = add(&mut world, 4, TaskSpec::default(), placement);
        counts[..2].sort_unstable();
        counts[2..].sort_unstable();
        counts
    }

    /// Why a task found no place, in ECS's words.
    fn not_placed_reason(world: &World) -> &str {
        let reason = world.history.iter().find_map(|entry| match &entry.happening {
            Happening::NotPlaced { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        reason.unwrap_or_default()
    }

    fn member_of(expression: &str) -> Constraint {
        Constraint::MemberOf(expression.to_owned())
    }

    #[test]
    fn strategies_apply_in_their_order() {
        assert_eq!(sorted_spread(vec![]), [1, 1, 1, 1]);
        assert_eq!(
            sorted_spread(vec![Strategy::spread_zones(), Strategy::BinpackMemory]),
            [0, 2, 0, 2]
        );
        assert_eq!(sorted_spread(vec![Strategy::spread_instances()]), [1, 1, 1, 1]);
        let packed = sorted_spread(vec![Strategy::BinpackCpu, Strategy::spread_zones()]);
        assert!(packed == [0, 4, 0, 0] || packed == [0, 0, 0, 4], "{packed:?}");
    }

    #[test]
    fn a_task_of_a_provider_without_room_goes_to_no_other() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let small = Machine::new("t3.small", 1024, 2048);
        for (id, provider) in [("i-1", "on-demand"), ("i-2", "spot"), ("i-3", "spot")] {
            world.add_instance("shop", NewInstance::new(id).machine(small.clone()));
            let cluster = world.clusters.get_mut("shop").unwrap();
            let id = cluster.registered_instance(id).unwrap().id.clone();
            cluster.instances.get_mut(&id).unwrap().capacity_provider = Some(provider.to_owned());
        }
        let item = |provider: &str, weight| StrategyItem {
            capacity_provider: provider.to_owned(),
            base: 0,
            weight,
        };
        let spec = TaskSpec { cpu: 600, ..TaskSpec::default() };
        let strategy = Capacity::Strategy(vec![item("on-demand", 1), item("spot", 1)]);
        add(&mut world, 0, spec, Placement::default());
        world.clusters.get_mut("shop").unwrap().services.get_mut("web").unwrap().capacity =
            strategy;
        world.set_desired_count("shop", "web", 4);
        world.advance(world.now() + std::time::Duration::from_secs(60));

        // The third is for on-demand, which is full, although an instance of spot has room.
        assert_eq!(spread(&world)[0], 1);
        assert_eq!(spread(&world).iter().sum::<usize>(), 2);
        assert!(!not_placed_reason(&world).is_empty());
    }

    #[test]
    fn a_group_without_tasks_comes_first_even_if_another_attribute_is_counted() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for (id, rack) in [("i-1", "1"), ("i-2", "1"), ("i-3", "2")] {
            world.add_instance("shop", NewInstance::new(id).attribute("rack", rack));
        }
        let counts = add(
            &mut world,
            4,
            TaskSpec::default(),
            Placement::with_strategies([Strategy::Spread("attribute:rack".to_owned())]),
        );

        assert_eq!((counts[0] + counts[1], counts[2]), (2, 2));
    }

    #[test]
    fn what_a_container_instance_lacks_is_said_in_ecss_words() {
        let machine = Machine::new("m7g.medium", 2048, 7680).gpus(1);
        let default_spec = TaskSpec::default;
        let platform = Some(Platform { os_family: "LINUX", architecture: "X86_64" });
        for (spec, placement, placed, words) in [
            (
                TaskSpec { cpu: 1500, ..default_spec() },
                Placement::default(),
                1,
                "has insufficient CPU units available",
            ),
            (
                TaskSpec { memory_mib: 5000, ..default_spec() },
                Placement::default(),
                1,
                "has insufficient memory available",
            ),
            (
                TaskSpec { ports: vec![Port::tcp(80)], ..default_spec() },
                Placement::default(),
                1,
                "is already using a port required by your task",
            ),
            (
                TaskSpec { ports: vec![Port::tcp(22)], ..default_spec() },
                Placement::default(),
                0,
                "is already using a port",
            ),
            (
                TaskSpec { gpus: 1, ..default_spec() },
                Placement::default(),
                1,
                "encountered error \"RESOURCE:GPU\"",
            ),
            (
                TaskSpec { network: Network::Awsvpc, ..default_spec() },
                Placement::default().with_subnets([("subnet-1", Some("a".to_owned()))]),
                1,
                "encountered error \"RESOURCE:ENI\"",
            ),
            (
                TaskSpec { network: Network::Awsvpc, ..default_spec() },
                Placement::default().with_subnets([("subnet-1", Some("b".to_owned()))]),
                0,
                "is missing an attribute required by your task",
            ),
            (
                TaskSpec { platform, ..default_spec() },
                Placement::default(),
                0,
                "is missing an attribute required by your task",
            ),
            (
                TaskSpec { required_attributes: vec!["x".to_owned()], ..default_spec() },
                Placement::default(),
                0,
                "is missing an attribute required by your task",
            ),
            (
                default_spec(),
                Placement::default().with_constraint(Constraint::DistinctInstance),
                1,
                "encountered error \"DistinctInstance placement constraint unsatisfied.\"",
            ),
            (
                default_spec(),
                Placement::default().with_constraint(member_of("attribute:ecs.os-type == windows")),
                0,
                "encountered error \"MemberOf placement constraint unsatisfied.\"",
            ),
        ] {
            let mut world = world(&["a"], &machine);
            assert_eq!(add(&mut world, 2, spec, placement), [placed], "{words}");
            assert!(
                not_placed_reason(&world).contains(words),
                "{} - {words}",
                not_placed_reason(&world)
            );
        }
    }

    #[test]
    fn an_attribute_that_is_put_opens_a_container_instance_to_a_task() {
        let mut world = world(&["a"], &Machine::default());
        let placement = Placement::default().with_constraint(member_of("attribute:stack == prod"));
        assert_eq!(add(&mut world, 1, TaskSpec::default(), placement), [0]);
        let id = world.clusters["shop"].registered_instance("i-1").unwrap().id.clone();
        world.put_attribute("shop", &id, "stack", "prod");
        world.advance(world.now() + std::time::Duration::from_secs(60));

        assert_eq!(spread(&world), [1]);
        let marked = Happening::Attribute {
            instance_id: "i-1".to_owned(),
            name: "stack".to_owned(),
            value: Some("prod".to_owned()),
        };
        assert!(world.history.iter().any(|entry| entry.happening == marked));
    }

    #[test]
    fn a_port_of_one_protocol_leaves_the_other_free_and_an_assigned_one_leaves_all() {
        let ports = vec![Port::tcp(53), Port::udp(53), Port::tcp(0), Port::tcp(0)];
        let mut world = world(&["a", "b"], &Machine::default());
        let counts =
            add(&mut world, 2, TaskSpec { ports, ..TaskSpec::default() }, Placement::default());
        assert_eq!(counts, [1, 1]);

        let bindings = &world.clusters["shop"].tasks_of_service("web").next().unwrap().bindings;
        assert_eq!(bindings, &[Port::tcp(53), Port::udp(53), Port::tcp(32768), Port::tcp(32769)]);
        world.add_service(
            "shop",
            "dns",
            ServiceKind::replica(1),
            TaskSpec { ports: vec![Port::udp(53)], ..TaskSpec::default() },
        );
        assert!(not_placed_reason(&world).contains("already using a port"));
        let dynamic = TaskSpec { ports: vec![Port::tcp(0)], ..TaskSpec::default() };
        world.add_service("shop", "many", ServiceKind::replica(6), dynamic);
        assert_eq!(world.clusters["shop"].tasks_of_service("many").count(), 6);
    }

    #[test]
    fn room_is_kept_for_a_daemon_task_that_is_not_there_yet() {
        let mut world = world(&["a"], &Machine::new("t3.small", 1024, 2048));
        let daemon = TaskSpec { cpu: 512, ..TaskSpec::default() };
        world.add_service("shop", "logs", ServiceKind::Daemon, daemon);
        let id = world.clusters["shop"].tasks_of_service("logs").next().unwrap().id.clone();
        world.clusters.get_mut("shop").unwrap().tasks.remove(&id);

        assert_eq!(add(&mut world, 4, TaskSpec::default(), Placement::default()), [2]);
        world.reconcile_soon("shop");
        world.advance(world.now() + std::time::Duration::from_secs(60));
        assert_eq!(world.clusters["shop"].tasks_of_service("logs").count(), 1);
    }

    #[test]
    fn a_cluster_without_instances_and_one_without_agents_place_nothing() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_service("shop", "web", ServiceKind::replica(1), TaskSpec::default());
        assert!(
            not_placed_reason(&world)
                .ends_with("Reason: No Container Instances were found in your cluster.")
        );

        world.history.clear();
        world.add_instance("shop", NewInstance::new("i-1").agent_disconnected());
        let refused = world
            .run_task_anywhere("shop", "report", TaskSpec::default(), &Placement::default())
            .unwrap_err();
        assert!(refused.ends_with("encountered error \"AGENT\"."), "{refused}");
    }
}

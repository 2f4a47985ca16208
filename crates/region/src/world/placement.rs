//! Where ECS puts a task: the container instances where it fits, then the strategies in their order, then chance.
//!
//! Sources: ECS Developer Guide, task-placement-strategies (a strategy chooses among what the one before it left;
//! binpack goes where the least is left; services are spread over Availability Zones by default) and `ecs_services`
//! (room is reserved for daemon tasks). The wordings are those of service-event-messages-list and
//! `api_failures_messages`, with `RESOURCE:…` as in aws-app-mesh-examples#342.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use super::ecs::{
    Cluster, Constraint, ContainerInstance, Held, Lack, Placement, ServiceKind, Status, Strategy,
};
use super::query::Expression;
use super::task::{Task, TaskSpec};

/// Why a container instance cannot have a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Misfit {
    Agent,
    MemberOf,
    DistinctInstance,
    Attribute,
    Lacks(Lack),
}

impl Misfit {
    /// ECS's words, after "The closest matching (container-instance ID)".
    fn words(self) -> &'static str {
        match self {
            Self::Agent => "encountered error \"AGENT\"",
            Self::MemberOf => "encountered error \"MemberOf placement constraint unsatisfied.\"",
            Self::DistinctInstance => {
                "encountered error \"DistinctInstance placement constraint unsatisfied.\""
            }
            Self::Attribute => "is missing an attribute required by your task",
            Self::Lacks(Lack::Cpu) => "has insufficient CPU units available",
            Self::Lacks(Lack::Memory) => "has insufficient memory available",
            Self::Lacks(Lack::Port) => "is already using a port required by your task",
            Self::Lacks(Lack::Gpu) => "encountered error \"RESOURCE:GPU\"",
            Self::Lacks(Lack::Interface) => "encountered error \"RESOURCE:ENI\"",
        }
    }
}

/// What is to be placed.
struct Search<'a> {
    cluster: &'a Cluster,
    service: Option<&'a str>,
    spec: &'a TaskSpec,
    placement: &'a Placement,
    expressions: Vec<Expression>,
    /// What is held of each container instance, what is reserved for daemon tasks included.
    held: BTreeMap<&'a str, Held>,
    /// The service's tasks by container instance.
    siblings: BTreeMap<&'a str, usize>,
}

impl<'a> Search<'a> {
    fn new(
        cluster: &'a Cluster,
        service: Option<&'a str>,
        spec: &'a TaskSpec,
        placement: &'a Placement,
    ) -> Self {
        let mut siblings = BTreeMap::new();
        for task in cluster.tasks.values().filter(|task| task.is_wanted()) {
            if service.is_some() && task.service.as_deref() == service {
                *siblings.entry(task.container_instance.as_str()).or_default() += 1;
            }
        }
        let is_daemon =
            service.is_some_and(|name| cluster.services[name].kind == ServiceKind::Daemon);
        let held = if is_daemon { cluster.held() } else { with_daemons(cluster) };
        let expressions = placement.expressions(spec).filter_map(Expression::parse).collect();
        Self { cluster, service, spec, placement, expressions, held, siblings }
    }

    /// Everything that speaks against a container instance that is ACTIVE.
    fn misfits(&self, instance: &ContainerInstance) -> Vec<Misfit> {
        let lacks_attribute =
            self.spec.required_attributes.iter().any(|name| instance.attribute(name).is_none());
        let distinct = self.placement.constraints.contains(&Constraint::DistinctInstance);
        let checks = [
            (Misfit::Agent, !instance.agent_connected),
            (Misfit::MemberOf, !self.is_member(instance)),
            (Misfit::DistinctInstance, distinct && self.siblings_on(instance) > 0),
            (Misfit::Attribute, lacks_attribute),
        ];
        let lacks = match self.held.get(instance.id.as_str()) {
            Some(held) => held.lacks(instance, self.spec),
            None => Held::default().lacks(instance, self.spec),
        };
        let unmet = checks.into_iter().filter(|&(_, unmet)| unmet).map(|(misfit, _)| misfit);
        unmet.chain(lacks.into_iter().map(Misfit::Lacks)).collect()
    }

    fn is_member(&self, instance: &ContainerInstance) -> bool {
        let values = |subject: &str| self.cluster.subject(instance, subject);
        self.expressions.iter().all(|expression| expression.holds(&values))
    }

    fn siblings_on(&self, instance: &ContainerInstance) -> usize {
        self.siblings.get(instance.id.as_str()).copied().unwrap_or(0)
    }

    /// Chooses where the task goes: among the container instances without misfits, by the strategies and by chance.
    fn choose(&self, rng: &mut fastrand::Rng) -> Result<&'a str, String> {
        let active = self.cluster.instances.values().filter(|one| one.status == Status::Active);
        let (mut candidates, mut closest) = (Vec::new(), None::<(Vec<Misfit>, &str)>);
        for instance in active {
            let misfits = self.misfits(instance);
            if misfits.is_empty() {
                candidates.push(instance);
            } else if closest.as_ref().is_none_or(|(fewest, _)| misfits.len() < fewest.len()) {
                closest = Some((misfits, &instance.id));
            }
        }
        if candidates.is_empty() {
            return Err(no_place(closest.as_ref().map(|(misfits, id)| (misfits[0], *id))));
        }
        let by_default = [Strategy::spread_zones(), Strategy::spread_instances()];
        // Only services are spread by default; a standalone task goes anywhere.
        let strategies: &[Strategy] = match self.placement.strategies.as_slice() {
            [] if self.service.is_some() => &by_default,
            strategies => strategies,
        };
        let best = strategies.iter().fold(candidates, |left, strategy| self.narrow(left, strategy));
        Ok(&best[rng.usize(..best.len())].id)
    }

    /// Counts a task that goes to a container instance.
    fn take(&mut self, container_instance: &'a str) {
        let instance = &self.cluster.instances[container_instance];
        self.held.entry(container_instance).or_default().place(instance, self.spec);
        *self.siblings.entry(container_instance).or_default() += 1;
    }

    /// What a strategy leaves.
    fn narrow(
        &self,
        candidates: Vec<&'a ContainerInstance>,
        strategy: &Strategy,
    ) -> Vec<&'a ContainerInstance> {
        match strategy {
            Strategy::Random => candidates,
            Strategy::Spread(field) => {
                let mut in_group = BTreeMap::<&str, usize>::new();
                for (id, tasks) in &self.siblings {
                    *in_group.entry(group(&self.cluster.instances[*id], field)).or_default() +=
                        tasks;
                }
                least(candidates, |one| in_group.get(group(one, field)).copied().unwrap_or(0))
            }
            Strategy::BinpackCpu => least(candidates, |one| self.left_of(one).0),
            Strategy::BinpackMemory => least(candidates, |one| self.left_of(one).1),
        }
    }

    fn left_of(&self, instance: &ContainerInstance) -> (i64, i64) {
        let nothing = Held::default();
        self.held.get(instance.id.as_str()).unwrap_or(&nothing).left_of(instance)
    }
}

/// The group of a container instance, by the field that tasks are spread over.
fn group<'a>(instance: &'a ContainerInstance, field: &str) -> &'a str {
    match field.strip_prefix("attribute:") {
        Some(name) => instance.attribute(name).unwrap_or_default(),
        None => &instance.id,
    }
}

/// Those with the least of something.
fn least<T: Ord>(
    candidates: Vec<&ContainerInstance>,
    of: impl Fn(&ContainerInstance) -> T,
) -> Vec<&ContainerInstance> {
    let counted: Vec<_> = candidates.into_iter().map(|one| (of(one), one)).collect();
    let least = counted.iter().map(|(count, _)| count).min();
    counted.iter().filter(|(count, _)| Some(count) == least).map(|&(_, one)| one).collect()
}

/// What is held of each container instance if every daemon service had its task there already.
fn with_daemons(cluster: &Cluster) -> BTreeMap<&str, Held> {
    let mut held = cluster.held();
    let daemons: Vec<_> = cluster
        .services
        .iter()
        .filter(|(_, service)| service.kind == ServiceKind::Daemon)
        .collect();
    let there: BTreeSet<_> = cluster
        .tasks
        .values()
        .filter(|task| task.is_wanted())
        .filter_map(|task| Some((task.container_instance.as_str(), task.service.as_deref()?)))
        .collect();
    for (name, daemon) in daemons {
        let expressions: Vec<_> =
            daemon.placement.expressions(&daemon.spec).filter_map(Expression::parse).collect();
        for instance in cluster.instances.values().filter(|one| one.status == Status::Active) {
            let values = |subject: &str| cluster.subject(instance, subject);
            let belongs = expressions.iter().all(|expression| expression.holds(&values));
            if belongs && !there.contains(&(instance.id.as_str(), name.as_str())) {
                held.entry(instance.id.as_str()).or_default().reserve(&daemon.spec);
            }
        }
    }
    held
}

impl World {
    /// Chooses a container instance for a task of a service, or for a standalone one.
    ///
    /// # Errors
    /// If there is none: why, in ECS's words.
    pub(super) fn place(
        &mut self,
        cluster: &str,
        service: Option<&str>,
        spec: &TaskSpec,
        placement: &Placement,
    ) -> Result<String, String> {
        let search = Search::new(&self.clusters[cluster], service, spec, placement);
        search.choose(&mut self.rng).map(str::to_owned)
    }

    /// Where the tasks of a service that is new go, one after the other; or why one found no place.
    pub(super) fn place_all(
        &mut self,
        cluster: &str,
        service: &str,
        tasks: usize,
    ) -> Vec<Result<String, String>> {
        let found = &self.clusters[cluster].services[service];
        let mut search =
            Search::new(&self.clusters[cluster], Some(service), &found.spec, &found.placement);
        let mut places = Vec::new();
        for _ in 0..tasks {
            let place = search.choose(&mut self.rng);
            if let Ok(container_instance) = place {
                search.take(container_instance);
            }
            places.push(place.map(str::to_owned));
        }
        places
    }

    /// The container instances that a daemon service may have a task on and that have room for it, whatever their
    /// status; those that have one already count as having no room for it.
    pub(super) fn daemon_places(&self, cluster: &str, service: &str) -> BTreeSet<String> {
        let here = &self.clusters[cluster];
        let found = &here.services[service];
        let search = Search::new(here, Some(service), &found.spec, &found.placement);
        let takes = |one: &&ContainerInstance| {
            one.status != Status::Inactive
                && search.siblings_on(one) == 0
                && search.misfits(one).is_empty()
        };
        here.instances.values().filter(takes).map(|one| one.id.clone()).collect()
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
        let container_instance = self.place(cluster, None, &spec, placement)?;
        Ok(self.run_task(cluster, &container_instance, name, spec))
    }
}

/// What ECS says when a task finds no place.
fn no_place(closest: Option<(Misfit, &str)>) -> String {
    let requirements = "no container instance met all of its requirements";
    match closest {
        None => {
            format!("{requirements}. Reason: No Container Instances were found in your cluster.")
        }
        Some((misfit, id)) => {
            format!(
                "{requirements}. The closest matching (container-instance {id}) {}.",
                misfit.words()
            )
        }
    }
}

/// The tasks of a service.
pub(super) fn tasks_of<'a>(
    cluster: &'a Cluster,
    service: &'a str,
) -> impl Iterator<Item = &'a Task> {
    cluster.tasks.values().filter(move |task| task.service.as_deref() == Some(service))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::Happening;
    use crate::world::ecs::{Machine, NewInstance};
    use crate::world::task::{Network, Port};

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
        let here = &world.clusters["shop"];
        let ids = (1..=here.instances.len())
            .map(|number| here.on(&format!("i-{number}")).unwrap().id.clone());
        ids.map(|id| tasks_of(here, "web").filter(|task| task.container_instance == id).count())
            .collect()
    }

    fn said(world: &World) -> &str {
        let said = world.history.iter().find_map(|entry| match &entry.what {
            Happening::NotPlaced { why, .. } => Some(why.as_str()),
            _ => None,
        });
        said.unwrap_or_default()
    }

    fn member_of(expression: &str) -> Constraint {
        Constraint::MemberOf(expression.to_owned())
    }

    #[test]
    fn strategies_apply_in_their_order() {
        let small = Machine::new("t3.small", 1024, 2048);
        let zones = ["a", "a", "b", "b"];
        let place = |strategies: Vec<Strategy>| {
            let placement = Placement::by(strategies);
            let mut counts = add(&mut world(&zones, &small), 4, TaskSpec::default(), placement);
            counts[..2].sort_unstable();
            counts[2..].sort_unstable();
            counts
        };

        assert_eq!(place(vec![]), [1, 1, 1, 1]);
        assert_eq!(place(vec![Strategy::spread_zones(), Strategy::BinpackMemory]), [0, 2, 0, 2]);
        assert_eq!(place(vec![Strategy::spread_instances()]), [1, 1, 1, 1]);
        let packed = place(vec![Strategy::BinpackCpu, Strategy::spread_zones()]);
        assert!(packed == [0, 4, 0, 0] || packed == [0, 0, 0, 4], "{packed:?}");
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
            Placement::by([Strategy::Spread("attribute:rack".to_owned())]),
        );

        assert_eq!((counts[0] + counts[1], counts[2]), (2, 2));
    }

    #[test]
    fn what_a_container_instance_lacks_is_said_in_ecss_words() {
        let machine = Machine::default().gpus(1).interfaces_max(1);
        let base = TaskSpec::default;
        for (spec, placement, placed, words) in [
            (
                TaskSpec { cpu: 1500, ..base() },
                Placement::default(),
                1,
                "has insufficient CPU units available",
            ),
            (
                TaskSpec { memory_mib: 5000, ..base() },
                Placement::default(),
                1,
                "has insufficient memory available",
            ),
            (
                TaskSpec { ports: vec![Port::tcp(80)], ..base() },
                Placement::default(),
                1,
                "is already using a port required by your task",
            ),
            (
                TaskSpec { ports: vec![Port::tcp(22)], ..base() },
                Placement::default(),
                0,
                "is already using a port",
            ),
            (
                TaskSpec { gpus: 1, ..base() },
                Placement::default(),
                1,
                "encountered error \"RESOURCE:GPU\"",
            ),
            (
                TaskSpec { network: Network::Awsvpc, ..base() },
                Placement::default(),
                1,
                "encountered error \"RESOURCE:ENI\"",
            ),
            (
                TaskSpec { required_attributes: vec!["x".to_owned()], ..base() },
                Placement::default(),
                0,
                "is missing an attribute required by your task",
            ),
            (
                base(),
                Placement::default().and(Constraint::DistinctInstance),
                1,
                "encountered error \"DistinctInstance placement constraint unsatisfied.\"",
            ),
            (
                base(),
                Placement::default().and(member_of("attribute:ecs.os-type == windows")),
                0,
                "encountered error \"MemberOf placement constraint unsatisfied.\"",
            ),
        ] {
            let mut world = world(&["a"], &machine);
            assert_eq!(add(&mut world, 2, spec, placement), [placed], "{words}");
            assert!(said(&world).contains(words), "{} - {words}", said(&world));
        }
    }

    #[test]
    fn an_attribute_that_is_put_opens_a_container_instance_to_a_task() {
        let mut world = world(&["a"], &Machine::default());
        let placement = Placement::default().and(member_of("attribute:stack == prod"));
        assert_eq!(add(&mut world, 1, TaskSpec::default(), placement), [0]);
        let id = world.clusters["shop"].on("i-1").unwrap().id.clone();
        world.put_attribute("shop", &id, "stack", "prod");
        world.advance(world.now() + std::time::Duration::from_secs(60));

        assert_eq!(spread(&world), [1]);
        let marked = Happening::Attribute {
            instance_id: "i-1".to_owned(),
            name: "stack".to_owned(),
            value: Some("prod".to_owned()),
        };
        assert!(world.history.iter().any(|entry| entry.what == marked));
    }

    #[test]
    fn a_port_of_one_protocol_leaves_the_other_free_and_an_assigned_one_leaves_all() {
        let ports = vec![Port::tcp(53), Port::udp(53), Port::tcp(0), Port::tcp(0)];
        let mut world = world(&["a", "b"], &Machine::default());
        let counts =
            add(&mut world, 2, TaskSpec { ports, ..TaskSpec::default() }, Placement::default());
        assert_eq!(counts, [1, 1]);

        let bindings = &tasks_of(&world.clusters["shop"], "web").next().unwrap().bindings;
        assert_eq!(bindings, &[Port::tcp(53), Port::udp(53), Port::tcp(32768), Port::tcp(32769)]);
        world.add_service(
            "shop",
            "dns",
            ServiceKind::replica(1),
            TaskSpec { ports: vec![Port::udp(53)], ..TaskSpec::default() },
        );
        assert!(said(&world).contains("already using a port"));
        let dynamic = TaskSpec { ports: vec![Port::tcp(0)], ..TaskSpec::default() };
        world.add_service("shop", "many", ServiceKind::replica(6), dynamic);
        assert_eq!(tasks_of(&world.clusters["shop"], "many").count(), 6);
    }

    #[test]
    fn room_is_kept_for_a_daemon_task_that_is_not_there_yet() {
        let mut world = world(&["a"], &Machine::new("t3.small", 1024, 2048));
        let daemon = TaskSpec { cpu: 512, ..TaskSpec::default() };
        world.add_service("shop", "logs", ServiceKind::Daemon, daemon);
        let id = tasks_of(&world.clusters["shop"], "logs").next().unwrap().id.clone();
        world.clusters.get_mut("shop").unwrap().tasks.remove(&id);

        assert_eq!(add(&mut world, 4, TaskSpec::default(), Placement::default()), [2]);
        world.reconcile_soon("shop");
        world.advance(world.now() + std::time::Duration::from_secs(60));
        assert_eq!(tasks_of(&world.clusters["shop"], "logs").count(), 1);
    }

    #[test]
    fn a_cluster_without_instances_and_one_without_agents_place_nothing() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_service("shop", "web", ServiceKind::replica(1), TaskSpec::default());
        assert!(
            said(&world).ends_with("Reason: No Container Instances were found in your cluster.")
        );

        world.history.clear();
        world.add_instance("shop", NewInstance::new("i-1").agent_disconnected());
        let alone = world
            .run_task_anywhere("shop", "report", TaskSpec::default(), &Placement::default())
            .unwrap_err();
        assert!(alone.ends_with("encountered error \"AGENT\"."), "{alone}");
    }
}

//! The search for the container instance that a task goes to.

use std::collections::{BTreeMap, BTreeSet};

use super::capacity_provider_strategy::next_provider;
use super::cluster::Cluster;
use super::cluster_query::Expression;
use super::container_instance::{ContainerInstance, Status};
use super::held_resources::{HeldResources, Shortage};
use super::placement_rules::{Constraint, Placement, Strategy};
use super::service::ServiceKind;
use super::task_spec::TaskSpec;

/// Why a container instance cannot have a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misfit {
    Agent,
    MemberOf,
    DistinctInstance,
    Attribute,
    Shortage(Shortage),
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
            Self::Shortage(Shortage::Cpu) => "has insufficient CPU units available",
            Self::Shortage(Shortage::Memory) => "has insufficient memory available",
            Self::Shortage(Shortage::Port) => "is already using a port required by your task",
            Self::Shortage(Shortage::Gpu) => "encountered error \"RESOURCE:GPU\"",
            Self::Shortage(Shortage::Interface) => "encountered error \"RESOURCE:ENI\"",
        }
    }
}

impl Misfit {
    /// The reason of a failure of `RunTask`. Source: ECS Developer Guide, `api_failures_messages`.
    fn failure_reason(self) -> &'static str {
        match self {
            Self::Agent => "AGENT",
            Self::MemberOf => "MemberOf placement constraint unsatisfied.",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::Attribute => "ATTRIBUTE",
            Self::Shortage(Shortage::Cpu) => "RESOURCE:CPU",
            Self::Shortage(Shortage::Memory) => "RESOURCE:MEMORY",
            Self::Shortage(Shortage::Port) => "RESOURCE:PORTS",
            Self::Shortage(Shortage::Gpu) => "RESOURCE:GPU",
            Self::Shortage(Shortage::Interface) => "RESOURCE:ENI",
        }
    }
}

/// What is to be placed.
pub(super) struct Search<'a> {
    cluster: &'a Cluster,
    service: Option<&'a str>,
    spec: &'a TaskSpec,
    placement: &'a Placement,
    expressions: Vec<Expression>,
    /// What is held of each container instance, what is reserved for daemon tasks included.
    held: BTreeMap<&'a str, HeldResources>,
    /// The service's tasks by container instance.
    siblings: BTreeMap<&'a str, usize>,
    /// The service's tasks by capacity provider, those that wait for capacity included.
    by_provider: BTreeMap<&'a str, usize>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        service: Option<&'a str>,
        spec: &'a TaskSpec,
        placement: &'a Placement,
    ) -> Self {
        let (mut siblings, mut by_provider) = (BTreeMap::new(), BTreeMap::new());
        for task in cluster.tasks.values().filter(|task| task.is_desired_running()) {
            // Standalone tasks have no service in common, so none of them is another's sibling.
            if service.is_some() && task.service.as_deref() == service {
                let instance = cluster.instances.get(&task.container_instance);
                if let Some(instance) = instance {
                    *siblings.entry(instance.id.as_str()).or_default() += 1;
                }
                // Those on draining instances are being replaced.
                let provider = match instance {
                    None => &task.capacity_provider,
                    Some(instance) if instance.status == Status::Active => {
                        &instance.capacity_provider
                    }
                    Some(_) => &None,
                };
                if let Some(provider) = provider {
                    *by_provider.entry(provider.as_str()).or_default() += 1;
                }
            }
        }
        let is_daemon =
            service.is_some_and(|name| cluster.services[name].kind == ServiceKind::Daemon);
        // Room that is kept for daemon tasks is kept from all others, and a daemon task must be
        // able to use it.
        let held = if is_daemon { cluster.resources_held() } else { with_daemons(cluster) };
        let expressions = placement.expressions(spec).filter_map(Expression::parse).collect();
        Self { cluster, service, spec, placement, expressions, held, siblings, by_provider }
    }

    /// Everything that speaks against a container instance that is ACTIVE.
    pub(super) fn misfits(&self, instance: &ContainerInstance) -> Vec<Misfit> {
        let lacks_attribute =
            self.spec.required_attributes.iter().any(|name| instance.attribute(name).is_none());
        let must_differ = self.placement.constraints.contains(&Constraint::DistinctInstance);
        // Their order is the order in which they are reported: an event names the first that speaks
        // against the closest container instance.
        let checks = [
            (Misfit::Agent, !instance.agent_connected),
            (Misfit::MemberOf, !self.is_member(instance)),
            (Misfit::DistinctInstance, must_differ && self.siblings_on(instance) > 0),
            (Misfit::Attribute, lacks_attribute || !self.suits(instance)),
        ];
        let shortages = match self.held.get(instance.id.as_str()) {
            Some(held) => held.shortages(instance, self.spec),
            None => HeldResources::default().shortages(instance, self.spec),
        };
        let unmet = checks.into_iter().filter(|&(_, is_unmet)| is_unmet).map(|(misfit, _)| misfit);
        unmet.chain(shortages.into_iter().map(Misfit::Shortage)).collect()
    }

    /// What speaks first against each ACTIVE container instance that cannot have the task, by id.
    pub(super) fn failures(&self) -> Vec<(String, &'static str)> {
        let active =
            self.cluster.instances.values().filter(|instance| instance.status == Status::Active);
        active
            .filter_map(|instance| {
                let misfit = self.misfits(instance).first().copied()?;
                Some((instance.id.clone(), misfit.failure_reason()))
            })
            .collect()
    }

    /// Whether it is of the task's platform, and in a zone of the service's subnets.
    fn suits(&self, instance: &ContainerInstance) -> bool {
        let os_type = instance.attribute("ecs.os-type");
        let architecture = instance.attribute("ecs.cpu-architecture");
        self.placement.has_subnet_in(&instance.zone)
            && self.spec.platform.is_none_or(|platform| platform.is_of(os_type, architecture))
    }

    fn is_member(&self, instance: &ContainerInstance) -> bool {
        self.expressions.iter().all(|expression| self.cluster.satisfies(instance, expression))
    }

    pub(super) fn siblings_on(&self, instance: &ContainerInstance) -> usize {
        self.siblings.get(instance.id.as_str()).copied().unwrap_or(0)
    }

    /// The capacity provider that the next task goes to, if a strategy says so.
    pub(super) fn next_provider(&self) -> Option<&'a str> {
        let strategy = self.cluster.strategy_of(self.service?);
        next_provider(strategy, &self.by_provider)
    }

    /// Chooses where the task goes: among the container instances without misfits, by the
    /// strategies and by chance; with a provider, among those of it.
    pub(super) fn choose(
        &self,
        provider: Option<&str>,
        rng: &mut fastrand::Rng,
    ) -> Result<&'a str, String> {
        let active = self
            .cluster
            .instances
            .values()
            .filter(|instance| instance.status == Status::Active)
            .filter(|instance| {
                provider.is_none() || instance.capacity_provider.as_deref() == provider
            });
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
        // Zones come first; container instances decide among what that leaves.
        let default_strategies = [Strategy::spread_zones(), Strategy::spread_instances()];
        // Only services are spread by default; a standalone task goes anywhere.
        let strategies: &[Strategy] = match self.placement.strategies.as_slice() {
            [] if self.service.is_some() => &default_strategies,
            strategies => strategies,
        };
        let best = strategies
            .iter()
            .fold(candidates, |candidates, strategy| self.narrow(candidates, strategy));
        // Nothing that Ebb does may rely on an order among equals, so chance decides.
        Ok(&best[rng.usize(..best.len())].id)
    }

    /// Counts a task that goes to a container instance, if it finds one, or waits for its provider.
    pub(super) fn take(&mut self, provider: Option<&'a str>, container_instance: Option<&'a str>) {
        if let Some(provider) = provider {
            *self.by_provider.entry(provider).or_default() += 1;
        }
        if let Some(container_instance) = container_instance {
            let instance = &self.cluster.instances[container_instance];
            self.held.entry(container_instance).or_default().place(instance, self.spec);
            *self.siblings.entry(container_instance).or_default() += 1;
        }
    }

    /// The candidates that are best by a strategy.
    fn narrow(
        &self,
        candidates: Vec<&'a ContainerInstance>,
        strategy: &Strategy,
    ) -> Vec<&'a ContainerInstance> {
        match strategy {
            Strategy::Random => candidates,
            Strategy::Spread(field) => {
                let mut tasks_by_group = BTreeMap::<&str, usize>::new();
                for (id, tasks) in &self.siblings {
                    *tasks_by_group
                        .entry(group(&self.cluster.instances[*id], field))
                        .or_default() += tasks;
                }
                lowest(candidates, |instance| {
                    tasks_by_group.get(group(instance, field)).copied().unwrap_or(0)
                })
            }
            Strategy::BinpackCpu => lowest(candidates, |instance| self.remaining(instance).0),
            Strategy::BinpackMemory => lowest(candidates, |instance| self.remaining(instance).1),
        }
    }

    fn remaining(&self, instance: &ContainerInstance) -> (i64, i64) {
        match self.held.get(instance.id.as_str()) {
            Some(held) => held.remaining(instance),
            None => HeldResources::default().remaining(instance),
        }
    }
}

/// The group of a container instance, by the field that tasks are spread over.
fn group<'a>(instance: &'a ContainerInstance, field: &str) -> &'a str {
    match field.strip_prefix("attribute:") {
        Some(name) => instance.attribute(name).unwrap_or_default(),
        None => &instance.id,
    }
}

/// The candidates for which a measure is lowest.
fn lowest<T: Ord>(
    candidates: Vec<&ContainerInstance>,
    measure: impl Fn(&ContainerInstance) -> T,
) -> Vec<&ContainerInstance> {
    let measured: Vec<_> =
        candidates.into_iter().map(|instance| (measure(instance), instance)).collect();
    let lowest = measured.iter().map(|(value, _)| value).min();
    measured
        .iter()
        .filter(|(value, _)| Some(value) == lowest)
        .map(|&(_, instance)| instance)
        .collect()
}

/// What would be held of each container instance if every daemon service had its task there
/// already: ECS keeps room for daemon tasks.
fn with_daemons(cluster: &Cluster) -> BTreeMap<&str, HeldResources> {
    let mut held = cluster.resources_held();
    let placed: BTreeSet<_> = cluster
        .tasks
        .values()
        .filter(|task| task.is_desired_running())
        .filter_map(|task| Some((task.container_instance.as_str(), task.service.as_deref()?)))
        .collect();
    let services = cluster.services.iter();
    for (name, daemon) in services.filter(|(_, service)| service.kind == ServiceKind::Daemon) {
        let expressions: Vec<_> =
            daemon.placement.expressions(&daemon.spec).filter_map(Expression::parse).collect();
        let active =
            cluster.instances.values().filter(|instance| instance.status == Status::Active);
        for instance in active {
            let may_run =
                expressions.iter().all(|expression| cluster.satisfies(instance, expression));
            // A daemon task that is there already is in what is held.
            if may_run && !placed.contains(&(instance.id.as_str(), name.as_str())) {
                held.entry(instance.id.as_str()).or_default().reserve(&daemon.spec);
            }
        }
    }
    held
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

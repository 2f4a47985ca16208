//! Services and task definitions as ECS shows them, and what they come to in the inventory.

use std::collections::BTreeSet;

use ebb_planner::{DIMENSIONS, HostPort, Instance, Resources, Service, Strategy};
use jiff::Timestamp;

use crate::reaper::follow_up::PlacementFailure;

/// The attribute that an instance in the inventory has for its capacity provider. ECS shows the
/// provider in a field of its own, and a service with a capacity provider strategy places its tasks
/// on that provider's instances only (ECS Developer Guide, cluster-capacity-providers): as an
/// attribute, it takes part like any other constraint.
pub const CAPACITY_PROVIDER: &str = "ebb.capacity-provider";

/// The attribute by which ECS spreads tasks of a service that has no placement strategy.
const ZONE: &str = "ecs.availability-zone";

/// A service, as `DescribeServices` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceDescription {
    /// Its name.
    pub name: String,
    /// Whether it is a daemon service.
    pub daemon: bool,
    /// Whether its tasks run on something else than container instances of the cluster: Fargate,
    /// external instances.
    pub elsewhere: bool,
    /// The task definitions of all its deployments.
    pub definitions: BTreeSet<String>,
    /// `desiredCount`.
    pub desired: i64,
    /// `runningCount`.
    pub running: i64,
    /// `pendingCount`.
    pub pending: i64,
    /// Whether a deployment is in progress.
    pub deploying: bool,
    /// Whether it has the constraint `distinctInstance`.
    pub distinct_instance: bool,
    /// Its `memberOf` expressions.
    pub constraints: Vec<String>,
    /// Its placement strategy.
    pub strategy: Vec<Strategy>,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The capacity providers of its strategy.
    pub capacity_providers: BTreeSet<String>,
    /// Why nothing can be said about where its tasks may run, if so.
    pub unclear: Option<String>,
    /// When ECS said that it could not place a task of it, newest first.
    pub placement_failures: Vec<Timestamp>,
}

/// What a task definition says about where its tasks may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskRequirements {
    /// What one task holds.
    pub demand: Resources,
    /// The host ports that a task takes.
    pub host_ports: BTreeSet<HostPort>,
    /// Its `memberOf` expressions, and the attributes that it requires as such.
    pub constraints: Vec<String>,
    /// Why nothing can be said about where its tasks may run, if so.
    pub unclear: Option<String>,
}

impl ServiceDescription {
    /// How many tasks hold no place yet, if `on_draining` of those that run do so on draining
    /// instances: what is wanted, less what runs elsewhere. A deployment may start as many beside
    /// the old ones as `maximumPercent` allows, and tasks that wait for a capacity provider count
    /// as pending while they hold no place (ECS Developer Guide, cluster-auto-scaling).
    pub fn in_flight(&self, on_draining: u64) -> u64 {
        let most = self.desired.saturating_mul(self.maximum_percent.into()) / 100;
        let wanted = if self.deploying { most.max(self.desired) } else { self.desired };
        let pending = if self.capacity_providers.is_empty() { self.pending } else { 0 };
        let on_draining = i64::try_from(on_draining).unwrap_or(i64::MAX);
        let missing =
            wanted.saturating_add(on_draining).saturating_sub(self.running).saturating_sub(pending);
        u64::try_from(missing).unwrap_or(0)
    }

    /// The service in the inventory. During a deployment its tasks may be of either definition: the
    /// largest demand and all ports and constraints of them count.
    pub fn service(&self, definitions: &[&TaskRequirements], on_draining: u64) -> Service {
        let mut demand = [0; DIMENSIONS];
        let (mut host_ports, mut constraints) = (BTreeSet::new(), self.constraints.clone());
        let mut unclear = self.unclear.clone();
        for definition in definitions {
            let most = |(most, one): (&mut i64, i64)| *most = one.max(*most);
            demand.iter_mut().zip(definition.demand.to_array()).for_each(most);
            host_ports.extend(&definition.host_ports);
            constraints.extend(definition.constraints.iter().cloned());
            unclear = unclear.or_else(|| definition.unclear.clone());
        }
        if self.capacity_providers.len() > 1 {
            unclear = unclear
                .or_else(|| Some("its strategy names several capacity providers".to_owned()));
        }
        let provider = self
            .capacity_providers
            .iter()
            .map(|name| format!("attribute:{CAPACITY_PROVIDER} == {name}"));
        constraints.extend(provider);
        constraints.sort();
        constraints.dedup();
        let (minimum_healthy_percent, maximum_percent) = self.percents();
        Service {
            name: self.name.clone(),
            demand: Resources::from(demand),
            host_ports,
            distinct_instance: self.distinct_instance,
            constraints,
            strategy: self.strategy(),
            minimum_healthy_percent,
            maximum_percent,
            in_flight: self.in_flight(on_draining),
            unclear,
        }
    }

    /// The share of tasks that must stay healthy and that may run. ECS rounds the one up and the
    /// other down to whole tasks (ECS API, `DeploymentConfiguration`): of few tasks none may stop
    /// and none may start, although the percentages look as if they might. A single task with 50
    /// and 100 %, or 100 and 150 %, can never be replaced.
    fn percents(&self) -> (u32, u32) {
        let tasks = |percent: u32| self.desired.saturating_mul(percent.into());
        let least = tasks(self.minimum_healthy_percent).saturating_add(99) / 100;
        let most = tasks(self.maximum_percent) / 100;
        if self.desired > 0 && least >= self.desired && most <= self.desired {
            return (100, 100);
        }
        (self.minimum_healthy_percent, self.maximum_percent)
    }

    /// By default ECS spreads tasks over zones, and then over instances.
    fn strategy(&self) -> Vec<Strategy> {
        if self.strategy.is_empty() {
            vec![Strategy::Spread(ZONE.to_owned()), Strategy::Spread("instanceId".to_owned())]
        } else {
            self.strategy.clone()
        }
    }

    /// What it could not place, if tasks of it hold no place.
    pub fn unplaced(&self, service: &Service) -> Option<PlacementFailure> {
        let &at = self.placement_failures.first().filter(|_| service.in_flight > 0)?;
        let before = self.placement_failures.last().copied().filter(|before| *before < at);
        Some(PlacementFailure { service: self.name.clone(), at, before, demand: service.demand })
    }
}

/// The network interfaces for tasks of an instance: what its attribute says, or else the fewest
/// that any instance type leaves for tasks, with and without trunking (ECS Developer Guide,
/// container-instance-eni).
pub fn network_interfaces(instance: &Instance) -> i64 {
    let told = instance.attributes.get(NETWORK_INTERFACES).and_then(|text| text.parse().ok());
    let least = if instance.attributes.contains_key(TRUNK) { 4 } else { 1 };
    told.filter(|number| (0..=1_000).contains(number)).unwrap_or(least)
}

/// The attribute by which an operator says how many tasks in network mode `awsvpc` an instance
/// takes: AWS tells that by instance type in its documentation only.
pub const NETWORK_INTERFACES: &str = "ebb.network-interfaces";
/// The attribute of an instance with a trunk network interface. Source: ECS Developer Guide,
/// container-instance-eni.
const TRUNK: &str = "ecs.awsvpc-trunk-id";

#[cfg(test)]
mod tests {
    use ebb_planner::Protocol;

    use super::*;

    fn seen(desired: i64, running: i64, pending: i64) -> ServiceDescription {
        ServiceDescription {
            name: "web".to_owned(),
            desired,
            running,
            pending,
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            ..ServiceDescription::default()
        }
    }

    #[test]
    fn what_is_wanted_and_holds_no_place_is_in_flight() {
        assert_eq!(seen(5, 5, 0).in_flight(0), 0, "at rest");
        assert_eq!(seen(5, 3, 1).in_flight(0), 1, "one is to be placed");
        assert_eq!(seen(5, 5, 0).in_flight(2), 2, "two run on draining instances");
        assert_eq!(seen(5, 5, 2).in_flight(2), 0, "whose replacements have their places");
        assert_eq!(seen(5, 7, 0).in_flight(0), 0, "more than wanted");
        let deploying = ServiceDescription { deploying: true, ..seen(5, 6, 1) };
        assert_eq!(deploying.in_flight(0), 3, "a deployment may have ten");
        let waiting =
            ServiceDescription { capacity_providers: ["spot".to_owned()].into(), ..seen(5, 3, 2) };
        assert_eq!(waiting.in_flight(0), 2, "pending ones may wait for a capacity provider");
        assert_eq!(
            seen(i64::MAX, 0, 0).in_flight(u64::MAX),
            i64::MAX.unsigned_abs(),
            "no sum overflows"
        );
    }

    #[test]
    fn during_a_deployment_the_largest_demand_and_every_port_and_constraint_count() {
        let old = TaskRequirements {
            demand: Resources { cpu: 256, memory_mib: 1_024, ..Resources::default() },
            host_ports: [HostPort { protocol: Protocol::Tcp, number: 80 }].into(),
            constraints: vec!["attribute:disk == ssd".to_owned()],
            unclear: None,
        };
        let new = TaskRequirements {
            demand: Resources { cpu: 512, memory_mib: 512, gpus: 1, ..Resources::default() },
            host_ports: [HostPort { protocol: Protocol::Tcp, number: 81 }].into(),
            constraints: vec![
                "attribute:disk == ssd".to_owned(),
                "attribute:gpu exists".to_owned(),
            ],
            unclear: None,
        };
        let service = seen(2, 2, 0).service(&[&old, &new], 0);

        assert_eq!(
            service.demand,
            Resources { cpu: 512, memory_mib: 1_024, gpus: 1, network_interfaces: 0 }
        );
        assert_eq!(service.host_ports.len(), 2);
        assert_eq!(service.constraints, ["attribute:disk == ssd", "attribute:gpu exists"]);
        assert_eq!(service.unclear, None);
    }

    #[test]
    fn few_tasks_may_be_neither_stopped_nor_started_whatever_the_percentages() {
        let with = |desired, minimum_healthy_percent, maximum_percent| {
            let seen = ServiceDescription {
                minimum_healthy_percent,
                maximum_percent,
                ..seen(desired, desired, 0)
            };
            let service = seen.service(&[], 0);
            (service.minimum_healthy_percent, service.maximum_percent)
        };
        assert_eq!(with(1, 50, 100), (100, 100));
        assert_eq!(with(1, 100, 150), (100, 100));
        assert_eq!(with(2, 50, 100), (50, 100), "one of two may stop");
        assert_eq!(with(2, 100, 150), (100, 150), "a third may start");
        assert_eq!(with(1, 0, 100), (0, 100), "it may stop");
        assert_eq!(with(1, 100, 200), (100, 200), "another may start");
    }

    #[test]
    fn a_capacity_provider_is_a_constraint_and_several_are_unclear() {
        let with = |names: &[&str]| ServiceDescription {
            capacity_providers: names.iter().map(|&name| name.to_owned()).collect(),
            ..seen(1, 1, 0)
        };
        let one = with(&["spot"]).service(&[], 0);
        assert_eq!(
            (one.constraints, one.unclear),
            (vec!["attribute:ebb.capacity-provider == spot".to_owned()], None)
        );
        assert!(with(&["spot", "on-demand"]).service(&[], 0).unclear.is_some());
    }

    #[test]
    fn a_service_without_a_strategy_is_spread_over_zones_then_instances() {
        let spread = |field: &str| Strategy::Spread(field.to_owned());
        assert_eq!(seen(1, 1, 0).service(&[], 0).strategy, [spread(ZONE), spread("instanceId")]);
        let random = ServiceDescription { strategy: vec![Strategy::Random], ..seen(1, 1, 0) };
        assert_eq!(random.service(&[], 0).strategy, [Strategy::Random]);
    }

    #[test]
    fn a_service_whose_tasks_all_have_a_place_lacks_none_whatever_was_said_before() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let failing = ServiceDescription {
            placement_failures: vec![at(30), at(20), at(10)],
            ..seen(3, 2, 0)
        };
        let unplaced = failing.unplaced(&failing.service(&[], 0)).unwrap();
        assert_eq!((unplaced.at, unplaced.before), (at(30), Some(at(10))));
        let placed = ServiceDescription { running: 3, ..failing };
        assert_eq!(placed.unplaced(&placed.service(&[], 0)), None);
    }
}

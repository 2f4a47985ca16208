//! Services and task definitions as ECS describes them, and what the inventory says of them.
//!
//! Reading them is left to `ebb-aws`, which of them matter to a sweep to the `scale-in-reaper`.

use std::collections::BTreeSet;

use ebb_planner::{DIMENSIONS, HostPort, Resources, Service, Strategy};
use jiff::Timestamp;

use crate::reaper::capacity_providers::{
    CapacityProviderStrategyItem, capacity_providers, runs_on_fargate,
};
use crate::reaper::follow_up::PlacementFailure;

/// The attribute by which ECS spreads tasks of a service that has no placement strategy.
const ZONE: &str = "ecs.availability-zone";

/// A service, as `DescribeServices` describes it.
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
    /// How many deployments it has. With more than one, the newest replaces the tasks of the others.
    pub deployments: usize,
    /// Whether a deployment starts all its tasks beside the old ones before any of those stops, as
    /// blue/green, linear and canary deployments do (ECS API, `DeploymentConfiguration.strategy`).
    pub side_by_side: bool,
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
    /// The subnets of its tasks in network mode `awsvpc`.
    pub subnets: BTreeSet<String>,
    /// The target groups of its load balancers, by their ARNs.
    pub target_groups: BTreeSet<String>,
    /// Its capacity provider strategy.
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    /// Whether it names neither a launch type nor a strategy, so that its cluster's default strategy
    /// is its own (ECS Developer Guide, cluster-capacity-providers).
    pub uses_default_strategy: bool,
    /// Whether `availabilityZoneRebalancing` is ENABLED.
    pub zone_rebalancing: bool,
    /// Whether the last that ECS reported of rebalancing is that it goes on, or finds no place.
    pub zones_uneven: bool,
    /// Whether its tasks are to stay where they are, by its tags.
    pub keep_tasks: bool,
    /// Why nothing can be said about where its tasks may run, if so.
    pub unclear: Option<String>,
    /// Whether a deployment of it fails: it is FAILED, or in progress with tasks that failed (ECS
    /// API, `Deployment.rolloutState`, `failedTasks`).
    pub deployment_fails: bool,
    /// When ECS reported that it could not place a task of it, newest first.
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
    /// The operating system of its `runtimePlatform`, as the attribute `ecs.os-type` says it.
    pub os_type: Option<String>,
    /// The architecture of its `runtimePlatform`, as the attribute `ecs.cpu-architecture` says it.
    pub cpu_architecture: Option<String>,
    /// Why nothing can be said about where its tasks may run, if so.
    pub unclear: Option<String>,
}

impl ServiceDescription {
    /// Gives it its cluster's default strategy, if that is the one that it uses.
    pub fn apply_default_strategy(&mut self, strategy: &[CapacityProviderStrategyItem]) {
        if self.uses_default_strategy {
            self.capacity_provider_strategy = strategy.to_vec();
            self.elsewhere |= runs_on_fargate(strategy);
        }
    }

    /// How many tasks hold no place yet, if `on_draining` of those that run do so on draining
    /// instances: what is wanted, less what runs elsewhere. Tasks that wait for a capacity provider
    /// count as pending while they hold no place (ECS Developer Guide, cluster-auto-scaling).
    pub fn in_flight(&self, on_draining: u64) -> u64 {
        let wanted = self.wanted();
        let pending = if self.capacity_provider_strategy.is_empty() { self.pending } else { 0 };
        let on_draining = i64::try_from(on_draining).unwrap_or(i64::MAX);
        // A task on a draining instance runs now but needs another place soon, and so is counted as
        // missing.
        let missing =
            wanted.saturating_add(on_draining).saturating_sub(self.running).saturating_sub(pending);
        // More tasks run than are wanted while a service shrinks or a deployment overlaps: nothing
        // is missing then.
        u64::try_from(missing).unwrap_or(0)
    }

    /// How many tasks it may come to have. A deployment that replaces older ones starts as many
    /// beside them as `maximumPercent` allows, or all of its own if they run side by side. One that
    /// has nothing to replace starts what is desired, however long it is in progress: that of a
    /// service whose tasks crash never completes.
    fn wanted(&self) -> i64 {
        if self.deployments <= 1 {
            self.desired
        } else if self.side_by_side {
            self.desired.saturating_mul(2)
        } else {
            let most = self.desired.saturating_mul(self.maximum_percent.into()) / 100;
            // With `maximumPercent` 100 or less a deployment stops tasks first, but what is wanted
            // in the end still needs its place.
            most.max(self.desired)
        }
    }

    /// The service in the inventory. During a deployment its tasks may be of either definition: the
    /// largest demand and all ports and constraints of them count.
    pub fn service(&self, definitions: &[&TaskRequirements], on_draining: u64) -> Service {
        let (minimum_healthy_percent, maximum_percent) = self.effective_percents();
        Service {
            name: self.name.clone(),
            demand: largest_demand(definitions),
            host_ports: definitions
                .iter()
                .flat_map(|definition| definition.host_ports.iter().copied())
                .collect(),
            distinct_instance: self.distinct_instance,
            constraints: self.all_constraints(definitions),
            os_type: only(definitions, |definition| &definition.os_type),
            cpu_architecture: only(definitions, |definition| &definition.cpu_architecture),
            zones: None,
            capacity_providers: capacity_providers(&self.capacity_provider_strategy),
            strategy: self.effective_strategy(),
            minimum_healthy_percent,
            maximum_percent,
            in_flight: self.in_flight(on_draining),
            // In a steady state ECS has moved what there was to move. Where it says that it has not,
            // the tasks are to be counted: see `zone_rebalancing::tasks_to_rebalance`.
            tasks_to_rebalance: self.rebalances_zones().then_some(0),
            keep_tasks: self.keep_tasks,
            unclear: self.why_unclear(definitions),
        }
    }

    /// Its own constraints and those of the definitions, each once.
    fn all_constraints(&self, definitions: &[&TaskRequirements]) -> Vec<String> {
        let mut constraints = self.constraints.clone();
        constraints
            .extend(definitions.iter().flat_map(|definition| definition.constraints.clone()));
        constraints.sort();
        constraints.dedup();
        constraints
    }

    /// The first reason for which nothing can be said about where its tasks may run, if any.
    fn why_unclear(&self, definitions: &[&TaskRequirements]) -> Option<String> {
        self.unclear
            .clone()
            .or_else(|| definitions.iter().find_map(|definition| definition.unclear.clone()))
            .or_else(|| {
                let differ = values(definitions, |definition| &definition.os_type).len() > 1
                    || values(definitions, |definition| &definition.cpu_architecture).len() > 1;
                differ.then(|| "its task definitions are for different platforms".to_owned())
            })
    }

    /// Whether ECS moves its tasks until its Availability Zones are even. Only of a service that
    /// spreads over them first, and that may have more tasks than it wants for a while (ECS
    /// Developer Guide, service-rebalancing).
    pub fn rebalances_zones(&self) -> bool {
        let spreads_zones = match self.strategy.first() {
            None => true,
            Some(Strategy::Spread(field)) => field == ZONE,
            Some(Strategy::Random | Strategy::BinpackCpu | Strategy::BinpackMemory) => false,
        };
        self.zone_rebalancing && !self.daemon && spreads_zones && self.maximum_percent > 100
    }

    /// The share of tasks that must stay healthy and that may run. ECS rounds the one up and the
    /// other down to whole tasks (ECS API, `DeploymentConfiguration`): of few tasks none may stop
    /// and none may start, although the percentages look as if they might. A single task with 50
    /// and 100 %, or 100 and 150 %, can never be replaced.
    fn effective_percents(&self) -> (u32, u32) {
        let least =
            // Adding 99 before dividing by 100 rounds up, as ECS does with the minimum.
            self.desired.saturating_mul(self.minimum_healthy_percent.into()).saturating_add(99)
                / 100;
        let most = self.desired.saturating_mul(self.maximum_percent.into()) / 100;
        // A service without tasks has none to replace, whatever its percentages.
        if self.desired > 0 && least >= self.desired && most <= self.desired {
            return (100, 100);
        }
        (self.minimum_healthy_percent, self.maximum_percent)
    }

    /// By default ECS spreads tasks over zones, and then over instances.
    fn effective_strategy(&self) -> Vec<Strategy> {
        if self.strategy.is_empty() {
            vec![Strategy::Spread(ZONE.to_owned()), Strategy::Spread("instanceId".to_owned())]
        } else {
            self.strategy.clone()
        }
    }

    /// What ECS could not place of it, if tasks of it hold no place. What has its place by now
    /// lacks none, whatever was reported before.
    pub fn unplaced(&self, service: &Service) -> Option<PlacementFailure> {
        if service.in_flight == 0 {
            return None;
        }
        // Newest first, as ECS lists a service's events.
        let latest = *self.placement_failures.first()?;
        Some(PlacementFailure {
            service: self.name.clone(),
            latest,
            oldest: self.placement_failures.last().copied().filter(|oldest| *oldest < latest),
            demand: service.demand,
        })
    }
}

/// The largest demand in each dimension.
fn largest_demand(definitions: &[&TaskRequirements]) -> Resources {
    let mut largest = [0; DIMENSIONS];
    for definition in definitions {
        for (largest, demand) in largest.iter_mut().zip(definition.demand.to_array()) {
            *largest = demand.max(*largest);
        }
    }
    Resources::from(largest)
}

/// What the definitions say of one part of their platform, each value once.
fn values<'d>(
    definitions: &[&'d TaskRequirements],
    part: impl Fn(&'d TaskRequirements) -> &'d Option<String>,
) -> BTreeSet<&'d String> {
    definitions.iter().filter_map(|definition| part(definition).as_ref()).collect()
}

/// The value that the definitions agree on. `None` if they say nothing or differ.
fn only<'d>(
    definitions: &[&'d TaskRequirements],
    part: impl Fn(&'d TaskRequirements) -> &'d Option<String>,
) -> Option<String> {
    let values = values(definitions, part);
    values.first().filter(|_| values.len() == 1).map(|&value| value.clone())
}

#[cfg(test)]
mod tests {
    use ebb_planner::Protocol;

    use super::*;

    fn described(desired: i64, running: i64, pending: i64) -> ServiceDescription {
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
        assert_eq!(described(5, 5, 0).in_flight(0), 0, "at rest");
        assert_eq!(described(5, 3, 1).in_flight(0), 1, "one is to be placed");
        assert_eq!(described(5, 5, 0).in_flight(2), 2, "two run on draining instances");
        assert_eq!(described(5, 5, 2).in_flight(2), 0, "whose replacements have their places");
        assert_eq!(described(5, 7, 0).in_flight(0), 0, "more than wanted");
        let waiting = ServiceDescription {
            capacity_provider_strategy: vec![item("spot", 0, 1)],
            ..described(5, 3, 2)
        };
        assert_eq!(waiting.in_flight(0), 2, "pending ones may wait for a capacity provider");
        assert_eq!(
            described(i64::MAX, 0, 0).in_flight(u64::MAX),
            i64::MAX.unsigned_abs(),
            "no sum overflows"
        );
    }

    /// What a deployment has in flight with five tasks desired.
    fn deploying(
        deployments: usize,
        side_by_side: bool,
        maximum_percent: u32,
        (running, pending): (i64, i64),
    ) -> u64 {
        ServiceDescription {
            deployments,
            side_by_side,
            maximum_percent,
            ..described(5, running, pending)
        }
        .in_flight(0)
    }

    #[test]
    fn a_rolling_deployment_starts_as_many_beside_the_old_tasks_as_the_maximum_allows() {
        assert_eq!(deploying(2, false, 200, (6, 1)), 3, "ten may run");
        assert_eq!(deploying(2, false, 150, (5, 0)), 2, "of seven and a half seven may run");
        assert_eq!(deploying(2, false, 100, (3, 0)), 2, "what was stopped comes back");
        assert_eq!(deploying(2, false, 50, (2, 0)), 3, "what is desired comes back");
        assert_eq!(deploying(3, false, 200, (5, 0)), 5, "whatever the number of old ones");
    }

    #[test]
    fn a_side_by_side_deployment_starts_all_its_tasks_whatever_the_maximum_is() {
        for maximum_percent in [50, 100, 150, 200, 400] {
            assert_eq!(deploying(2, true, maximum_percent, (5, 0)), 5, "{maximum_percent} %");
            assert_eq!(deploying(2, true, maximum_percent, (7, 2)), 1, "{maximum_percent} %");
            assert_eq!(deploying(2, true, maximum_percent, (10, 0)), 0, "{maximum_percent} %");
            assert_eq!(deploying(1, true, maximum_percent, (5, 0)), 0, "none is under way");
        }
    }

    #[test]
    fn a_deployment_without_another_starts_what_is_desired_once() {
        for side_by_side in [false, true] {
            assert_eq!(deploying(1, side_by_side, 200, (0, 0)), 5, "all tasks crash");
            assert_eq!(deploying(1, side_by_side, 200, (3, 1)), 1, "some tasks crash");
            assert_eq!(deploying(0, side_by_side, 200, (5, 0)), 0, "no deployment at all");
        }
    }

    #[test]
    fn during_a_deployment_the_largest_demand_and_every_port_and_constraint_count() {
        let old = TaskRequirements {
            demand: Resources { cpu: 256, memory_mib: 1_024, ..Resources::default() },
            host_ports: [HostPort { protocol: Protocol::Tcp, number: 80 }].into(),
            constraints: vec!["attribute:disk == ssd".to_owned()],
            ..TaskRequirements::default()
        };
        let new = TaskRequirements {
            demand: Resources { cpu: 512, memory_mib: 512, gpus: 1, ..Resources::default() },
            host_ports: [HostPort { protocol: Protocol::Tcp, number: 81 }].into(),
            constraints: vec![
                "attribute:disk == ssd".to_owned(),
                "attribute:gpu exists".to_owned(),
            ],
            ..TaskRequirements::default()
        };
        let service = described(2, 2, 0).service(&[&old, &new], 0);

        assert_eq!(
            service.demand,
            Resources { cpu: 512, memory_mib: 1_024, gpus: 1, network_interfaces: 0 }
        );
        assert_eq!(service.host_ports.len(), 2);
        assert_eq!(service.constraints, ["attribute:disk == ssd", "attribute:gpu exists"]);
        assert_eq!(service.unclear, None);
    }

    fn definition_for(os_type: &str) -> TaskRequirements {
        TaskRequirements { os_type: Some(os_type.to_owned()), ..TaskRequirements::default() }
    }

    #[test]
    fn one_platform_counts_and_different_ones_are_unclear() {
        let (linux, windows) = (definition_for("linux"), definition_for("windows"));
        let any = TaskRequirements::default();
        let service = described(2, 2, 0).service(&[&any, &linux, &linux], 0);
        assert_eq!((service.os_type.as_deref(), service.unclear), (Some("linux"), None));
        let service = described(2, 2, 0).service(&[&linux, &windows], 0);
        assert_eq!(service.os_type, None);
        assert!(service.unclear.is_some());
    }

    fn effective_percents(
        desired: i64,
        minimum_healthy_percent: u32,
        maximum_percent: u32,
    ) -> (u32, u32) {
        let description = ServiceDescription {
            minimum_healthy_percent,
            maximum_percent,
            ..described(desired, desired, 0)
        };
        let service = description.service(&[], 0);
        (service.minimum_healthy_percent, service.maximum_percent)
    }

    #[test]
    fn few_tasks_may_be_neither_stopped_nor_started_whatever_the_percentages() {
        assert_eq!(effective_percents(1, 50, 100), (100, 100));
        assert_eq!(effective_percents(1, 100, 150), (100, 100));
        assert_eq!(effective_percents(2, 50, 100), (50, 100), "one of two may stop");
        assert_eq!(effective_percents(2, 100, 150), (100, 150), "a third may start");
        assert_eq!(effective_percents(1, 0, 100), (0, 100), "it may stop");
        assert_eq!(effective_percents(1, 100, 200), (100, 200), "another may start");
    }

    fn item(provider: &str, base: i32, weight: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem { capacity_provider: provider.to_owned(), base, weight }
    }

    #[test]
    fn a_service_that_names_no_capacity_uses_the_default_strategy_of_its_cluster() {
        let default = [item("spot", 0, 1), item("on-demand", 0, 0)];
        let mut named = ServiceDescription {
            capacity_provider_strategy: vec![item("on-demand", 0, 1)],
            ..described(1, 1, 0)
        };
        named.apply_default_strategy(&default);
        assert_eq!(named.service(&[], 0).capacity_providers, ["on-demand".to_owned()].into());
        let unnamed = ServiceDescription { uses_default_strategy: true, ..described(1, 1, 0) };
        let mut on_spot = unnamed.clone();
        on_spot.apply_default_strategy(&default);
        assert_eq!(on_spot.service(&[], 0).capacity_providers, ["spot".to_owned()].into());
        let mut on_fargate = unnamed;
        on_fargate.apply_default_strategy(&[item("FARGATE_SPOT", 0, 1)]);
        assert!(on_fargate.elsewhere && !on_spot.elsewhere);
    }

    #[test]
    fn only_what_spreads_over_zones_and_may_start_more_is_rebalanced() {
        let rebalances = |strategy: &[Strategy], maximum_percent, zone_rebalancing| {
            let description = ServiceDescription {
                strategy: strategy.to_vec(),
                maximum_percent,
                zone_rebalancing,
                ..described(4, 4, 0)
            };
            description.service(&[], 0).tasks_to_rebalance.is_some()
        };
        assert!(rebalances(&[], 200, true));
        assert!(rebalances(&[spread(ZONE), Strategy::BinpackCpu], 101, true));
        assert!(!rebalances(&[], 200, false));
        assert!(!rebalances(&[], 100, true), "it may start none beside the others");
        for first in [spread("instanceId"), Strategy::BinpackMemory, Strategy::Random] {
            assert!(!rebalances(&[first.clone(), spread(ZONE)], 200, true), "{first:?}");
        }
    }

    fn spread(field: &str) -> Strategy {
        Strategy::Spread(field.to_owned())
    }

    #[test]
    fn a_service_without_a_strategy_is_spread_over_zones_then_instances() {
        assert_eq!(
            described(1, 1, 0).service(&[], 0).strategy,
            [spread(ZONE), spread("instanceId")]
        );
        let random = ServiceDescription { strategy: vec![Strategy::Random], ..described(1, 1, 0) };
        assert_eq!(random.service(&[], 0).strategy, [Strategy::Random]);
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_service_whose_tasks_all_have_a_place_lacks_none_whatever_was_said_before() {
        let failing = ServiceDescription {
            deployment_fails: false,
            placement_failures: vec![time(30), time(20), time(10)],
            ..described(3, 2, 0)
        };
        let unplaced = failing.unplaced(&failing.service(&[], 0)).unwrap();
        assert_eq!(unplaced.latest, time(30));
        assert_eq!(unplaced.oldest, Some(time(10)));
        let placed = ServiceDescription { running: 3, ..failing };
        assert_eq!(placed.unplaced(&placed.service(&[], 0)), None);
    }
}

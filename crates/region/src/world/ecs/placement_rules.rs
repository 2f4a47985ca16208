//! Where the tasks of a service may and should go: placement constraints and strategies.

use std::collections::BTreeMap;

use super::task_spec::TaskSpec;
use crate::world::account::REGION;

/// Where tasks may and should go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// What chooses among the container instances where a task fits, in this order. Without any,
    /// tasks are spread over zones, then over instances.
    pub strategies: Vec<Strategy>,
    /// What must hold.
    pub constraints: Vec<Constraint>,
    /// The subnets of its tasks in network mode `awsvpc`, each with its Availability Zone; `None`
    /// for one that was deleted. Without any, a service in that mode gets one in each zone.
    pub subnets: BTreeMap<String, Option<String>>,
}

/// A placement strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// By chance.
    Random,
    /// Where the fewest tasks of the service are, by a field: `instanceId`, `host` or
    /// `attribute:NAME`.
    Spread(String),
    /// Where the least CPU is left.
    BinpackCpu,
    /// Where the least memory is left.
    BinpackMemory,
}

/// A placement constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// Each task on an instance of its own.
    DistinctInstance,
    /// Only where an expression of the cluster query language holds.
    MemberOf(String),
}

impl Strategy {
    /// Spread over Availability Zones.
    pub fn spread_zones() -> Self {
        Self::Spread("attribute:ecs.availability-zone".to_owned())
    }

    /// Spread over container instances.
    pub fn spread_instances() -> Self {
        Self::Spread("instanceId".to_owned())
    }
}

impl Placement {
    /// With these strategies and no constraint.
    pub fn with_strategies(strategies: impl IntoIterator<Item = Strategy>) -> Self {
        Self { strategies: strategies.into_iter().collect(), ..Self::default() }
    }

    /// With this constraint too.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Constraint) -> Self {
        self.constraints.push(constraint);
        self
    }

    /// In these subnets.
    #[must_use]
    pub fn with_subnets<'a>(
        mut self,
        subnets: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> Self {
        self.subnets = subnets.into_iter().map(|(id, zone)| (id.to_owned(), zone)).collect();
        self
    }

    /// With a subnet in each zone.
    pub(in crate::world) fn with_every_zone(self) -> Self {
        let zones = ["a", "b", "c"].map(|zone| format!("{REGION}{zone}"));
        let ids = ["subnet-0a", "subnet-0b", "subnet-0c"];
        self.with_subnets(ids.into_iter().zip(zones.map(Some)))
    }

    /// Whether its subnets, if it has any, include one in this zone.
    pub(in crate::world) fn has_subnet_in(&self, zone: &str) -> bool {
        let mut zones = self.subnets.values().flatten();
        self.subnets.is_empty() || zones.any(|subnet_zone| subnet_zone == zone)
    }

    /// The expressions that must hold for a task with these constraints.
    pub(in crate::world) fn expressions<'a>(
        &'a self,
        spec: &'a TaskSpec,
    ) -> impl Iterator<Item = &'a str> {
        let of_service = self.constraints.iter().filter_map(|constraint| match constraint {
            Constraint::MemberOf(expression) => Some(expression.as_str()),
            Constraint::DistinctInstance => None,
        });
        of_service.chain(spec.member_of.iter().map(String::as_str))
    }
}

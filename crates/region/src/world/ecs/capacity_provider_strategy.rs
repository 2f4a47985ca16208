//! Capacity provider strategies: which provider the next task of a service goes to.
//!
//! Source: ECS API, `CapacityProviderStrategyItem` (the base first, then the weights; a provider
//! with neither is never used). That ECS evens out the tasks that a service has, and not those that
//! it has ever started, is inferred.

use std::collections::BTreeMap;

/// Where a service says that its tasks run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Capacity {
    /// On any container instance: `launchType` EC2.
    #[default]
    Ec2,
    /// By a capacity provider strategy of its own.
    Strategy(Vec<StrategyItem>),
    /// It says nothing: by the default strategy of its cluster.
    ClusterDefault,
}

/// An item of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyItem {
    /// The capacity provider, by name.
    pub capacity_provider: String,
    /// How many tasks go to it before any weight counts.
    pub base: usize,
    /// Its share of the tasks beyond the base.
    pub weight: usize,
}

impl StrategyItem {
    /// A provider with this base and weight.
    pub fn new(capacity_provider: &str, base: usize, weight: usize) -> Self {
        Self { capacity_provider: capacity_provider.to_owned(), base, weight }
    }

    fn tasks(&self, tasks: &BTreeMap<&str, usize>) -> usize {
        tasks.get(self.capacity_provider.as_str()).copied().unwrap_or_default()
    }

    fn beyond_base(&self, tasks: &BTreeMap<&str, usize>) -> usize {
        self.tasks(tasks).saturating_sub(self.base)
    }
}

/// The provider that the next task goes to, by how many tasks each has; the first among equals.
/// `None` for a strategy that names none, or none that may be used.
pub(super) fn next_provider<'a>(
    strategy: &'a [StrategyItem],
    tasks: &BTreeMap<&str, usize>,
) -> Option<&'a str> {
    let below_base = strategy.iter().find(|item| item.tasks(tasks) < item.base);
    let weighted = strategy.iter().filter(|item| item.weight > 0);
    // Of a / weight_a and b / weight_b the lesser, without fractions.
    let furthest_behind = weighted.min_by(|a, b| {
        let (beyond_a, beyond_b) = (a.beyond_base(tasks) + 1, b.beyond_base(tasks) + 1);
        (beyond_a * b.weight).cmp(&(beyond_b * a.weight))
    });
    below_base.or(furthest_behind).map(|item| item.capacity_provider.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many tasks go to each of two providers.
    fn shares(strategy: &[StrategyItem], tasks: usize) -> [usize; 2] {
        let mut counts = BTreeMap::new();
        for _ in 0..tasks {
            *counts.entry(next_provider(strategy, &counts).unwrap()).or_default() += 1;
        }
        ["a", "b"].map(|provider| counts.get(provider).copied().unwrap_or_default())
    }

    #[test]
    fn the_base_comes_first_and_the_rest_follows_the_weights() {
        let strategy = [StrategyItem::new("a", 4, 1), StrategyItem::new("b", 0, 3)];
        assert_eq!(shares(&strategy, 4), [4, 0]);
        assert_eq!(shares(&strategy, 12), [6, 6]);
    }

    #[test]
    fn a_provider_without_base_and_weight_is_never_used() {
        let strategy = [StrategyItem::new("a", 0, 0), StrategyItem::new("b", 0, 1)];
        assert_eq!(shares(&strategy, 9), [0, 9]);
        assert_eq!(next_provider(&strategy[..1], &BTreeMap::new()), None);
    }
}

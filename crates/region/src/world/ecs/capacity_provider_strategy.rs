//! Capacity provider strategies: which provider the next task of a service goes to.
//!
//! Source: ECS API, `CapacityProviderStrategyItem` (the base first, then the weights; a provider
//! with neither is never used). That ECS evens out the tasks that a service has, and not those that
//! it has ever started, is inferred.

use std::collections::BTreeMap;

/// A provider in a strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyItem {
    /// The capacity provider, by name.
    pub provider: String,
    /// How many tasks go to it before any weight counts.
    pub base: usize,
    /// Its share of the tasks beyond the base.
    pub weight: usize,
}

impl StrategyItem {
    /// A provider with this base and weight.
    pub fn new(provider: &str, base: usize, weight: usize) -> Self {
        Self { provider: provider.to_owned(), base, weight }
    }
}

/// The provider that the next task goes to, by how many tasks each has; the first among equals.
/// `None` for a strategy that names none, or none that may be used.
pub(super) fn next_provider<'a>(
    strategy: &'a [StrategyItem],
    tasks: &BTreeMap<&str, usize>,
) -> Option<&'a str> {
    let tasks_of =
        |item: &StrategyItem| tasks.get(item.provider.as_str()).copied().unwrap_or_default();
    let below_base = strategy.iter().find(|item| tasks_of(item) < item.base);
    let weighted = strategy.iter().filter(|item| item.weight > 0);
    // After the task each is to have its share, so the one that would then be furthest below it.
    let next = below_base.or_else(|| {
        weighted.reduce(|best, item| {
            let load = |item: &StrategyItem| tasks_of(item) + 1 - item.base;
            if load(item) * best.weight < load(best) * item.weight { item } else { best }
        })
    });
    next.map(|item| item.provider.as_str())
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

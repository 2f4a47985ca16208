//! By which capacity providers ECS may place a service's tasks.
//!
//! Reading strategies is left to `ebb-aws`; that ECS looks for room on the instances of one of them
//! only, to the planner.

use std::collections::BTreeSet;

/// An item of a capacity provider strategy. Source: ECS API, `CapacityProviderStrategyItem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProviderStrategyItem {
    /// The name of the provider.
    pub capacity_provider: String,
    /// How many tasks at least run by it, before the weights count.
    pub base: i32,
    /// Its share of the tasks beyond the bases. At 0 it gets none of them.
    pub weight: i32,
}

/// The providers that a strategy places tasks by. One of weight and base 0 is never used; a strategy
/// of such alone, which ECS accepts for a single provider, uses what it names.
pub fn capacity_providers(strategy: &[CapacityProviderStrategyItem]) -> BTreeSet<String> {
    let places_nothing = strategy.iter().all(|item| item.base <= 0 && item.weight <= 0);
    strategy
        .iter()
        .filter(|item| places_nothing || item.base > 0 || item.weight > 0)
        .map(|item| item.capacity_provider.clone())
        .collect()
}

/// Whether a strategy places all tasks on Fargate. It never mixes Fargate with Auto Scaling groups
/// (ECS Developer Guide, cluster-capacity-providers).
pub fn runs_on_fargate(strategy: &[CapacityProviderStrategyItem]) -> bool {
    let providers = capacity_providers(strategy);
    let is_fargate = |name: &String| matches!(name.as_str(), "FARGATE" | "FARGATE_SPOT");
    !providers.is_empty() && providers.iter().all(is_fargate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(items: &[(&str, i32, i32)]) -> Vec<CapacityProviderStrategyItem> {
        let items = items.iter().map(|&(provider, base, weight)| CapacityProviderStrategyItem {
            capacity_provider: provider.to_owned(),
            base,
            weight,
        });
        items.collect()
    }

    #[test]
    fn a_provider_of_weight_and_base_0_is_never_used() {
        let used = |items| {
            let providers = capacity_providers(&strategy(items));
            providers.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(used(&[("spot", 0, 1), ("on-demand", 0, 0)]), "spot");
        assert_eq!(used(&[("spot", 0, 1), ("on-demand", 2, 0)]), "on-demand spot");
        assert_eq!(used(&[("spot", 0, 2), ("on-demand", 0, 1)]), "on-demand spot");
        assert_eq!(used(&[("spot", 0, 0)]), "spot", "the only one");
        assert_eq!(used(&[]), "");
    }

    #[test]
    fn fargate_is_told_by_the_names_of_all_that_is_used() {
        assert!(runs_on_fargate(&strategy(&[("FARGATE", 1, 0), ("FARGATE_SPOT", 0, 1)])));
        assert!(!runs_on_fargate(&strategy(&[("FARGATE", 0, 0), ("spot", 0, 1)])));
        assert!(!runs_on_fargate(&[]));
    }
}

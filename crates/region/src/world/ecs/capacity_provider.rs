//! Capacity providers: what ECS knows about an Auto Scaling group, and by which of them it places a
//! task. What managed scaling and managed draining would do is not simulated; the providers only say
//! whether they are on.

/// Where a service says that its tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// The capacity provider.
    pub capacity_provider: String,
    /// How many tasks go to it first.
    pub base: usize,
    /// Its share of the others.
    pub weight: usize,
}

impl StrategyItem {
    /// The capacity provider that gets the next task, if each has so many: the bases first, then
    /// whichever is furthest behind its weight. Whether it has room does not matter. Sources: ECS
    /// Developer Guide, cluster-capacity-providers; containers-roadmap#773, #1859 (no fallback).
    pub(super) fn next<'a>(strategy: &'a [Self], tasks: impl Fn(&str) -> usize) -> Option<&'a str> {
        let count = |item: &Self| tasks(&item.capacity_provider);
        let below_base = strategy.iter().find(|item| count(item) < item.base);
        let beyond_base = |item: &Self| count(item).saturating_sub(item.base);
        // Of a / weight_a and b / weight_b the lesser, without fractions.
        let weighted = strategy.iter().filter(|item| item.weight > 0);
        let behind = weighted.min_by(|a, b| {
            (beyond_base(a) * b.weight)
                .cmp(&(beyond_base(b) * a.weight))
                .then_with(|| b.weight.cmp(&a.weight))
        });
        below_base.or(behind).map(|item| item.capacity_provider.as_str())
    }
}

/// A capacity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProvider {
    /// The Auto Scaling group, by name.
    pub group: String,
    /// `managedScaling.status`: whether ECS sets the group's desired capacity.
    pub managed_scaling: bool,
    /// `managedTerminationProtection`.
    pub managed_termination_protection: bool,
    /// `managedDraining`.
    pub managed_draining: bool,
}

impl CapacityProvider {
    /// A provider for a group, with everything that ECS could manage switched off.
    pub fn for_group(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            managed_scaling: false,
            managed_termination_protection: false,
            managed_draining: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many tasks go to each of two providers.
    fn shares(items: [(usize, usize); 2], tasks: usize) -> [usize; 2] {
        let names = ["a", "b"];
        let strategy: Vec<_> = names
            .iter()
            .zip(items)
            .map(|(name, (base, weight))| StrategyItem {
                capacity_provider: (*name).to_owned(),
                base,
                weight,
            })
            .collect();
        let mut counts = [0, 0];
        for _ in 0..tasks {
            let count = |name: &str| counts[usize::from(name == "b")];
            let chosen = StrategyItem::next(&strategy, count).map(|name| usize::from(name == "b"));
            counts[chosen.unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn bases_are_filled_first_and_weights_share_the_others() {
        assert_eq!(shares([(0, 1), (0, 1)], 5), [3, 2]);
        assert_eq!(shares([(2, 1), (0, 3)], 10), [4, 6]);
        assert_eq!(shares([(2, 0), (0, 1)], 5), [2, 3]);
        assert_eq!(shares([(0, 0), (0, 1)], 5), [0, 5], "weight and base 0");
        assert_eq!(StrategyItem::next(&[], |_| 0), None);
    }
}

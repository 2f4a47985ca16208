//! How a sweep observes a cluster: by `ebb_aws::Observer`, with what only sweeps want to know
//! beside: fallback groups, instance refreshes and prices. It decides nothing.

use std::collections::BTreeSet;

use ebb_aws::{AwsError, Groups, ServiceFacts};
use ebb_core::ids::{Cluster, GroupName, InstanceId};
use ebb_core::prices::{PriceBasis, add_prices};
use ebb_core::reaper::follow_up::PlacementFailure;
use ebb_core::reaper::reading::candidates_to_read;
use ebb_core::reaper::replace::outdated::Evidence;
use ebb_planner::{Instance, Inventory, group_may_shrink};

use crate::sweep::Sweep;

/// Which instances' tasks are read, beside those of the draining ones.
pub(crate) enum Candidates<'a> {
    /// Those that could go, the emptiest first, up to a bound.
    ToInspect,
    /// Every one.
    All,
    /// Only the instances with these ids.
    Only(&'a BTreeSet<InstanceId>),
    /// Those that are to be replaced, the oldest first, up to a bound.
    ToReplace(&'a Evidence),
}

/// A cluster as it was observed.
#[derive(Debug)]
pub struct Observation {
    /// Its instances, groups, services and the tasks that were read.
    pub inventory: Inventory,
    /// The services that find no place for a task.
    pub unplaced: Vec<PlacementFailure>,
    /// The services whose deployment fails.
    pub failing: Vec<String>,
    /// The target groups of its services, by their ARNs.
    pub target_groups: BTreeSet<String>,
    /// What the instances' prices are based on.
    pub prices: PriceBasis,
}

impl Sweep<'_> {
    /// Reads the groups, and which of them a capacity provider scales.
    pub(crate) async fn observe_groups(&self) -> Result<Groups, AwsError> {
        // Whether ECS's managed scaling sizes a group stands with its capacity provider (ECS API,
        // `DescribeCapacityProviders`).
        let managed = self.clients.ecs.managed_groups().await?;
        let mut groups = self.clients.auto_scaling.groups().await?;
        for description in &mut groups {
            // A group that was deleted and made anew has the same name and another ARN.
            let scaling = managed.iter().find(|(arn, _)| arn_names(arn, &description.name));
            description.group.managed_scaling = scaling.map(|(_, scaling)| *scaling);
        }
        Ok(Groups::from(groups))
    }

    /// Observes a cluster: its instances and services as a whole, and the tasks of those instances
    /// that drain or may go.
    pub(crate) async fn observe(
        &self,
        cluster: &Cluster,
        groups: &Groups,
        candidates: Candidates<'_>,
    ) -> Result<Observation, AwsError> {
        let observer = &self.observer;
        let mut inventory = observer.instances(cluster, groups, self.clock.now()).await?;
        self.keep_for_fallbacks(&mut inventory, groups);
        self.note_refreshes(&mut inventory).await?;
        let prices = self.add_prices(&mut inventory.instances).await;
        let choose = |inventory: &Inventory| self.instances_to_inspect(inventory, candidates);
        let ServiceFacts { unplaced, failing, target_groups } =
            observer.add_services_and_tasks(&mut inventory, choose).await?;
        Ok(Observation { inventory, unplaced, failing, target_groups, prices })
    }

    /// Notes which groups an instance refresh is under way in.
    async fn note_refreshes(&self, inventory: &mut Inventory) -> Result<(), AwsError> {
        // Instance refreshes can only be asked for group by group, so groups that would be kept
        // anyway are left out.
        for (name, group) in &mut inventory.groups {
            // A group that stays as it is need not be asked about: that would cost a call.
            if group_may_shrink(name, group, &self.policy) {
                let refresh = self.clients.auto_scaling.instance_refresh(name).await?;
                group.unavailable =
                    refresh.map(|status| format!("an instance refresh is {status}"));
            }
        }
        Ok(())
    }

    /// Gives the instances their prices. AWS is asked only about types whose price is not stated.
    async fn add_prices(&self, instances: &mut [Instance]) -> PriceBasis {
        let stated = &self.settings.instance_prices;
        let types = instances.iter().map(|instance| &instance.instance_type);
        let types = types.filter(|name| !name.is_empty() && !stated.contains_key(*name));
        let market = self.prices.read(&types.cloned().collect(), self.clock.now()).await;
        add_prices(instances, stated, self.clients.region(), &market)
    }

    /// The instances whose tasks are read beside those of what drains, by index: those of what could
    /// go must be known.
    fn instances_to_inspect(
        &self,
        inventory: &Inventory,
        candidates: Candidates<'_>,
    ) -> BTreeSet<usize> {
        match candidates {
            Candidates::ToInspect => {
                let read = candidates_to_read(inventory, &self.policy, self.clock.now());
                read.into_iter().collect()
            }
            Candidates::All => (0..inventory.instances.len()).collect(),
            Candidates::ToReplace(evidence) => evidence.to_read(inventory, self.clock.now()),
            Candidates::Only(ids) => {
                let instances = inventory.instances.iter().enumerate();
                let named = instances.filter(|(_, instance)| ids.contains(&instance.instance_id));
                named.map(|(index, _)| index).collect()
            }
        }
    }
}

/// Whether the ARN of a group, or its name, names this group.
fn arn_names(arn: &str, group: &GroupName) -> bool {
    arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name) == group.as_str()
}

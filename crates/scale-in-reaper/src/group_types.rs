//! Reads what a cluster's groups may launch, for whoever wants to know what their load would cost on
//! other instance types. No sweep asks for it.

use std::collections::{BTreeMap, BTreeSet};

use ebb_aws::{GroupDescription, Groups, Problem};
use ebb_core::ids::GroupName;
use ebb_core::reaper::instance_types::{GroupTypes, Launchable, add_type_prices};
use ebb_planner::{Instance, Inventory};

use crate::sweep::Sweep;

impl Sweep<'_> {
    /// The instance types of those groups of a cluster that may launch several, or something that
    /// is not judged. What EC2 cannot be asked about is not judged either.
    pub(crate) async fn group_types(
        &self,
        inventory: &Inventory,
        groups: &Groups,
    ) -> BTreeMap<GroupName, GroupTypes> {
        let mut group_types = BTreeMap::new();
        for description in groups.of(inventory) {
            let Some(launchable) = Launchable::of(&description.overrides) else { continue };
            let types = self.types_of(description, launchable, inventory).await;
            group_types.insert(description.name.clone(), types);
        }
        group_types
    }

    async fn types_of(
        &self,
        description: &GroupDescription,
        launchable: Launchable,
        inventory: &Inventory,
    ) -> GroupTypes {
        let Launchable::Types(names) = &launchable else {
            return GroupTypes { launchable, types: BTreeMap::new() };
        };
        let instances = inventory.instances.iter();
        let members: Vec<&Instance> =
            instances.filter(|it| it.group.as_ref() == Some(&description.name)).collect();
        // Those that it has show how much of a type's memory ECS registers.
        let present = members.iter().map(|it| it.instance_type.clone());
        let all: BTreeSet<_> = names.iter().cloned().chain(present).collect();
        let mut types = match self.clients.ec2.instance_types(&all).await {
            Ok(types) => types,
            Err(error) => {
                let why = format!("EC2 says nothing of its types: {}", Problem::from(error).text);
                return GroupTypes {
                    launchable: Launchable::NotJudged(why),
                    types: BTreeMap::new(),
                };
            }
        };
        let stated = &self.settings.instance_prices;
        let unpriced = all.into_iter().filter(|name| !stated.contains_key(name)).collect();
        let market = self.prices.read(&unpriced, self.clock.now()).await;
        add_type_prices(&mut types, &members, stated, self.clients.region(), &market);
        GroupTypes { launchable, types }
    }
}

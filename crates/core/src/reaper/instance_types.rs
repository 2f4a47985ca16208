//! Which instance types a group may launch, and what an instance of one that it does not have yet
//! would be.
//!
//! What ECS registers is less than what the type has: the kernel and `ECS_RESERVED_MEMORY` take
//! some. How much is learned from the group's own instances. Reading AWS is left to `ebb-aws`, what
//! the load would cost on other types to `cheaper_shape`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{
    EMPTIED_ATTRIBUTE, HostPort, Instance, Inventory, KEEP_ATTRIBUTE, Resources, TaskKind,
};

use crate::ids::{ContainerInstanceArn, GroupName, InstanceId};
use crate::prices::{MarketPrices, add_prices};
use crate::reaper::network_interfaces::{InstanceTypeInterfaces, add_network_interfaces};

/// One vCPU, in CPU units. Source: ECS Developer Guide, task-cpu-memory-error.
const CPU_UNITS: i64 = 1_024;
/// The attribute with the instance type. Source: ECS Developer Guide, task-placement-constraints.
const TYPE_ATTRIBUTE: &str = "ecs.instance-type";
/// The attribute with the architecture, in EC2's words: `x86_64` or `arm64`. Source: as above.
const ARCHITECTURE_ATTRIBUTE: &str = "ecs.cpu-architecture";

/// An instance type, as EC2 describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceType {
    /// Its vCPUs.
    pub vcpus: i64,
    /// Its memory in MiB.
    pub memory_mib: i64,
    /// The architectures of its processor.
    pub architectures: BTreeSet<String>,
    /// Its network interfaces, the primary one included; `None` if EC2 did not say.
    pub network_interfaces: Option<i64>,
    /// What the group would pay for it per hour, by Availability Zone, in millionths of a dollar.
    pub prices_microusd: BTreeMap<String, u64>,
}

/// An override of a group's mixed instances policy. Source: Auto Scaling API,
/// `LaunchTemplateOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeOverride {
    /// `InstanceType`.
    pub instance_type: Option<String>,
    /// Whether it has a `LaunchTemplateSpecification` of its own: maybe another image.
    pub has_own_template: bool,
    /// Whether it has a `WeightedCapacity` other than 1.
    pub has_weight: bool,
}

/// What a group may launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launchable {
    /// These types.
    Types(BTreeSet<String>),
    /// Something that is not judged, and why.
    NotJudged(String),
}

impl Launchable {
    /// What a group may launch by the overrides that it has; `None` for one without any, whose
    /// template names a single type as a rule. Those with a launch template of their own are left
    /// out: their instances may not be like the others.
    pub fn of(overrides: &[TypeOverride]) -> Option<Self> {
        if overrides.is_empty() {
            None
        } else if overrides.iter().any(|it| it.has_weight) {
            Some(Self::NotJudged("its instance types have weights".to_owned()))
        // Without a type it asks for attributes: `InstanceRequirements`.
        } else if overrides.iter().any(|it| it.instance_type.is_none()) {
            let why = "it asks for instance types by their attributes";
            Some(Self::NotJudged(why.to_owned()))
        } else {
            let named = overrides.iter().filter(|it| !it.has_own_template);
            Some(Self::Types(named.filter_map(|it| it.instance_type.clone()).collect()))
        }
    }
}

/// What is known of the instance types that a group may launch, and of those that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTypes {
    /// What it may launch.
    pub launchable: Launchable,
    /// The types by name, as far as EC2 knows them.
    pub types: BTreeMap<String, InstanceType>,
}

impl GroupTypes {
    /// Sets the prices that are stated, in millionths of a dollar an hour, in place of others.
    pub fn state_prices(&mut self, stated: &BTreeMap<String, u64>) {
        for (name, of_type) in &mut self.types {
            let Some(stated) = stated.get(name) else { continue };
            of_type.prices_microusd.values_mut().for_each(|price| *price = *stated);
        }
    }
}

/// What the instances of a group have in common, so that others can be thought of beside them.
pub(super) struct Sample<'a> {
    types: &'a BTreeMap<String, InstanceType>,
    /// An instance of each zone.
    in_zones: BTreeMap<&'a str, &'a Instance>,
    architecture: Option<&'a str>,
    /// The least share of its type's CPU that an instance registers, in millionths.
    cpu_millionths: i64,
    /// The most memory of its type that an instance does not register, in MiB.
    memory_missing_mib: i64,
    /// The same, as a share of its type's, in millionths.
    memory_missing_millionths: i64,
    /// The most that daemon tasks hold on an instance, and the host ports that are in use beside
    /// those of services.
    held: Resources,
    host_ports: BTreeSet<HostPort>,
}

/// How the ids of instances begin that are not there. EC2's are random in all 17 digits.
const IMAGINED_PREFIX: &str = "i-ebbebbebb";

/// Whether an instance is there in thought only.
pub(super) fn is_imagined(instance: &Instance) -> bool {
    instance.instance_id.as_str().starts_with(IMAGINED_PREFIX)
}

/// Whole, in the unit of shares.
const MILLION: i64 = 1_000_000;

impl<'a> Sample<'a> {
    /// Learns from a group's instances.
    ///
    /// # Errors
    /// Why nothing can be learned.
    pub(super) fn of(
        inventory: &'a Inventory,
        group: &GroupName,
        types: &'a BTreeMap<String, InstanceType>,
    ) -> Result<Self, String> {
        let mut sample = Self {
            types,
            in_zones: BTreeMap::new(),
            architecture: None,
            cpu_millionths: MILLION,
            memory_missing_mib: 0,
            memory_missing_millionths: 0,
            held: Resources::default(),
            host_ports: BTreeSet::new(),
        };
        let members = inventory.instances.iter().filter(|it| it.group.as_ref() == Some(group));
        for instance in members.filter(|it| it.is_in_service() && !it.is_draining()) {
            if instance.weight != 1 {
                return Err("its instances have weights".to_owned());
            }
            sample.take(instance, inventory);
        }
        if sample.in_zones.is_empty() {
            return Err("none of its instances shows what one registers".to_owned());
        }
        Ok(sample)
    }

    fn take(&mut self, instance: &'a Instance, inventory: &Inventory) {
        let (Some(of_type), Some(registered)) =
            (self.types.get(&instance.instance_type), instance.registered)
        else {
            return;
        };
        let Some((held, host_ports)) = held_by_daemons(instance, inventory) else { return };
        let missing = (of_type.memory_mib - registered.memory_mib).max(0);
        self.cpu_millionths =
            self.cpu_millionths.min(millionths(registered.cpu, of_type.vcpus * CPU_UNITS));
        self.memory_missing_mib = self.memory_missing_mib.max(missing);
        self.memory_missing_millionths =
            self.memory_missing_millionths.max(millionths(missing, of_type.memory_mib));
        let (most, held) = (self.held.to_array(), held.to_array());
        self.held = Resources::from(std::array::from_fn(|index| most[index].max(held[index])));
        self.host_ports.extend(host_ports);
        self.in_zones.entry(&instance.zone).or_insert(instance);
        let architecture = instance.attributes.get(ARCHITECTURE_ATTRIBUTE).map(String::as_str);
        self.architecture = self.architecture.or(architecture);
    }

    /// A type by its name.
    pub(super) fn instance_type(&self, name: &str) -> Option<&'a InstanceType> {
        self.types.get(name)
    }

    /// The zones that the group has instances in.
    pub(super) fn zones(&self) -> Vec<&'a str> {
        self.in_zones.keys().copied().collect()
    }

    /// Whether instances of a type can run the group's image.
    pub(super) fn boots(&self, of_type: &InstanceType) -> bool {
        self.architecture.is_some_and(|it| of_type.architectures.contains(it))
    }

    /// What an instance of a type leaves for service tasks.
    pub(super) fn room(&self, of_type: &InstanceType) -> Resources {
        let registered = self.registered(of_type).to_array();
        let held = self.held.to_array();
        Resources::from(std::array::from_fn(|index| (registered[index] - held[index]).max(0)))
    }

    fn registered(&self, of_type: &InstanceType) -> Resources {
        let missing = of_type.memory_mib.saturating_mul(self.memory_missing_millionths) / MILLION;
        // Of a larger type more is missing, and of a smaller one hardly less: whichever is worse.
        let missing = missing.max(self.memory_missing_mib);
        Resources {
            cpu: of_type.vcpus * CPU_UNITS * self.cpu_millionths / MILLION,
            memory_mib: (of_type.memory_mib - missing).max(0),
            ..Resources::default()
        }
    }

    /// The instance with a number, of a type, in a zone: without service tasks. When it registered is
    /// left to the caller. `None` if the type has no price there.
    pub(super) fn instance(&self, number: usize, zone: &str, name: &str) -> Option<Instance> {
        let (like, of_type) = (self.in_zones.get(zone)?, self.types.get(name)?);
        let instance_id = InstanceId::parse(&format!("{IMAGINED_PREFIX}{number:08x}"))?;
        let mut attributes = like.attributes.clone();
        attributes
            .retain(|attribute, _| attribute != KEEP_ATTRIBUTE && attribute != EMPTIED_ATTRIBUTE);
        attributes.insert(TYPE_ATTRIBUTE.to_owned(), name.to_owned());
        let mut instance = Instance {
            group: like.group.clone(),
            lifecycle_state: like.lifecycle_state.clone(),
            zone: zone.to_owned(),
            instance_type: name.to_owned(),
            attributes,
            registered: Some(self.registered(of_type)),
            remaining: Some(self.room(of_type)),
            host_ports: self.host_ports.clone(),
            tasks: Some(Vec::new()),
            price_microusd: Some(*of_type.prices_microusd.get(zone)?),
            ..Instance::new(instance_id, ContainerInstanceArn::new(format!("imagined-{number}")))
        };
        if like.registered.is_some_and(|registered| registered.network_interfaces > 0) {
            let interfaces: InstanceTypeInterfaces =
                [(name.to_owned(), of_type.network_interfaces)].into();
            add_network_interfaces(&mut instance, &interfaces);
            if let Some(remaining) = &mut instance.remaining {
                remaining.network_interfaces -= self.held.network_interfaces;
            }
        }
        Some(instance)
    }
}

/// A part as a share of a whole, in millionths.
fn millionths(part: i64, whole: i64) -> i64 {
    part.saturating_mul(MILLION) / whole.max(1)
}

/// What is held on an instance beside the tasks of its services, and the host ports that are in use
/// beside theirs. `None` where other tasks than those of daemons may hold some of it, or what is
/// there is not known.
fn held_by_daemons(
    instance: &Instance,
    inventory: &Inventory,
) -> Option<(Resources, BTreeSet<HostPort>)> {
    let (registered, remaining) = (instance.registered?.to_array(), instance.remaining?.to_array());
    let mut held: [i64; 4] = std::array::from_fn(|index| registered[index] - remaining[index]);
    let mut host_ports = instance.host_ports.clone();
    for task in instance.tasks.as_ref()? {
        match task.kind {
            TaskKind::Daemon => {}
            TaskKind::Service(service) => {
                let service = inventory.services.get(service)?;
                for (held, demand) in held.iter_mut().zip(service.demand.to_array()) {
                    *held -= demand;
                }
                host_ports.retain(|port| !service.host_ports.contains(port));
            }
            TaskKind::UnknownService | TaskKind::Standalone | TaskKind::Stopping => return None,
        }
    }
    Some((Resources::from(held.map(|held| held.max(0))), host_ports))
}

/// Adds what a group would pay for each type in each of its zones. It pays for Spot Instances if all
/// of its own are that. A type without any price has none.
pub fn add_type_prices(
    types: &mut BTreeMap<String, InstanceType>,
    members: &[&Instance],
    stated: &BTreeMap<String, u64>,
    region: &str,
    market: &MarketPrices,
) {
    let spot = market.spot_instances.clone().unwrap_or_default();
    // The price of an instance depends on whether it is a Spot Instance, and that on its id.
    let on_demand = members.iter().find(|it| !spot.contains(&it.instance_id));
    let Some(like) = on_demand.or_else(|| members.first()) else { return };
    let zones: BTreeSet<_> = members.iter().map(|it| &it.zone).collect();
    for (name, of_type) in types {
        for zone in &zones {
            let instance =
                Instance { instance_type: name.clone(), zone: (*zone).clone(), ..(**like).clone() };
            let mut priced = [instance];
            add_prices(&mut priced, stated, region, market);
            let price = priced[0].price_microusd;
            of_type.prices_microusd.extend(price.map(|price| ((*zone).clone(), price)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{id, instance};

    fn named(name: &str) -> TypeOverride {
        TypeOverride { instance_type: Some(name.to_owned()), ..TypeOverride::default() }
    }

    #[test]
    fn a_group_may_launch_what_its_overrides_name() {
        let other_image = TypeOverride { has_own_template: true, ..named("m7i.large") };
        let weighted = TypeOverride { has_weight: true, ..named("m7g.xlarge") };
        let by_attributes = TypeOverride::default();

        assert_eq!(Launchable::of(&[]), None);
        assert_eq!(
            Launchable::of(&[named("m7g.large"), named("m7g.xlarge"), other_image]),
            Some(Launchable::Types(["m7g.large".to_owned(), "m7g.xlarge".to_owned()].into()))
        );
        for odd in [weighted, by_attributes] {
            let launchable = Launchable::of(&[named("m7g.large"), odd]);
            assert!(matches!(launchable, Some(Launchable::NotJudged(_))), "{launchable:?}");
        }
    }

    #[test]
    fn a_group_pays_spot_prices_if_all_its_instances_are_spot_instances() {
        let zone = "eu-west-1a".to_owned();
        let market = |spot: &[u64]| MarketPrices {
            on_demand: [("m7g.xlarge".to_owned(), 180_000)].into(),
            spot: [(("m7g.xlarge".to_owned(), zone.clone()), 60_000)].into(),
            spot_instances: Some(spot.iter().map(|&number| id(number)).collect()),
        };
        let members = [instance(1), instance(2)];
        let members: Vec<_> = members.iter().collect();
        for (spot, expected) in [(&[][..], 180_000), (&[1], 180_000), (&[1, 2], 60_000)] {
            let mut types = BTreeMap::from([("m7g.xlarge".to_owned(), InstanceType::default())]);
            add_type_prices(&mut types, &members, &BTreeMap::new(), "eu-west-1", &market(spot));
            let prices = &types["m7g.xlarge"].prices_microusd;
            assert_eq!(prices, &BTreeMap::from([(zone.clone(), expected)]), "{spot:?}");
        }
    }
}

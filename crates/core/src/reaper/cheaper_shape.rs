//! What the load of a group would cost on other instance types that it may launch.
//!
//! Other instances are put beside the group's in thought, every task that can go to them does, and
//! then sweeps follow each other until nothing more goes: all by the planner, with its constraints,
//! headroom and zones, and each step safe by its certificate or its replays. So what comes out can
//! be reached, and is an upper bound of what the cheapest mix costs. Nothing is done about it.

use std::cell::Cell;
use std::collections::BTreeMap;

use ebb_planner::{Inventory, KEEP_ATTRIBUTE, Policy, Resources, TaskKind, plan, rehearse};
use jiff::Timestamp;

use crate::ids::GroupName;
use crate::reaper::instance_types::{GroupTypes, InstanceType, Launchable, Sample, is_imagined};

/// A larger cluster would be planned for minutes. At it, nothing is said.
const INSTANCES_MAX: usize = 500;
/// How many types are tried, those with the cheapest room first.
const TYPES_MAX: usize = 8;
/// After so many sweeps in thought a play ends as it stands: without a cap on one sweep few are
/// needed.
const SWEEPS_MAX: usize = 20;

/// Instances by type, and what they cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// How many instances there are of each type.
    pub instances: BTreeMap<String, usize>,
    /// What all cost per hour, in millionths of a dollar.
    pub microusd: u64,
}

/// What a group's load costs now, and what it would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheaperShape {
    /// The group as it is.
    pub now: Shape,
    /// Once sweeps have let all go that can, on the types that it has.
    pub swept: Shape,
    /// On the cheapest mix of types that was found; no dearer than `swept`.
    pub cheapest: Shape,
    /// The types that were tried.
    pub tried: Vec<String>,
}

/// Looks for the cheapest mix of the types that a group may launch, for the load that it has. The
/// other groups of the cluster stay as they are.
///
/// # Errors
/// Why that is not judged, as the end of a sentence about the group.
pub fn cheaper_shape(
    inventory: &Inventory,
    group: &GroupName,
    types: &GroupTypes,
    policy: &Policy,
    now: Timestamp,
) -> Result<CheaperShape, String> {
    let launchable = match &types.launchable {
        Launchable::Types(names) => names,
        Launchable::NotJudged(why) => return Err(why.clone()),
    };
    if inventory.instances.len() > INSTANCES_MAX {
        return Err(format!("its cluster has more than {INSTANCES_MAX} instances"));
    }
    if !policy.groups.as_ref().is_none_or(|groups| groups.contains(group)) {
        return Err("the policy leaves it as it is".to_owned());
    }
    let sample = Sample::of(inventory, group, &types.types)?;
    let present = shape(inventory, group)?;
    let search = Search {
        group,
        sample,
        policy: Policy { groups: Some([group.clone()].into()), ..policy.without_cap() },
        now,
        imagined: Cell::new(0),
    };
    let tried = search.types_to_try(inventory, launchable.iter(), &types.types);
    if tried.is_empty() {
        return Err("it may launch no type with a price that runs its image".to_owned());
    }
    let swept = search.sweep(inventory.clone());
    let mut cheapest = swept.clone();
    let demand = demand(inventory, group);
    let each = tried.iter().map(std::slice::from_ref).chain([tried.as_slice()]);
    for names in each {
        search.improve(&mut cheapest, search.beside(inventory, names, |it| needed(demand, it)));
    }
    // Another type in place of what is left over: an instance that is hardly used.
    for name in &tried {
        let other = search.beside(&cheapest, std::slice::from_ref(name), |_| 1);
        search.improve(&mut cheapest, other);
    }
    Ok(CheaperShape {
        now: present,
        swept: shape(&swept, group)?,
        cheapest: shape(&cheapest, group)?,
        tried,
    })
}

struct Search<'a> {
    group: &'a GroupName,
    sample: Sample<'a>,
    policy: Policy,
    now: Timestamp,
    /// How many instances were thought of: each has a number of its own.
    imagined: Cell<usize>,
}

impl Search<'_> {
    /// The types whose instances could take the load, those with the cheapest room first.
    fn types_to_try<'t>(
        &self,
        inventory: &Inventory,
        names: impl Iterator<Item = &'t String>,
        types: &BTreeMap<String, InstanceType>,
    ) -> Vec<String> {
        let demand = demand(inventory, self.group);
        let mut costs: Vec<(u64, String)> = names
            .filter_map(|name| {
                let of_type = types.get(name).filter(|it| self.sample.boots(it))?;
                let price = *of_type.prices_microusd.values().min()?;
                let instances = needed(demand, self.sample.room(of_type));
                let is_few = (1..=INSTANCES_MAX).contains(&instances);
                is_few.then(|| (price.saturating_mul(instances as u64), name.clone()))
            })
            .collect();
        costs.sort();
        costs.into_iter().take(TYPES_MAX).map(|(_, name)| name).collect()
    }

    /// The cluster with instances of these types beside the group's, once all tasks have gone to
    /// them that can: so many instances of each, by the room of one, in each zone.
    fn beside(
        &self,
        inventory: &Inventory,
        names: &[String],
        instances_for: impl Fn(Resources) -> usize,
    ) -> Inventory {
        let mut cluster = inventory.clone();
        let zones = self.sample.zones();
        for name in names {
            let Some(of_type) = self.sample.instance_type(name) else { continue };
            let in_each = instances_for(self.sample.room(of_type)).div_ceil(zones.len());
            for zone in zones.iter().flat_map(|zone| std::iter::repeat_n(zone, in_each)) {
                let number = self.imagined.replace(self.imagined.get() + 1);
                let Some(mut instance) = self.sample.instance(number, zone, name) else { continue };
                instance.attributes.insert(KEEP_ATTRIBUTE.to_owned(), String::new());
                // Old enough to take tasks.
                instance.registered_at = self.now.checked_sub(self.policy.min_instance_age).ok();
                if let Some(group) = cluster.groups.get_mut(self.group) {
                    group.desired_capacity += 1;
                }
                cluster.instances.push(instance);
            }
        }
        let mut moved = self.sweep(cluster);
        for instance in moved.instances.iter_mut().filter(|it| is_imagined(it)) {
            instance.attributes.remove(KEEP_ATTRIBUTE);
        }
        moved
    }

    /// Takes a cluster, once swept, in place of another if the group costs less in it.
    fn improve(&self, cheapest: &mut Inventory, other: Inventory) {
        let other = self.sweep(other);
        if self.cost(&other) < self.cost(cheapest) {
            *cheapest = other;
        }
    }

    /// What the group costs in a cluster. What is beside it in thought has a price, so that none is
    /// missing.
    fn cost(&self, cluster: &Inventory) -> u64 {
        shape(cluster, self.group).map_or(u64::MAX, |shape| shape.microusd)
    }

    /// What sweeps leave that follow each other until nothing more goes.
    fn sweep(&self, mut cluster: Inventory) -> Inventory {
        for _ in 0..SWEEPS_MAX {
            let planned = plan(&cluster, &self.policy, self.now);
            if planned.remove.is_empty() {
                break;
            }
            // A drain that stalls is nothing to count on.
            let Some(rehearsal) = rehearse(&cluster, &planned, &self.policy, self.now) else {
                break;
            };
            cluster = rehearsal.inventory;
        }
        cluster
    }
}

/// The instances of a group by type, with their cost.
fn shape(inventory: &Inventory, group: &GroupName) -> Result<Shape, String> {
    let mut shape = Shape::default();
    for instance in inventory.instances.iter().filter(|it| it.group.as_ref() == Some(group)) {
        *shape.instances.entry(instance.instance_type.clone()).or_default() += 1;
        let Some(price) = instance.price_microusd else {
            return Err(format!("no price of {} is known", instance.instance_type));
        };
        shape.microusd = shape.microusd.saturating_add(price);
    }
    Ok(shape)
}

/// What the service tasks on a group's instances need.
fn demand(inventory: &Inventory, group: &GroupName) -> Resources {
    let members = inventory.instances.iter().filter(|it| it.group.as_ref() == Some(group));
    let services = members.flat_map(|it| it.tasks.iter().flatten()).filter_map(|task| {
        let TaskKind::Service(service) = task.kind else { return None };
        inventory.services.get(service)
    });
    let sum = services.fold([0; 4], |sum: [i64; 4], service| {
        let demand = service.demand.to_array();
        std::array::from_fn(|index| sum[index].saturating_add(demand[index]))
    });
    Resources::from(sum)
}

/// How many instances with this room certainly take all tasks: twice what they hold, so that there
/// is room beside what cannot be filled. What is too many goes again. `usize::MAX` for none.
fn needed(demand: Resources, room: Resources) -> usize {
    let by_cpu = needed_by(demand.cpu, room.cpu);
    by_cpu.max(needed_by(demand.memory_mib, room.memory_mib))
}

fn needed_by(demand: i64, room: i64) -> usize {
    match (demand, room) {
        (0, _) => 1,
        (_, ..=0) => usize::MAX,
        _ => usize::try_from((2 * demand + room - 1) / room).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::{Service, Task};

    use super::*;
    use crate::reaper::testing::{self, NOW, group_name, instance, inventory, resources};

    const ZONE: &str = "eu-west-1a";

    fn service(name: &str, cpu: i64, memory_mib: i64) -> Service {
        Service { name: name.to_owned(), ..testing::service([cpu, memory_mib]) }
    }

    /// So many `m7g.large` at 8 cents, each with one such task of a service and a daemon's of 48 CPU
    /// units and 180 MiB.
    fn cluster(instances: u64, cpu: i64, memory_mib: i64) -> Inventory {
        let members = (1..=instances).map(|number| {
            let mut instance = instance(number);
            let task = |kind| Task { id: format!("t{number}"), kind, protected: false };
            instance.tasks = Some(vec![task(TaskKind::Service(0)), task(TaskKind::Daemon)]);
            instance.remaining = Some(resources(2_048 - cpu - 48, 7_680 - memory_mib - 180));
            instance.attributes = [
                ("ecs.cpu-architecture".to_owned(), "arm64".to_owned()),
                ("ecs.instance-type".to_owned(), "m7g.large".to_owned()),
            ]
            .into();
            instance.price_microusd = Some(80_000);
            instance
        });
        let mut inventory = inventory(members.collect());
        inventory.services = vec![service("web", cpu, memory_mib)];
        inventory.groups.get_mut(&group_name()).unwrap().desired_capacity =
            i64::try_from(instances).unwrap();
        inventory
    }

    fn of(vcpus: i64, gib: i64, microusd: u64) -> InstanceType {
        InstanceType {
            vcpus,
            memory_mib: gib * 1_024,
            architectures: ["arm64".to_owned()].into(),
            network_interfaces: None,
            prices_microusd: [(ZONE.to_owned(), microusd)].into(),
        }
    }

    /// What the group may launch: `m7g.large` and these.
    fn types(more: &[(&str, InstanceType)]) -> GroupTypes {
        let mut types: BTreeMap<_, _> =
            more.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
        types.insert("m7g.large".to_owned(), of(2, 8, 80_000));
        GroupTypes { launchable: Launchable::Types(types.keys().cloned().collect()), types }
    }

    /// The cheapest mix, what it costs, and what the group would cost after sweeps.
    type Judgement = (Vec<(String, usize)>, u64, u64);

    fn judge(inventory: &Inventory, types: &GroupTypes) -> Result<Judgement, String> {
        let shape = cheaper_shape(inventory, &group_name(), types, &Policy::default(), NOW)?;
        let mix = shape.cheapest.instances.into_iter().collect();
        Ok((mix, shape.cheapest.microusd, shape.swept.microusd))
    }

    fn mix(instances: &[(&str, usize)]) -> Vec<(String, usize)> {
        instances.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn large_instances_in_place_of_many_hold_what_does_not_share_a_small_one() {
        // Of 2,000 CPU units each m7g.large has room for one; an m7g.2xlarge takes all six, and a
        // fifth of it stays free.
        let crowded = cluster(6, 1_040, 1_024);
        let double = ("m7g.2xlarge", of(8, 32, 250_000));
        let found = judge(&crowded, &types(&[double])).unwrap();
        assert_eq!(found, (mix(&[("m7g.2xlarge", 1)]), 250_000, 480_000));
    }

    #[test]
    fn a_small_instance_takes_what_is_left_over() {
        // Five of these fit on an m7g.xlarge with a fifth of it free, the sixth needs little more.
        let found = judge(
            &cluster(6, 600, 512),
            &types(&[("m7g.xlarge", of(4, 16, 120_000)), ("m7g.medium", of(1, 4, 41_000))]),
        );
        let (mix, microusd, swept) = found.unwrap();
        assert_eq!(microusd, 161_000, "{mix:?}");
        assert!(microusd < swept);
    }

    #[test]
    fn tasks_that_are_bound_to_their_type_stay_on_it() {
        let mut crowded = cluster(6, 1_040, 1_024);
        crowded.services[0].constraints =
            vec!["attribute:ecs.instance-type == m7g.large".to_owned()];
        let double = ("m7g.2xlarge", of(8, 32, 250_000));
        let found = judge(&crowded, &types(&[double])).unwrap();
        assert_eq!(found, (mix(&[("m7g.large", 6)]), 480_000, 480_000));
    }

    #[test]
    fn where_no_type_is_cheaper_the_mix_is_what_sweeps_leave() {
        let dear = ("m7g.2xlarge", of(8, 32, 2_500_000));
        let found = judge(&cluster(6, 512, 1_024), &types(&[dear])).unwrap();
        assert_eq!(found, (mix(&[("m7g.large", 2)]), 160_000, 160_000));
    }

    #[test]
    fn memory_is_what_instances_of_the_group_show_to_be_left_of_it() {
        // Of 8,192 MiB 7,680 are registered: of 4,096 it is 3,584, not 3,840, as 512 are missing.
        let inventory = cluster(4, 100, 3_300);
        let small = types(&[("m7g.medium", of(1, 4, 10_000))]);
        let sample = Sample::of(&inventory, &group_name(), &small.types).unwrap();
        let [medium, large] =
            ["m7g.medium", "m7g.large"].map(|name| sample.instance(1, ZONE, name).unwrap());
        assert_eq!(medium.registered, Some(resources(1_024, 3_584)));
        assert_eq!(medium.remaining, Some(resources(1_024 - 48, 3_584 - 180)));
        assert_eq!(large.registered, Some(resources(2_048, 7_680)));
        let double = InstanceType { memory_mib: 32_768, ..of(8, 32, 1) };
        assert_eq!(sample.room(&double).memory_mib, 32_768 - 2_048 - 180, "a sixteenth");
    }

    #[test]
    fn what_cannot_be_judged_is_not_and_says_why() {
        let inventory = cluster(3, 512, 1_024);
        let xlarge = ("m7g.xlarge", of(4, 16, 1_000));
        let no_price = InstanceType { prices_microusd: BTreeMap::new(), ..of(4, 16, 1) };
        let x86 = InstanceType { architectures: ["x86_64".to_owned()].into(), ..of(4, 16, 1) };
        for (why, types) in [
            ("", types(std::slice::from_ref(&xlarge))),
            (
                "it may launch no type with a price",
                GroupTypes {
                    launchable: Launchable::Types(["x".to_owned(), "y".to_owned()].into()),
                    ..types(&[("x", no_price), ("y", x86)])
                },
            ),
            (
                "it asks for",
                GroupTypes {
                    launchable: Launchable::NotJudged("it asks for attributes".to_owned()),
                    ..types(std::slice::from_ref(&xlarge))
                },
            ),
            (
                "none of its instances shows",
                GroupTypes {
                    launchable: Launchable::Types(["m7g.xlarge".to_owned()].into()),
                    types: [("m7g.xlarge".to_owned(), xlarge.1.clone())].into(),
                },
            ),
        ] {
            let found = judge(&inventory, &types).err().unwrap_or_default();
            assert!(found.starts_with(why) && found.is_empty() == why.is_empty(), "{found}");
        }
        let mut unpriced = inventory.clone();
        unpriced.instances[0].price_microusd = None;
        let found = judge(&unpriced, &types(&[xlarge])).unwrap_err();
        assert_eq!(found, "no price of m7g.large is known");
    }
}

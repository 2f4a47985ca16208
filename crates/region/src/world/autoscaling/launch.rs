//! What a group launches, and where: an instance at a time in the Availability Zone that has
//! fewest, and a move from the zone that has most to the one that has fewest when they have drifted
//! apart.
//!
//! Sources: Auto Scaling User Guide, auto-scaling-benefits (balancing: "launches new instances
//! before terminating old ones", and may pass the maximum size by 10 % or one instance, whichever
//! is more) and ec2-auto-scaling-suspend-resume-processes. When a group looks at its balance is
//! not documented.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::{Instance, LaunchSource};
use super::lifecycle_state::LifecycleState;
use crate::world::agenda::Due;
use crate::world::ecs::{NewInstance, Status};
use crate::world::history::Happening;
use crate::world::state::World;

/// From the launch of an instance until its agent has registered it with the cluster. Assumed: AWS
/// documents no figures.
const BOOT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90));
/// Into how many parts a boot falls; after the first the instance is `InService`. Its group only
/// waits for EC2 to call it `running`, as there are no launch hooks here (Auto Scaling User Guide,
/// ec2-auto-scaling-lifecycle); its operating system, Docker and the agent start after that.
/// Assumed: AWS documents no figures.
const BOOT_PARTS: u32 = 5;
/// From a termination until the group looks at its balance.
const REBALANCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(180));

impl World {
    /// Launches what is missing; with weights, as few instances as make up the desired capacity.
    pub(super) fn launch_missing(&mut self, name: &str) {
        loop {
            let group = self
                .groups
                .get(name)
                .filter(|group| group.ec2_has_capacity && !group.is_suspended("Launch"));
            let Some(group) = group.filter(|group| group.size() < group.desired_capacity) else {
                return;
            };
            let protected = group.protects_new_instances;
            // The zone is chosen anew for each instance, because every launch changes which one is
            // the emptiest.
            let zone = self.emptiest_zone(name);
            self.launch(name, zone, protected);
        }
    }

    /// Launches an instance, and returns its id.
    pub(super) fn launch(
        &mut self,
        name: &str,
        zone: Option<String>,
        protected_from_scale_in: bool,
    ) -> String {
        let instance_id = format!("i-{:017x}", self.rng.u64(..));
        let group = self.groups.get(name);
        let group = group.filter(|group| group.source != LaunchSource::Configuration);
        let pending = Instance {
            template_version: group.map(|group| group.launch_template.resolved()),
            state: LifecycleState::Pending,
            zone,
            protected_from_scale_in,
            launched_at: Some(self.now),
            ..Instance::in_service(&instance_id)
        };
        // The instance counts from its launch on, before it has booted, or the group would launch
        // it again.
        if let Some(group) = self.groups.get_mut(name) {
            group.instances.push(pending);
        }
        let boot = self.random_duration(BOOT.0, BOOT.1);
        let group = name.to_owned();
        let running = Due::Running { group: group.clone(), instance_id: instance_id.clone() };
        self.plan(boot / BOOT_PARTS, running);
        self.plan(boot, Due::Joined { group, instance_id: instance_id.clone() });
        instance_id
    }

    /// EC2 runs a launched instance, and its group has it in service, unless it is to go again
    /// already. If it was launched to move the group's capacity, another one goes now.
    pub(in crate::world) fn enter_service(&mut self, name: &str, instance_id: &str) {
        // An instance that was terminated meanwhile is in another state by now, or gone.
        if self.lifecycle_state(instance_id) != Some(LifecycleState::Pending)
            || self.ended.contains(instance_id)
        {
            return;
        }
        self.set_lifecycle_state(instance_id, LifecycleState::InService);
        // Balancing launches before it terminates, so the surplus goes only now that its
        // replacement is in service. That it has registered with ECS is not waited for.
        self.scale_in(name);
    }

    /// The agent of a booted instance registers it with its group's cluster, unless it is gone. What
    /// the group has decided about it meanwhile the agent does not know.
    pub(in crate::world) fn register_launched_instance(&mut self, name: &str, instance_id: &str) {
        let Some(group) = self.groups.get(name) else { return };
        if self.ended.contains(instance_id) || !group.launches_join {
            return;
        }
        let (cluster, machine) = (group.cluster.clone(), group.template.clone());
        let zone = self.zone_of(instance_id);
        let new_instance =
            NewInstance::new(instance_id).zone(zone).age(Duration::ZERO).machine(machine);
        self.add_instance(&cluster, new_instance);
        self.record(Happening::ContainerInstance {
            instance_id: instance_id.to_owned(),
            status: Status::Active,
        });
    }

    /// Lets a group look at its balance in a while, unless it is to do so already.
    pub(super) fn rebalance_later(&mut self, name: &str) {
        let is_planned = self
            .agenda
            .values()
            .any(|due| matches!(due, Due::Rebalance { group } if group == name));
        if self.is_unbalanced(name) && !is_planned {
            let after = self.random_duration(REBALANCE.0, REBALANCE.1);
            self.plan(after, Due::Rebalance { group: name.to_owned() });
        }
    }

    /// Launches an instance in the zone that has fewest if another zone has two more at least.
    pub(in crate::world) fn rebalance(&mut self, name: &str) {
        let Some(group) = self.groups.get(name).filter(|_| self.is_unbalanced(name)) else {
            return;
        };
        let (size, weight, protected) =
            (group.size(), group.weight(), group.protects_new_instances);
        // Only balancing may pass the maximum size, by 10 % or one instance (Auto Scaling User
        // Guide, auto-scaling-benefits).
        let size_max = group.max_size.saturating_add((group.max_size / 10).max(1));
        // Above the desired capacity a move is under way already, or scale-in is not over: the next
        // move waits for that.
        if !group.ec2_has_capacity || size > group.desired_capacity || size + weight > size_max {
            return;
        }
        let zone = self.emptiest_zone(name);
        // One move may not be enough, so the group looks again for as long as it is unbalanced.
        self.launch(name, zone, protected);
        self.rebalance_later(name);
    }

    fn is_unbalanced(&self, name: &str) -> bool {
        let Some(group) = self.groups.get(name) else { return false };
        let counts = self.instances_per_zone(name);
        let (Some(min), Some(max)) = (counts.values().min(), counts.values().max()) else {
            return false;
        };
        // A difference of one cannot be made any smaller by a move: it would only change sides.
        max - min >= 2 && !group.is_suspended("AZRebalance") && !group.is_suspended("Launch")
    }

    /// The zone of a group that has the fewest of its instances; by chance among equals.
    fn emptiest_zone(&mut self, name: &str) -> Option<String> {
        let counts = self.instances_per_zone(name);
        let fewest = counts.values().min()?;
        let zones: Vec<_> =
            counts.iter().filter(|&(_, count)| count == fewest).map(|(zone, _)| zone).collect();
        let chosen = self.rng.usize(..zones.len());
        Some(zones[chosen].clone())
    }

    /// How many instances count in each of a group's zones.
    fn instances_per_zone(&self, name: &str) -> BTreeMap<String, usize> {
        let Some(group) = self.groups.get(name) else { return BTreeMap::new() };
        // Every zone that the group is enabled in is counted, as one without any instance is the
        // emptiest of all.
        let mut counts: BTreeMap<_, _> = group.zones.iter().map(|zone| (zone.clone(), 0)).collect();
        for instance in
            group.instances.iter().filter(|instance| instance.state.counts_into_capacity())
        {
            if let Some(count) = counts.get_mut(&self.zone_of(&instance.instance_id)) {
                *count += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::REGION;
    use crate::world::autoscaling::Group;
    use crate::world::ecs::{CapacityProvider, Machine};

    /// A group with so many instances in each of its three zones.
    fn world(counts: [usize; 3]) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let mut ids = Vec::new();
        for (zone, count) in ["a", "b", "c"].into_iter().zip(counts) {
            for number in 0..count {
                let id = format!("i-{zone}{number}");
                world.add_instance("shop", NewInstance::new(&id).zone(format!("{REGION}{zone}")));
                ids.push(id);
            }
        }
        let template = Machine::new("c7i.xlarge", 4096, 7680).attribute("stack", "prod");
        world.add_group("group", Group { template, ..Group::with_instances("shop", ids) });
        world
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn counts(world: &World) -> Vec<usize> {
        world.instances_per_zone("group").into_values().collect()
    }

    #[test]
    fn an_instance_is_launched_from_the_template_into_the_emptiest_zone() {
        let mut world = world([2, 1, 2]);
        world.groups.get_mut("group").unwrap().protects_new_instances = true;
        world.attach_capacity_provider("shop", "provider", CapacityProvider::for_group("group"));
        world.set_desired_capacity("group", 6).unwrap();
        pass(&mut world, 100);

        assert_eq!(counts(&world), [2, 2, 2]);
        let launched = world.groups["group"].instances.last().unwrap();
        let joined = world.container_instance(&launched.instance_id).unwrap().1;
        assert_eq!(
            (joined.machine.instance_type.as_str(), joined.machine.cpu),
            ("c7i.xlarge", 4096)
        );
        assert_eq!(
            (joined.attributes["stack"].as_str(), launched.protected_from_scale_in),
            ("prod", true)
        );
        for instance in world.clusters["shop"].instances.values() {
            assert_eq!(instance.capacity_provider.as_deref(), Some("provider"));
        }
    }

    #[test]
    fn an_instance_is_in_service_before_its_agent_has_registered_it() {
        let mut world = world([1, 1, 1]);
        world.set_desired_capacity("group", 4).unwrap();
        let launched = world.groups["group"].instances[3].instance_id.clone();
        assert_eq!(world.lifecycle_state(&launched), Some(LifecycleState::Pending));
        pass(&mut world, 20);
        assert_eq!(world.lifecycle_state(&launched), Some(LifecycleState::InService));
        pass(&mut world, 39);
        assert_eq!(world.status_of(&launched), None);
        pass(&mut world, 31);

        assert_eq!(world.status_of(&launched), Some(Status::Active));
    }

    #[test]
    fn an_instance_that_ec2_ends_while_it_boots_is_replaced_and_never_registers() {
        let mut world = world([1, 1, 1]);
        world.set_desired_capacity("group", 4).unwrap();
        let launched = world.groups["group"].instances[3].instance_id.clone();
        world.terminate_in_ec2(&launched, Duration::from_secs(5));
        pass(&mut world, 400);

        let in_service = Happening::LifecycleState {
            instance_id: launched.clone(),
            state: LifecycleState::InService,
        };
        assert!(world.history.iter().all(|entry| entry.happening != in_service));
        assert_eq!(world.lifecycle_state(&launched), None);
        assert_eq!(world.groups["group"].instances.len(), 4);
        let mut registered = world.clusters["shop"].instances.values();
        assert!(registered.all(|instance| instance.instance_id != launched));
    }

    #[test]
    fn zones_that_differ_by_two_after_a_termination_are_balanced_and_no_more_is_there_in_the_end() {
        let mut world = world([3, 2, 2]);
        world.terminate_in_group("i-b0", true).unwrap();
        assert_eq!(counts(&world), [3, 1, 2]);
        let mut largest = 0;
        while let Some(next) = world.next_due() {
            world.advance(next);
            largest = largest.max(world.groups["group"].size());
        }

        assert_eq!(
            (counts(&world), largest, world.groups["group"].desired_capacity),
            (vec![2, 2, 2], 7, 6)
        );
    }

    #[test]
    fn a_group_that_does_not_rebalance_or_cannot_grow_so_far_stays_as_it_is() {
        for suspended in ["AZRebalance", "Launch"] {
            let mut world = world([3, 2, 2]);
            world.groups.get_mut("group").unwrap().suspended.insert(suspended.to_owned());
            world.terminate_in_group("i-b0", true).unwrap();
            pass(&mut world, 1000);
            assert_eq!(counts(&world), [3, 1, 2], "{suspended}");
        }
    }

    #[test]
    fn a_group_at_its_maximum_passes_it_by_one_to_rebalance() {
        let mut world = world([3, 1, 2]);
        let group = world.groups.get_mut("group").unwrap();
        group.max_size = 6;
        world.rebalance("group");
        assert_eq!(world.groups["group"].size(), 7);
        pass(&mut world, 200);

        assert_eq!((counts(&world), world.groups["group"].size()), (vec![2, 2, 2], 6));
    }
}

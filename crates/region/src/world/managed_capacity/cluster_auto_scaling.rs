//! Cluster auto scaling: once a minute ECS measures how many instances of a capacity provider are
//! needed and how many there are, and its target tracking policy sets the group's desired capacity
//! so that the ratio meets the target.
//!
//! Sources: ECS Developer Guide, cluster-auto-scaling and managed-scaling-behavior; ECS API,
//! `ManagedScaling`; AWS Containers Blog, "Deep Dive on Amazon ECS Cluster Auto Scaling" and
//! "Faster Scaling-in for Amazon ECS Cluster Auto Scaling". Inferred: that DRAINING instances
//! count as there until their group terminates them, that one data point is enough to add
//! instances, and that a placement constraint other than `distinctInstance` is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::reservation::{Reservation, ScalingMemory};
use crate::world::agenda::Due;
use crate::world::autoscaling::Group;
use crate::world::ecs::{
    CapacityProvider, Constraint, Machine, ManagedScaling, Network, RESERVED_PORTS, Status,
    TaskSpec,
};
use crate::world::state::World;

/// How far apart two measurements are.
const INTERVAL: Duration = Duration::from_secs(60);

/// For how many measurements in a row too few instances must be in use before any is taken away.
const DATA_POINTS: usize = 15;

/// For how long nothing is taken away after instances were added.
const QUIET_AFTER_SCALE_OUT: Duration = Duration::from_secs(15 * 60);

/// What a scale-out asks for if there is no instance at all.
const FIRST_STEP: usize = 2;

impl World {
    /// Lets ECS measure a provider for the first time.
    pub(in crate::world) fn start_managed_scaling(&mut self, provider: &str) {
        let first = self.random_duration(Duration::ZERO, INTERVAL);
        self.plan(first, Due::Reservation { provider: provider.to_owned() });
    }

    /// Measures a provider, and sets its group's desired capacity by that.
    pub(in crate::world) fn measure_reservation(&mut self, name: &str) {
        let Some(provider) = self.capacity_providers.get(name).cloned() else { return };
        let Some(scaling) = provider.managed_scaling else { return };
        self.plan(INTERVAL, Due::Reservation { provider: name.to_owned() });
        self.release_empty_instances(&provider);
        let Some(reservation) = self.reservation(name) else { return };
        let Some(group) = self.groups.get(&provider.group) else { return };
        let memory = self.scaling_memory.entry(name.to_owned()).or_default();
        let wanted = desired_capacity(reservation, scaling, group, memory, self.now);
        if let Some(wanted) = wanted {
            // Within the group's bounds, so it is not refused.
            let _ = self.set_desired_capacity(&provider.group, wanted);
        }
        // Those that were protected when the desired capacity fell may have become empty since.
        self.scale_in(&provider.group);
    }

    /// How many instances a provider with managed scaling needs, and how many it has. `None` for
    /// any other provider.
    pub fn reservation(&self, name: &str) -> Option<Reservation> {
        let provider = self.capacity_providers.get(name)?;
        let (scaling, group) = (provider.managed_scaling?, self.groups.get(&provider.group)?);
        let running = self.instances_of(provider);
        let used = self.instances_in_use(provider);
        let missing = self.instances_missing(name, group, scaling);
        let (used, running) = (running.intersection(&used).count(), running.len());
        // Tasks that wait have found no room on any instance, used or not.
        let needed = if missing > 0 { running + missing } else { used };
        Some(Reservation { needed, running })
    }

    /// The EC2 instances of a provider that are registered and that its group does not terminate.
    pub(super) fn instances_of(&self, provider: &CapacityProvider) -> BTreeSet<&str> {
        let Some(group) = self.groups.get(&provider.group) else { return BTreeSet::new() };
        let Some(cluster) = self.clusters.get(&group.cluster) else { return BTreeSet::new() };
        let members = group.instances.iter().filter(|member| member.state.counts_into_capacity());
        let members: BTreeSet<_> = members.map(|member| member.instance_id.as_str()).collect();
        cluster
            .instances
            .values()
            .filter(|instance| matches!(instance.status, Status::Active | Status::Draining))
            .map(|instance| instance.instance_id.as_str())
            .filter(|instance_id| members.contains(instance_id))
            .collect()
    }

    /// The EC2 instances of a provider's cluster that hold a task other than a daemon's.
    pub(super) fn instances_in_use(&self, provider: &CapacityProvider) -> BTreeSet<&str> {
        let Some(group) = self.groups.get(&provider.group) else { return BTreeSet::new() };
        let Some(cluster) = self.clusters.get(&group.cluster) else { return BTreeSet::new() };
        cluster
            .unstopped_tasks()
            .filter(|task| !cluster.is_daemon(task))
            .filter_map(|task| cluster.instances.get(&task.container_instance))
            .map(|instance| instance.instance_id.as_str())
            .collect()
    }

    /// How many instances the tasks that wait for a provider call for.
    fn instances_missing(&self, name: &str, group: &Group, scaling: ManagedScaling) -> usize {
        let Some(cluster) = self.clusters.get(&group.cluster) else { return 0 };
        let mut waiting = BTreeMap::<&str, (&TaskSpec, bool, usize)>::new();
        for task in cluster.waiting_tasks() {
            let Some(service) = &task.service else { continue };
            if task.capacity_provider.as_deref() == Some(name) {
                let placement = &cluster.services[service].placement;
                let alone = placement.constraints.contains(&Constraint::DistinctInstance);
                waiting.entry(service).or_insert((&task.spec, alone, 0)).2 += 1;
            }
        }
        let calculated = waiting
            .into_values()
            .filter_map(|(spec, alone, tasks)| {
                let per_instance = tasks_per_instance(&group.template, spec);
                let per_instance = if alone { per_instance.min(1) } else { per_instance };
                (per_instance > 0).then(|| tasks.div_ceil(per_instance))
            })
            .max();
        match calculated {
            None => 0,
            // By the letter of the API's documentation: with several Availability Zones "by the
            // exact minimum scaling step size", whatever is needed and allowed.
            Some(_) if group.zones.len() > 1 => scaling.minimum_step,
            Some(calculated) => calculated.max(scaling.minimum_step).min(scaling.maximum_step),
        }
    }
}

/// How many tasks that need this an empty instance has room for; 0 if they are never scaled out
/// for. Daemon tasks are not thought of.
fn tasks_per_instance(machine: &Machine, spec: &TaskSpec) -> usize {
    let rooms = [
        (machine.cpu, spec.cpu),
        (machine.memory_mib, spec.memory_mib),
        (
            i64::try_from(machine.gpus.len()).unwrap_or(i64::MAX),
            i64::try_from(spec.gpus).unwrap_or(i64::MAX),
        ),
    ];
    let by_size = rooms.into_iter().filter_map(|(room, need)| room.checked_div(need)).min();
    let by_size = by_size.map_or(usize::MAX, |tasks| usize::try_from(tasks).unwrap_or_default());
    let has_interface = spec.network == Network::Awsvpc;
    let by_interface = has_interface.then(|| machine.interfaces_for_tasks());
    // A fixed host port is there once, and not at all if the agent has it.
    let by_port = match spec.ports.iter().map(|port| port.number).max() {
        _ if has_interface => usize::MAX,
        None | Some(0) => usize::MAX,
        Some(_) => {
            usize::from(!spec.ports.iter().any(|port| RESERVED_PORTS.contains(&port.number)))
        }
    };
    by_size.min(by_interface.unwrap_or(usize::MAX)).min(by_port)
}

/// What the group's desired capacity becomes by a measurement; `None` if it stays.
fn desired_capacity(
    reservation: Reservation,
    scaling: ManagedScaling,
    group: &Group,
    memory: &mut ScalingMemory,
    now: Timestamp,
) -> Option<i32> {
    let target = scaling.target_capacity;
    let is_below = reservation.is_below(target);
    memory.below_target = if is_below { memory.below_target + 1 } else { 0 };
    if reservation.is_above(target) {
        let wanted = match reservation.running {
            0 => FIRST_STEP,
            _ => (reservation.needed * 100).div_ceil(target),
        };
        let wanted = i32::try_from(wanted).unwrap_or(i32::MAX).min(group.max_size);
        if wanted <= group.desired_capacity || is_warming_up(group, scaling, now) {
            return None;
        }
        memory.scaled_out_at = Some(now);
        return Some(wanted);
    }
    let is_quiet = memory.scaled_out_at.is_none_or(|at| at + QUIET_AFTER_SCALE_OUT <= now);
    if memory.below_target < DATA_POINTS || !is_quiet {
        return None;
    }
    let wanted = i32::try_from((reservation.needed * 100).div_ceil(target)).unwrap_or(i32::MAX);
    let surplus = group.desired_capacity - wanted.max(group.min_size);
    // Less than half of the group a minute, but at least one instance.
    let step = surplus.min(((group.desired_capacity - 1) / 2).max(1));
    (step > 0).then(|| group.desired_capacity - step)
}

/// Whether an instance is too young for another one to be added.
fn is_warming_up(group: &Group, scaling: ManagedScaling, now: Timestamp) -> bool {
    let members = group.instances.iter().filter(|member| member.state.counts_into_capacity());
    members
        .filter_map(|member| member.launched_at)
        .any(|launched_at| now < launched_at + scaling.instance_warmup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::ecs::{Placement, ServiceKind};
    use crate::world::managed_capacity::scaling_testing::{
        add_service, pass_minutes, protected, scaled, set_status, size,
    };

    /// A provider with managed termination protection, to the default target.
    fn full() -> CapacityProvider {
        CapacityProvider::protecting("group", 100)
    }

    fn change_scaling(world: &mut World, change: impl Fn(&mut ManagedScaling)) {
        let provider = world.capacity_providers.get_mut("provider").unwrap();
        change(provider.managed_scaling.as_mut().unwrap());
    }

    #[test]
    fn a_task_without_room_gets_an_instance_within_minutes() {
        let mut world = scaled(2, 3, full());
        assert_eq!(world.reservation("provider"), Some(Reservation { needed: 3, running: 2 }));
        assert_eq!(world.reservation("provider").unwrap().percent(), 150);
        pass_minutes(&mut world, 4);

        assert_eq!((size(&world), world.missing_tasks()), ((3, 3), vec![]));
        pass_minutes(&mut world, 120);
        assert_eq!((size(&world), world.reservation("provider").unwrap().percent()), ((3, 3), 100));
    }

    #[test]
    fn empty_instances_go_after_fifteen_measurements_less_than_half_a_minute() {
        let mut world = scaled(9, 1, full());
        world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
        pass_minutes(&mut world, 14);
        assert_eq!(size(&world).0, 9);
        pass_minutes(&mut world, 1);
        let mut sizes = vec![size(&world).0];
        for _ in 0..5 {
            pass_minutes(&mut world, 1);
            sizes.push(size(&world).0);
        }

        assert_eq!(sizes, [5, 3, 2, 1, 1, 1]);
        assert_eq!((size(&world), world.missing_tasks()), ((1, 1), vec![]));
        assert!(world.tasks_cut_off().is_empty());
    }

    #[test]
    fn an_instance_with_one_small_task_is_never_taken_away() {
        let mut world = scaled(4, 0, full());
        add_service(&mut world, "small", 4, TaskSpec::default());
        pass_minutes(&mut world, 24 * 60);

        assert_eq!(size(&world), (4, 4));
    }

    #[test]
    fn a_drained_instance_counts_until_it_is_gone_and_goes_once_it_is_empty() {
        let mut world = scaled(4, 0, full());
        add_service(&mut world, "small", 4, TaskSpec::default());
        set_status(&mut world, "i-2", Status::Draining);
        pass_minutes(&mut world, 3);
        assert_eq!(world.reservation("provider"), Some(Reservation { needed: 3, running: 4 }));
        pass_minutes(&mut world, 17);

        assert_eq!((size(&world), world.status_of("i-2")), ((3, 3), None));
    }

    #[test]
    fn a_target_below_a_hundred_keeps_spare_instances_and_adds_them() {
        for (instances, expected) in [(15, 13), (13, 13), (10, 13)] {
            let mut world = scaled(instances, 10, CapacityProvider::protecting("group", 80));
            pass_minutes(&mut world, 60);
            assert_eq!(size(&world).0, expected, "from {instances}");
        }
    }

    #[test]
    fn nothing_goes_for_fifteen_minutes_after_a_scale_out() {
        let mut world = scaled(3, 1, full());
        pass_minutes(&mut world, 13);
        // The load comes and goes again.
        world.set_desired_count("shop", "web", 4);
        pass_minutes(&mut world, 2);
        assert_eq!(size(&world).0, 4);
        world.set_desired_count("shop", "web", 1);
        pass_minutes(&mut world, 13);
        assert_eq!(size(&world).0, 4);
        pass_minutes(&mut world, 10);

        assert_eq!(size(&world).0, 1);
    }

    #[test]
    fn nothing_is_added_as_long_as_an_instance_warms_up() {
        let mut world = scaled(1, 2, full());
        pass_minutes(&mut world, 1);
        world.set_desired_count("shop", "web", 6);
        pass_minutes(&mut world, 4);
        assert_eq!(size(&world).0, 2);
        pass_minutes(&mut world, 3);

        assert_eq!(size(&world).0, 6);
    }

    #[test]
    fn a_scale_out_keeps_to_its_steps_and_to_the_maximum() {
        for (minimum_step, maximum_step, max_size, expected) in
            [(1, 10_000, 20, 9), (1, 3, 20, 5), (10, 10_000, 20, 12), (1, 10_000, 4, 4)]
        {
            let mut world = scaled(2, 9, full());
            world.groups.get_mut("group").unwrap().max_size = max_size;
            change_scaling(&mut world, |scaling| {
                (scaling.minimum_step, scaling.maximum_step) = (minimum_step, maximum_step);
            });
            pass_minutes(&mut world, 1);
            assert_eq!(size(&world).0, expected, "{minimum_step} to {maximum_step}");
        }
    }

    #[test]
    fn with_several_zones_it_adds_its_smallest_step_whatever_is_needed() {
        let mut world = scaled(2, 9, full());
        let zones = ["eu-west-1a", "eu-west-1b"].map(str::to_owned).to_vec();
        world.groups.get_mut("group").unwrap().zones = zones;
        pass_minutes(&mut world, 1);
        assert_eq!(size(&world).0, 3);
    }

    #[test]
    fn the_first_step_from_nothing_is_two() {
        let mut world = scaled(0, 0, full());
        assert_eq!(world.reservation("provider").unwrap().percent(), 100);
        world.set_desired_count("shop", "web", 5);
        world.advance(world.now() + Duration::from_secs(5));
        assert_eq!(world.reservation("provider").unwrap().percent(), 200);
        pass_minutes(&mut world, 2);
        assert_eq!(size(&world).0, 2);
        pass_minutes(&mut world, 10);

        assert_eq!((size(&world).0, world.missing_tasks()), (5, vec![]));
    }

    #[test]
    fn a_task_that_no_instance_could_hold_and_one_without_strategy_add_none() {
        let mut world = scaled(1, 0, full());
        add_service(&mut world, "huge", 1, TaskSpec { cpu: 2049, ..TaskSpec::default() });
        let gpu = TaskSpec { gpus: 1, ..TaskSpec::default() };
        add_service(&mut world, "gpu", 1, gpu);
        let spec = TaskSpec { cpu: 1200, ..TaskSpec::default() };
        let kind = ServiceKind::replica(2);
        world.add_placed_service("shop", "ec2", kind, spec, Placement::default());
        pass_minutes(&mut world, 60);

        assert_eq!((size(&world).0, world.missing_tasks().len()), (1, 3));
    }

    #[test]
    fn without_termination_protection_the_group_chooses_maybe_a_busy_one() {
        let goes = |provider: &CapacityProvider| {
            let mut world = scaled(4, 3, provider.clone());
            pass_minutes(&mut world, 20);
            world.tasks_cut_off().len()
        };
        assert_eq!(goes(&full()), 0);
        assert_eq!(goes(&CapacityProvider::scaling("group", 100)), 1);
    }

    #[test]
    fn an_instance_is_protected_while_it_holds_a_task() {
        let mut world = scaled(3, 1, full());
        assert_eq!(protected(&world).len(), 3);
        world.groups.get_mut("group").unwrap().min_size = 3;
        pass_minutes(&mut world, 1);
        assert_eq!(protected(&world).len(), 1);

        world.set_desired_count("shop", "web", 2);
        world.advance(world.now() + Duration::from_secs(5));
        assert_eq!(protected(&world).len(), 2);
        world.set_desired_count("shop", "web", 0);
        pass_minutes(&mut world, 2);
        assert!(protected(&world).is_empty());
    }
}

//! What changes the capacity of a group, and what it terminates then.
//!
//! Source: Auto Scaling User Guide, ec2-auto-scaling-lifecycle.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::{Group, Instance};
use super::lifecycle_state::LifecycleState;
use super::scaling_activity::{Activity, Refused};
use crate::world::agenda::Due;
use crate::world::ec2::EndedBy;
use crate::world::history::Happening;
use crate::world::state::World;

/// From Auto Scaling's decision, or the end of the last hook, until EC2 has taken the instance
/// away. Assumed: AWS documents no figures.
const SHUT_DOWN: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));

impl World {
    /// Adds a group with instances that are in their cluster already.
    pub fn add_group(&mut self, name: &str, group: Group) {
        self.groups.insert(name.to_owned(), group);
    }

    /// Sets the desired capacity; instances that are missing are launched, those that are too many
    /// terminated.
    pub fn set_desired_capacity(
        &mut self,
        name: &str,
        desired_capacity: i32,
    ) -> Result<(), Refused> {
        let group = self.group(name)?;
        // Out of bounds is an error and never clamped, as in AWS: a caller must learn that it asked
        // for too much.
        if desired_capacity > group.max_size {
            return Err(Refused::validation(format!(
                "New SetDesiredCapacity value {desired_capacity} is above max value {} for \
                 the AutoScalingGroup.",
                group.max_size
            )));
        }
        if desired_capacity < group.min_size {
            return Err(Refused::validation(format!(
                "New SetDesiredCapacity value {desired_capacity} is below min value {} for \
                 the AutoScalingGroup.",
                group.min_size
            )));
        }
        self.change_desired_capacity(name, desired_capacity);
        self.scale_in(name);
        self.launch_missing(name);
        Ok(())
    }

    /// Plans that somebody terminates an instance through its group after a while. If the group
    /// refuses it then, nothing happens.
    pub fn terminate_in_group_later(
        &mut self,
        after: Duration,
        instance_id: &str,
        decrement: bool,
    ) {
        self.plan(after, Due::TerminateInGroup { instance_id: instance_id.to_owned(), decrement });
    }

    /// Terminates an instance of a group, protected or not. Unless the desired capacity is
    /// decremented, the group launches another one at once: instances that terminate do not count
    /// into its capacity. A health check or a person replaces an instance like this as well.
    ///
    /// # Errors
    /// If no group has the instance, if the group is at its minimum already, or if the instance
    /// terminates already (what AWS says to that is not documented).
    pub fn terminate_in_group(
        &mut self,
        instance_id: &str,
        decrement: bool,
    ) -> Result<Activity, Refused> {
        let Some((name, group)) = self.group_of(instance_id) else {
            return Err(Refused::validation(format!(
                "Instance Id not found - No managed instance found for instance ID: {instance_id}"
            )));
        };
        let (name, min_size) = (name.to_owned(), group.min_size);
        let decremented = group.desired_capacity - group.weight();
        // The state is read before anything changes, so that a refused call leaves the group as it
        // was.
        let counts_into_capacity = match self.lifecycle_state(instance_id) {
            Some(
                LifecycleState::Terminating
                | LifecycleState::TerminatingWait
                | LifecycleState::TerminatingProceed,
            ) => {
                let message = format!("Instance {instance_id} is being terminated already.");
                return Err(Refused { code: "ScalingActivityInProgress", message });
            }
            state => state.is_some_and(LifecycleState::counts_into_capacity),
        };
        // An instance outside the capacity, such as one that was retained, leaves no gap when it
        // goes: there is nothing to decrement.
        let shrinks =
            (decrement && counts_into_capacity).then_some((group.desired_capacity, decremented));
        if shrinks.is_some() {
            if decremented < min_size {
                return Err(Refused::validation(format!(
                    "Currently, desiredSize equals minSize ({min_size}). Terminating instance \
                     without replacement will violate group's min size constraint. Either set \
                     shouldDecrementDesiredCapacity flag to false or lower group's min size."
                )));
            }
            self.change_desired_capacity(&name, decremented);
        }
        // The termination starts before the launch: only then does the instance no longer count, so
        // that the group sees what is missing.
        self.start_termination(&name, instance_id);
        self.launch_missing(&name);
        self.rebalance_later(&name);
        let instance_id = instance_id.to_owned();
        Ok(Activity { id: self.uuid(), group: name, instance_id, started_at: self.now, shrinks })
    }

    /// An instance was taken away: it leaves its group, and no hook waits for it any more.
    pub(in crate::world) fn leave_group(&mut self, instance_id: &str) {
        // An action must not outlive the instance that it holds, or a caller could still complete
        // it.
        self.end_actions_of(instance_id);
        let Some(name) = self.group_of(instance_id).map(|(name, _)| name.to_owned()) else {
            return;
        };
        if let Some(group) = self.groups.get_mut(&name) {
            group.instances.retain(|instance| instance.instance_id != instance_id);
        }
        self.launch_missing(&name);
    }

    /// Gives an instance of a group another state.
    pub fn set_lifecycle_state(&mut self, instance_id: &str, state: LifecycleState) {
        let instance = self
            .groups
            .values_mut()
            .flat_map(|group| &mut group.instances)
            .find(|instance| instance.instance_id == instance_id);
        // A state that stays the same is not a change, so the history does not get an entry.
        let Some(instance) = instance.filter(|instance| instance.state != state) else { return };
        instance.state = state;
        self.record(Happening::LifecycleState { instance_id: instance_id.to_owned(), state });
    }

    /// EC2 takes an instance away that no hook holds (any more).
    pub(super) fn shut_down(&mut self, instance_id: &str) {
        let after = self.random_duration(SHUT_DOWN.0, SHUT_DOWN.1);
        self.remove_later(instance_id, after, EndedBy::Group);
    }

    pub(super) fn change_desired_capacity(&mut self, name: &str, desired_capacity: i32) {
        let group =
            self.groups.get_mut(name).filter(|group| group.desired_capacity != desired_capacity);
        if let Some(group) = group {
            group.desired_capacity = desired_capacity;
            self.record(Happening::DesiredCapacity { group: name.to_owned(), desired_capacity });
        }
    }

    /// Terminates the surplus instances; protected instances stay, even if the group then is larger
    /// than it wants.
    pub(in crate::world) fn scale_in(&mut self, name: &str) {
        loop {
            // The group is read anew each time, because every termination changes its size. The
            // loop ends, as an instance that terminates no longer counts.
            let group = self.groups.get(name).filter(|group| !group.is_suspended("Terminate"));
            // With weights a group may exceed its desired capacity by less than one instance. That
            // is no surplus: without the instance the group would be too small.
            let has_surplus =
                group.is_some_and(|group| group.size() - group.weight() >= group.desired_capacity);
            let chosen = if has_surplus { self.choose_instance_to_terminate(name) } else { None };
            let Some(instance_id) = chosen else { return };
            self.start_termination(name, &instance_id);
        }
    }

    /// Chooses an instance as the default termination policy does: an unprotected instance of the
    /// zone with most instances; by chance among them, as they all come from one launch template.
    /// Source: Auto Scaling User Guide, ec2-auto-scaling-termination-policies.
    fn choose_instance_to_terminate(&mut self, name: &str) -> Option<String> {
        let group = self.groups.get(name)?;
        let mut instances_by_zone = BTreeMap::<_, Vec<&Instance>>::new();
        for instance in &group.instances {
            if instance.state.counts_into_capacity() {
                let zone = self.zone_of(&instance.instance_id);
                instances_by_zone.entry(zone).or_default().push(instance);
            }
        }
        // The protected instances of a zone count into its size, but a zone that has no others
        // cannot give any.
        let largest_zone = instances_by_zone
            .into_values()
            .filter(|instances| !instances.iter().all(|instance| instance.protected_from_scale_in))
            .reduce(|largest, zone| if zone.len() > largest.len() { zone } else { largest })?;
        let unprotected: Vec<_> = largest_zone
            .into_iter()
            .filter(|instance| !instance.protected_from_scale_in)
            .map(|instance| instance.instance_id.clone())
            .collect();
        let chosen = self.rng.usize(..unprotected.len());
        unprotected.into_iter().nth(chosen)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::account::REGION;
    use crate::world::ecs::NewInstance;

    /// A group of four container instances without hooks: two in the first zone, one in each other.
    fn world() -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        for (id, zone) in [("i-1", "a"), ("i-2", "a"), ("i-3", "b"), ("i-4", "c")] {
            world.add_instance("shop", NewInstance::new(id).zone(format!("{REGION}{zone}")));
        }
        let group = Group::with_instances("shop", (1..=4).map(|number| format!("i-{number}")))
            .suspending(&["AZRebalance"]);
        world.add_group("group", Group { min_size: 2, ..group });
        world
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    fn ids(world: &World) -> Vec<&str> {
        world.groups["group"]
            .instances
            .iter()
            .map(|instance| instance.instance_id.as_str())
            .collect()
    }

    #[test]
    fn a_terminated_instance_without_hooks_leaves_the_group_and_the_cluster_within_seconds() {
        let mut world = world();
        let activity = world.terminate_in_group("i-3", true).unwrap();

        assert_eq!((activity.group.as_str(), activity.instance_id.as_str()), ("group", "i-3"));
        assert_eq!(world.lifecycle_state("i-3"), Some(LifecycleState::Terminating));
        pass(&mut world, 10);
        assert_eq!((world.status_of("i-3"), ids(&world).len()), (None, 3));
        pass(&mut world, 300);
        assert_eq!(
            (ids(&world).len(), world.groups["group"].desired_capacity),
            (3, 3),
            "it is not replaced"
        );
    }

    #[test]
    fn an_instance_that_is_terminated_without_decrement_is_replaced() {
        let mut world = world();
        world.terminate_in_group("i-3", false).unwrap();

        assert_eq!(ids(&world).len(), 5, "the new one boots already");
        pass(&mut world, 100);
        let launched = world.groups["group"].instances.last().unwrap().clone();
        assert_eq!((ids(&world).len(), launched.state), (4, LifecycleState::InService));
        assert!(world.status_of(&launched.instance_id).is_some());
    }

    #[test]
    fn the_minimum_is_not_undercut_and_an_unknown_instance_is_refused() {
        let mut world = world();
        world.terminate_in_group("i-1", true).unwrap();
        world.terminate_in_group("i-2", true).unwrap();
        let refused = world.terminate_in_group("i-3", true).unwrap_err();

        assert!(
            refused.message.starts_with("Currently, desiredSize equals minSize (2)."),
            "{refused:?}"
        );
        assert_eq!(world.lifecycle_state("i-3"), Some(LifecycleState::InService));
        assert_eq!(world.terminate_in_group("i-9", false).unwrap_err().code, "ValidationError");
    }

    #[test]
    fn what_terminates_already_is_not_terminated_again() {
        let mut world = world();
        world.terminate_in_group("i-3", true).unwrap();

        assert_eq!(
            world.terminate_in_group("i-3", true).unwrap_err().code,
            "ScalingActivityInProgress"
        );
        assert_eq!(world.groups["group"].desired_capacity, 3);
    }

    #[test]
    fn scale_in_takes_from_the_zone_with_most_instances_and_never_a_protected_one() {
        let mut world = world();
        world.groups.get_mut("group").unwrap().instances[0].protected_from_scale_in = true;
        world.set_desired_capacity("group", 3).unwrap();
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::Terminating));

        for instance in &mut world.groups.get_mut("group").unwrap().instances {
            instance.protected_from_scale_in = true;
        }
        world.set_desired_capacity("group", 2).unwrap();
        pass(&mut world, 100);
        assert_eq!(ids(&world), ["i-1", "i-3", "i-4"]);
    }

    #[test]
    fn an_instance_that_goes_while_it_boots_never_joins() {
        let mut world = world();
        world.set_desired_capacity("group", 5).unwrap();
        let launched = ids(&world)[4].to_owned();
        world.terminate_in_group(&launched, true).unwrap();
        pass(&mut world, 300);

        assert_eq!((world.status_of(&launched), ids(&world).len()), (None, 4));
    }

    #[test]
    fn a_suspended_process_does_nothing() {
        let mut world = world();
        world
            .groups
            .get_mut("group")
            .unwrap()
            .suspended
            .extend(["Launch".to_owned(), "Terminate".to_owned()]);
        world.set_desired_capacity("group", 6).unwrap();
        world.set_desired_capacity("group", 2).unwrap();
        pass(&mut world, 300);

        assert_eq!(ids(&world).len(), 4);
    }

    #[test]
    fn an_instance_with_a_weight_counts_as_much_and_takes_as_much_with_it() {
        let mut world = world();
        let group = world.groups.get_mut("group").unwrap();
        (group.weight, group.desired_capacity, group.max_size) = (Some(2), 8, 20);
        world.terminate_in_group("i-1", true).unwrap();
        assert_eq!(world.groups["group"].desired_capacity, 6);
        world.set_desired_capacity("group", 9).unwrap();
        pass(&mut world, 300);

        assert_eq!(ids(&world).len(), 5, "five instances of two are the fewest that make nine");
        world.set_desired_capacity("group", 3).unwrap();
        pass(&mut world, 300);
        assert_eq!(ids(&world).len(), 2);
    }
}

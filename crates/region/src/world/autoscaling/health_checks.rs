//! Health checks: a group replaces an instance that is unhealthy, or that EC2 has ended without
//! asking it. Its termination hooks run as in any other termination.
//!
//! Sources: Auto Scaling User Guide, health-checks-overview and
//! ec2-auto-scaling-suspend-resume-processes; Auto Scaling API, `SetInstanceHealth`.

use std::time::Duration;

use crate::world::agenda::Due;
use crate::world::state::World;

/// From the moment that an instance is marked as unhealthy until its group terminates it. AWS says
/// "almost immediately"; inferred.
const REPLACEMENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

impl World {
    /// Lets somebody mark an instance of a group as unhealthy after a while, as `SetInstanceHealth`
    /// or a failed check does. It runs on until its group terminates it, a little later.
    pub fn mark_unhealthy(&mut self, instance_id: &str, after: Duration) {
        self.plan(after, Due::Unhealthy { instance_id: instance_id.to_owned() });
    }

    /// An instance is unhealthy from now on, if a group has it in service.
    pub(in crate::world) fn set_unhealthy(&mut self, instance_id: &str) {
        let mut instances = self.groups.values_mut().flat_map(|group| &mut group.instances);
        // What is on standby is not checked, and what terminates already needs no other reason.
        let instance = instances.find(|instance| {
            instance.instance_id == instance_id && instance.state.counts_into_capacity()
        });
        let Some(instance) = instance else { return };
        instance.healthy = false;
        let after = self.random_duration(REPLACEMENT.0, REPLACEMENT.1);
        self.plan(after, Due::UnhealthyReplacement { instance_id: instance_id.to_owned() });
    }

    /// A group looks at an instance that EC2 has ended.
    pub(in crate::world) fn check_health(&mut self, instance_id: &str) {
        let group = self.group_of(instance_id);
        if group.is_some_and(|(_, group)| !group.is_suspended("HealthCheck")) {
            self.set_unhealthy(instance_id);
        }
    }

    /// Terminates an unhealthy instance, unless its group may not or somebody else was faster, and
    /// launches another one. Scale-in protection does not hold it (Auto Scaling User Guide,
    /// ec2-auto-scaling-instance-protection).
    pub(in crate::world) fn replace_unhealthy(&mut self, instance_id: &str) {
        let Some((name, group)) = self.group_of(instance_id) else { return };
        let is_replaceable = group
            .instance(instance_id)
            .is_some_and(|instance| !instance.healthy && instance.state.counts_into_capacity());
        if !is_replaceable
            || group.is_suspended("ReplaceUnhealthy")
            || group.is_suspended("Terminate")
        {
            return;
        }
        let name = name.to_owned();
        self.start_termination(&name, instance_id);
        self.launch_missing(&name);
        self.rebalance_later(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::LifecycleState;
    use crate::world::autoscaling::hook_testing::{hook, terminating};

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    #[test]
    fn an_unhealthy_instance_runs_while_its_hook_holds_it_and_another_one_is_launched() {
        let mut world = terminating([hook("drain")]);
        world.groups.get_mut("group").unwrap().instances[1].protected_from_scale_in = true;
        world.mark_unhealthy("i-2", Duration::from_secs(10));
        pass(&mut world, 10);
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::InService));
        assert!(!world.groups["group"].instance("i-2").unwrap().healthy);
        pass(&mut world, 15);

        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::TerminatingWait));
        assert!(world.container_instance("i-2").unwrap().1.agent_connected);
        assert!(world.tasks_cut_off().is_empty());
        assert_eq!(world.groups["group"].desired_capacity, 1);
        assert_eq!(world.groups["group"].instances.len(), 3);
    }

    #[test]
    fn a_group_whose_processes_are_suspended_replaces_nothing() {
        for (process, healthy) in [("HealthCheck", true), ("ReplaceUnhealthy", false)] {
            let mut world = terminating([hook("drain")]);
            world.groups.get_mut("group").unwrap().suspended.insert(process.to_owned());
            world.terminate_in_ec2("i-2", Duration::ZERO);
            pass(&mut world, 3600);

            let instance = world.groups["group"].instance("i-2").unwrap();
            assert_eq!(instance.state, LifecycleState::InService, "{process}");
            assert_eq!(instance.healthy, healthy, "{process}");
        }
    }

    #[test]
    fn an_instance_that_terminates_already_is_not_replaced_a_second_time() {
        let mut world = terminating([hook("drain")]);
        world.mark_unhealthy("i-1", Duration::ZERO);
        world.mark_unhealthy("i-2", Duration::ZERO);
        pass(&mut world, 0);
        assert!(world.groups["group"].instance("i-1").unwrap().healthy);
        world.terminate_in_group("i-2", true).unwrap();
        pass(&mut world, 60);

        assert_eq!(world.lifecycle_actions.len(), 2, "one for each instance");
        assert_eq!(world.groups["group"].instances.len(), 2);
    }
}

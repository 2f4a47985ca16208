//! Instance refreshes that replace the root volume of an instance and keep the instance.
//!
//! Source: EC2 Auto Scaling User Guide, replace-root-volume. That the termination hook fires, so that
//! the instance can be drained, is by AWS's public design note; that its agent finds its state again,
//! on another volume, is this Region's choice.

use std::time::Duration;

use super::lifecycle_state::LifecycleState;
use crate::world::agenda::Due;
use crate::world::ec2::EndedBy;
use crate::world::state::World;

/// From the reboot until the agent is connected and the instance serves. Inferred from a boot.
const REBOOT: Duration = Duration::from_secs(90);

impl World {
    /// Begins to replace the root volume of an instance: its group's termination hooks hold it first.
    /// One of no group is left alone.
    pub fn replace_root_volume(&mut self, instance_id: &str) {
        let Some(group) = self.group_of(instance_id).map(|(group, _)| group.to_owned()) else {
            return;
        };
        self.set_lifecycle_state(instance_id, LifecycleState::ReplacingRootVolumeWait);
        self.start_actions(&group, instance_id);
        if self.groups[&group].hooks.is_empty() {
            self.reboot_on_new_root_volume(instance_id);
        }
    }

    pub(super) fn reboot_on_new_root_volume(&mut self, instance_id: &str) {
        self.set_lifecycle_state(instance_id, LifecycleState::ReplacingRootVolumeProceed);
        self.cut_tasks_off(instance_id, EndedBy::Group);
        self.disconnect_agent(instance_id);
        self.plan(REBOOT, Due::RootVolumeReplaced { instance_id: instance_id.to_owned() });
    }

    pub(in crate::world) fn finish_root_volume(&mut self, instance_id: &str) {
        self.connect_agent(instance_id);
        self.set_lifecycle_state(instance_id, LifecycleState::InService);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::hook_testing::{hook, terminating};
    use crate::world::autoscaling::{ActionKey, ActionResult};
    use crate::world::ecs::Status;

    #[test]
    fn the_instance_waits_for_its_hook_and_comes_back_as_it_was() {
        let mut world = terminating([hook("drain")]);
        world.replace_root_volume("i-2");
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::ReplacingRootVolumeWait));

        let key =
            ActionKey { group: "group", hook: "drain", token: None, instance_id: Some("i-2") };
        world.complete_action(key, ActionResult::Continue).unwrap();
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::ReplacingRootVolumeProceed));
        assert!(!world.container_instance("i-2").unwrap().1.agent_connected);
        world.advance(world.now() + REBOOT);
        assert_eq!(world.lifecycle_state("i-2"), Some(LifecycleState::InService));
        assert!(world.container_instance("i-2").unwrap().1.agent_connected);
        assert_eq!(world.status_of("i-2"), Some(Status::Active), "nobody has drained it");
    }
}

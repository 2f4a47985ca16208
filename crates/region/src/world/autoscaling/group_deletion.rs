//! A group that is deleted with its instances.
//!
//! Source: Auto Scaling API, `DeleteAutoScalingGroup` with `ForceDelete` (its instances are
//! terminated, nobody waits for them, and lifecycle actions that are outstanding are deleted).

use std::time::Duration;

use crate::world::state::World;

impl World {
    /// Deletes a group at once. Its instances are terminated, and no hook of it holds them.
    pub fn delete_group(&mut self, name: &str) {
        let Some(group) = self.groups.remove(name) else { return };
        for instance in group.instances {
            self.end_actions_of(&instance.instance_id);
            self.terminate_in_ec2(&instance.instance_id, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::hook_testing::{hook, terminating};
    use crate::world::ec2::EndedBy;

    #[test]
    fn its_instances_go_with_what_is_on_them_and_no_hook_holds_them() {
        let mut world = terminating([hook("drain")]);
        world.delete_group("group");
        world.advance(world.now() + Duration::from_secs(400));

        assert!(world.groups.is_empty() && world.lifecycle_actions.is_empty());
        assert_eq!(["i-1", "i-2"].map(|id| world.status_of(id)), [None, None]);
        assert!(!world.tasks_cut_off_by(EndedBy::Ec2).is_empty());
        assert_eq!(world.completed_actions, []);
    }
}

//! Whether scale-in passes an instance over.
//!
//! Source: Auto Scaling API, `SetInstanceProtection`. The messages are those that people quote
//! (terraform-provider-aws#35071).

use super::lifecycle_state::LifecycleState;
use super::scaling_activity::Refused;
use crate::world::state::World;

impl World {
    /// Protects instances of a group from scale-in, or no longer: all of them or none.
    ///
    /// # Errors
    /// If there is no such group, if it does not have one of the instances, or if one is neither
    /// in service nor in standby.
    pub fn set_instance_protection(
        &mut self,
        group_name: &str,
        instance_ids: &[&str],
        protected: bool,
    ) -> Result<(), Refused> {
        let group = self.group(group_name)?;
        for instance_id in instance_ids {
            let message = match group.instance(instance_id).map(|instance| instance.state) {
                Some(LifecycleState::InService | LifecycleState::Standby) => continue,
                Some(_) => "is not in InService or EnteringStandby or Standby.".to_owned(),
                None => format!("is not part of Auto Scaling group {group_name}."),
            };
            return Err(Refused::validation(format!("The instance {instance_id} {message}")));
        }
        let instances = self.groups.get_mut(group_name).map(|group| &mut group.instances);
        for instance in instances.into_iter().flatten() {
            if instance_ids.contains(&instance.instance_id.as_str()) {
                instance.protected_from_scale_in = protected;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::hook_testing::{hook, terminating};

    #[test]
    fn an_instance_that_terminates_or_that_the_group_does_not_have_leaves_all_as_they_were() {
        // The first instance waits for the hook.
        let mut world = terminating([hook("drain")]);
        for (ids, words) in [
            (["i-2", "i-1"], "The instance i-1 is not in InService or EnteringStandby or Standby."),
            (["i-2", "i-9"], "The instance i-9 is not part of Auto Scaling group group."),
        ] {
            let refused = world.set_instance_protection("group", &ids, true).unwrap_err();
            assert_eq!((refused.code, refused.message.as_str()), ("ValidationError", words));
        }
        let is_protected =
            |world: &World| world.groups["group"].instance("i-2").unwrap().protected_from_scale_in;
        assert!(!is_protected(&world));
        world.set_instance_protection("group", &["i-2"], true).unwrap();
        assert!(is_protected(&world));
        world.set_instance_protection("group", &["i-2"], false).unwrap();
        assert!(!is_protected(&world));
    }
}

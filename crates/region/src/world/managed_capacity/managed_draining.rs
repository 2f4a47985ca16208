//! Managed draining: ECS puts a termination hook of its own onto a provider's group, drains the
//! instances that it holds, and lets each go once it has no task left.
//!
//! Sources: ECS Developer Guide, managed-instance-draining (for up to 48 hours; daemon tasks stop
//! last; standalone tasks are waited for). The hook's name, its heartbeat timeout of an hour and
//! its default result are public knowledge of those who found it on their groups. How often ECS
//! looks is not documented.

use std::time::Duration;

use crate::world::agenda::Due;
use crate::world::autoscaling::{ActionKey, ActionResult, Hook};
use crate::world::ecs::Status;
use crate::world::state::World;

/// The hook's name.
const MANAGED_DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";

/// How far apart ECS looks at an instance that it drains.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

impl World {
    /// Puts the hook onto a group.
    pub(in crate::world) fn put_managed_draining_hook(&mut self, group: &str) {
        let hook =
            Hook { default_result: ActionResult::Continue, ..Hook::new(MANAGED_DRAINING_HOOK) };
        // A provider may be there before its group is.
        let _ = self.put_hook(group, hook);
    }

    /// Lets ECS look after an instance that its hook has begun to hold.
    pub(in crate::world) fn start_managed_draining(&mut self, group: &str, instance_id: &str) {
        let has_managed_draining = self
            .capacity_providers
            .values()
            .any(|provider| provider.group == group && provider.managed_draining);
        if has_managed_draining {
            let after = self.random_duration(Duration::from_secs(1), Duration::from_secs(5));
            self.plan(after, Due::ManagedDraining { instance_id: instance_id.to_owned() });
        }
    }

    /// ECS drains an instance that its hook holds, lets it go if it has no task left, and looks
    /// again otherwise. The hook's global timeout of 48 hours bounds that.
    pub(in crate::world) fn drain_managed(&mut self, instance_id: &str) {
        let action = self.lifecycle_actions.iter().find(|action| {
            action.instance_id == instance_id && action.hook.name == MANAGED_DRAINING_HOOK
        });
        let Some(group) = action.map(|action| action.group.clone()) else { return };
        let mut is_empty = true;
        for (cluster, id) in self.registrations(instance_id) {
            self.set_status(&cluster, &id, Status::Draining);
            is_empty &= self.clusters[&cluster].tasks_on(&id).next().is_none();
        }
        let key = ActionKey {
            group: &group,
            hook: MANAGED_DRAINING_HOOK,
            token: None,
            instance_id: Some(instance_id),
        };
        // The action was found above, so neither is refused.
        if is_empty {
            let _ = self.complete_action(key, ActionResult::Continue);
        } else {
            let _ = self.record_heartbeat(key);
            self.plan(LOOK_INTERVAL, Due::ManagedDraining { instance_id: instance_id.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::LifecycleState;
    use crate::world::ecs::{CapacityProvider, ServiceKind, TaskSpec};
    use crate::world::managed_capacity::scaling_testing::{add_service, pass_minutes, scaled};

    /// Two instances with a task and a daemon's each, in a group whose instances ECS drains.
    fn world() -> World {
        let provider =
            CapacityProvider { managed_draining: true, ..CapacityProvider::for_group("group") };
        let mut world = scaled(2, 0, provider);
        add_service(&mut world, "small", 2, TaskSpec::default());
        world.add_service("shop", "logs", ServiceKind::Daemon, TaskSpec::default());
        world
    }

    #[test]
    fn an_instance_that_terminates_is_drained_and_goes_once_it_is_empty() {
        let mut world = world();
        world.terminate_in_group("i-1", true).unwrap();
        world.advance(world.now() + Duration::from_secs(6));
        assert_eq!(world.status_of("i-1"), Some(Status::Draining));
        pass_minutes(&mut world, 3);

        assert_eq!((world.status_of("i-1"), world.missing_tasks()), (None, vec![]));
        assert!(world.tasks_cut_off().is_empty());
    }

    #[test]
    fn a_task_that_does_not_stop_is_waited_for_for_two_days() {
        let mut world = world();
        let spec = TaskSpec { never_stops: true, ..TaskSpec::default() };
        let id = world.container_instance("i-1").unwrap().1.id.clone();
        world.run_task("shop", &id, "report", spec);
        world.terminate_in_group("i-1", true).unwrap();
        pass_minutes(&mut world, 47 * 60);
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));
        pass_minutes(&mut world, 2 * 60);

        assert_eq!((world.lifecycle_state("i-1"), world.tasks_cut_off().len()), (None, 1));
    }

    #[test]
    fn a_hook_of_that_name_alone_drains_nothing() {
        let mut world = world();
        world.capacity_providers.get_mut("provider").unwrap().managed_draining = false;
        world.terminate_in_group("i-1", true).unwrap();
        pass_minutes(&mut world, 59);

        assert_eq!(world.status_of("i-1"), Some(Status::Active));
    }
}

//! A cluster that is deleted, with all that is in it.
//!
//! Source: ECS API, `DeleteCluster` (refused as long as container instances are registered or
//! services are there: whoever deletes it has forced them out before) and
//! `DeregisterContainerInstance` with `force` (the tasks are orphaned: ECS knows nothing of them any
//! more, and their containers run until their instance ends).

use crate::world::agenda::Due;
use crate::world::state::World;

impl World {
    /// Deletes a cluster, after all that was in it was forced out. Its instances run on, in their
    /// group; what is launched for it from now on joins no cluster.
    pub fn delete_cluster(&mut self, name: &str) {
        self.clusters.remove(name);
        self.agenda.retain(|_, due| match due {
            Due::TaskStep { cluster, .. }
            | Due::Reconcile { cluster, .. }
            | Due::AgentLoss { cluster, .. }
            | Due::Deregistration { cluster, .. } => cluster != name,
            _ => true,
        });
        for group in self.groups.values_mut().filter(|group| group.cluster == name) {
            group.launches_join = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::world::autoscaling::LifecycleState;
    use crate::world::autoscaling::hook_testing::{hook, terminating};

    #[test]
    fn its_instances_are_in_their_group_still_and_what_is_launched_joins_no_cluster() {
        let mut world = terminating([hook("drain")]);
        let cluster = world.groups["group"].cluster.clone();
        world.delete_cluster(&cluster);
        world.set_desired_capacity("group", 2).unwrap();
        world.advance(world.now() + Duration::from_secs(280));

        assert!(world.clusters.is_empty());
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));
        assert_eq!(world.groups["group"].instances.len(), 3);
    }
}

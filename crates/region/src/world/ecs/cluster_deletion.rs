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

    use jiff::Timestamp;

    use super::*;
    use crate::world::autoscaling::Group;
    use crate::world::ecs::{NewInstance, ServiceKind, TaskSpec};

    #[test]
    fn its_instances_are_in_their_group_still_and_what_is_launched_joins_no_cluster() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_instance("shop", NewInstance::new("i-1"));
        let members = Group::with_instances("shop", ["i-1".to_owned()]);
        world.add_group("group", Group { max_size: 2, ..members });
        world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
        world.disconnect_agent("i-1");
        world.delete_cluster("shop");
        world.set_desired_capacity("group", 2).unwrap();
        world.advance(world.now() + Duration::from_secs(600));

        assert!(world.clusters.is_empty());
        assert_eq!(world.groups["group"].instances.len(), 2);
    }
}

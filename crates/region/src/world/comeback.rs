//! EC2 Spot: recommendations after which nothing need come, and instances that run again after an
//! interruption stopped them or let them hibernate.
//!
//! Sources: EC2 User Guide, rebalance-recommendations and monitoring-instance-state-changes. That the
//! container instance is as DRAINING as before is inferred: nobody at AWS says otherwise.

use std::time::Duration;

use serde_json::{Value, json};

use super::account::{ACCOUNT, REGION};
use super::agenda::Due;
use super::ecs::task::StopCause;
use super::state::World;

/// From the event that an instance runs until its agent is connected: it boots in between.
const BOOT: Duration = Duration::from_secs(45);

impl World {
    /// Recommends to rebalance a Spot Instance. Nothing follows by itself.
    pub fn recommend_rebalance(&mut self, instance_id: &str) {
        let detail = json!({"instance-id": instance_id});
        self.put_ec2_event("EC2 Instance Rebalance Recommendation", instance_id, detail);
    }

    /// Lets a stopped or hibernated instance run again after a while. One that is terminated until
    /// then stays so.
    pub fn return_instance(&mut self, instance_id: &str, after: Duration) {
        self.plan(after, Due::Return { instance_id: instance_id.to_owned() });
    }

    pub(super) fn run_again(&mut self, instance_id: &str) {
        if self.ended.contains(instance_id) {
            return;
        }
        let detail = json!({"instance-id": instance_id, "state": "running"});
        self.put_ec2_event("EC2 Instance State-change Notification", instance_id, detail);
        self.plan(BOOT, Due::AgentConnects { instance_id: instance_id.to_owned() });
    }

    /// The agent connects as the container instance that it registered last; of one that it has
    /// forgotten nobody speaks any more. It reports that what ran there has ended.
    pub(in crate::world) fn connect_agent(&mut self, instance_id: &str) {
        let Some((cluster_name, id)) = self.registrations(instance_id).pop() else { return };
        let now = self.now;
        let Some(cluster) = self.clusters.get_mut(&cluster_name) else { return };
        for task in cluster.tasks.values_mut().filter(|task| task.container_instance == id) {
            task.end(now, StopCause::Exited);
        }
        if let Some(instance) = cluster.instances.get_mut(&id) {
            instance.agent_connected = true;
            instance.version += 1;
        }
        self.reconcile_soon(&cluster_name);
    }

    fn put_ec2_event(&mut self, detail_type: &str, instance_id: &str, detail: Value) {
        let event = json!({
            "version": "0",
            "id": self.uuid(),
            "detail-type": detail_type,
            "source": "aws.ec2",
            "account": ACCOUNT,
            "time": format!("{:.0}", self.now),
            "region": REGION,
            "resources": [format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}")],
            "detail": detail,
        });
        self.put_event(event);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::ecs::{NewInstance, Status};
    use crate::world::spot::Action;

    const ID: &str = "i-1a2b3c4d";

    fn is_connected(world: &World, id: &str) -> bool {
        world.clusters["shop"].instances[id].agent_connected
    }

    #[test]
    fn a_stopped_instance_returns_as_it_was_drained_with_the_agent_that_it_had() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let forgotten = NewInstance::new(ID).age(Duration::from_secs(86_400));
        world.add_instance("shop", forgotten.agent_disconnected());
        world.add_instance("shop", NewInstance::new(ID).status(Status::Draining));
        let [forgotten, id] = [0, 1].map(|index| world.registrations(ID)[index].1.clone());
        world.interrupt(ID, Action::Stop);
        world.return_instance(ID, Duration::from_secs(600));

        world.advance(Timestamp::UNIX_EPOCH + Duration::from_secs(600) + BOOT / 2);
        assert!(!is_connected(&world, &id), "it boots");
        world.advance(Timestamp::UNIX_EPOCH + Duration::from_secs(600) + BOOT);
        assert!(is_connected(&world, &id));
        assert!(!is_connected(&world, &forgotten));
        assert_eq!(world.clusters["shop"].instances[&id].status, Status::Draining);
    }

    #[test]
    fn a_terminated_instance_does_not_return_and_leaves_only_what_its_agent_had_forgotten() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_instance("old", NewInstance::new(ID).agent_disconnected());
        world.add_instance("shop", NewInstance::new(ID));
        world.interrupt(ID, Action::Terminate);
        world.return_instance(ID, Duration::from_secs(600));
        world.advance(Timestamp::UNIX_EPOCH + Duration::from_secs(1_200));

        let left: Vec<_> =
            world.registrations(ID).into_iter().map(|(cluster, _)| cluster).collect();
        assert_eq!(left, ["old"]);
    }
}

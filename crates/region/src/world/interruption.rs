//! EC2 Spot: the notice, and two minutes later the end of the instance.
//!
//! Source: EC2 User Guide, spot-instance-termination-notices. An instance that hibernates begins to
//! do so at once.

use std::time::Duration;

use serde_json::json;

use super::account::{ACCOUNT, REGION};
use super::agenda::Due;
use super::ec2::EndedBy;
use super::ecs::Status;
use super::ecs::task::StopCause;
use super::history::Happening;
use super::spot::{Action, NOTICE_PERIOD};
use super::state::World;

impl World {
    /// Interrupts a Spot Instance: EC2 gives notice now and takes it away when the notice period is
    /// over. Its group and ECS find out after that.
    pub fn interrupt(&mut self, instance_id: &str, action: Action) {
        // The notice of an instance that no cluster has still needs some zone in its ARN.
        let zone = self
            .container_instance(instance_id)
            .map_or_else(|| format!("{REGION}a"), |(_, instance)| instance.zone.clone());
        let event = json!({
            "version": "0",
            "id": self.uuid(),
            "detail-type": "EC2 Spot Instance Interruption Warning",
            "source": "aws.ec2",
            "account": ACCOUNT,
            "time": format!("{:.0}", self.now),
            "region": REGION,
            "resources": [format!("arn:aws:ec2:{zone}:instance/{instance_id}")],
            "detail": {"instance-id": instance_id, "instance-action": action.as_str()},
        });
        self.record(Happening::Notice { instance_id: instance_id.to_owned(), action });
        self.put_event(event);
        let after = if action == Action::Hibernate { Duration::ZERO } else { NOTICE_PERIOD };
        self.plan(after, Due::Interruption { instance_id: instance_id.to_owned(), action });
    }

    /// Terminates an instance without notice, after a while, and lets its group and ECS know in the
    /// same moment. See [`Self::terminate_in_ec2`] for how AWS finds out.
    pub fn terminate(&mut self, instance_id: &str, after: Duration) {
        self.remove_later(instance_id, after, EndedBy::Ec2);
    }

    pub(super) fn remove_later(&mut self, instance_id: &str, after: Duration, by: EndedBy) {
        self.plan(after, Due::Removal { instance_id: instance_id.to_owned(), by });
    }

    /// The instance goes away; what still executes on it is cut off. A terminated instance is
    /// deregistered; a stopped or hibernated one stays registered, its agent disconnected, and its
    /// tasks stay as they were in the API (ECS API, `DeregisterContainerInstance`).
    pub(super) fn remove_instance(&mut self, instance_id: &str, action: Action, by: EndedBy) {
        // An instance that terminates for two reasons, such as an interruption during a scale-in,
        // goes once. It still has to leave its group, which knows of the second one alone.
        if !self.ended.contains(instance_id) {
            // The end of the instance stands in the history before what it does to the tasks, as a
            // cause before its effects.
            self.record(Happening::InstanceGone { instance_id: instance_id.to_owned(), by });
            self.remove_from_clusters(instance_id, action, by);
        }
        if action == Action::Terminate {
            // A stopped or hibernated instance can come back, so it is not remembered as gone and
            // stays in its group.
            self.ended.insert(instance_id.to_owned());
            self.leave_group(instance_id);
        }
    }

    /// Every container instance on it goes: an agent that lost its state leaves more than one.
    fn remove_from_clusters(&mut self, instance_id: &str, action: Action, by: EndedBy) {
        // Before the status changes, as a task that is set to STOPPED no longer executes.
        self.cut_tasks_off(instance_id, by);
        for (cluster, id) in self.registrations(instance_id) {
            self.remove_from_cluster(&cluster, &id, action);
        }
    }

    fn remove_from_cluster(&mut self, cluster_name: &str, id: &str, action: Action) {
        let now = self.now;
        if let Some(cluster) = self.clusters.get_mut(cluster_name) {
            for task in cluster.tasks.values_mut().filter(|task| task.container_instance == id) {
                if action == Action::Terminate {
                    task.end(now, StopCause::InstanceGone);
                }
            }
            if let Some(instance) = cluster.instances.get_mut(id) {
                instance.agent_connected = false;
            }
        }
        if action == Action::Terminate {
            // Last of all: it makes the schedulers look for replacements, and the history tells of
            // the tasks first.
            self.set_status(cluster_name, id, Status::Inactive);
        }
    }
}

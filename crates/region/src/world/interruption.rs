//! EC2 Spot: the notice, and two minutes later the end of the instance.
//!
//! Source: EC2 User Guide, spot-instance-termination-notices. An instance that hibernates begins to
//! do so at once.

use std::time::Duration;

use serde_json::json;

use super::account::{ACCOUNT, REGION};
use super::agenda::Due;
use super::ecs::Status;
use super::ecs::task::TaskStatus;
use super::history::Happening;
use super::spot::{Action, NOTICE_PERIOD};
use super::state::World;

impl World {
    /// Interrupts a Spot Instance: EC2 gives notice now and takes it away when the notice period is
    /// over.
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

    /// Terminates an instance without notice, after a while.
    pub fn terminate(&mut self, instance_id: &str, after: Duration) {
        let instance_id = instance_id.to_owned();
        self.plan(after, Due::Interruption { instance_id, action: Action::Terminate });
    }

    /// The instance goes away; what still executes on it is cut off. A terminated instance is
    /// deregistered; a stopped or hibernated one stays registered, its agent disconnected, and its
    /// tasks stay as they were in the API (ECS API, `DeregisterContainerInstance`).
    pub(super) fn remove_instance(&mut self, instance_id: &str, action: Action) {
        // An instance that terminates for two reasons, such as an interruption during a scale-in,
        // goes once.
        if self.terminated.contains(instance_id) {
            return;
        }
        // The end of the instance stands in the history before what it does to the tasks, as a
        // cause before its effects.
        self.record(Happening::InstanceGone { instance_id: instance_id.to_owned() });
        self.remove_from_clusters(instance_id, action);
        if action == Action::Terminate {
            // A stopped or hibernated instance can come back, so it is not remembered as gone and
            // stays in its group.
            self.terminated.insert(instance_id.to_owned());
            self.leave_group(instance_id);
        }
    }

    /// Every container instance on it goes: an agent that lost its state leaves more than one.
    fn remove_from_clusters(&mut self, instance_id: &str, action: Action) {
        for (cluster, id) in self.registrations(instance_id) {
            self.remove_from_cluster(instance_id, &cluster, id, action);
        }
    }

    fn remove_from_cluster(
        &mut self,
        instance_id: &str,
        cluster_name: &str,
        id: String,
        action: Action,
    ) {
        let now = self.now;
        let mut cut_off = Vec::new();
        if let Some(cluster) = self.clusters.get_mut(cluster_name) {
            for task in cluster.tasks.values_mut().filter(|task| task.container_instance == id) {
                // Before the status changes, as a task that is set to STOPPED no longer executes.
                task.cut_off = task.is_executing();
                if task.cut_off {
                    cut_off.push((task.id.clone(), task.name.clone()));
                }
                if action == Action::Terminate {
                    task.stop_requested = true;
                    task.status = TaskStatus::Stopped;
                    // A task that had stopped before keeps its time, on which it depends for how
                    // long it stays visible.
                    task.stopped_at = task.stopped_at.or(Some(now));
                }
            }
            if let Some(instance) = cluster.instances.get_mut(&id) {
                instance.agent_connected = false;
            }
        }
        for (task, name) in cut_off {
            self.record(Happening::TaskCutOff { task, name, instance_id: instance_id.to_owned() });
        }
        if action == Action::Terminate {
            // Last of all: it makes the schedulers look for replacements, and the history tells of
            // the tasks first.
            self.set_status(cluster_name, &id, Status::Inactive);
        }
    }
}

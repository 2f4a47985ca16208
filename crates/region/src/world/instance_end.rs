//! An instance that EC2 ends at a moment of its own: its tasks are killed at once, and everybody
//! else finds out one after the other. Its agent's connection breaks, its group's health check
//! notices, and ECS deregisters it.
//!
//! Sources: Auto Scaling User Guide, health-checks-overview (an instance in any other state than
//! `running`, such as `shutting-down`, is unhealthy; checked periodically), lifecycle-hooks (its
//! termination hooks run all the same) and as-enter-exit-standby (no health checks on standby);
//! ECS API, `DeregisterContainerInstance` (a terminated instance is deregistered, but not one whose
//! agent was disconnected).

use std::time::Duration;

use super::agenda::Due;
use super::ec2::EndedBy;
use super::ecs::Status;
use super::ecs::task::{StopCause, TaskStatus};
use super::history::Happening;
use super::spot::Action;
use super::state::World;

/// From the end of an instance until ECS says that its agent is not connected. Inferred: the agent
/// ends with its operating system, and nobody says goodbye for it.
const AGENT_LOSS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// From the end of an instance until its group has noticed. AWS says "periodically"; inferred.
const HEALTH_CHECK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// From the end of an instance until ECS has deregistered it. Inferred: EC2 shuts down in tens of
/// seconds to minutes, and ECS acts after that. bottlerocket-test-system#717 has seen 20 minutes.
const DEREGISTRATION: (Duration, Duration) = (Duration::from_secs(40), Duration::from_secs(300));

impl World {
    /// Lets somebody terminate an instance at EC2 and not through its group, after a while
    /// (`TerminateInstances`). Its tasks are cut off then; its group and ECS find out later.
    pub fn terminate_in_ec2(&mut self, instance_id: &str, after: Duration) {
        let instance_id = instance_id.to_owned();
        self.plan(after, Due::Interruption { instance_id, action: Action::Terminate });
    }

    /// EC2 ends an instance, whatever its group and ECS think of it.
    pub(super) fn end_in_ec2(&mut self, instance_id: &str) {
        // An instance goes once, whoever else wants it to.
        if !self.ended.insert(instance_id.to_owned()) {
            return;
        }
        let by = EndedBy::Ec2;
        self.record(Happening::InstanceGone { instance_id: instance_id.to_owned(), by });
        self.cut_tasks_off(instance_id, by);
        for (cluster, id) in self.registrations(instance_id) {
            // A registration whose agent has gone before is one that nobody deregisters.
            if self.clusters[&cluster].instances[&id].agent_connected {
                let (after, gone) = (self.random_duration(AGENT_LOSS.0, AGENT_LOSS.1), id.clone());
                self.plan(
                    after,
                    Due::AgentLoss { cluster: cluster.clone(), container_instance: gone },
                );
                let after = self.random_duration(DEREGISTRATION.0, DEREGISTRATION.1);
                self.plan(after, Due::Deregistration { cluster, container_instance: id });
            }
        }
        if self.group_of(instance_id).is_some() {
            let after = self.random_duration(HEALTH_CHECK.0, HEALTH_CHECK.1);
            self.plan(after, Due::HealthCheck { instance_id: instance_id.to_owned() });
        }
    }

    /// What executes on an instance ends with it. What the API says of the tasks stays as it is.
    pub(super) fn cut_tasks_off(&mut self, instance_id: &str, by: EndedBy) {
        let mut cut_off = Vec::new();
        for (cluster, id) in self.registrations(instance_id) {
            let Some(cluster) = self.clusters.get_mut(&cluster) else { continue };
            for task in cluster.tasks.values_mut().filter(|task| task.container_instance == id) {
                if task.cut_off.is_none() && task.is_executing() {
                    task.cut_off = Some(by);
                    cut_off.push((task.id.clone(), task.name.clone()));
                }
            }
        }
        for (task, name) in cut_off {
            self.record(Happening::TaskCutOff { task, name, instance_id: instance_id.to_owned() });
        }
    }

    /// ECS has found out that an instance is gone: its container instance is INACTIVE from now on,
    /// and its tasks are STOPPED.
    pub(super) fn deregister(&mut self, cluster_name: &str, container_instance: &str) {
        let now = self.now;
        let mut stopped = Vec::new();
        if let Some(cluster) = self.clusters.get_mut(cluster_name) {
            let tasks = cluster.tasks.values_mut().filter(|task| {
                task.container_instance == container_instance && task.status != TaskStatus::Stopped
            });
            for task in tasks {
                task.end(now, StopCause::InstanceGone);
                // The end of the others stands in the history already: they were cut off.
                if task.cut_off.is_none() {
                    stopped.push(task.id.clone());
                }
            }
        }
        for task in stopped {
            self.record_task(cluster_name, &task);
        }
        // Last of all: it makes the schedulers look for replacements, and the history tells of the
        // tasks first.
        self.set_status(cluster_name, container_instance, Status::Inactive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::{Group, Hook, LifecycleState};
    use crate::world::ecs::{ContainerInstance, NewInstance, ServiceKind, TaskSpec};

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:lifecycle";

    /// Two instances of a group with a hook, and a task of a service on each.
    fn world(seed: u64) -> World {
        let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), seed);
        for id in ["i-1", "i-2"] {
            world.add_instance("shop", NewInstance::new(id));
        }
        world.add_service("shop", "web", ServiceKind::replica(2), TaskSpec::default());
        let hooks = vec![Hook { topic_arn: Some(TOPIC.to_owned()), ..Hook::new("drain") }];
        let ids = ["i-1", "i-2"].map(str::to_owned);
        world.add_group("group", Group { hooks, ..Group::with_instances("shop", ids) });
        world
    }

    fn pass(world: &mut World, seconds: u64) {
        world.advance(world.now() + Duration::from_secs(seconds));
    }

    /// The container instance on `i-1`, registered or not.
    fn registration(world: &World) -> &ContainerInstance {
        let mut instances = world.clusters["shop"].instances.values();
        instances.find(|instance| instance.instance_id == "i-1").unwrap()
    }

    fn task_statuses(world: &World) -> Vec<TaskStatus> {
        let id = &registration(world).id;
        let tasks = world.clusters["shop"].tasks.values();
        tasks.filter(|task| task.container_instance == *id).map(|task| task.status).collect()
    }

    /// After how many seconds it is first true; within ten minutes.
    fn seconds_until(world: &mut World, holds: impl Fn(&World) -> bool) -> u64 {
        let found = (0..600).find(|_| {
            let now = holds(world);
            if !now {
                pass(world, 1);
            }
            now
        });
        found.expect("it becomes true")
    }

    #[test]
    fn tasks_are_cut_off_by_ec2_at_once_and_ecs_says_that_they_run_until_it_has_deregistered() {
        let mut world = world(1);
        world.terminate_in_ec2("i-1", Duration::ZERO);
        pass(&mut world, 0);

        assert_eq!(world.tasks_cut_off_by(EndedBy::Ec2).len(), 1);
        assert!(world.tasks_cut_off_by(EndedBy::Group).is_empty());
        assert_eq!(task_statuses(&world), [TaskStatus::Running]);
        let lost = seconds_until(&mut world, |world| !registration(world).agent_connected);
        assert!((1..=15).contains(&lost), "{lost} s");
        assert_eq!(registration(&world).status, Status::Active);
        assert_eq!(task_statuses(&world), [TaskStatus::Running]);
        let inactive =
            seconds_until(&mut world, |world| registration(world).status == Status::Inactive);
        assert!((25..=300).contains(&inactive), "{inactive} s");
        assert_eq!(task_statuses(&world), [TaskStatus::Stopped]);
    }

    #[test]
    fn a_group_notices_later_and_its_hook_holds_an_instance_that_is_gone() {
        for seed in 0..50 {
            let mut world = world(seed);
            world.terminate_in_ec2("i-1", Duration::ZERO);
            pass(&mut world, 5);
            assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::InService));
            let noticed = seconds_until(&mut world, |world| !world.lifecycle_actions.is_empty());
            assert!(noticed <= 130, "{noticed} s");

            assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));
            assert_eq!(world.published.len(), 1);
            assert_eq!(world.groups["group"].instances.len(), 3, "another one boots already");
        }
    }

    #[test]
    fn ecs_may_deregister_before_the_group_notices_and_after_it() {
        let deregistered_first = (0..50).filter(|&seed| {
            let mut world = world(seed);
            world.terminate_in_ec2("i-1", Duration::ZERO);
            seconds_until(&mut world, |world| !world.lifecycle_actions.is_empty());
            registration(&world).status == Status::Inactive
        });
        let count = deregistered_first.count();
        assert!((5..45).contains(&count), "{count} of 50");
    }

    #[test]
    fn an_instance_whose_agent_was_gone_before_is_never_deregistered() {
        let mut world = world(1);
        world.disconnect_agent("i-1");
        world.terminate_in_ec2("i-1", Duration::ZERO);
        pass(&mut world, 24 * 3600);

        assert_eq!(world.status_of("i-1"), Some(Status::Active));
        assert_eq!(task_statuses(&world), [TaskStatus::Running]);
    }

    #[test]
    fn nothing_starts_or_stops_on_an_instance_that_is_gone() {
        let mut world = world(1);
        let id = registration(&world).id.clone();
        world.terminate_in_ec2("i-1", Duration::ZERO);
        pass(&mut world, 0);
        let task = world.run_task("shop", &id, "report", TaskSpec::default());
        world.set_status("shop", &id, Status::Draining);
        pass(&mut world, 30);

        assert_eq!(world.clusters["shop"].tasks[&task].status, TaskStatus::Provisioning);
        assert_eq!(
            task_statuses(&world)
                .into_iter()
                .filter(|status| *status == TaskStatus::Running)
                .count(),
            1
        );
        assert_eq!(world.tasks_cut_off().len(), 1, "what has not begun cannot be cut off");
    }

    #[test]
    fn an_instance_on_standby_is_not_checked() {
        let mut world = world(1);
        world.set_lifecycle_state("i-1", LifecycleState::Standby);
        world.terminate_in_ec2("i-1", Duration::ZERO);
        pass(&mut world, 24 * 3600);

        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::Standby));
    }

    #[test]
    fn every_registration_of_an_instance_ends_with_it() {
        let mut world = world(1);
        world.add_instance("bakery", NewInstance::new("i-1"));
        world.add_service("bakery", "oven", ServiceKind::replica(1), TaskSpec::default());
        world.terminate_in_ec2("i-1", Duration::ZERO);
        pass(&mut world, 300);

        assert_eq!(world.status_of("i-1"), None);
        assert_eq!(world.tasks_cut_off_by(EndedBy::Ec2).len(), 2);
    }
}

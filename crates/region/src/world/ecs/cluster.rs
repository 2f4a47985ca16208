//! A cluster: its container instances, services and tasks, and what can be asked about them.

use std::collections::BTreeMap;

use super::capacity_provider_strategy::{Capacity, StrategyItem};
use super::cluster_query::Expression;
use super::container_instance::{AGENT_VERSION, ContainerInstance, Status};
use super::held_resources::HeldResources;
use super::service::{Service, ServiceKind};
use super::task::{Task, TaskStatus};

/// An ECS cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Container instances by id.
    pub instances: BTreeMap<String, ContainerInstance>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Tasks by id, stopped ones included.
    pub tasks: BTreeMap<String, Task>,
    /// The names of its capacity providers.
    pub capacity_providers: Vec<String>,
    /// By which of them tasks are placed if nothing else is said.
    pub default_strategy: Vec<StrategyItem>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Cluster {
    /// The container instance on an EC2 instance that is still registered. A cluster may remember
    /// others that left.
    pub fn registered_instance(&self, instance_id: &str) -> Option<&ContainerInstance> {
        self.instances.values().find(|instance| {
            instance.instance_id == instance_id && instance.status != Status::Inactive
        })
    }

    /// The tasks on a container instance that have not stopped.
    pub fn tasks_on<'a>(&'a self, container_instance: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks
            .values()
            .filter(move |task| task.container_instance == container_instance)
            .filter(|task| task.status != TaskStatus::Stopped)
    }

    pub(in crate::world) fn unstopped_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.status != TaskStatus::Stopped)
    }

    pub(super) fn tasks_cut_off(&self) -> Vec<&Task> {
        self.tasks.values().filter(|task| task.cut_off.is_some() && !self.is_daemon(task)).collect()
    }

    pub(super) fn missing_tasks(&self) -> Vec<(&str, usize)> {
        self.services
            .iter()
            .map(|(name, service)| (name.as_str(), self.missing_tasks_of_service(name, service)))
            .filter(|&(_, missing)| missing > 0)
            .collect()
    }

    fn missing_tasks_of_service(&self, name: &str, service: &Service) -> usize {
        let ServiceKind::Replica { desired, .. } = service.kind else { return 0 };
        let running = self
            .tasks_of_service(name)
            .filter(|task| task.is_desired_running() && task.status == TaskStatus::Running)
            .count();
        desired.saturating_sub(running)
    }

    /// Whether an attribute may let a task of a service go somewhere.
    pub(super) fn has_constraints(&self) -> bool {
        self.services
            .values()
            .any(|service| service.placement.expressions(&service.spec).next().is_some())
    }

    /// Whether a task belongs to a daemon service.
    pub fn is_daemon(&self, task: &Task) -> bool {
        let service = task.service.as_ref().and_then(|name| self.services.get(name));
        service.is_some_and(|service| service.kind == ServiceKind::Daemon)
    }

    /// Whether an expression of the cluster query language holds for a container instance.
    pub fn satisfies(&self, instance: &ContainerInstance, expression: &Expression) -> bool {
        expression.holds(&|subject: &str| self.subject(instance, subject))
    }

    /// The values that a subject of the cluster query language has for a container instance.
    pub fn subject(&self, instance: &ContainerInstance, subject: &str) -> Vec<String> {
        if let Some(name) = subject.strip_prefix("attribute:") {
            return instance.attribute(name).map(str::to_owned).into_iter().collect();
        }
        match subject {
            "agentConnected" => vec![instance.agent_connected.to_string()],
            "agentVersion" => vec![AGENT_VERSION.to_owned()],
            "ec2InstanceId" => vec![instance.instance_id.clone()],
            "registeredAt" => vec![instance.registered_at.to_string()],
            "runningTasksCount" => {
                let running = self
                    .tasks_on(&instance.id)
                    .filter(|task| task.is_desired_running() && task.status >= TaskStatus::Running)
                    .count();
                vec![running.to_string()]
            }
            "task:group" => self.tasks_on(&instance.id).map(Task::group).collect(),
            _ => Vec::new(),
        }
    }

    /// What tasks hold, by container instance.
    pub fn resources_held(&self) -> BTreeMap<&str, HeldResources> {
        let mut by_instance = BTreeMap::<&str, HeldResources>::new();
        for task in self.tasks.values().filter(|task| task.status != TaskStatus::Stopped) {
            by_instance.entry(task.container_instance.as_str()).or_default().add(task);
        }
        by_instance
    }

    /// What tasks hold of one container instance.
    pub fn resources_held_on(&self, container_instance: &str) -> HeldResources {
        let mut held = HeldResources::default();
        self.tasks_on(container_instance).for_each(|task| held.add(task));
        held
    }

    /// The capacity provider strategy of a service; empty if it has none.
    pub(super) fn strategy_of(&self, service: &str) -> &[StrategyItem] {
        match self.services.get(service).map(|service| &service.capacity) {
            None | Some(Capacity::Ec2) => &[],
            Some(Capacity::Strategy(strategy)) => strategy,
            Some(Capacity::ClusterDefault) => &self.default_strategy,
        }
    }

    /// The tasks of a service.
    pub(super) fn tasks_of_service<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.service.as_deref() == Some(service))
    }
}
